"""The ring never gives out a record that is not whole or not the key's, whatever is written over it."""

import random
from collections.abc import Callable, Iterator
from hashlib import blake2b

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.caching.layout import BUCKET, KIND, LAYOUT_VERSION, SMALLEST, Layout, plan, region_size
from proxy.caching.ring import Put, Ring, format_ring
from proxy.shared_memory import SharedMemory, StripedLock

SECRET = bytes(32)


def key_of(number: int) -> bytes:
    return blake2b(b"%d" % number, digest_size=32).digest()


def record_of(number: int, size: int) -> bytes:
    return (b"%d:" % number * size)[:size]


class Bench:
    """A ring in memory of its own."""

    def __init__(self, size: int = SMALLEST, stripes: int = 2, secret: bytes = SECRET) -> None:
        content = region_size(size)
        self.memory = SharedMemory.create(KIND, layout=LAYOUT_VERSION, size=content)
        self.locks = StripedLock.create()
        self.layout: Layout = plan(content, stripes)
        format_ring(self.memory, self.layout)
        self.ring = Ring(self.memory, self.locks, self.layout, secret)

    def put(self, number: int, size: int = 100, *, now: int = 0, until: int = 0) -> Put:
        return self.ring.put(key_of(number), record_of(number, size), now=now, until=until)

    def close(self) -> None:
        self.ring.close()
        self.memory.close()
        self.locks.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def test_what_was_put_is_found_under_its_key_alone(bench: Bench) -> None:
    assert bench.put(1) is Put.STORED
    assert bench.ring.get(key_of(1)) == record_of(1, 100)
    assert bench.ring.get(key_of(2)) is None


def test_an_empty_ring_holds_nothing(bench: Bench) -> None:
    assert bench.ring.get(key_of(1)) is None
    assert bench.ring.get(bytes(32)) is None
    assert bench.ring.stored_octets == 0


def test_a_new_record_replaces_the_keys_old_one(bench: Bench) -> None:
    bench.ring.put(key_of(1), b"old", now=0, until=0)
    bench.ring.put(key_of(1), b"new", now=0, until=0)
    assert bench.ring.get(key_of(1)) == b"new"


def test_first_in_first_out(bench: Bench) -> None:
    for number in range(3000):
        assert bench.put(number, 400) is Put.STORED
    found = [number for number in range(3000) if bench.ring.get(key_of(number)) is not None]
    assert found[-1] == 2999
    assert 200 < len(found) < 700
    assert found[0] > 2000


def test_bounded_in_octets_whatever_is_put(bench: Bench) -> None:
    draw = random.Random(1)
    room = bench.layout.stripe_size * bench.layout.stripes
    for number in range(2000):
        bench.put(number, draw.randrange(1, 4000))
        assert bench.ring.stored_octets <= room


def test_nothing_outside_the_records_area_is_written(bench: Bench) -> None:
    before = bytes(bench.memory.octets[bench.layout.invalidations * 8 : bench.layout.index * 8])
    for number in range(2000):
        bench.put(number, 700)
    assert bytes(bench.memory.octets[bench.layout.invalidations * 8 : bench.layout.index * 8]) == before


def test_too_large_is_said_before_anything_is_pushed_out(bench: Bench) -> None:
    bench.put(1)
    assert bench.put(2, bench.layout.stripe_size // 4) is Put.TOO_LARGE
    assert bench.ring.get(key_of(1)) is not None
    assert bench.put(3, bench.layout.stripe_size // 4 - 128) is Put.STORED


def test_evictions_are_counted_only_before_their_time(bench: Bench) -> None:
    for number in range(3000):
        bench.put(number, 400, now=10, until=10)
    assert bench.ring.evicted == 0
    for number in range(3000):
        bench.put(number, 400, now=10, until=13)
    assert bench.ring.evicted > 2000


def test_another_secret_reads_nothing(bench: Bench) -> None:
    bench.put(1)
    other = Ring(bench.memory, bench.locks, bench.layout, bytes(31) + b"1")
    assert other.get(key_of(1)) is None
    other.close()


def test_a_flipped_bit_anywhere_in_a_record_makes_it_none(bench: Bench) -> None:
    bench.put(1, 100)
    base = bench.layout.records
    written = bytes(bench.memory.octets[base : base + 2 * bench.layout.stripe_size])
    first = next(at for at, octet in enumerate(written) if octet)
    length = len(written.rstrip(b"\0")) - first
    for at in range(base + first, base + first + length):
        bench.memory.octets[at] ^= 4
        assert bench.ring.get(key_of(1)) is None
        bench.memory.octets[at] ^= 4
    assert bench.ring.get(key_of(1)) == record_of(1, 100)


def test_a_record_moved_to_another_place_is_none(bench: Bench) -> None:
    bench.put(1, 40)
    bench.put(2, 40)
    stripe = bench.layout.stripe_size
    base = bench.layout.records
    one, two = base + 64, base + stripe + 64
    first, second = bytes(bench.memory.octets[one : one + 128]), bytes(bench.memory.octets[two : two + 128])
    bench.memory.octets[one : one + 128], bench.memory.octets[two : two + 128] = second, first
    assert bench.ring.get(key_of(1)) is None
    assert bench.ring.get(key_of(2)) is None


def test_a_record_that_is_overwritten_while_it_is_read_is_none() -> None:
    """The head is looked at again after the copy: this is what a reader sees that was stopped in between."""
    bench = Bench(stripes=1)
    bench.put(1, 100)
    index = bench.memory.words[bench.layout.index : bench.layout.index + bench.layout.index_count]
    word = next(word for word in index if word)
    for number in range(2, 3000):
        bench.put(number, 400)
    assert bench.ring._read(word, key_of(1)) is None
    index.release()
    bench.close()


def test_busy_stripes_are_gone_around_and_all_busy_is_said(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = {0}
    acquire = StripedLock.try_acquire
    monkeypatch.setattr(StripedLock, "try_acquire", lambda lock, n: n not in taken and acquire(lock, n))
    for number in range(10):
        assert bench.put(number) is Put.STORED
        assert bench.ring.get(key_of(number)) is not None
    taken.add(1)
    assert bench.put(11) is Put.BUSY
    assert bench.ring.get(key_of(11)) is None


def test_a_writer_killed_after_reserving_leaves_no_harm(bench: Bench) -> None:
    draw = random.Random(2)
    for number in range(4000):
        if draw.random() < 0.3:
            bench.ring._reserve(draw.randrange(2), 64 * draw.randrange(1, 20), 0)
        else:
            bench.put(number, draw.randrange(1, 900))
            assert bench.ring.get(key_of(number)) is not None
    assert bench.ring.stored_octets <= bench.layout.stripe_size * 2


def test_a_full_bucket_forgets_the_oldest(bench: Bench) -> None:
    one_bucket = [key for key in map(key_of, range(200_000)) if bench.ring._bucket_of(key)[0] == 0][
        : BUCKET + 1
    ]
    for key in one_bucket:
        bench.ring.put(key, b"x", now=0, until=0)
    assert sum(bench.ring.get(key) is not None for key in one_bucket) == BUCKET
    assert bench.ring.get(one_bucket[-1]) == b"x"


class StoppedReader(Ring):
    """A reader that is stopped in the middle of each copy, while a writer goes on."""

    writer: Callable[[], None]

    def _copy(self, at: int, length: int) -> bytes:
        middle = length // 3
        first = super()._copy(at, middle)
        self.writer()
        return first + super()._copy(at + middle, length - middle)


@pytest.mark.parametrize("stripes", [1, 2])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.sources
def test_torn_reads_are_none(stripes: int, seed: int) -> None:
    """A reader may be stopped within a copy for any number of records, up to several rounds of the ring."""
    bench = Bench(stripes=stripes)
    reader = StoppedReader(bench.memory, bench.locks, bench.layout, SECRET)
    draw = random.Random(seed)
    torn = whole = 0

    def write(most: int) -> None:
        for _ in range(draw.randrange(most)):
            bench.put(draw.randrange(40), draw.choice((50, 5000, 20_000)))

    reader.writer = lambda: write(60)
    write(60)
    for _ in range(400):
        number = draw.randrange(40)
        before = bench.ring.get(key_of(number))
        found = reader.get(key_of(number))
        assert found in (None, before)
        whole += found is not None
        torn += found is None and before is not None
    assert whole > 20
    assert torn > 20
    reader.close()
    bench.close()


operation = st.one_of(
    st.tuples(st.just("put"), st.integers(0, 30), st.integers(1, 6000)),
    st.tuples(st.just("tear"), st.integers(0, 1 << 20), st.integers(1, 3000)),
    st.tuples(st.just("index"), st.integers(0, 1 << 20), st.integers(0, (1 << 64) - 1)),
    st.tuples(st.just("reserve"), st.integers(0, 1), st.integers(1, 100)),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(operation, max_size=60), st.integers(0, 1 << 32))
def test_whatever_is_torn_no_key_ever_gets_anothers_record(
    operations: list[tuple[str, int, int]], seed: int
) -> None:
    bench = Bench()
    draw = random.Random(seed)
    octets, layout = bench.memory.octets, bench.layout
    sizes: dict[int, set[bytes]] = {}
    for kind, one, other in operations:
        match kind:
            case "put":
                bench.put(one, other)
                sizes.setdefault(one, set()).add(record_of(one, other))
            case "tear":
                at = layout.records + one % (layout.stripe_size * 2 - 3000)
                source = layout.records + draw.randrange(layout.stripe_size * 2 - 3000)
                octets[at : at + other] = bytes(octets[source : source + other])
            case "index":
                bench.memory.words[layout.index + one % layout.index_count] = other
            case _:
                bench.ring._reserve(one, 64 * other, 0)
        for number in range(31):
            found = bench.ring.get(key_of(number))
            assert found is None or found in sizes.get(number, set())
    bench.close()
