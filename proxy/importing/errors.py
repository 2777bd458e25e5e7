"""Why something cannot be imported at all."""

from proxy.errors import ForegateError


class ImportRefusedError(ForegateError):
    """A file that cannot be understood, or in which there is nothing to import."""


def refused(file: str, line: int, reason: str) -> ImportRefusedError:
    """Return the error for one line of a file."""
    return ImportRefusedError(f"{file}:{line}: {reason}")
