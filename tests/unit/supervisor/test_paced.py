"""Paced commands: all of them, in order, and never more at once than a channel takes."""

from collections.abc import Callable

from proxy.control.channel import PackedCommand
from proxy.control.messages import Command, FailCertificate, Sync
from proxy.supervisor.paced import PacedCommands


class Channel:
    """The worker's end: keeps what it gets, and answers when it is told to."""

    def __init__(self) -> None:
        self.got: list[Command | PackedCommand] = []
        self.paced = PacedCommands(self.got.append)
        self._answered = 0

    @property
    def names(self) -> list[str]:
        return [command.name for command in self.got if isinstance(command, FailCertificate)]

    def answer(self) -> bool:
        """Answer one more Sync, if there is one."""
        questions = [command.number for command in self.got if isinstance(command, Sync)]
        if self._answered == len(questions):
            return False
        self.paced.synced(questions[self._answered])
        self._answered += 1
        return True


def put(paced: PacedCommands, count: int) -> list[str]:
    names = [str(number) for number in range(count)]
    for name in names:
        paced.put(FailCertificate(name))
    return names


async def test_a_few_go_at_once() -> None:
    channel = Channel()
    names = put(channel.paced, 5)
    assert channel.names == names
    assert channel.got == [FailCertificate(str(number)) for number in range(5)]


async def test_thousands_go_as_the_worker_comes_along() -> None:
    channel = Channel()
    names = put(channel.paced, 1000)
    seen = [len(channel.names)]
    while channel.answer():
        seen.append(len(channel.names))
    assert channel.names == names
    assert max(after - before for before, after in zip([0, *seen], seen, strict=False)) <= 64


async def test_a_sync_is_done_when_all_before_it_is() -> None:
    channel = Channel()
    put(channel.paced, 100)
    done = channel.paced.sync()
    later = channel.paced.sync()
    assert channel.answer()
    assert not done.done()  # that was the pause after the first commands
    assert channel.answer()
    assert (done.done(), later.done()) == (True, False)
    assert channel.answer()
    assert later.done()


async def test_answers_that_nobody_asked_for_change_nothing() -> None:
    channel = Channel()
    done = channel.paced.sync()
    channel.paced.synced(77)
    assert not done.done()
    channel.paced.synced(1)
    channel.paced.synced(1)
    assert done.done()


async def test_the_end_of_the_worker_ends_every_wait() -> None:
    channel = Channel()
    asked = channel.paced.sync()
    put(channel.paced, 100)
    waiting = channel.paced.sync()
    cancelled = channel.paced.sync()
    cancelled.cancel()
    channel.paced.close()
    assert asked.done()
    assert waiting.done()
    count = len(channel.got)
    channel.paced.synced(2)
    assert len(channel.got) == count


async def test_a_channel_that_breaks_while_it_is_written_to() -> None:
    got: list[object] = []
    paced: list[PacedCommands] = []

    def break_down(command: Command | PackedCommand) -> None:
        got.append(command)
        if len(got) == 3:
            paced[0].close()

    send: Callable[[Command | PackedCommand], None] = break_down
    paced.append(PacedCommands(send))
    put(paced[0], 10)
    assert len(got) == 10  # each one finds the channel closed and is lost there
    assert not paced[0].sync().done()
