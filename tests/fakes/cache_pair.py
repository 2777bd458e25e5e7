"""What a second request gets after a first one: the unit in which tests of RFC 9111 are written."""

from dataclasses import dataclass
from email.utils import formatdate
from http.client import HTTPConnection
from itertools import count
from time import time

from tests.fakes.foregate import PATIENCE, Foregate
from tests.fakes.origin import Origin, OriginRequest, OriginResponse

Fields = list[tuple[str, str]]
_paths = count()


def new_path() -> str:
    """Return a path that nobody has asked for."""
    return f"/{next(_paths)}"


def http_date(offset: float) -> str:
    """Return the time in so many seconds as field values tell it."""
    return formatdate(time() + offset, usegmt=True)


@dataclass(frozen=True, slots=True)
class Got:
    """A response as a client got it."""

    status: int
    fields: Fields
    content: bytes

    def all(self, name: str) -> list[str]:
        """Return the values of all field lines with this name."""
        return [value for field, value in self.fields if field.lower() == name.lower()]

    def one(self, name: str) -> str:
        """Return the value of the only field line with this name."""
        (value,) = self.all(name)
        return value

    @property
    def outcome(self) -> str:
        """Return what the cache says that it did."""
        return self.one("X-Cache-Status")


class Pair:
    """Requests for one fresh target; the app answers as it is told, and counts its answers in their content."""

    def __init__(self, front: Foregate, origin: Origin) -> None:
        self.front = front
        self.path = new_path()
        self.origin = origin
        self.status = 200
        self.fields: Fields = []
        self.chunked = False
        origin.answer = self._answer
        self.asked: list[OriginRequest] = []

    def _answer(self, request: OriginRequest) -> OriginResponse:
        self.asked.append(request)
        content = f"answer {len(self.asked)}".encode()
        return OriginResponse(status=self.status, content=content, fields=self.fields, chunked=self.chunked)

    def ask(self, method: str = "GET", **fields: str) -> Got:
        """Send a request, on a connection of its own."""
        connection = HTTPConnection(*self.front.address("http"), timeout=PATIENCE)
        names = {name.replace("_", "-"): value for name, value in fields.items()}
        try:
            connection.request(method, self.path, headers={"Host": "a.example", **names})
            response = connection.getresponse()
            return Got(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    def second_is_stored(
        self, first: dict[str, str] | None = None, second: dict[str, str] | None = None
    ) -> bool:
        """Ask twice and say whether the second answer came from the cache."""
        self.ask(**(first or {}))
        return self.ask(**(second if second is not None else first or {})).outcome == "HIT"
