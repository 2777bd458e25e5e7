"""What can be prepared once for all requests with the same field section on the same route.

A browser sends the same fields with every request but for the request line, so nearly all of the upstream's request
head, the checks of the fields against the route's limits and their meaning to the cache are worked out once and
kept with the parsed section.  A plan holds nothing of one request line or of one client's address.  Clients with
the same browser differ in their Cookie alone: what is the same for all of them is worked out once, too (CommonPlan).
"""

from typing import TYPE_CHECKING, NamedTuple

from proxy.caching.identity import CommonIdentity, Identity, identify
from proxy.caching.key import KeyRules, Pairs, fill_value, key_base
from proxy.caching.outcomes import Reason
from proxy.exchange import Origin
from proxy.http1.request import CommonFields, RequestFields
from proxy.semantics.fields import FieldLine
from proxy.semantics.forwarding import PreparedRequest, came_through, kept_lines, prepare_request

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

    def __init__(
        self, base: bytes, identity: Identity, rules: KeyRules, *, has_content: bool, has_range: bool
    ) -> None:
        self.base = base
        self.identity = identity
        self.rules = rules
        self.bypass: Reason | None = Reason.CONTENT if has_content else identity.bypass
        self.has_range = has_range


class _Lines(NamedTuple):
    """What a request head for the app is made from; not the parsed section itself, which keeps the plan."""

    lines: tuple[FieldLine, ...]
    nominated: frozenset[bytes]
    host: bytes
    framing: bytes
    route: "RouteRuntime"
    origin: Origin
    pseudonym: bytes

    def make_head(self) -> PreparedRequest:
        """Make the head for the app, but for the request line and the lines that name the client."""
        head = prepare_request(
            (line for line in self.lines if line[0] != b"expect"),
            self.nominated,
            self.route.request_edits,
            host=self.host,
            scheme=self.origin.scheme,
            port=self.origin.port,
            trusted=self.origin.trusted,
            pseudonym=self.pseudonym,
        )
        host_line = b"" if self.route.own_host else head.host_line
        return head._replace(host_line=host_line, block=head.block + self.framing)

    def for_fill(self, rules: KeyRules) -> "_Lines":
        """Return what a fetch for the cache sends of it: itself where nothing is left out."""
        filled = [(line, fill_value(line[0], line[2], rules)) for line in self.lines]
        lines = tuple((line[0], line[1], value) for line, value in filled if value is not None)
        unchanged = lines == self.lines and not self.framing
        return self if unchanged else self._replace(lines=lines, framing=b"")


class _CommonLines:
    """What the heads of sections are made from that differ in their Cookie alone: made once, but for that line."""

    __slots__ = ("_before", "_cookie_at", "_fill", "_fills_itself", "_head", "_lines")

    def __init__(self, lines: _Lines, before: int) -> None:
        """Take the lines without Cookie, which stands behind so many of them."""
        self._lines = lines
        self._before = before
        self._head: PreparedRequest | None = None
        self._cookie_at = -1  # its place in the head's block; -1 where the route replaces it
        self._fill: _CommonLines | None = None
        self._fills_itself = False

    def make_head(self, cookie: bytes) -> PreparedRequest:
        """Make the head for the app with a line in the place of Cookie, or without one (b"")."""
        head = self._head
        if head is None:
            head = self._head = self._lines.make_head()
            self._cookie_at = self._place()
        at = self._cookie_at
        if at < 0 or not cookie:
            return head
        block = head.block[:at] + cookie + head.block[at:]
        return PreparedRequest(head.host_line, block, head.forwarded_tail, head.chain)

    def for_fill(self, rules: KeyRules) -> "_CommonLines":
        """Return the same for a fetch for the cache: itself where nothing is left out."""
        if self._fills_itself:
            return self
        if self._fill is None:
            lines = self._lines.for_fill(rules)
            if lines is self._lines:
                self._fills_itself = True
                return self
            before = self._lines._replace(lines=self._lines.lines[: self._before]).for_fill(rules)
            self._fill = _CommonLines(lines, len(before.lines))
        return self._fill

    def _place(self) -> int:
        lines = self._lines
        if b"cookie" in lines.route.request_edits.replaced:
            return -1
        before = [line for line in lines.lines[: self._before] if line[0] != b"expect"]
        edits, trusted = lines.route.request_edits, lines.origin.trusted
        return len(kept_lines(before, lines.nominated, edits, trusted=trusted))


class _CookieLine:
    """One of the sections that differ in their Cookie alone; ``value`` is None where it is left out."""

    __slots__ = ("_common", "_value")

    def __init__(self, common: _CommonLines, value: bytes | None) -> None:
        self._common = common
        self._value = value

    def make_head(self) -> PreparedRequest:
        """Make the head for the app, but for the request line and the lines that name the client."""
        return self._common.make_head(b"" if self._value is None else b"Cookie: %s\r\n" % self._value)

    def for_fill(self, rules: KeyRules) -> "_CookieLine":
        """Return what a fetch for the cache sends of it: itself where nothing is left out."""
        common = self._common.for_fill(rules)
        value = None if self._value is None else fill_value(b"cookie", self._value, rules)
        unchanged = common is self._common and value == self._value
        return self if unchanged else _CookieLine(common, value)


class RequestPlan:
    """What is to be done with requests, and their head for the app once one is sent there.

    ``refusal`` is (status, wording) when the fields break the route's limits; ``cache`` is None where the route
    caches nothing. ``head`` is None until `make_head` is called: an answer from the cache needs none.
    """

    __slots__ = ("_fill", "_fills_itself", "_source", "cache", "head", "refusal", "upgrade_lines", "via_us")

    def __init__(
        self,
        source: _Lines | _CookieLine,
        *,
        via_us: bool = False,
        upgrade_lines: bytes = b"",
        refusal: tuple[int, str] | None = None,
        cache: CachePlan | None = None,
    ) -> None:
        self._source = source
        self._fill: RequestPlan | None = None
        self._fills_itself = False
        self.head: PreparedRequest | None = None
        self.via_us = via_us
        self.upgrade_lines = upgrade_lines
        self.refusal = refusal
        self.cache = cache

    def make_head(self) -> PreparedRequest:
        """Make the head for the app, but for the request line and the lines that name the client, and keep it."""
        self.head = head = self._source.make_head()
        return head

    def for_fill(self, rules: KeyRules) -> "RequestPlan":
        """Return the plan of a fetch whose answer is stored: without conditions and ignored cookies."""
        if self._fills_itself:
            return self
        if self._fill is None:
            source = self._source.for_fill(rules)
            if source is self._source:
                # Instead of a reference to itself, which only a collector would undo.
                self._fills_itself = True
                return self
            self._fill = RequestPlan(source)
        return self._fill


class CommonPlan:
    """The plans of sections that differ in their Cookie alone, on one route: nearly all of each is here already."""

    __slots__ = ("_common", "_identity", "_lines", "_pattern", "_route")

    def __init__(self, route: "RouteRuntime", common: CommonFields, origin: Origin, pseudonym: bytes) -> None:
        """Make the plan of the section that they have in common."""
        fields, at = common.fields, common.cookie_at
        self._route = route
        self._common = common
        self._pattern = _whole_plan(route, fields, origin, pseudonym)
        lines = _lines_of(route, fields, origin, pseudonym)
        self._lines = _CommonLines(lines._replace(lines=lines.lines[:at] + lines.lines[at + 1 :]), at)
        self._identity: CommonIdentity | None = None
        if route.cache_rules is not None:
            self._identity = CommonIdentity(_pairs_of(fields), at, route.cache_rules, trusted=origin.trusted)

    def plan(self, fields: RequestFields) -> RequestPlan:
        """Return the plan of one of the sections."""
        pattern, cookie = self._pattern, fields.lines[self._common.cookie_at][2]
        # It differs from the pattern's for the section's size alone, and by that is always larger.
        is_larger = fields.size > self._route.limits.head_size
        cache = pattern.cache
        if cache is not None and self._identity is not None:
            cache = CachePlan(
                cache.base,
                self._identity.with_cookie(cookie),
                cache.rules,
                has_content=fields.has_content,
                has_range=cache.has_range,
            )
        return RequestPlan(
            _CookieLine(self._lines, cookie),
            via_us=pattern.via_us,
            upgrade_lines=pattern.upgrade_lines,
            refusal=_refusal(self._route, fields) if is_larger else pattern.refusal,
            cache=cache,
        )


def make_plan(route: "RouteRuntime", fields: RequestFields, origin: Origin, pseudonym: bytes) -> RequestPlan:
    """Prepare everything for requests with these fields; ``pseudonym`` is how we name ourselves in Via."""
    if fields.common is None:
        return _whole_plan(route, fields, origin, pseudonym)
    key = (route, origin)
    common = fields.shared.get(key)
    if not isinstance(common, CommonPlan):
        common = fields.shared[key] = CommonPlan(route, fields.common, origin, pseudonym)
    return common.plan(fields)


def _whole_plan(
    route: "RouteRuntime", fields: RequestFields, origin: Origin, pseudonym: bytes
) -> RequestPlan:
    wanted = [protocol for protocol in fields.upgrade if protocol in route.upgrade]
    upgrades = wanted and not fields.has_content
    cache, rules = None, route.cache_rules
    if rules is not None:
        cache = CachePlan(
            key_base(origin.scheme, fields.host or b"", origin.port, space=route.cache_space),
            identify(_pairs_of(fields), rules, trusted=origin.trusted),
            rules,
            has_content=fields.has_content,
            has_range=fields.get(b"range") is not None,
        )
    return RequestPlan(
        _lines_of(route, fields, origin, pseudonym),
        via_us=came_through(fields.lines, pseudonym),
        upgrade_lines=b"Connection: Upgrade\r\nUpgrade: %s\r\n" % wanted[0] if upgrades else b"",
        refusal=_refusal(route, fields),
        cache=cache,
    )


def _pairs_of(fields: RequestFields) -> Pairs:
    return tuple([(lower, value) for lower, _, value in fields.lines])


def _lines_of(route: "RouteRuntime", fields: RequestFields, origin: Origin, pseudonym: bytes) -> _Lines:
    return _Lines(
        lines=fields.lines,
        nominated=fields.connection,
        host=fields.host or b"",
        framing=_framing_lines(fields),
        route=route,
        origin=origin,
        pseudonym=pseudonym,
    )


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
