"""The loop that workers run on, with a clock that stands still."""

import uvloop


class StandingLoop(uvloop.Loop):
    """No deadline that is judged by the loop's time passes here, however long a busy machine takes."""

    def __init__(self) -> None:
        super().__init__()
        self._began = super().time()

    def time(self) -> float:
        """Return the seconds at which the loop was made."""
        return self._began
