"""How many connections there are, over all workers: of one client, and in all.

Theory of operation. Each worker process has a row of the shared region that it alone writes, so there are
no locks, and a sum over the rows in use is the count. A row holds a total and two tables of counters that
the client's keyed fingerprint points into; a client's count is the smaller of its two (a count-min sketch),
so another client is counted along only when both places are shared, and nobody can aim at that without the
key.

The supervisor alone hands out rows, empty, and takes a row back when its process has ended, however it
ended: its connections are then no longer counted. The first word of the region changes with every such
step, which tells workers to look anew which rows are in use.

Two workers that count at the same instant may each take the last place: the limits are exact to within the
number of workers.
"""

from enum import Enum
from typing import Final, Protocol, Self

from proxy.shared_memory import SharedMemory

KIND: Final = "connects"
LAYOUT: Final = 1
ROWS: Final = 1280  # the largest number of workers, and some that drain; rows that nobody had take no memory
COLUMNS: Final = 1 << 15
_COLUMN_MASK: Final = COLUMNS - 1
_SECOND_SHIFT: Final = 32
# Region: the generation, the state of each row; then the rows, each one word of total and twice COLUMNS of 4
# octets.
_HEAD_WORDS: Final = 1 + ROWS
_ROW_WORDS: Final = 1 + COLUMNS
#: For `in_all`: connections are not bounded in all.
NO_LIMIT: Final = 1 << 40
_UNTOUCHED, _IN_USE, _LEFT = range(3)  # a row that nobody had yet has nothing to be cleared of


class Admission(Enum):
    """What becomes of a new connection. The first two are counted and must be given back by `closed`."""

    ADMITTED = "admitted"
    # One of the few places kept free: for plain http alone, to answer ACME challenges and refuse the rest.
    RESERVED = "reserved"
    CLIENT_FULL = "client full"
    FULL = "full"


#: The members that every connection meets: a look into the enumeration takes as long as three calls.
ADMITTED: Final = Admission.ADMITTED
RESERVED: Final = Admission.RESERVED


class ConnectionCounter(Protocol):
    """Where open connections are counted: shared memory, or a store that machines share. Answers at once."""

    def opened(self, client: int | None, per_client: int, in_all: int, plain: bool) -> Admission:
        """Count a new connection, unless it is one too many.

        `client` is its fingerprint, None where the client is not counted (trusted proxies, the container's
        gateway).
        """
        ...

    def closed(self, client: int | None) -> None:
        """Give back a connection that was counted, with the same fingerprint."""
        ...


class ConnectionRows:
    """The supervisor's side: which process has which row."""

    __slots__ = ("memory",)

    def __init__(self, memory: SharedMemory) -> None:
        """Use a region made by `create`, perhaps before this program was started anew in its place."""
        self.memory = memory

    @classmethod
    def create(cls) -> Self:
        """Make the region; its rows take memory only once they are used."""
        size = 8 * (_HEAD_WORDS + ROWS * _ROW_WORDS)
        return cls(SharedMemory.create(KIND, layout=LAYOUT, size=size))

    def claim(self) -> int:
        """Give a new process an empty row; raises RuntimeError when 1,280 processes have one."""
        words = self.memory.words
        for row in range(ROWS):
            if words[1 + row] != _IN_USE:
                if words[1 + row] == _LEFT:
                    self._clear(row)
                words[1 + row] = _IN_USE
                words[0] += 1
                return row
        raise RuntimeError(f"more than {ROWS} processes count connections")

    def release(self, row: int) -> None:
        """Forget the connections of a process that has ended."""
        words = self.memory.words
        words[1 + row] = _LEFT
        words[0] += 1

    def in_use(self) -> tuple[int, ...]:
        """List the rows that processes have."""
        return _rows_in_use(self.memory.words)

    def total(self) -> int:
        """Count the open connections of all processes."""
        words = self.memory.words
        return sum(words[_HEAD_WORDS + row * _ROW_WORDS] for row in self.in_use())

    def _clear(self, row: int) -> None:
        start = 8 * (_HEAD_WORDS + row * _ROW_WORDS)
        self.memory.octets[start : start + 8 * _ROW_WORDS] = bytes(8 * _ROW_WORDS)


class SharedConnectionCounter:
    """A worker's side: a `ConnectionCounter` over all rows in use, writing its own."""

    __slots__ = ("_cells", "_generation", "_memory", "_own", "_own_total", "_reserve", "_rows", "_words")

    def __init__(self, memory: SharedMemory, row: int, *, reserve: int = 16) -> None:
        """Count in the row that the supervisor gave; `reserve` more connections than `in_all` may be
        plain."""
        self._memory = memory
        self._words = memory.words
        self._cells = memory.octets.cast("I")
        self._own = 2 * (_HEAD_WORDS + row * _ROW_WORDS + 1)
        self._own_total = _HEAD_WORDS + row * _ROW_WORDS
        self._reserve = reserve
        self._generation = -1
        # Where the first table of each row in use starts, counted in cells.
        self._rows: tuple[int, ...] = ()

    @classmethod
    def attach(cls, descriptor: int, row: int, *, reserve: int = 16) -> Self:
        """Use the region behind an inherited descriptor; raises SharedMemoryError as
        `SharedMemory.attach`."""
        return cls(SharedMemory.attach(descriptor, KIND, layout=LAYOUT), row, reserve=reserve)

    def opened(self, client: int | None, per_client: int, in_all: int, plain: bool) -> Admission:
        """Count a new connection, unless it is one too many (see `ConnectionCounter`)."""
        places = None if client is None else _places(client)
        if places is not None and self._at(places[0], places[1]) >= per_client:
            return Admission.CLIENT_FULL
        admission = ADMITTED
        if in_all < NO_LIMIT and (total := self.total()) >= in_all:
            if not plain or total >= in_all + self._reserve:
                return Admission.FULL
            admission = RESERVED
        self._words[self._own_total] += 1
        if places is not None:
            first, second = places
            self._cells[self._own + first] += 1
            self._cells[self._own + second] += 1
        return admission

    def closed(self, client: int | None) -> None:
        """Give back a connection that was counted, with the same fingerprint."""
        self._words[self._own_total] -= 1
        if client is not None:
            first, second = _places(client)
            self._cells[self._own + first] -= 1
            self._cells[self._own + second] -= 1

    def of_client(self, client: int) -> int:
        """Count a client's connections, in the rarest cases some of another's with them."""
        return self._at(*_places(client))

    def _at(self, first: int, second: int) -> int:
        cells = self._cells
        rows = self._current_rows()
        if len(rows) == 1:
            row = rows[0]
            one, other = cells[row + first], cells[row + second]
            return one if one < other else other
        return min(sum([cells[row + first] for row in rows]), sum([cells[row + second] for row in rows]))

    def total(self) -> int:
        """Count the open connections of all workers."""
        words = self._words
        return sum([words[row // 2 - 1] for row in self._current_rows()])

    def _current_rows(self) -> tuple[int, ...]:
        generation = self._words[0]
        if generation != self._generation:
            self._generation = generation
            rows = _rows_in_use(self._words)
            self._rows = tuple(2 * (_HEAD_WORDS + row * _ROW_WORDS + 1) for row in rows)
        return self._rows

    def close(self) -> None:
        """Let go of the region."""
        self._cells.release()
        self._memory.close()


def _rows_in_use(words: memoryview) -> tuple[int, ...]:
    return tuple(row for row, state in enumerate(words[1:_HEAD_WORDS].tolist()) if state == _IN_USE)


def _places(client: int) -> tuple[int, int]:
    """Point into the two tables of a row by two independent parts of the fingerprint."""
    return client & _COLUMN_MASK, COLUMNS + (client >> _SECOND_SHIFT & _COLUMN_MASK)
