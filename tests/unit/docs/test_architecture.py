"""The page on the architecture shows the packages as the import contracts have them."""

import re
import tomllib

from tests.fakes.pages import ROOT


def _layers() -> set[str]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (contract,) = (one for one in settings["contracts"] if one["type"] == "layers")
    return {name for layer in contract["layers"] for name in re.findall(r"\w+", layer)} - {"__main__"}


def test_every_package_and_module_stands_in_the_picture_once() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    picture, layers = page.partition("## Packages\n")[2].split("```")[1], _layers()
    parts = (part.split() for line in picture.splitlines() for part in re.split(" {3,}", line.strip()))
    shown = [name for part in parts if layers.issuperset(part) for name in part]
    assert sorted(shown) == sorted(layers)
