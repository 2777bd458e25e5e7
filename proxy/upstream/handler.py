"""Who waits for a response from an app, and what an upstream connection tells him."""

from typing import Protocol

from proxy.errors import GatewayError
from proxy.semantics.fields import FieldLine
from proxy.upstream.heads import ResponseHead


class ResponseHandler(Protocol):
    """Who waits for a response."""

    def interim_response(self, head: ResponseHead) -> None:
        """Take a 1xx response other than 101."""
        ...

    def response_head(self, head: ResponseHead, content: bytes, complete: bool) -> None:
        """Take the final response's head, with the content that came along; ``complete`` when that is all of it."""
        ...

    def response_content(self, content: bytes) -> None:
        """Take the next octets of content."""
        ...

    def response_complete(self, trailers: tuple[FieldLine, ...]) -> None:
        """Learn that the content is complete."""
        ...

    def switched(self, head: ResponseHead, octets: bytes) -> None:
        """Learn that the app switched protocols (101); ``octets`` already belong to the new one."""
        ...

    def tunnel_octets(self, octets: bytes) -> None:
        """Take octets of the protocol that was switched to."""
        ...

    def tunnel_ended(self) -> None:
        """Learn that the app will send nothing more through the tunnel."""
        ...

    def tunnel_closed(self) -> None:
        """Learn that the tunnel is gone."""
        ...

    def response_failed(self, error: GatewayError) -> None:
        """Learn that there will be no (further) response."""
        ...

    def upstream_paused(self) -> None:
        """Send no more request content for now."""
        ...

    def upstream_resumed(self) -> None:
        """Go on sending request content."""
        ...
