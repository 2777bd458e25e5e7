"""What runs: told as it is, in either form."""

import platform
import ssl
from importlib.metadata import version

import pytest

from proxy import __version__, pipeline
from proxy.telemetry import build
from proxy.telemetry.build import Build, this_build


def test_it_tells_what_runs() -> None:
    is_compiled = not (pipeline.__file__ or "").endswith(".py")
    shown = this_build()
    assert f"OpenSSL {shown.openssl} " in f"{ssl.OPENSSL_VERSION} "
    assert shown == Build(
        version=__version__,
        form="compiled" if is_compiled else "sources",
        python=platform.python_version(),
        openssl=shown.openssl,
        uvloop=version("uvloop"),
        platform=platform.platform(),
    )


def test_a_compiled_module_is_told_from_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "_A_HOT_MODULE", "uvloop.loop")
    assert this_build().form == "compiled"
    monkeypatch.setattr(build, "_A_HOT_MODULE", "proxy.errors")
    assert this_build().form == "sources"
