"""`certs`, `diagnose`, and what `check` says of certificate files."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.root_ca import TestCa
from tests.unit.cli.conftest import AnswerOnce, Run

ROW: dict[str, Any] = {
    "name": "a.test",
    "names": ["a.test"],
    "state": "valid",
    "issuer": "CN=R11",
    "not_after": "2027-02-20T15:23:14Z",
    "renews_at": None,
    "renews_because": "two thirds of its lifetime",
    "next_attempt": "2027-01-21T00:00:00Z",
    "saved": True,
    "removed_at": None,
    "erased_at": None,
    "problem": None,
}
LIST = {"certificates": [ROW], "storage_problems": []}
PROBLEM = {"what_is_wrong": "It is broken.", "what_to_do": "Repair it.", "detail": ""}


def line_of(request: list[bytes]) -> str:
    return request[0].partition(b"\r\n")[0].decode()


def test_the_list(run: Run, instance: AnswerOnce) -> None:
    request = instance(200, LIST)
    status, out, _ = run("certs", "list")
    assert status == 0
    assert out.splitlines()[1].split()[:3] == ["a.test", "valid", "2027-02-20T15:23:14Z"]
    assert line_of(request) == "GET /api/v1/certificates HTTP/1.1"
    instance(200, LIST)
    assert json.loads(run("certs", "list", "--json")[1]) == LIST


@pytest.mark.parametrize(("verb", "done"), [("renew", "renewed"), ("restore", "restored")])
@pytest.mark.parametrize(
    ("typed", "name", "path"),
    [
        ("A.Test.", "a.test", "a.test"),
        ("bücher.example", "xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("::1", "[::1]", "%5B%3A%3A1%5D"),
    ],
)
def test_changes_name_the_domain_however_it_is_typed(
    run: Run, instance: AnswerOnce, verb: str, done: str, typed: str, name: str, path: str
) -> None:
    request = instance(200, ROW)
    assert run("certs", verb, typed) == (0, f"{name}: {done}, valid until 2027-02-20T15:23:14Z\n", "")
    assert line_of(request) == f"POST /api/v1/certificates/{path}/{verb} HTTP/1.1"
    instance(200, ROW)
    assert json.loads(run("certs", verb, "--json", typed)[1]) == ROW


def test_a_change_that_is_refused_says_why(run: Run, instance: AnswerOnce) -> None:
    instance(409, {"detail": "The CA is away. Wait."})
    assert run("certs", "renew", "a.test") == (1, "", "foregate: The CA is away. Wait.\n")


@pytest.mark.parametrize("command", [("certs", "renew", "--", "-x-"), ("diagnose", "a b")])
def test_what_is_no_domain_is_a_usage_error(run: Run, file: Path, command: tuple[str, ...]) -> None:
    status, out, err = run(*command)
    assert (status, out) == (2, "")
    assert f'"{command[-1]}" is not a domain: expected a domain name such as "app.example.com"; ' in err


@pytest.mark.parametrize(("problems", "status"), [([PROBLEM], 1), ([], 0)])
def test_a_diagnosis_by_the_instance(
    run: Run, instance: AnswerOnce, problems: list[dict[str, str]], status: int
) -> None:
    found = {"name": "a.test", "problems": problems, "notes": ["It has an address."]}
    request = instance(200, found)
    ended, out, err = run("diagnose", "a.test")
    assert (ended, err, out.splitlines()[-1]) == (status, "", "It has an address.")
    assert line_of(request) == "GET /api/v1/certificates/a.test/diagnosis HTTP/1.1"
    instance(200, found)
    assert json.loads(run("diagnose", "--json", "a.test")[1]) == found


def test_a_diagnosis_of_what_the_instance_does_not_know(run: Run, instance: AnswerOnce) -> None:
    instance(404, {"detail": "x.test is not in the configuration"})
    status, out, err = run("diagnose", "x.test")
    assert (status, err) == (1, "")
    assert 'domains = ["x.test"]' in out


def test_a_diagnosis_without_an_instance(run: Run, file: Path) -> None:
    file.write_text(file.read_text().partition("[server]")[0] + 'tls = { mode = "self-signed" }\n')
    status, out, err = run("diagnose", "a.example.com")
    assert status == 0
    assert (
        out == "Nothing is wrong with a.example.com.\na.example.com gets its certificate from the local CA.\n"
    )
    assert err.startswith("foregate: no instance is running: ")
    assert run("diagnose", "x.test")[0] == 1


def test_check_tries_certificate_files(run: Run, file: Path, tmp_path: Path) -> None:
    ca = TestCa()
    (key, chain), (other, _) = ca.issue(["a.example.com"]), ca.issue(["a.example.com"])
    (tmp_path / "a.pem").write_bytes(chain)
    (tmp_path / "a.key").write_bytes(other)
    tls = 'tls = { mode = "files", certificate = "a.pem", private_key = "a.key" }\n'
    file.write_text(file.read_text().partition("[server]")[0] + tls)
    status, out, err = run("check")
    assert (status, out) == (1, "")
    assert "the private key does not belong to the certificate" in err
    (tmp_path / "a.key").write_bytes(key)
    assert run("check") == (0, f"{file} is valid: 1 site with 1 name\n", "")
