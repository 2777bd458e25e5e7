"""Who may use the memory that all workers share."""

from typing import Protocol


class WorkerRegister(Protocol):
    """Who may use the memory that all workers share."""

    def enter(self) -> int:
        """Expect a worker; returns its row in the count of connections. Raises StartError when there is none."""
        ...

    def leave(self, row: int, *, in_order: bool = True) -> None:
        """Forget a worker that has ended, with its connections; not `in_order`, it may have left writes unfinished."""
        ...
