"""What runs: the form of the hot modules, and the versions of what Foregate stands on."""

import platform
import ssl
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import version
from importlib.util import find_spec
from typing import Final

from proxy import __version__

_A_HOT_MODULE: Final = "proxy.pipeline"  # all of them are compiled, or none


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """Everything about the program that a report of a fault should tell, in words."""

    version: str
    form: str  # "compiled" or "sources"
    python: str
    openssl: str
    uvloop: str
    platform: str


def this_build() -> Build:
    """Describe the program that runs; it costs a few milliseconds."""
    return Build(
        version=__version__,
        form=_form(),
        python=platform.python_version(),
        openssl=" ".join(ssl.OPENSSL_VERSION.split()[1:2]),  # "OpenSSL 3.0.19 27 Jan 2026"
        uvloop=version("uvloop"),
        platform=platform.platform(),
    )


def _form() -> str:
    """Tell which form of a hot module is found first, without importing it."""
    found = find_spec(_A_HOT_MODULE)
    return "compiled" if found and (found.origin or "").endswith(tuple(EXTENSION_SUFFIXES)) else "sources"
