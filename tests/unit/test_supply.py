"""What is shipped is pinned by hash, and the bill of materials says the same."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", sorted(path.name for path in ROOT.glob("requirements*.lock")))
def test_every_package_of_a_lock_file_is_pinned_by_hash(name: str) -> None:
    blocks = re.split(r"\n(?=[A-Za-z0-9])", (ROOT / name).read_text().strip())
    assert blocks
    for block in blocks:
        assert re.match(r"[A-Za-z0-9._-]+==[^ ;\\]+", block), block
        assert "--hash=sha256:" in block, block


def test_the_bill_of_materials_is_up_to_date() -> None:
    checked = subprocess.run([sys.executable, str(ROOT / "scripts" / "sbom.py"), "--check"], check=False)
    assert checked.returncode == 0


def test_the_bill_of_materials_is_what_cyclonedx_asks_for() -> None:
    text = (ROOT / "sbom.cdx.json").read_text()
    check = JsonStrictValidator(SchemaVersion.V1_6).validate_str
    assert list(check(text, all_errors=True) or ()) == []
    # A validator that accepts anything would pass the line above as well.
    assert check(text.replace('"SHA-256"', '"SHA-255"', 1)) is not None


def test_the_bill_of_materials_names_every_package_with_its_hashes() -> None:
    document = json.loads((ROOT / "sbom.cdx.json").read_text())
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    locked = re.findall(r"^([A-Za-z0-9._-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert [component["name"] for component in document["components"]] == locked
    for component in document["components"]:
        (reference,) = component["externalReferences"]
        assert reference["hashes"]
