"""Visitors that come back for as long as they are let, each time on a new connection."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.fakes.foregate import PATIENCE
from tests.fakes.https import Visitor


@dataclass
class Visits:
    """What became of the visits; `certificates` are all that were shown, by name."""

    browser: Visitor
    names: Sequence[str]
    pause: float = 0.05  # seconds: the cores are shared with everything else
    answers: Counter[int] = field(default_factory=Counter)
    certificates: dict[str, set[bytes]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _news: threading.Condition = field(default_factory=threading.Condition)

    @contextmanager
    def going_on(self, visitors: int) -> Iterator[None]:
        """Let so many visitors come and go meanwhile."""
        threads = [threading.Thread(target=self._visit, args=(number,)) for number in range(visitors)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def wait_shown(self, count: int) -> None:
        """Wait until visitors of every name have been shown so many certificates."""
        with self._news:
            assert self._news.wait_for(
                lambda: all(len(self.certificates.get(name, ())) >= count for name in self.names), PATIENCE
            ), f"no {count} certificates of each name within {PATIENCE} s"

    def _visit(self, number: int) -> None:
        while not self._over.is_set():
            name = self.names[number % len(self.names)]
            number += 1
            try:
                answer = self.browser.get(name, f"/{number}")
            except Exception as error:
                with self._news:
                    self.faults.append(f"{name}: {error!r}")
            else:
                with self._news:
                    self.answers[answer.status] += 1
                    self.certificates.setdefault(name, set()).add(answer.certificate)
                    self._news.notify_all()
            self._over.wait(self.pause)
