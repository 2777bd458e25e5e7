"""Show that the codec's cost never grows faster than its input: python -m bench.linear.

Each case is run with inputs of growing size. The figure is the exponent of the growth: 1.0 is linear, 2.0 is
quadratic; what is constant per message makes it smaller. Peers choose these inputs, so more than linear would
be a way to tire the proxy out.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from proxy.errors import ForegateError
from proxy.http1.body import ChunkedDecoder
from proxy.http1.partial import PartialHead
from proxy.http1.request import parse_request_fields, parse_request_line
from proxy.http1.response import parse_response_fields, parse_status_line

GROWTH = 4  # from one size to the next
STEPS = 2
MAX_EXPONENT = 1.35  # beyond it is not noise: quadratic work over these sizes shows as 1.6 and more
REPEATS = 7
MAX_HEAD = 1 << 20


@dataclass(frozen=True, slots=True)
class Case:
    """One way to keep the codec busy; `smallest` is the first size, in units of the case."""

    name: str
    smallest: int
    make: Callable[[int], bytes]
    consume: Callable[[bytes], object]


def _request_head(size: int) -> bytes:
    lines = [b"GET /a/long/path?with=query HTTP/1.1", b"Host: example.test"]
    while sum(map(len, lines)) < size:
        lines.append(b"X-Field-%d: %s" % (len(lines), b"value " * 16))
    return b"\r\n".join(line.rstrip() for line in lines) + b"\r\n\r\n"


def _response_head(size: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\n" + _request_head(size).partition(b"\r\n")[2]


def _one_field(pattern: bytes) -> Callable[[int], bytes]:
    def make(size: int) -> bytes:
        return b"GET / HTTP/1.1\r\nHost: a\r\n" + pattern * (size // len(pattern)) + b"\r\n\r\n"

    return make


def _chunks(count: int) -> bytes:
    return b"1\r\nx\r\n" * count + b"0\r\n\r\n"


def _trailers(size: int) -> bytes:
    return b"0\r\nX-Checksum: " + b"0" * size + b"\r\n\r\n"


def _read_request(wire: bytes) -> None:
    """Parse a whole head, or learn why it is refused."""
    line, _, section = wire[:-2].partition(b"\r\n")
    try:
        request = parse_request_line(line)
        parse_request_fields(section, request.minor_version, 100_000)
    except ForegateError:
        return


def _drip(wire: bytes, *, is_request: bool) -> bytes:
    """Take a head as a connection that gets one octet per packet does."""
    head = PartialHead(MAX_HEAD, is_request=is_request)
    whole: bytes | None = None
    for octet in wire:
        whole = head.add(bytes((octet,)))
    if whole is None:
        raise ValueError("the head has no end")
    return whole


def _drip_request(wire: bytes) -> None:
    _read_request(_drip(wire, is_request=True))


def _read_response(wire: bytes) -> None:
    line, _, section = wire[:-2].partition(b"\r\n")
    parse_status_line(line)
    parse_response_fields(section)


def _drip_response(wire: bytes) -> None:
    _read_response(_drip(wire, is_request=False))


def _read_chunks(wire: bytes) -> None:
    ChunkedDecoder().feed(wire)


def _drip_chunks(wire: bytes) -> None:
    decoder = ChunkedDecoder()
    for position in range(len(wire)):
        decoder.feed(wire[position : position + 1])


CASES = (
    Case("request head in one packet", 2_000, _request_head, _read_request),
    Case("request head, an octet per packet", 2_000, _request_head, _drip_request),
    Case("response head in one packet", 2_000, _response_head, _read_response),
    Case("response head, an octet per packet", 2_000, _response_head, _drip_response),
    Case("chunks of one octet in one packet", 625, _chunks, _read_chunks),
    Case("chunks of one octet, an octet per packet", 625, _chunks, _drip_chunks),
    Case("trailer, an octet per packet", 500, _trailers, _drip_chunks),
    Case("a field of spaces", 2_000, _one_field(b"A: " + b" " * 997), _read_request),
    Case("a field name that never ends", 2_000, _one_field(b"abcdefgh"), _read_request),
    Case("a field of spaces and tabs", 2_000, _one_field(b"a: \t \t"), _read_request),
    Case("a connection list of commas", 2_000, _one_field(b"Connection: " + b",a" * 494), _read_request),
)


def cpu_seconds(case: Case, size: int) -> float:
    """Measure the CPU time of one input: the best of several, each long enough for the clock."""
    wire = case.make(size)
    rounds = max(1, 40_000 // len(wire))
    best = math.inf
    for _ in range(REPEATS):
        begin = time.process_time_ns()
        for _ in range(rounds):
            case.consume(wire)
        best = min(best, (time.process_time_ns() - begin) / rounds / 1e9)
    return best


def exponent(costs: Sequence[float]) -> float:
    """Fit the growth of costs at sizes that grow by GROWTH each: the exponent of the size."""
    return math.log(costs[-1] / costs[0]) / math.log(GROWTH) / (len(costs) - 1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every case; exit status 1 when one grows faster than its input."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.linear", description="Show that the codec's cost is never worse than linear."
    )
    parser.parse_args(arguments)
    print("| input | sizes (octets) | CPU time each | exponent |\n|---|---|---|---|")
    worse = []
    for case in CASES:
        sizes = [case.smallest * GROWTH**step for step in range(STEPS + 1)]
        costs = [cpu_seconds(case, size) for size in sizes]
        found = exponent(costs)
        octets = ", ".join(str(len(case.make(size))) for size in sizes)
        times = ", ".join(f"{cost * 1e6:.1f} µs" for cost in costs)
        print(f"| {case.name} | {octets} | {times} | {found:.2f} |")
        if found > MAX_EXPONENT:
            worse.append(case.name)
    if worse:
        print("worse than linear: " + ", ".join(worse))
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
