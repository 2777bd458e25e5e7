"""Certificates for a terminal: tables, sentences under what they are about, and no flood."""

from typing import Any

from proxy.admin.certificates_page import certificates_page, certificates_section, diagnosis_page

PROBLEM = {"what_is_wrong": "a.test has no address.", "what_to_do": "Add one.", "detail": "no A record"}


def row(name: str = "a.test", **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "names": [name],
        "state": "valid",
        "issuer": "CN=R11",
        "not_after": "2027-02-20T15:23:14Z",
        "renews_at": "2027-01-21T00:00:00Z",
        "renews_because": "two thirds of its lifetime",
        "next_attempt": "2027-01-21T00:00:00Z",
        "saved": True,
        "removed_at": None,
        "erased_at": None,
        "problem": None,
        **changes,
    }


def page(*rows: dict[str, Any]) -> list[str]:
    return certificates_page({"certificates": list(rows), "storage_problems": []}).splitlines()


MISSING: dict[str, Any] = {
    "state": "backoff",
    "issuer": "",
    "not_after": None,
    "renews_at": None,
    "renews_because": "no certificate yet",
}


def test_a_line_each_and_what_is_wrong_below() -> None:
    lines = page(row(), row("b.test", **MISSING, next_attempt="2026-11-22T16:00:00Z", problem=PROBLEM))
    assert lines == [
        "CERTIFICATE  STATE    UNTIL                 NEXT                  WHY                         ISSUER",
        "a.test       valid    2027-02-20T15:23:14Z  2027-01-21T00:00:00Z  two thirds of its lifetime  CN=R11",
        "b.test       backoff  -                     2026-11-22T16:00:00Z  no certificate yet",
        "  a.test has no address. Add one.",
    ]


def test_states_of_their_own() -> None:
    (_, issuing, group, removed, note) = page(
        row("a.test", **{**MISSING, "state": "issuing"}, next_attempt=None),
        row(names=["a.test", "b.test", "c.test"]),
        row(removed_at="2026-11-20T00:00:00Z", erased_at="2026-11-27T00:00:00Z", saved=False),
    )
    assert issuing.split()[:4] == ["a.test", "issuing", "-", "now"]
    assert group.startswith("a.test (+2)  valid")
    assert "removed" in removed
    assert "erased 2026-11-27T00:00:00Z" in removed
    assert "memory alone" in note


def test_without_certificates() -> None:
    assert page() == ["no site has a certificate of its own"]
    assert certificates_section({}) == []


def test_trouble_with_the_storage_is_told() -> None:
    storage = {"what_is_wrong": "The disk is full.", "what_to_do": "Free some space."}
    document = {"certificates": [row()], "storage_problems": [storage]}
    assert certificates_page(document).splitlines()[-1] == "The disk is full. Free some space."
    assert certificates_section(document)[-1] == "The disk is full. Free some space."


def test_the_status_page_sums_up_what_is_too_much() -> None:
    rows = [row(f"{number}.test") for number in range(100)]
    rows += [row(f"{number}.bad.test", **MISSING, problem=PROBLEM) for number in range(30)]
    rows.append(row(removed_at="2026-11-20T00:00:00Z"))
    lines = certificates_section({"certificates": rows, "storage_problems": []})
    assert lines[0] == "certificates: 30 backoff, 100 valid"
    assert len(lines) == 2 + 2 * 20
    assert len(certificates_section({"certificates": rows[:20]})) == 21


def test_a_diagnosis() -> None:
    found = {
        "name": "a.test",
        "problems": [PROBLEM, {**PROBLEM, "detail": ""}],
        "notes": ["It has two addresses."],
    }
    assert diagnosis_page(found).splitlines() == [
        "a.test has no address.",
        "  Add one.",
        "  (no A record)",
        "a.test has no address.",
        "  Add one.",
        "It has two addresses.",
    ]
    assert diagnosis_page({**found, "problems": []}).splitlines()[0] == "Nothing is wrong with a.test."
