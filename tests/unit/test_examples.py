"""The compose files of examples/ and what they mount: valid, pinned, and fitting together."""

import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from ruamel.yaml import YAML

from proxy import __version__
from proxy.config.loader import load
from proxy.config.schema import Config

EXAMPLES = Path(__file__).parents[2] / "examples"
COMPOSED = sorted(path.parent.name for path in EXAMPLES.glob("*/compose.yaml"))
ENVIRON = {"ACME_EMAIL": "ops@example.com"}


def compose(name: str) -> dict[str, Any]:
    """Read an example's compose file."""
    document: dict[str, Any] = YAML(typ="safe").load((EXAMPLES / name / "compose.yaml").read_text())
    return document


def configured(name: str) -> Config:
    """Read an example's proxy.toml, which must give no warning either."""
    loaded = load(EXAMPLES / name / "foregate" / "proxy.toml", ENVIRON)
    assert loaded.warnings == ()
    return loaded.config


def mounts(service: dict[str, Any]) -> list[tuple[str, str]]:
    """Return source and target of everything that a service mounts."""
    return [(one.split(":")[0], one.split(":")[1]) for one in service.get("volumes", [])]


def test_the_schema_of_compose_accepts_all_of_them() -> None:
    files = [str(EXAMPLES / name / "compose.yaml") for name in COMPOSED]
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    ended = subprocess.run([*command, *files], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert COMPOSED == ["behind-cloudflare", "many-apps", "monitored", "one-app"]


@pytest.mark.parametrize("name", COMPOSED)
def test_images_are_pinned(name: str) -> None:
    images = {service: one["image"] for service, one in compose(name)["services"].items()}
    assert images["foregate"] == f"foregate:{__version__}"
    assert [
        image for image in images.values() if not image.partition(":")[2].strip("v")[:1].isdecimal()
    ] == []


@pytest.mark.parametrize("name", COMPOSED)
def test_what_is_mounted_and_joined_is_there(name: str) -> None:
    document = compose(name)
    used_volumes, used_networks = set(), set()
    for service in document["services"].values():
        used_networks |= set(service.get("networks", []))
        for source, target in mounts(service):
            if source.startswith("."):
                assert (EXAMPLES / name / source).exists(), source
            else:
                used_volumes.add(source)
            assert PurePosixPath(target).is_absolute()
    assert used_volumes == set(document.get("volumes", {}))
    assert used_networks == set(document.get("networks", {}))


@pytest.mark.parametrize("name", COMPOSED)
def test_foregate_is_confined_and_keeps_its_certificates(name: str) -> None:
    gate = compose(name)["services"]["foregate"]
    assert gate["read_only"]
    assert gate["cap_drop"] == ["ALL"]
    assert gate["security_opt"] == ["no-new-privileges:true"]
    assert mounts(gate) == [("./foregate", "/etc/foregate"), ("certificates", "/var/lib/foregate")]
    assert gate["ports"] == ["80:80", "443:443"]
    assert (EXAMPLES / name / gate["build"] / "Dockerfile").exists()


@pytest.mark.parametrize("name", COMPOSED)
def test_every_upstream_is_a_service_that_foregate_reaches(name: str) -> None:
    services = compose(name)["services"]
    upstreams = [one for site in configured(name).sites for route in site.routes for one in route.upstream]
    assert upstreams
    for upstream in upstreams:
        app = services[upstream.host]
        ours, theirs = (set(one.get("networks", ["default"])) for one in (services["foregate"], app))
        assert ours & theirs, upstream.host
        command = app.get("command", [])
        if "--port" in command:
            assert command[command.index("--port") + 1] == str(upstream.port)


def test_prometheus_accepts_what_is_mounted_and_finds_foregate(tmp_path: Path) -> None:
    services = compose("monitored")["services"]
    for source, target in mounts(services["prometheus"]):
        if source.startswith("."):
            place = tmp_path / PurePosixPath(target).name
            place.write_bytes((EXAMPLES / "monitored" / source).read_bytes())
    ended = subprocess.run(
        ["promtool", "check", "config", "prometheus.yml"], cwd=tmp_path, capture_output=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    settings = YAML(typ="safe").load((tmp_path / "prometheus.yml").read_text())
    (scraped,) = settings["scrape_configs"][0]["static_configs"]
    host, _, port = scraped["targets"][0].partition(":")
    assert (port, "metrics" in services[host]["networks"]) == ("9145", True)
    assert "metrics" in services["prometheus"]["networks"]


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    folder = EXAMPLES / "monitored" / "grafana"
    services = compose("monitored")["services"]
    (source,) = YAML(typ="safe").load((folder / "datasource.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in services
    (provider,) = YAML(typ="safe").load((folder / "dashboards.yml").read_text())["providers"]
    targets = dict(mounts(services["grafana"]))
    dashboard = PurePosixPath(targets["../grafana/foregate.json"])
    assert str(dashboard.parent) == provider["options"]["path"]


def test_the_page_lists_every_example() -> None:
    page = (EXAMPLES / "README.md").read_text()
    folders = [path.name for path in EXAMPLES.iterdir() if path.is_dir()]
    assert [name for name in folders if f"({name})" not in page] == []
