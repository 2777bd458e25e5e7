"""Defaults of an installation: two variables of the environment that stand in for keys that are not written.

A container image cannot know the user's file, but it knows where its volume is, and that metrics on its own
loopback interface would be out of Prometheus' reach. The stand-in is put into the document as a reference to the
variable, so that a fault in it names the variable.
"""

from collections.abc import Mapping
from typing import Any, Final

_KEYS: Final = {"FOREGATE_METRICS": ("server", "metrics"), "FOREGATE_STORAGE": ("tls", "storage")}


def with_stand_ins(document: dict[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """Return a document in which the keys that it leaves out refer to the variables that are set for them."""
    completed = dict(document)
    for variable, (table, key) in _KEYS.items():
        written = completed.get(table, {})
        if environ.get(variable) and isinstance(written, dict) and key not in written:
            completed[table] = {**written, key: f"${{{variable}}}"}
    return completed
