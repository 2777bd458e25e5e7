"""What `foregate check` says of a file."""

from proxy.config.errors import ConfigError
from proxy.config.loader import Loaded


def report(outcome: Loaded | ConfigError) -> str:
    """Return all faults of a file, or that it has none and what is odd about it; lines without a final newline."""
    if isinstance(outcome, ConfigError):
        return "\n".join((*map(str, outcome.faults), "", _count(len(outcome.faults), "fault")))
    sites = outcome.config.sites
    names = _count(sum(len(site.domains) for site in sites), "name")
    lines = [f"{outcome.path} is valid: {_count(len(sites), 'site')} with {names}"]
    if outcome.warnings:
        lines += ["", *map(str, outcome.warnings), "", _count(len(outcome.warnings), "warning")]
    return "\n".join(lines)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
