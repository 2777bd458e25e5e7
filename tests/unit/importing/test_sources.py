"""What the paths of `foregate import` may be."""

import json
from pathlib import Path

import pytest

from proxy.importing.errors import ImportRefusedError
from proxy.importing.sources import environment, read_source

INSPECTED = json.dumps([{"Config": {"Env": ["PATH=/bin", "SITES=a.example.com=app:80"]}}])
COMPOSE = """services:
  nginx:
    environment:
      ALLOWED_DOMAINS: 'a.example.com'
      - SITES=a.example.com=app:80
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "SITES=a=b:1;c=d:2\n# x\n\nexport FORCE_HTTPS=false",
            {"SITES": "a=b:1;c=d:2", "FORCE_HTTPS": "false"},
        ),
        ("ALLOWED_DOMAINS='(a|b).example.com'", {"ALLOWED_DOMAINS": "(a|b).example.com"}),
        (INSPECTED, {"PATH": "/bin", "SITES": "a.example.com=app:80"}),
        (COMPOSE, {"ALLOWED_DOMAINS": "a.example.com", "SITES": "a.example.com=app:80"}),
        ("", {}),
    ],
)
def test_environments(text: str, expected: dict[str, str]) -> None:
    assert environment(text.encode()) == expected


@pytest.mark.parametrize("text", ["[]", "{", '{"Config": 1}', "[" * 100_000])
def test_json_of_something_else(text: str) -> None:
    with pytest.raises(ImportRefusedError, match="docker inspect"):
        environment(text.encode())


def test_paths_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "data" / "storage" / "file").mkdir(parents=True)
    (tmp_path / "data" / "storage" / "file" / "b.example.com%3Alatest").write_text("damaged")
    (tmp_path / "c.conf").write_text(
        "server { listen 80; server_name c.example.com; location / { proxy_pass http://c; } }"
    )
    (tmp_path / "env").write_text("SITES=a.example.com=a:80")
    draft = read_source(
        "nginx-auto-ssl",
        [str(tmp_path / name) for name in ("data", "c.conf", "env")] + ["-"],
        upstream="http://app",
        environ={"SITES": "unused"},
        standard_input=b"ALLOWED_DOMAINS=d.example.com|b.example.com",
    )
    assert [(s["domains"], s["upstream"]) for s in draft.sites] == [
        (["c.example.com"], "http://c"),
        (["a.example.com"], "http://a:80"),
        (["d.example.com", "b.example.com"], "http://app"),
    ]


def test_the_environment_of_the_command_counts_where_no_file_has_one(tmp_path: Path) -> None:
    (tmp_path / "storage").mkdir()
    environ = {"SITES": "a.example.com=a:80", "HOME": "/"}
    draft = read_source("nginx-auto-ssl", [str(tmp_path)], upstream="http://app", environ=environ)
    assert [s["domains"] for s in draft.sites] == [["a.example.com"]]


@pytest.mark.parametrize("source", ["nginx", "certbot", "nginx-auto-ssl"])
def test_a_path_that_leads_nowhere(source: str, tmp_path: Path) -> None:
    with pytest.raises(ImportRefusedError, match="there is nothing of this name"):
        read_source(source, [str(tmp_path / "none")], upstream="http://app", environ={})
