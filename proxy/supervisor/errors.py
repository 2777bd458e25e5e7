"""Why the supervisor cannot start or go on: one line that names the place and the cure."""

from proxy.errors import ForegateError


class StartError(ForegateError):
    """Say in one line why Foregate cannot run, and what to do."""


class ListenError(StartError):
    """Say why an address cannot be listened on."""


class PrivilegeError(StartError):
    """Say why Foregate cannot run as the user it should."""
