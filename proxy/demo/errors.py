"""Why a demo cannot go on."""

from proxy.errors import ForegateError


class DemoError(ForegateError):
    """Something is missing on this machine, or a promise was not kept; says what."""
