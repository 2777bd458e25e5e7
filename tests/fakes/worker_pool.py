"""Workers that only take note of what they are told about certificates."""

import pickle
from dataclasses import dataclass, field

from proxy.control.channel import PackedCommand
from proxy.control.messages import (
    Command,
    FailCertificate,
    SetCertificate,
    SetPlaceholder,
    SetThumbprint,
)


def unpacked(command: Command | PackedCommand) -> Command:
    """Return the command itself."""
    if not isinstance(command, PackedCommand):
        return command
    found: Command = pickle.loads(command.pickled)
    return found


@dataclass
class NotedWorkers:
    """Implements `proxy.supervisor.certificate_push.Workers`, and one worker that asks."""

    told: list[Command] = field(default_factory=list)
    sent: list[Command] = field(default_factory=list)
    syncs: int = 0

    def tell(self, command: Command | PackedCommand) -> None:
        self.told.append(unpacked(command))

    async def sync(self, _patience: float) -> None:
        self.syncs += 1

    def send(self, command: Command | PackedCommand) -> None:
        self.sent.append(unpacked(command))

    @property
    def certificates(self) -> dict[str, SetCertificate]:
        """Return the latest certificate of each name."""
        return {command.name: command for command in self.told if isinstance(command, SetCertificate)}

    @property
    def failed(self) -> list[str]:
        """Return the names whose handshakes were ended."""
        return [command.name for command in self.told if isinstance(command, FailCertificate)]

    @property
    def thumbprints(self) -> dict[str, str]:
        """Return the latest thumbprint of each name."""
        answers = (command for command in self.told if isinstance(command, SetThumbprint))
        return {name: command.thumbprint for command in answers for name in command.names}

    @property
    def placeholders(self) -> list[SetPlaceholder]:
        """Return what CDN edges are greeted with, latest last."""
        return [command for command in self.told if isinstance(command, SetPlaceholder)]
