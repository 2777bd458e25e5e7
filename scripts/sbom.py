#!/usr/bin/env python3
"""Write sbom.cdx.json, the software bill of materials (CycloneDX 1.6), from requirements.lock; nothing else is read.

The same lock file gives the same octets, so that a test can see whether the file is up to date. `--check` only
compares.
"""

import hashlib
import json
import re
import sys
import tomllib
import uuid
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
TARGET: Final = ROOT / "sbom.cdx.json"
_ENTRY: Final = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)(?: *; *([^\\]+?))? *\\?$")
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def component(name: str, version: str, marker: str | None, hashes: list[str]) -> dict[str, Any]:
    """Describe one package; the hashes are those of all files that may be installed for it."""
    purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
    found: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "externalReferences": [
            {
                "type": "distribution",
                "url": f"https://pypi.org/project/{name}/{version}/",
                "hashes": [{"alg": "SHA-256", "content": content} for content in hashes],
            }
        ],
    }
    if marker:
        found["properties"] = [{"name": "foregate:marker", "value": marker}]
    return found


def components(lock: str) -> list[dict[str, Any]]:
    """Take a lock file apart."""
    found: list[dict[str, Any]] = []
    for block in re.split(r"\n(?=[A-Za-z0-9])", lock.strip()):
        head, *rest = block.splitlines()
        match = _ENTRY.match(head.strip())
        if match is None:
            raise SystemExit(f"requirements.lock: what is {head!r}?")
        found.append(component(match[1], match[2], match[3], _HASH.findall("\n".join(rest))))
    return found


def bill() -> str:
    """Return the whole document."""
    lock = (ROOT / "requirements.lock").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    packages = components(lock)
    own = f"pkg:pypi/{project['name']}@{project['version']}"
    digest = hashlib.sha256(lock.encode()).hexdigest()
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, own + digest)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": project["name"],
                "version": project["version"],
                "description": project["description"],
                "purl": own,
            },
            "properties": [{"name": "foregate:requirements.lock:sha256", "value": digest}],
        },
        "components": packages,
        "dependencies": [{"ref": own, "dependsOn": [one["bom-ref"] for one in packages]}],
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    """Write or compare."""
    text = bill()
    if "--check" in sys.argv[1:]:
        if TARGET.exists() and TARGET.read_text() == text:
            return 0
        print("sbom.cdx.json is out of date: run scripts/sbom.py", file=sys.stderr)
        return 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
