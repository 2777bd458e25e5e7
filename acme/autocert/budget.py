"""Spend from the ledger that all processes on one storage folder share."""

import threading
from collections.abc import Sequence
from typing import Final

from autocert import ledger
from autocert.clock import Clock
from autocert.errors import StorageError
from autocert.ledger import Charge, Ledger
from autocert.shelf import Damage
from autocert.storage import Storage

_PATH: Final = "ledger"
_LOCK: Final = "ledger~"


class Budget:
    """The ledger on disk, with a copy in memory for when the disk fails; call it off the event loop."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock
        self._mutex = threading.Lock()
        self._copy = Ledger()
        self._unsaved = False
        # Damage found and healed, for the manager to report and empty.
        self.damage: list[Damage] = []

    def spend(
        self, charges: Sequence[Charge], *, look: Sequence[Charge] = (), memory_will_do: bool = False
    ) -> None:
        """Write the charges down when neither they nor those only looked at go over a limit.

        Raises BudgetError when one does, and StorageError when it cannot be written down and `memory_will_do`
        is false.
        """
        with self._mutex:
            now = self._clock.wall()
            try:
                with self._storage.locked(_LOCK):
                    self._load(now)
                    self._check([*look, *charges], now)
                    self._write_down(charges, now)
            except StorageError:
                if not memory_will_do:
                    raise
                self._check([*look, *charges], now)
                self._copy.enter(charges, now)
                self._unsaved = True

    def record(self, charges: Sequence[Charge]) -> None:
        """Write down what has happened already, over a limit or not, in memory if it must be."""
        with self._mutex:
            now = self._clock.wall()
            try:
                with self._storage.locked(_LOCK):
                    self._load(now)
                    self._check((), now)
                    self._write_down(charges, now)
            except StorageError:
                self._copy.enter(charges, now)
                self._unsaved = True

    def _check(self, charges: Sequence[Charge], now: float) -> None:
        self._copy.align(self._clock.boot(), now - self._clock.steady())
        self._copy.check(charges, now)

    def _write_down(self, charges: Sequence[Charge], now: float) -> None:
        if not charges and not self._unsaved:
            return
        self._copy.enter(charges, now)
        try:
            self._storage.save_document(self._copy.sealed(now), ledger.unsealed, now, _PATH)
        except StorageError:
            self._copy.withdraw(charges, now)
            raise
        self._unsaved = False

    def _load(self, now: float) -> None:
        found = self._storage.load_document(ledger.unsealed, now, _PATH)
        self.damage += found.damage
        if found.value is None or found.from_previous:
            # The file was deleted or damaged while we ran: our copy is the better one.
            self._unsaved = True
        if found.value is not None:
            found.value.align(self._clock.boot(), now - self._clock.steady())
            if self._unsaved:
                self._copy.align(self._clock.boot(), now - self._clock.steady())
                found.value.merge(self._copy)
            self._copy = found.value
