"""Ask PyPI which weaknesses of the locked packages are known.

`python -m tests.campaigns.supply [LOCK...]` (`requirements.lock` by default, which is what is shipped). pip-audit asks
the same service, for one version of a package at a time; mirrors often have only the page about a package's newest
version, which is asked for here where the other is missing. Passes when the service knows the weaknesses of a package
that has some for certain, answers about every locked version, and knows none of them.
"""

import re
import sys
from pathlib import Path
from typing import Any, Final

import requests

ROOT: Final = Path(__file__).parents[2]
SERVICE: Final = "https://pypi.org/pypi"
PATIENCE: Final = 30.0
#: Given up in 2013 with weaknesses that stay: a service that knows nothing about it knows nothing.
WEAK: Final = ("pycrypto", "2.6.1")


def page(session: requests.Session, *parts: str) -> dict[str, Any] | None:
    """Return what the service says, None if it has no such page."""
    answer = session.get("/".join((SERVICE, *parts, "json")), timeout=PATIENCE)
    if answer.status_code == 404:
        return None
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def weaknesses(session: requests.Session, name: str, version: str) -> list[str] | None:
    """Return the identifiers of what is known about a version, None if the service cannot tell."""
    found = page(session, name, version) or page(session, name)
    if found is None or found["info"]["version"] != version:
        return None
    return [one["id"] for one in found["vulnerabilities"] if not one.get("withdrawn")]


def locked(text: str) -> list[tuple[str, str]]:
    """Return name and version of every package of a lock file."""
    return re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", text, re.MULTILINE)


def main(*locks: str) -> int:
    """Ask about all of them and say what is known."""
    packages = sorted({one for name in locks for one in locked((ROOT / name).read_text())})
    with requests.Session() as session:
        if not weaknesses(session, *WEAK):
            print(
                f"{SERVICE} knows of no weakness of {' '.join(WEAK)}: its silence about others means nothing"
            )
            return 1
        found = {one: weaknesses(session, *one) for one in packages}
    for (name, version), known in found.items():
        if known or known is None:
            print(f"{name} {version}: {'not told' if known is None else ' '.join(known)}")
    weak, untold = sum(map(bool, found.values())), sum(known is None for known in found.values())
    print(f"{len(found)} packages: {weak} with known weaknesses, {untold} of which the service did not tell")
    return bool(weak or untold)


if __name__ == "__main__":
    sys.exit(main(*(sys.argv[1:] or ("requirements.lock",))))
