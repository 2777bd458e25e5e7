"""Every worker that asks for a name under a site for any host is answered, with a certificate or a refusal."""

import asyncio
from typing import TYPE_CHECKING, cast

from proxy.control.channel import PackedCommand
from proxy.control.messages import Command, FailCertificate, SetCertificate
from proxy.supervisor.certificates_any_name import MOST_AT_ONCE, NamesUnderAny

if TYPE_CHECKING:
    from proxy.supervisor.certificate_keeper import CertificateKeeper

MADE = (b"chain", b"key")


class Worker:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def send(self, command: Command | PackedCommand) -> None:
        self.told.append(command)


class Keeper:
    """Makes certificates when it is let to."""

    def __init__(self) -> None:
        self.may = asyncio.Event()
        self.answer: tuple[bytes, bytes] | Exception | None = MADE

    async def under_any_name(self, name: str, seconds: float) -> tuple[bytes, bytes] | None:
        await self.may.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def names_of(keeper: Keeper | None) -> NamesUnderAny:
    return NamesUnderAny(lambda: cast("CertificateKeeper | None", keeper))


async def test_the_worker_that_asked_gets_it() -> None:
    keeper, worker, other = Keeper(), Worker(), Worker()
    names = names_of(keeper)
    names.wanted(worker, "a.test")
    await turns()
    assert worker.told == []
    keeper.may.set()
    await turns()
    assert worker.told == [SetCertificate("a.test", *MADE)]
    assert other.told == []
    await names.close()


async def test_no_certificate_is_said_at_once_whatever_the_reason() -> None:
    worker, keeper = Worker(), Keeper()
    keeper.may.set()
    for answer in (None, RuntimeError("a fault")):
        keeper.answer = answer
        names_of(keeper).wanted(worker, "a.test")
        await turns()
    names_of(None).wanted(worker, "a.test")
    assert worker.told == [FailCertificate("a.test")] * 3


async def test_what_is_under_way_is_bounded_and_ends_with_the_supervisor() -> None:
    worker, names = Worker(), names_of(Keeper())
    for number in range(MOST_AT_ONCE + 1):
        names.wanted(worker, f"n{number}.test")
    assert worker.told == [FailCertificate(f"n{MOST_AT_ONCE}.test")]
    await names.close()
