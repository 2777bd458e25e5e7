"""What can be prepared once for all requests with the same field section on the same route.

A browser sends the same fields with every request but for the request line, so nearly all of the upstream's request
head, the checks of the fields against the route's limits and their meaning to the cache are worked out once and
kept with the parsed section.  A plan holds nothing of one request line or of one client's address.
"""

from typing import TYPE_CHECKING, NamedTuple

from proxy.caching.key import Identity, KeyRules, fill_value, identify, key_base
from proxy.caching.outcomes import Reason
from proxy.exchange import Origin
from proxy.http1.request import RequestFields
from proxy.semantics.fields import FieldLine
from proxy.semantics.forwarding import PreparedRequest, came_through, prepare_request

if TYPE_CHECKING:
    from proxy.snapshot import RouteRuntime

_GRPC = b"application/grpc"
_GRPC_WEB = b"application/grpc-web"


class CachePlan:
    """What a field section means to the output cache of one route.

    ``base`` is the part of the key that depends neither on the fields nor on the target; ``bypass`` says why
    requests with these fields must not use the cache.
    """

    __slots__ = ("base", "bypass", "has_range", "identity", "rules")

    def __init__(self, base: bytes, identity: Identity, rules: KeyRules) -> None:
        self.base = base
        self.identity = identity
        self.rules = rules
        self.bypass: Reason | None = identity.bypass
        self.has_range = any(name == b"range" for name, _ in identity.pairs)


class _Source(NamedTuple):
    """What a request head for the app is made from; not the parsed section itself, which keeps the plan."""

    lines: tuple[FieldLine, ...]
    nominated: frozenset[bytes]
    host: bytes
    framing: bytes
    route: "RouteRuntime"
    origin: Origin
    pseudonym: bytes


class RequestPlan:
    """What is to be done with requests, and their head for the app once one is sent there.

    ``refusal`` is (status, wording) when the fields break the route's limits; ``cache`` is None where the route
    caches nothing. ``head`` is None until `make_head` is called: an answer from the cache needs none.
    """

    __slots__ = ("_fill", "_fills_itself", "_source", "cache", "head", "refusal", "upgrade_lines", "via_us")

    def __init__(self, source: _Source) -> None:
        self._source = source
        self._fill: RequestPlan | None = None
        self._fills_itself = False
        self.head: PreparedRequest | None = None
        self.via_us = came_through(source.lines, source.pseudonym)
        self.upgrade_lines = b""
        self.refusal: tuple[int, str] | None = None
        self.cache: CachePlan | None = None

    def make_head(self) -> PreparedRequest:
        """Make the head for the app, but for the request line and the lines that name the client, and keep it."""
        source = self._source
        head = prepare_request(
            (line for line in source.lines if line[0] != b"expect"),
            source.nominated,
            source.route.request_edits,
            host=source.host,
            scheme=source.origin.scheme,
            port=source.origin.port,
            trusted=source.origin.trusted,
            pseudonym=source.pseudonym,
        )
        host_line = b"" if source.route.own_host else head.host_line
        self.head = head = head._replace(host_line=host_line, block=head.block + source.framing)
        return head

    def for_fill(self, rules: KeyRules) -> "RequestPlan":
        """Return the plan of a fetch whose answer is stored: without conditions and ignored cookies."""
        if self._fills_itself:
            return self
        if self._fill is None:
            source = self._source
            filled = [(line, fill_value(line[0], line[2], rules)) for line in source.lines]
            lines = tuple((line[0], line[1], value) for line, value in filled if value is not None)
            if lines == source.lines and not source.framing:
                self._fills_itself = (
                    True  # instead of a reference to itself, which only a collector would undo
                )
                return self
            self._fill = RequestPlan(source._replace(lines=lines, framing=b""))
        return self._fill


def make_plan(route: "RouteRuntime", fields: RequestFields, origin: Origin, pseudonym: bytes) -> RequestPlan:
    """Prepare everything for requests with these fields; ``pseudonym`` is how we name ourselves in Via."""
    plan = RequestPlan(
        _Source(
            lines=fields.lines,
            nominated=fields.connection,
            host=fields.host or b"",
            framing=_framing_lines(fields),
            route=route,
            origin=origin,
            pseudonym=pseudonym,
        )
    )
    wanted = [protocol for protocol in fields.upgrade if protocol in route.upgrade]
    if wanted and not fields.has_content:
        plan.upgrade_lines = b"Connection: Upgrade\r\nUpgrade: %s\r\n" % wanted[0]
    plan.refusal = _refusal(route, fields)
    rules = route.cache_rules
    if rules is not None:
        pairs = tuple((lower, value) for lower, _, value in fields.lines)
        base = key_base(origin.scheme, fields.host or b"", origin.port, space=route.cache_space)
        plan.cache = CachePlan(base, identify(pairs, rules, trusted=origin.trusted), rules)
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
