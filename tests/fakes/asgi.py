"""Call an ASGI application directly, without a socket."""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from starlette.types import Message, Scope


@dataclass
class Answer:
    """What an application answered."""

    status: int = 0
    fields: dict[str, str] = field(default_factory=dict)
    content: bytes = b""

    @property
    def document(self) -> Any:
        return json.loads(self.content)


async def ask(app: Any, method: str, path: str, **fields: str) -> Answer:
    """Call an ASGI application directly."""
    answer = Answer()

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.fields = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            answer.content += message.get("body", b"")

    headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path.partition("?")[0]),
        "raw_path": path.partition("?")[0].encode(),
        "query_string": path.partition("?")[2].encode(),
        "root_path": "",
        "headers": headers,
    }
    await app(scope, receive, send)
    return answer
