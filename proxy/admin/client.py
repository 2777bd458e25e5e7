"""The command line's way to a running instance: small HTTP requests over its unix socket or TCP."""

import http.client
import json
import socket
from dataclasses import dataclass
from typing import Final

from proxy.config.schema import ListenAddress, UnixAddress
from proxy.errors import ForegateError

_LOOPBACK: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


class NotRunningError(ForegateError):
    """Say that no instance answers at an address."""


class AnswerError(ForegateError):
    """Say that an instance answered, but not with what was asked for."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An instance's answer: status code and JSON object, or the text of what is not JSON."""

    status: int
    body: dict[str, object]
    text: str

    @property
    def detail(self) -> str:
        """Return what a problem answer says is wrong."""
        return str(self.body.get("detail", self.text.strip()))


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, patience: float) -> None:
        super().__init__("localhost", timeout=patience)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@dataclass(frozen=True, slots=True)
class Instance:
    """Where a running instance listens; `patience` is in seconds, for each wait on the socket."""

    address: ListenAddress | UnixAddress
    token: str = ""
    patience: float = 10.0

    def __str__(self) -> str:
        """Write the address as the configuration does."""
        if isinstance(self.address, UnixAddress):
            return f"unix:{self.address.path}"
        host = f"[{self.address.host}]" if ":" in self.address.host else self.address.host
        return f"{host}:{self.address.port}"

    def request(self, method: str, path: str) -> Answer:
        """Ask for one thing. Raises NotRunningError or AnswerError."""
        connection = self._connection()
        fields = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            connection.request(method, path, headers={**fields, "Connection": "close"})
            response = connection.getresponse()
            content = response.read()
        except (FileNotFoundError, ConnectionRefusedError) as exc:
            raise NotRunningError(f"no instance is running: nobody answers at {self}") from exc
        except PermissionError as exc:
            raise AnswerError(f"no permission to use {self}; run this as root or as Foregate's user") from exc
        except TimeoutError as exc:
            raise AnswerError(f"no answer from {self} within {self.patience:.0f} seconds") from exc
        except (OSError, http.client.HTTPException) as exc:
            raise AnswerError(f"no valid answer from {self}: {exc}") from exc
        finally:
            connection.close()
        return _answer(response.status, content)

    def _connection(self) -> http.client.HTTPConnection:
        if isinstance(self.address, UnixAddress):
            return _UnixConnection(self.address.path, self.patience)
        host = _LOOPBACK.get(self.address.host, self.address.host)
        return http.client.HTTPConnection(host, self.address.port, timeout=self.patience)


def _answer(status: int, content: bytes) -> Answer:
    text = content.decode("utf-8", "replace")
    try:
        body = json.loads(text)
    except ValueError:
        body = {}
    return Answer(status, body if isinstance(body, dict) else {}, text)
