"""The shape of the tree that imports and packaging rely on."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PURE = ("proxy/http1", "proxy/semantics", "proxy/caching", "proxy/traffic", "proxy/config")
CLOCKS = {"now", "utcnow", "today", "time", "monotonic", "perf_counter"}


def _packages(folder: Path) -> list[str]:
    return sorted(str(path.parent.relative_to(ROOT)) for path in folder.rglob("__init__.py"))


def _folders_with_modules(folder: Path) -> list[str]:
    return sorted({str(path.parent.relative_to(ROOT)) for path in folder.rglob("*.py")})


def test_acme_folder_holds_no_python_file_of_its_own() -> None:
    # Any module there, __init__.py above all, would shadow the PyPI package `acme`.
    assert [path.name for path in (ROOT / "acme").glob("*.py*")] == []


@pytest.mark.parametrize("folder", ["proxy", "acme/autocert"])
def test_every_folder_with_modules_is_a_package(folder: str) -> None:
    assert _folders_with_modules(ROOT / folder) == _packages(ROOT / folder)


def test_wheel_lists_the_two_top_packages() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = settings["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["proxy", "acme/autocert"]


def test_the_installed_acme_package_wins_over_the_folder() -> None:
    from acme import client

    assert not Path(client.__file__).is_relative_to(ROOT / "acme")


@pytest.mark.parametrize("lock", sorted(path.name for path in ROOT.glob("requirements*.lock")))
def test_lock_files_pin_by_hash_and_name_no_index(lock: str) -> None:
    lines = (ROOT / lock).read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith(" ")]
    assert pins
    for pin in pins:
        assert "==" in pin, pin
        assert pin.endswith("\\"), f"{pin} has no hash"
    assert not [line for line in lines if "://" in line or line.startswith("-")]


def _asks_clock(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(attr=name)):
            return name in CLOCKS
        case ast.ImportFrom(module="time" | "datetime", names=names):
            return any(alias.name in CLOCKS for alias in names)
        case _:
            return False


@pytest.mark.parametrize("folder", PURE)
def test_pure_packages_ask_no_clock(folder: str) -> None:
    """Time is an argument there; import-linter bars the modules, this bars datetime.now() and its like."""
    asked = [
        f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if _asks_clock(node)
    ]
    assert asked == []


@pytest.mark.parametrize("command", ["test", "try", ".ci/run"])
def test_commands_are_executable(command: str) -> None:
    assert (ROOT / command).stat().st_mode & 0o111
