"""A name server under the test's control, in the shape of `Resolver`'s blocking `lookup`."""

import threading
from collections import Counter

from proxy.upstream.resolver import NoSuchNameError, ResolveError


class FakeDns:
    """Answers from a table; a name may be made to hang until it is released."""

    def __init__(self, **names: tuple[str, ...]) -> None:
        self.names: dict[str, tuple[str, ...] | ResolveError] = dict(names)
        self.asked: Counter[str] = Counter()
        self._hanging: dict[str, threading.Event] = {}

    def hang(self, name: str) -> None:
        """Let lookups of `name` block from now on."""
        self._hanging[name] = threading.Event()

    def release(self, name: str) -> None:
        """Let the blocked lookups of `name` answer what the table says then."""
        self._hanging.pop(name).set()

    def release_all(self) -> None:
        """Unblock every lookup, so that no thread outlives the test."""
        for name in list(self._hanging):
            self.release(name)

    def __call__(self, name: str) -> tuple[str, ...]:
        """Answer one lookup."""
        self.asked[name] += 1
        gate = self._hanging.get(name)
        if gate is not None:
            gate.wait()
        answer = self.names.get(name, NoSuchNameError("no such name"))
        if isinstance(answer, ResolveError):
            raise answer
        return answer
