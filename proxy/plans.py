"""What can be prepared once for all requests with the same field section on the same route.

A browser sends the same fields with every request but for the request line, so nearly all of the upstream's request
head, the checks of the fields against the route's limits and their meaning to the cache are worked out once and
kept with the parsed section.  A plan holds nothing of one request line or of one client's address.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from proxy.caching.key import Identity, KeyRules, fill_value, identify, key_base
from proxy.caching.outcomes import Reason
from proxy.exchange import Origin
from proxy.http1.request import RequestFields
from proxy.semantics.fields import FieldLine
from proxy.semantics.forwarding import PreparedRequest, prepare_request

if TYPE_CHECKING:
    from proxy.snapshot import RouteRuntime

_GRPC = b"application/grpc"
_GRPC_WEB = b"application/grpc-web"


class CachePlan:
    """What a field section means to the output cache of one route.

    ``base`` is the part of the key that depends neither on the fields nor on the target; ``bypass`` says why
    requests with these fields must not use the cache; ``fill`` is the plan of a fetch whose answer is stored, None
    where that leaves nothing of the request out.
    """

    __slots__ = ("base", "bypass", "fill", "has_range", "identity", "rules")

    def __init__(self, base: bytes, identity: Identity, rules: KeyRules, fill: "RequestPlan | None") -> None:
        self.base = base
        self.identity = identity
        self.rules = rules
        self.fill = fill
        self.bypass: Reason | None = identity.bypass
        self.has_range = any(name == b"range" for name, _ in identity.pairs)


class RequestPlan:
    """A request head for the app, but for the request line and the lines that name the client.

    ``refusal`` is (status, wording) when the fields break the route's limits; ``cache`` is None where the route
    caches nothing.
    """

    __slots__ = (
        "block",
        "cache",
        "chain",
        "forwarded_tail",
        "host_line",
        "refusal",
        "upgrade_lines",
        "via_us",
    )

    def __init__(self, prepared: PreparedRequest) -> None:
        self.host_line = prepared.host_line
        self.block = prepared.block
        self.forwarded_tail = prepared.forwarded_tail
        self.chain = prepared.chain
        self.via_us = prepared.via_us
        self.upgrade_lines = b""
        self.refusal: tuple[int, str] | None = None
        self.cache: CachePlan | None = None


def make_plan(route: "RouteRuntime", fields: RequestFields, origin: Origin, pseudonym: bytes) -> RequestPlan:
    """Prepare everything for requests with these fields; ``pseudonym`` is how we name ourselves in Via."""

    def head_of(lines: Iterable[FieldLine]) -> RequestPlan:
        plan = RequestPlan(
            prepare_request(
                (line for line in lines if line[0] != b"expect"),
                fields.connection,
                route.request_edits,
                host=fields.host or b"",
                scheme=origin.scheme,
                port=origin.port,
                trusted=origin.trusted,
                pseudonym=pseudonym,
            )
        )
        if route.own_host:
            plan.host_line = b""
        return plan

    plan = head_of(fields.lines)
    framing = _framing_lines(fields)
    plan.block += framing
    wanted = [protocol for protocol in fields.upgrade if protocol in route.upgrade]
    if wanted and not fields.has_content:
        plan.upgrade_lines = b"Connection: Upgrade\r\nUpgrade: %s\r\n" % wanted[0]
    plan.refusal = _refusal(route, fields)
    rules = route.cache_rules
    if rules is not None:
        pairs = tuple((lower, value) for lower, _, value in fields.lines)
        base = key_base(origin.scheme, fields.host or b"", origin.port, space=route.cache_space)
        filled = tuple((lower, name, fill_value(lower, value, rules)) for lower, name, value in fields.lines)
        fill = None
        if filled != fields.lines or framing:
            fill = head_of((lower, name, value) for lower, name, value in filled if value is not None)
        plan.cache = CachePlan(base, identify(pairs, rules, trusted=origin.trusted), rules, fill)
        if fields.has_content:
            plan.cache.bypass = Reason.CONTENT
    return plan


def _framing_lines(fields: RequestFields) -> bytes:
    lines = b"Expect: 100-continue\r\n" if fields.expects_continue else b""
    if fields.chunked:
        return lines + b"Transfer-Encoding: chunked\r\n"
    return lines + b"Content-Length: %d\r\n" % fields.content_length if fields.content_length >= 0 else lines


def _refusal(route: "RouteRuntime", fields: RequestFields) -> tuple[int, str] | None:
    """Say what a field section breaks of a route's limits: (status, wording)."""
    limits = route.limits
    if fields.content_length > limits.body:
        return 413, f"The request content is larger than {limits.body} bytes."
    if fields.size > limits.head_size or len(fields.lines) > limits.fields:
        return 431, "The header section is too large for this site."
    if fields.content_type.startswith(_GRPC) and not fields.content_type.startswith(_GRPC_WEB):
        return 505, "gRPC needs HTTP/2, which is not spoken here."
    return None
