"""What workers are told about certificates: at once when something changes, and all of it when they start."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from proxy.control.channel import PackedCommand, pack
from proxy.control.messages import Command, FailCertificate, SetCertificate, SetPlaceholder, SetThumbprint

# A worker that takes longer is not well, and replaced by its heartbeat; the others serve meanwhile.
_PATIENCE: Final = 15.0
_PLACEHOLDER_LIFETIME: Final = 12 * 3600.0  # it is valid for a day


class Workers(Protocol):
    """All workers that accept connections, or are about to."""

    def tell(self, command: Command | PackedCommand) -> None:
        """Give every one of them a command, after those that it was given before."""
        ...

    async def sync(self, patience: float) -> None:
        """Return when all have carried out what they were told, after `patience` seconds at the latest."""
        ...


class CertificatePush:
    """Keep what every worker has to know, and tell it."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._certificates: dict[str, PackedCommand] = {}
        self._contents: dict[str, tuple[bytes, bytes]] = {}
        self._thumbprints: dict[str, str] = {}
        self._placeholder: PackedCommand | None = None
        self._placeholder_made = 0.0
        self._unusable: set[str] = set()

    def briefing(self) -> tuple[PackedCommand, ...]:
        """Return everything that a new worker has to be told; what lets the CA validate comes first."""
        names: dict[str, list[str]] = {}
        for name, thumbprint in self._thumbprints.items():
            names.setdefault(thumbprint, []).append(name)
        answers = (pack(SetThumbprint(tuple(of_it), thumbprint)) for thumbprint, of_it in names.items())
        placeholder = () if self._placeholder is None else (self._placeholder,)
        return (*answers, *placeholder, *self._certificates.values())

    def resend(self) -> None:
        """Tell everything again: a snapshot that came and went may have made a worker forget."""
        for command in self.briefing():
            self._workers.tell(command)

    def keep_only(self, names: Iterable[str]) -> None:
        """Forget what concerns other names; workers have done so with the snapshot."""
        kept = frozenset(names)
        for table in (self._certificates, self._contents, self._thumbprints):
            for name in [name for name in table if name not in kept]:
                del table[name]
        self._unusable &= kept

    # Certificates

    def serve(self, name: str, chain_pem: bytes, key_pem: bytes) -> None:
        """Have a certificate served for a name."""
        if self._contents.get(name) == (chain_pem, key_pem):
            return
        command = pack(SetCertificate(name, chain_pem, key_pem))
        self._contents[name] = (chain_pem, key_pem)
        self._certificates[name] = command
        self._unusable.discard(name)
        self._workers.tell(command)

    def fail(self, name: str) -> None:
        """End the handshakes that wait for a name."""
        self._workers.tell(FailCertificate(name))

    def certificate(self, name: str) -> PackedCommand | None:
        """Return what makes a worker serve a name, if anything does."""
        return self._certificates.get(name)

    def mark_unusable(self, name: str) -> None:
        """Know that workers cannot serve a name's present certificate; there is no use in sending it again."""
        self._unusable.add(name)

    def is_unusable(self, name: str) -> bool:
        """Tell whether workers cannot serve a name's present certificate."""
        return name in self._unusable

    # Challenges

    async def answer_challenges(self, names: Sequence[str], thumbprint: str) -> None:
        """Have the challenges of these names answered; return when every worker does."""
        news = tuple(name for name in names if self._thumbprints.get(name) != thumbprint)
        if news:
            self._thumbprints.update(dict.fromkeys(news, thumbprint))
            self._workers.tell(SetThumbprint(news, thumbprint))
        await self._workers.sync(_PATIENCE)

    def greet_edges(self, make: Callable[[], tuple[bytes, bytes]], now: float) -> None:
        """Have CDN edges greeted with a certificate of no worth where others wait; `now` is Unix time."""
        if self._placeholder is None or not 0 <= now - self._placeholder_made < _PLACEHOLDER_LIFETIME:
            self._placeholder = pack(SetPlaceholder(*make()))
            self._placeholder_made = now
            self._workers.tell(self._placeholder)
