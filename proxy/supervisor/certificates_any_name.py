"""Certificates for the single names under a site for any host, for whichever worker asks.

Nothing of them is kept here or told to other workers: autocert keeps the latest in memory, and each worker asks for
what its own clients want. Every question is answered, so that no handshake waits in vain.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from proxy.control.channel import PackedCommand
from proxy.control.messages import Command, FailCertificate, SetCertificate
from proxy.telemetry import process_log

if TYPE_CHECKING:
    from proxy.supervisor.certificate_keeper import CertificateKeeper

_log = process_log.logger("certificates")

ANY_NAME: Final = "*"
#: Questions under way at once, over all workers; each has as many of its own at most.
MOST_AT_ONCE: Final = 256
#: How long the local CA gets; workers wait no longer either (proxy/downstream/tls_any_name.py).
_SECONDS: Final = 5.0


class Asking(Protocol):
    """The worker that asks."""

    def send(self, command: Command | PackedCommand) -> None:
        """Tell it something, at once."""
        ...


class NamesUnderAny:
    """Answers workers; `keeper` returns who keeps the certificate of the site for any host, if anybody does."""

    def __init__(self, keeper: "Callable[[], CertificateKeeper | None]") -> None:
        self._keeper = keeper
        self._tasks: set[asyncio.Task[None]] = set()

    def wanted(self, worker: Asking, name: str) -> None:
        """Give a worker a certificate for a name, or the word that there is none, now or soon."""
        keeper = self._keeper()
        if keeper is None or len(self._tasks) >= MOST_AT_ONCE:
            # Of a snapshot that is being replaced, or one of far too many.
            worker.send(FailCertificate(name))
            return
        task = asyncio.create_task(self._answer(worker, keeper, name))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End everything that is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _answer(self, worker: Asking, keeper: "CertificateKeeper", name: str) -> None:
        try:
            found = await keeper.under_any_name(name, _SECONDS)
        except Exception:
            _log.exception("failed inside while a handshake waited", extra=process_log.fields(name=name))
            found = None
        worker.send(FailCertificate(name) if found is None else SetCertificate(name, *found))
