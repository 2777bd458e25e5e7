"""The one tree of errors; every leaf says what a client sees and what the log says."""


class ForegateError(Exception):
    """Base of every error that Foregate raises on purpose."""
