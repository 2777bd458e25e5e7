"""Where the limiter's state is kept while no instance runs: a file in the storage that its owner alone can read.

It is written when the workers have ended and taken away when it has been read, so that an instance that is
killed does not bring old debts back again and again.
"""

import os
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from proxy.clock import shared_clock
from proxy.telemetry import process_log
from proxy.traffic import limiter_state
from proxy.traffic.limiter_state import SavedLimits, SavedLimitsError
from proxy.traffic.limiter_table import DEFAULT_SLOTS, KEY_SIZE, LimiterTable

_log = process_log.logger("supervisor")

FILE_NAME: Final = "limits.saved"
_LARGEST: Final = 16 * DEFAULT_SLOTS + 4096


class SavedLimitsFile:
    """The one file of an instance."""

    def __init__(self, storage: Path) -> None:
        self._path = storage / FILE_NAME

    def restored_table(self) -> LimiterTable:
        """Make the limiter's table with what is left of the saved debts, or empty; never raises for a bad file."""
        try:
            saved = self._take()
            if saved is not None:
                return self._filled(saved)
        except (OSError, SavedLimitsError) as exc:
            _log.warning("rate limits start anew", extra=process_log.fields(reason=str(exc)))
        return LimiterTable.create(secrets.token_bytes(KEY_SIZE))

    def save(self, table: LimiterTable) -> None:
        """Write down who owes how much, once nobody uses the table any more; a fault is logged."""
        draft = self._path.with_suffix(".new")
        try:
            saved = limiter_state.save(table, shared_clock(), time.time_ns())
            with suppress(FileNotFoundError):
                draft.unlink()
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with open(descriptor, "wb") as file:
                file.write(saved.to_bytes())
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
        except OSError as exc:
            _log.error("cannot save the rate limits", extra=process_log.fields(reason=str(exc)))
            return
        _log.info("rate limits saved", extra=process_log.fields(buckets=len(saved.pairs) // 2))

    def _take(self) -> SavedLimits | None:
        """Read the file and take it away; None when there is none."""
        try:
            with open(self._path, "rb") as file:
                content = file.read(_LARGEST + 1)
        except FileNotFoundError:
            return None
        self._path.unlink()
        return SavedLimits.from_bytes(content)

    def _filled(self, saved: SavedLimits) -> LimiterTable:
        table = LimiterTable.create(saved.key)
        try:
            restored = limiter_state.restore(saved, table, shared_clock(), time.time_ns())
        except SavedLimitsError:
            table.close()
            raise
        _log.info("rate limits restored", extra=process_log.fields(buckets=restored))
        return table
