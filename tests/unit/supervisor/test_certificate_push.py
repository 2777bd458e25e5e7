"""What workers are told: at once when something is new, all of it when they start, nothing twice."""

from proxy.control.messages import Command, FailCertificate, SetCertificate, SetPlaceholder, SetThumbprint
from proxy.supervisor.certificate_push import CertificatePush
from tests.fakes.worker_pool import NotedWorkers, unpacked

DAY = 86400.0


def briefing(push: CertificatePush) -> list[Command]:
    return [unpacked(command) for command in push.briefing()]


async def test_a_certificate_is_told_once() -> None:
    workers = NotedWorkers()
    push = CertificatePush(workers)
    for _ in range(2):
        push.serve("a.test", b"chain", b"key")
    assert workers.told == [SetCertificate("a.test", b"chain", b"key")]
    push.serve("a.test", b"newer", b"key")
    assert briefing(push) == [SetCertificate("a.test", b"newer", b"key")]
    push.fail("b.test")
    assert workers.told[-1] == FailCertificate("b.test")


async def test_new_workers_learn_first_what_lets_the_ca_validate() -> None:
    workers = NotedWorkers()
    push = CertificatePush(workers)
    push.serve("c.test", b"chain", b"key")
    push.greet_edges(lambda: (b"edge", b"key"), 0.0)
    await push.answer_challenges(("a.test", "b.test"), "one")
    await push.answer_challenges(("c.test",), "two")
    everything = [
        SetThumbprint(("a.test", "b.test"), "one"),
        SetThumbprint(("c.test",), "two"),
        SetPlaceholder(b"edge", b"key"),
        SetCertificate("c.test", b"chain", b"key"),
    ]
    assert briefing(push) == everything
    workers.told.clear()
    push.resend()
    assert workers.told == everything


async def test_a_known_thumbprint_is_only_made_sure_of() -> None:
    workers = NotedWorkers()
    push = CertificatePush(workers)
    await push.answer_challenges(("a.test",), "one")
    await push.answer_challenges(("a.test", "b.test"), "one")
    assert workers.told == [SetThumbprint(("a.test",), "one"), SetThumbprint(("b.test",), "one")]
    await push.answer_challenges(("a.test", "b.test"), "one")
    assert (len(workers.told), workers.syncs) == (2, 3)
    await push.answer_challenges(("a.test",), "new")
    assert workers.thumbprints == {"a.test": "new", "b.test": "one"}


async def test_names_that_went_are_forgotten() -> None:
    workers = NotedWorkers()
    push = CertificatePush(workers)
    for name in ("a.test", "b.test"):
        push.serve(name, b"chain", b"key")
        push.mark_unusable(name)
    await push.answer_challenges(("a.test", "b.test"), "one")
    push.keep_only(["b.test"])
    assert briefing(push) == [SetThumbprint(("b.test",), "one"), SetCertificate("b.test", b"chain", b"key")]
    assert (push.certificate("a.test"), push.is_unusable("a.test"), push.is_unusable("b.test")) == (
        None,
        False,
        True,
    )
    push.serve("a.test", b"chain", b"key")
    assert len(workers.certificates) == 2


async def test_another_certificate_may_be_usable_again() -> None:
    push = CertificatePush(NotedWorkers())
    push.serve("a.test", b"chain", b"key")
    push.mark_unusable("a.test")
    push.serve("a.test", b"chain", b"key")
    assert push.is_unusable("a.test")
    push.serve("a.test", b"other", b"key")
    assert not push.is_unusable("a.test")


async def test_the_placeholder_is_made_anew_before_it_ends() -> None:
    workers = NotedWorkers()
    push = CertificatePush(workers)
    made = iter(range(9))
    for now in (0.0, DAY / 4, DAY * 3 / 4, DAY / 2):  # the last: the clock was set back
        push.greet_edges(lambda: (b"%d" % next(made), b"key"), now)
    assert [command.chain_pem for command in workers.placeholders] == [b"0", b"1", b"2"]
