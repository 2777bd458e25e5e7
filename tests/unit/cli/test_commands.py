"""The command line: what it prints, where, and the four exit statuses."""

import errno
import io
import json
import os
import platform
import re
import sys
from pathlib import Path

import pytest

from proxy import __version__
from proxy.cli import main
from proxy.telemetry.build import this_build
from tests.unit.cli.conftest import GOOD, AnswerOnce, Run


def commands_in(page: str) -> list[str]:
    """Return the commands that a page of help lists."""
    listed = page.partition("Commands:\n")[2].partition("\n\n")[0]
    return [line.split()[0] for line in listed.splitlines()]


def test_help_and_version(run: Run) -> None:
    status, out, _ = run("--help")
    assert status == 0
    assert commands_in(out) == sorted(
        [
            "certs",
            "check",
            "demo",
            "diagnose",
            "health",
            "import",
            "purge",
            "reload",
            "run",
            "schema",
            "status",
            "upgrade",
        ]
    )
    assert run("-h") == run("--help")


def test_version_has_a_line_of_its_own_and_below_what_it_runs_on(run: Run) -> None:
    status, out, err = run("--version")
    assert (status, err) == (0, "")
    first, beneath, system = out.splitlines()
    assert first == f"foregate {__version__}"
    build = this_build()
    way = "compiled by mypyc" if build.form == "compiled" else "run from their sources"
    versions = f"Python {build.python}, OpenSSL {build.openssl}, uvloop {build.uvloop}"
    assert beneath == f"hot modules {way}; {versions}"
    assert system == platform.platform()


def test_no_command_shows_the_help_and_the_next_steps_as_a_usage_error(run: Run) -> None:
    status, out, err = run()
    assert (status, out) == (2, "")
    assert "Commands:" in err
    assert "foregate demo" in err
    assert 'upstream = "http://127.0.0.1:3000"' in err


@pytest.mark.parametrize("group", [(), ("certs",)])
def test_no_line_of_the_help_is_cut(run: Run, group: tuple[str, ...]) -> None:
    _, out, _ = run(*group, "--help")
    assert [line for line in out.splitlines() if line.endswith("...") or len(line) > 80] == [
        line for line in out.splitlines() if line.startswith("Usage:")
    ]


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("help", "did you mean `foregate --help`?"),
        ("validate", "did you mean `foregate check`?"),
        ("start", "did you mean `foregate run`?"),
        ("stop", "ends with SIGTERM"),
    ],
)
def test_a_word_of_other_servers_is_understood(run: Run, said: str, hint: str) -> None:
    status, _, err = run(said)
    assert status == 2
    assert hint in err


def test_a_removed_folder(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = tmp_path / "lost"
    lost.mkdir()
    monkeypatch.chdir(lost)
    lost.rmdir()
    assert run("check") == (1, "", "Error: this folder has been removed; change to another one\n")


@pytest.mark.parametrize(
    ("misspelt", "meant"), [("rum", "run"), ("chek", "check"), ("relaod", "reload"), ("stauts", "status")]
)
def test_a_misspelt_command_is_guessed(run: Run, misspelt: str, meant: str) -> None:
    status, _, err = run(misspelt)
    assert status == 2
    assert f"did you mean `foregate {meant}`?" in err


def test_a_command_that_is_like_no_other(run: Run) -> None:
    status, _, err = run("xyzzy")
    assert status == 2
    assert "`foregate --help` lists all" in err


def test_a_misspelt_option_is_a_usage_error(run: Run) -> None:
    status, _, err = run("check", "--confg", "x")
    assert status == 2
    assert "--config" in err


def test_check_finds_the_file_by_itself(run: Run, file: Path) -> None:
    assert run("check") == (0, f"{file} is valid: 1 site with 1 name\n", "")


def test_check_takes_the_file_from_option_or_environment(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.toml"
    other.write_text(GOOD)
    assert run("check", "-c", "other.toml")[1].startswith(f"{other} is valid")
    monkeypatch.setenv("FOREGATE_CONFIG", str(other))
    assert run("check")[1].startswith(f"{other} is valid")


def test_check_shows_every_fault(run: Run, file: Path) -> None:
    file.write_text(GOOD.replace("3000", "70000") + 'workers = "many"\n')
    status, out, err = run("check")
    assert (status, out) == (1, "")
    assert "workers" in err
    assert "upstream" in err
    assert err.endswith("2 faults\n")


def test_no_file_at_all(run: Run, tmp_path: Path) -> None:
    status, out, err = run("status")
    assert (status, out) == (1, "")
    assert str(tmp_path / "proxy.toml") in err


def test_schema_is_json(run: Run) -> None:
    status, out, _ = run("schema")
    assert status == 0
    assert json.loads(out)["$schema"].startswith("https://json-schema.org/")


def test_output_that_finds_no_space(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(sys, "stdout", Full())
    assert run("schema") == (1, "", "foregate: cannot print all of it: No space left on device\n")


@pytest.mark.parametrize("command", ["status", "reload", "health"])
def test_no_instance_running(run: Run, file: Path, command: str) -> None:
    status, out, err = run(command)
    assert (status, out) == (3, "")
    assert err.startswith("foregate: no instance is running: nobody answers at ")
    assert err.count("\n") == 1
    assert "`foregate run` starts one" in err
    assert "put the former value back" in err


def test_status_as_json(run: Run, instance: AnswerOnce) -> None:
    instance(200, {"state": "serving"})
    assert run("status", "--json") == (0, '{"state": "serving"}\n', "")


def test_status_that_the_instance_does_not_give(run: Run, instance: AnswerOnce) -> None:
    instance(401, {"detail": "send the token"})
    assert run("status") == (1, "", "foregate: send the token\n")


def test_reload_prints_what_changed(run: Run, instance: AnswerOnce) -> None:
    instance(200, {"generation": 2, "changes": ["one", "two"]})
    assert run("reload") == (0, "one\ntwo\n", "")


def test_reload_that_is_refused_shows_the_faults(run: Run, instance: AnswerOnce) -> None:
    instance(422, {"detail": "refused", "faults": ["proxy.toml:1: bad"]})
    assert run("reload") == (1, "", "proxy.toml:1: bad\nforegate: refused\n")


def test_reload_with_nobody_there_still_says_what_is_wrong_with_the_file(run: Run, file: Path) -> None:
    file.write_text(GOOD + "workers = []\n")
    status, _, err = run("reload")
    assert status == 1
    assert "workers" in err


def test_an_upgrade_is_waited_for_though_the_former_program_cuts_a_question_off(
    run: Run, instance: AnswerOnce
) -> None:
    before, after = {"version": "1", "upgrades": 4}, {"version": "2", "upgrades": 5, "pid": 7}
    instance(
        200,
        before,
        (202, {"upgrades": 4}),
        None,
        (200, {**after, "upgrading": True}),
        (200, {**after, "upgrading": False}),
    )
    assert run("upgrade") == (0, "1 -> 2, process 7\n", "")


def test_an_upgrade_that_is_refused_says_why(run: Run, instance: AnswerOnce) -> None:
    instance(200, {"version": "1"}, (409, {"detail": "it is of no use"}))
    assert run("upgrade") == (1, "", "foregate: it is of no use\n")


@pytest.mark.parametrize(
    ("typed", "asked", "said"),
    [
        ((), "", "all sites, all paths"),
        (("--site", "B\u00fccher.test."), "site=xn--bcher-kva.test", "B\u00fccher.test., all paths"),
        (("--path", "/a%20b"), "path=%2Fa%2520b", "all sites, paths that begin with /a%20b"),
        (
            ("--path", "/a \udcff\u00e4"),
            "path=%2Fa%2520%25FF%25C3%25A4",
            "all sites, paths that begin with /a%20%FF%C3%A4",
        ),
    ],
)
def test_a_purge_is_asked_for_in_the_form_of_requests(
    run: Run, instance: AnswerOnce, typed: tuple[str, ...], asked: str, said: str
) -> None:
    request = instance(200, {})
    assert run("purge", *typed) == (0, f"purged: {said}\n", "")
    assert request[0].startswith(f"POST /api/v1/purge?{asked} ".encode())


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        (("--path", "blog/"), "expected a path with a leading slash"),
        (("--path", "/blog/*"), 'did you mean "/blog/"?'),
        (("--site", "a b"), '"a b" is not a domain: expected a domain name'),
    ],
)
def test_a_purge_that_could_void_nothing_is_a_usage_error(
    run: Run, file: Path, typed: tuple[str, ...], hint: str
) -> None:
    status, out, err = run("purge", *typed)
    assert (status, out) == (2, "")
    assert hint in err


def test_health_asks_the_admin_socket_where_there_are_no_metrics(
    run: Run, file: Path, instance: AnswerOnce
) -> None:
    file.write_text(GOOD.replace('"127.0.0.1:1"', '""'))
    instance(200, "ready")
    assert run("health") == (0, "ready\n", "")


def test_health_of_an_instance_whose_file_names_another_metrics_listener(
    run: Run, instance: AnswerOnce
) -> None:
    instance(200, "ready")
    assert run("health") == (0, "ready\n", "")


def test_health_of_an_instance_that_is_not_ready(run: Run, file: Path, instance: AnswerOnce) -> None:
    file.write_text(GOOD.replace('"127.0.0.1:1"', '""'))
    instance(503, {"detail": "not ready"})
    assert run("health") == (1, "", "foregate: not ready\n")


def test_the_page_lists_every_command(run: Run) -> None:
    page = (Path(__file__).parents[3] / "docs" / "commands.md").read_text()
    listed = re.findall(r"^\| `foregate (\w+)`", page, re.MULTILINE)
    assert sorted(listed) == commands_in(run("--help")[1])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_are_given_a_completion(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shell: str
) -> None:
    monkeypatch.setenv("_FOREGATE_COMPLETE", f"{shell}_source")
    with pytest.raises(SystemExit):
        main([])
    assert "_FOREGATE_COMPLETE" in capsys.readouterr().out


def test_a_demo_in_front_of_what_is_no_url(run: Run) -> None:
    status, _, err = run("demo", "--upstream", "ftp://x")
    assert status == 1
    assert "upstream" in err
    assert "ftp" in err


def test_file_names_are_completed(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_FOREGATE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "foregate check -c pro")
    monkeypatch.setenv("COMP_CWORD", "3")
    with pytest.raises(SystemExit):
        main([])
    assert capsys.readouterr().out == "file,pro\n"
