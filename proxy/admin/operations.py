"""What the admin listeners ask of the supervisor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

Document = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadOutcome:
    """What became of a reload: the changes that are in use now, or the faults that kept them out."""

    accepted: bool
    generation: int
    changes: Sequence[str] = ()
    faults: Sequence[str] = ()


class Operations(Protocol):
    """The supervisor, as its operator sees it."""

    @property
    def ready(self) -> bool:
        """Tell whether connections are served and will go on being served."""
        ...

    async def metrics(self, accept: str) -> tuple[bytes, str]:
        """Render the metrics for an Accept field; return them with their media type."""
        ...

    def status(self) -> Document:
        """Describe the running instance."""
        ...

    def sites(self) -> Sequence[Document]:
        """Describe every site and what it has done."""
        ...

    def upstreams(self) -> Sequence[Document]:
        """Describe what is known about upstream names and addresses."""
        ...

    def limits(self) -> Document:
        """List the clients that were limited most in the last minutes."""
        ...

    def configuration(self) -> Document:
        """Show the configuration in use, without its secrets."""
        ...

    async def reload(self, trigger: str) -> ReloadOutcome:
        """Read the configuration file anew and use it if it is good."""
        ...

    async def upgrade(self) -> str:
        """Let the program that is installed now take over; return "", or why it cannot."""
        ...
