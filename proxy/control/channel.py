"""Messages between the supervisor and its workers, over one socket pair each.

Theory of operation. The pair is SOCK_SEQPACKET: a message is one packet, whole or not there at all, and the
kernel says when the other side is gone. Descriptors (listening sockets, shared memory) travel with the packet
that they belong to.

The two directions trust differently. A worker does what the supervisor says, so commands are pickled
dataclasses, and one that is larger than a packet goes into a memfd that travels in its place. A worker faces
the network and may be taken over, so nothing that it says may run code in the supervisor: reports are JSON
objects of fixed shape and bounded size, and descriptors that it sends are dropped by the kernel.

Neither side ever blocks. What the socket does not take waits in a queue of bounded length; when that is full,
the other side has stopped reading, and the channel counts as closed.
"""

import asyncio
import os
import pickle
import socket
from abc import abstractmethod
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, cast

from proxy.control.messages import Command, ControlError, Report
from proxy.control.reports import LARGEST_REPORT, decode_report, encode_report

_LARGEST_PACKET: Final = 60_000
_MOST_DESCRIPTORS: Final = 16
_LONGEST_QUEUE: Final = 256
_PACKETS_PER_TURN: Final = 16  # so that one flooding worker does not hold up the supervisor's loop
_INLINE: Final = b"P"
_IN_MEMFD: Final = b"M"


@dataclass(frozen=True, slots=True)
class PackedCommand:
    """A command made ready once, to be sent to any number of workers."""

    pickled: bytes


def pack(command: Command) -> PackedCommand:
    """Pickle a command."""
    return PackedCommand(pickle.dumps(command, protocol=pickle.HIGHEST_PROTOCOL))


class _Channel:
    """One end of the socket pair: packets out through a bounded queue, packets in by callback."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, end: socket.socket, on_closed: Callable[[str], None]
    ) -> None:
        end.setblocking(False)
        self._loop = loop
        self._socket = end
        self._on_closed = on_closed
        self._queue: deque[tuple[bytes, Sequence[int]]] = deque()
        self._open = True
        loop.add_reader(end.fileno(), self._readable)

    @property
    def descriptor(self) -> int:
        """Return the descriptor of this end."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close this end, without telling on_closed; what is queued is lost."""
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        self._drop_queue()

    def _drop_queue(self) -> None:
        while self._queue:
            _close_all(self._queue.popleft()[1])

    def _lost(self, fault: str = "") -> None:
        if self._open:
            self.close()
            self._on_closed(fault)

    def _post(self, packet: bytes, descriptors: Sequence[int]) -> None:
        """Send a packet, or queue it; owns the descriptors from now on."""
        if not self._open:
            _close_all(descriptors)
        elif len(self._queue) >= _LONGEST_QUEUE:
            _close_all(descriptors)
            self._lost("it does not read its messages")
        else:
            self._queue.append((packet, descriptors))
            if len(self._queue) == 1:
                self._flush()

    def _flush(self) -> None:
        while self._queue:
            packet, descriptors = self._queue[0]
            try:
                socket.send_fds(self._socket, [packet], descriptors)
            except (BlockingIOError, InterruptedError):
                self._loop.add_writer(self._socket.fileno(), self._flush)
                return
            except (BrokenPipeError, ConnectionResetError):
                self._drop_queue()  # nobody reads any more; what was said before is read first, and then the end
                break
            except OSError:
                self._lost()
                return
            self._queue.popleft()
            _close_all(descriptors)
        self._loop.remove_writer(self._socket.fileno())

    def _readable(self) -> None:
        for _ in range(_PACKETS_PER_TURN):
            if not self._take():
                return

    def _take(self) -> bool:
        """Take a packet; False: there is none now, and perhaps never again."""
        if not self._open:
            return False
        try:
            self._receive()
        except (BlockingIOError, InterruptedError):
            return False
        except ConnectionResetError:
            pass  # the other side has closed without reading all, which is told once; what it said still waits here
        except OSError:
            self._lost()
        return True

    @abstractmethod
    def _receive(self) -> None:
        """Take one packet, or raise what the socket raises."""


class SupervisorChannel(_Channel):
    """The supervisor's end: commands out, reports in."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        end: socket.socket,
        on_report: Callable[[Report], None],
        on_closed: Callable[[str], None],
    ) -> None:
        """Own `end`; `on_closed` is called once: with "" when the worker is gone, else with how it broke the
        rules."""
        super().__init__(loop, end, on_closed)
        self._on_report = on_report

    def send(self, command: Command | PackedCommand, descriptors: Sequence[int] = ()) -> None:
        """Send a command and duplicates of `descriptors`; a worker that does not read counts as gone."""
        packed = command if isinstance(command, PackedCommand) else pack(command)
        attached = [os.dup(descriptor) for descriptor in descriptors]
        if len(packed.pickled) < _LARGEST_PACKET:
            self._post(_INLINE + packed.pickled, attached)
        else:
            self._post(_IN_MEMFD, [*attached, _memfd_with(packed.pickled)])

    def read_rest(self) -> None:
        """Take every report that has come already, of a worker that has ended."""
        while self._take():
            continue

    def _receive(self) -> None:
        packet = self._socket.recv(LARGEST_REPORT + 1)
        if not packet:
            self._lost()
            return
        try:
            report = decode_report(packet)
        except ControlError as exc:
            self._lost(f"it sent {exc}")
            return
        self._on_report(report)


class WorkerChannel(_Channel):
    """A worker's end: reports out, commands in."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        end: socket.socket,
        on_command: Callable[[Command, list[int]], None],
        on_closed: Callable[[str], None],
    ) -> None:
        """Own `end`; `on_command` owns the descriptors that it is given."""
        super().__init__(loop, end, on_closed)
        self._on_command = on_command

    def send(self, report: Report) -> None:
        """Send a report."""
        self._post(encode_report(report), ())

    def _receive(self) -> None:
        packet, descriptors, flags = _receive_with_descriptors(self._socket)
        if not packet:
            self._lost()
            return
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            _close_all(descriptors)
            self._lost("a command was cut off")
            return
        pickled = packet[1:] if packet[:1] == _INLINE else _content_of(descriptors.pop())
        # Only the supervisor holds the other end, and it could run any code as this user anyway.
        command = cast("Command", pickle.loads(pickled))  # noqa: S301
        self._on_command(command, descriptors)


def channel_pair() -> tuple[socket.socket, socket.socket]:
    """Make the two ends: the supervisor's and the worker's."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def _receive_with_descriptors(end: socket.socket) -> tuple[bytes, list[int], int]:
    """Receive a packet, its descriptors (closed on exec, which socket.recv_fds leaves out), and the flags."""
    space = socket.CMSG_SPACE(_MOST_DESCRIPTORS * array("i").itemsize)
    packet, ancillary, flags, _ = end.recvmsg(_LARGEST_PACKET + 1, space, socket.MSG_CMSG_CLOEXEC)
    descriptors = array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    return packet, descriptors.tolist(), flags


def _memfd_with(content: bytes) -> int:
    descriptor = os.memfd_create("foregate-command", os.MFD_CLOEXEC)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    return descriptor


def _content_of(descriptor: int) -> bytes:
    try:
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    finally:
        os.close(descriptor)


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
