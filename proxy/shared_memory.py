"""The memory that all workers share: sealed memfd regions seen as 64-bit words, and striped locks.

Theory of operation. A region is a memfd that the supervisor creates and that workers attach to by an
inherited descriptor. It is sealed against shrinking and growing, so that no process can make another one
fault on a page that is gone. A header of 64 bytes carries a magic number, what the region is for, its
layout version and its size; whoever attaches checks all four.

An aligned native 8-byte store or load through `words` is one machine instruction, so a word is never seen
half written and a process that is killed leaves whole words. Reading a word and writing it back is not
atomic: that takes a stripe of a `StripedLock`, or a single writer.

The locks are POSIX byte-range locks, which the kernel frees when their process dies, at whatever
instruction. Open file description locks cost the same (1.3 us for acquiring and releasing, measured), but
belong to the open file, which workers that inherit one descriptor share: they would not exclude each other
unless each opened the file anew through /proc, which a process that has dropped its privileges may not. Two
rules follow from the choice:

- POSIX locks vanish when their process closes *any* descriptor of the locked file. So the locks have a file
  of their own, and nobody duplicates and closes its descriptor.
- They exclude processes, not threads: one thread of a process uses a `StripedLock`.

Locks are only ever tried. A worker that was stopped (SIGSTOP, a debugger, a frozen cgroup) keeps its lock,
and whoever finds a stripe busy after a few tries decides without it.
"""

import errno
import fcntl
import mmap
import os
from collections.abc import Iterator
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, lockf
from typing import Final, Self

from proxy.errors import ForegateError

HEADER_SIZE: Final = 64
_MAGIC: Final = int.from_bytes(b"foregate", "little")
_MAGIC_WORD, _KIND_WORD, _LAYOUT_WORD, _SIZE_WORD = range(4)
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_TRY_EXCLUSIVE: Final = LOCK_EX | LOCK_NB
_LARGEST_WORD: Final = (1 << 64) - 1


class SharedMemoryError(ForegateError):
    """Say why a descriptor does not hold the region that was expected."""


class LayoutMismatchError(SharedMemoryError):
    """Say that a region was written by a program with another layout; its owner decides what to reset."""


class SharedMemory:
    """One mapped region; `words` and `octets` show its content, all zero when new, without the header."""

    __slots__ = ("_everything", "_mapping", "descriptor", "octets", "words")

    def __init__(self, descriptor: int) -> None:
        """Map a whole memfd; the region owns the descriptor from now on. Use `create` or `attach`."""
        self.descriptor: int = descriptor
        self._mapping = mmap.mmap(descriptor, 0, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._everything = memoryview(self._mapping)
        self.octets: memoryview = self._everything[HEADER_SIZE:]
        self.words: memoryview = self.octets.cast("Q")

    @classmethod
    def create(cls, kind: str, *, layout: int, size: int) -> Self:
        """Make a zeroed, sealed region of `size` octets (a multiple of 8) besides the header.

        `kind` names its purpose in up to 8 ASCII characters; `layout` is that purpose's layout version.
        """
        if size <= 0 or size % 8:
            raise ValueError(f"the size of shared memory must be a positive multiple of 8, not {size}")
        if not 0 <= layout <= _LARGEST_WORD:
            raise ValueError(f"a layout version must fit into 64 bits, not {layout}")
        kind_word = _kind_word(kind)
        descriptor = os.memfd_create(f"foregate-{kind}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(descriptor, HEADER_SIZE + size)
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
            region = cls(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        header = region._everything[:HEADER_SIZE].cast("Q")
        header[_KIND_WORD], header[_LAYOUT_WORD], header[_SIZE_WORD] = kind_word, layout, size
        header[_MAGIC_WORD] = _MAGIC
        return region

    @classmethod
    def attach(cls, descriptor: int, kind: str, *, layout: int) -> Self:
        """Map the region behind an inherited descriptor, which it owns from now on.

        Raises LayoutMismatchError for another layout version, SharedMemoryError for anything else that is
        not the region asked for; the descriptor is then left open.
        """
        _check_sealed(descriptor)
        if os.fstat(descriptor).st_size <= HEADER_SIZE:
            raise SharedMemoryError(f"descriptor {descriptor} is too small to be shared memory of Foregate")
        header = memoryview(os.pread(descriptor, HEADER_SIZE, 0)).cast("Q")
        if header[_MAGIC_WORD] != _MAGIC:
            raise SharedMemoryError(f"descriptor {descriptor} is not shared memory of Foregate")
        if header[_KIND_WORD] != _kind_word(kind):
            found = header[_KIND_WORD].to_bytes(8, "little").rstrip(b"\0").decode("ascii", "replace")
            raise SharedMemoryError(f"descriptor {descriptor} holds the region {found!r}, not {kind!r}")
        if header[_LAYOUT_WORD] != layout:
            raise LayoutMismatchError(
                f"the shared region {kind!r} has layout {header[_LAYOUT_WORD]}, this program needs {layout}"
            )
        if os.fstat(descriptor).st_size != HEADER_SIZE + header[_SIZE_WORD]:
            raise SharedMemoryError(f"the shared region {kind!r} has not the size in its header")
        return cls(descriptor)

    @property
    def size(self) -> int:
        """Count the octets of content."""
        return self.octets.nbytes

    def used(self) -> Iterator[tuple[int, int]]:
        """Tell which octets of the content have memory, as (start, end) in order; all others are zero.

        To read the others would give them memory.
        """
        end = 0
        while True:
            try:
                start = os.lseek(self.descriptor, end, os.SEEK_DATA)
            except OSError as exc:
                if exc.errno == errno.ENXIO:  # nothing but zeros from here on
                    return
                raise
            end = os.lseek(self.descriptor, start, os.SEEK_HOLE)
            if end > HEADER_SIZE:
                yield max(0, start - HEADER_SIZE), end - HEADER_SIZE

    def close(self) -> None:
        """Unmap the region and close its descriptor; release views taken from it before."""
        self.words.release()
        self.octets.release()
        self._everything.release()
        self._mapping.close()
        os.close(self.descriptor)


class StripedLock:
    """Exclude other processes from one of many stripes, without ever waiting.

    It owns its descriptor. Stripes are numbered from 0 and not nested: a process holds one at a time.
    """

    __slots__ = ("_tries", "descriptor")

    def __init__(self, descriptor: int, *, tries: int = 3) -> None:
        """Use the lock file behind a descriptor that was made by `create`, perhaps in another process."""
        self.descriptor: int = descriptor
        self._tries = range(tries)

    @classmethod
    def create(cls, *, tries: int = 3) -> Self:
        """Make a lock file; workers inherit its descriptor."""
        return cls(os.memfd_create("foregate-locks", os.MFD_CLOEXEC), tries=tries)

    def try_acquire(self, stripe: int) -> bool:
        """Take a stripe if it is free within a few tries; False means: decide without it."""
        for _ in self._tries:
            try:
                lockf(self.descriptor, _TRY_EXCLUSIVE, 1, stripe)
            except (BlockingIOError, PermissionError):
                # The holder needs about a microsecond: let it run if it was preempted on this CPU.
                os.sched_yield()
            else:
                return True
        return False

    def release(self, stripe: int) -> None:
        """Give a stripe back."""
        lockf(self.descriptor, LOCK_UN, 1, stripe)

    def close(self) -> None:
        """Close the lock file, which frees whatever this process holds in it."""
        os.close(self.descriptor)


def _kind_word(kind: str) -> int:
    octets = kind.encode("ascii")
    if not 1 <= len(octets) <= 8:
        raise ValueError(f"the kind of shared memory must have 1 to 8 characters, not {kind!r}")
    return int.from_bytes(octets, "little")


def _check_sealed(descriptor: int) -> None:
    """Refuse a file that could shrink: a read behind its end would end this process (SIGBUS)."""
    try:
        seals: int = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
    except OSError as exc:
        raise SharedMemoryError(f"descriptor {descriptor} is not shared memory of Foregate: {exc}") from exc
    if seals & _SEALS != _SEALS:
        raise SharedMemoryError(f"descriptor {descriptor} is not sealed against a change of its size")
