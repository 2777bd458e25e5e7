"""A supervisor for tests of the admin listeners: it tells what the test has put in."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from proxy.admin.operations import Document, ReloadOutcome


@dataclass
class FakeOperations:
    """Implements proxy.admin.operations.Operations."""

    ready: bool = True
    outcome: ReloadOutcome = field(default_factory=lambda: ReloadOutcome(accepted=True, generation=2))
    upgrade_fault: str = ""
    triggers: list[str] = field(default_factory=list)
    exposition: bytes = b""
    scrapes: int = 0

    async def metrics(self, accept: str) -> tuple[bytes, str]:
        self.scrapes += 1
        await asyncio.sleep(0)  # others may ask meanwhile
        return self.exposition or f"accept {accept}\n".encode(), "text/plain; version=0.0.4"

    def status(self) -> Document:
        return {"state": "serving", "upgrades": 0}

    def sites(self) -> Sequence[Document]:
        return [{"name": "a.test"}]

    def upstreams(self) -> Sequence[Document]:
        return [{"name": "app"}]

    def limits(self) -> Document:
        return {"minutes": 5, "clients": []}

    def configuration(self) -> Document:
        return {"server": {}}

    async def reload(self, trigger: str) -> ReloadOutcome:
        self.triggers.append(trigger)
        if self.outcome.generation == 0:
            raise RuntimeError("a fault of ours")
        return self.outcome

    async def upgrade(self) -> str:
        return self.upgrade_fault
