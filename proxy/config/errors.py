"""Faults of a configuration file, and how they read."""

from dataclasses import dataclass

from proxy.errors import ForegateError


def place(file: str, line: int | None) -> str:
    """Return file:line in the form that editors and terminals make clickable."""
    return file if line is None else f"{file}:{line}"


def named_key(key: str, site: str) -> str:
    """Return a key with the site's first domain beside it, because nobody counts sites by hand."""
    return f"{key} ({site})" if site else key


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: where, what was found, what is expected, and what to do about it.

    `line` is None where the parser gives none; `key` is "" for a fault of the whole file; `site` is the
    first domain of the site that the key belongs to.
    """

    file: str
    line: int | None
    key: str
    found: str
    expected: str
    hint: str = ""
    site: str = ""

    def __str__(self) -> str:
        """Say it in one line: `proxy.toml:12: limits.body: found "10 bananas", expected a size`."""
        where = place(self.file, self.line)
        what = f"found {self.found}, expected {self.expected}" if self.found else f"expected {self.expected}"
        subject = f"{where}: {named_key(self.key, self.site)}" if self.key else where
        return f"{subject}: {what}; {self.hint}" if self.hint else f"{subject}: {what}"


@dataclass(frozen=True, slots=True)
class ConfigWarning:
    """One thing that is allowed and hardly meant."""

    file: str
    line: int | None
    key: str
    message: str
    site: str = ""

    def __str__(self) -> str:
        """Say it in one line, like a fault."""
        return f"{place(self.file, self.line)}: {named_key(self.key, self.site)}: {self.message}"


class ConfigError(ForegateError):
    """A configuration that cannot be used, with all that is wrong with it."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


class UnacceptableError(ValueError):
    """A value that a key does not take: what it takes, and what was probably meant."""

    def __init__(self, expected: str, hint: str = "") -> None:
        super().__init__(expected)
        self.expected = expected
        self.hint = hint

    @property
    def advice(self) -> str:
        """Say both in one phrase."""
        return f"expected {self.expected}; {self.hint}" if self.hint else f"expected {self.expected}"
