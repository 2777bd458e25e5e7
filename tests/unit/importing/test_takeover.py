"""Certificates and accounts in the storage: found by Foregate, closed to others, never replaced by older ones."""

import datetime
import os
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from autocert import account as accounts
from autocert.account import new_account
from autocert.errors import StorageError
from autocert.settings import Authority as Ca
from autocert.storage import Storage
from proxy.importing.draft import Draft, FoundAccount, FoundCertificate, Outcome
from proxy.importing.errors import ImportRefusedError
from proxy.importing.lineages import LETSENCRYPT
from proxy.importing.takeover import take_over
from proxy.supervisor import privileges

NOW = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC).timestamp()
_DAY = datetime.timedelta(days=1)


def found(*names: str, days: int = 60) -> FoundCertificate:
    """Return a certificate for some names that ends in so many days from NOW."""
    key = ec.generate_private_key(ec.SECP256R1())
    end = datetime.datetime.fromtimestamp(NOW, datetime.UTC) + days * _DAY
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    certificate = (
        x509.CertificateBuilder(
            subject, subject, key.public_key(), x509.random_serial_number(), end - 90 * _DAY, end
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    key_pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    chain_pem = certificate.public_bytes(serialization.Encoding.PEM)
    return FoundCertificate(place="old", chain_pem=chain_pem, key_pem=key_pem, directory=LETSENCRYPT)


def _stored(folder: Path, name: str) -> bytes | None:
    certificate = Storage(folder).load(name, NOW).value
    return None if certificate is None else certificate.chain_pem


def test_each_wanted_name_gets_the_certificate(tmp_path: Path) -> None:
    pair = found("a.example.com", "b.example.com", "c.example.com")
    folder = tmp_path / "ssl_data"
    done = take_over(Draft(certificates=[pair]), folder, ["a.example.com", "b.example.com"], NOW)
    assert done == [f"certificate for {name}.example.com, valid until 2026-12-31" for name in "ab"]
    assert _stored(folder, "a.example.com") == _stored(folder, "b.example.com")
    assert _stored(folder, "c.example.com") is None
    certificate = Storage(folder).load("a.example.com", NOW).value
    assert certificate is not None
    assert (certificate.names, certificate.origin) == (("a.example.com",), LETSENCRYPT)


def test_keys_are_closed_to_others(tmp_path: Path) -> None:
    folder = tmp_path / "ssl_data"
    take_over(Draft(certificates=[found("a.example.com")]), folder, ["a.example.com"], NOW)
    for path in (folder, *folder.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_the_one_that_lasts_longer_stays(tmp_path: Path) -> None:
    long, short = found("a.example.com", days=60), found("a.example.com", days=30)
    take_over(Draft(certificates=[long]), tmp_path, ["a.example.com"], NOW)
    kept = _stored(tmp_path, "a.example.com")
    assert take_over(Draft(certificates=[short]), tmp_path, ["a.example.com"], NOW) == []
    assert take_over(Draft(certificates=[long]), tmp_path, ["a.example.com"], NOW) == []
    assert _stored(tmp_path, "a.example.com") == kept


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_for_a_name_the_longer_one_wins(tmp_path: Path, order: int) -> None:
    both = [found("a.example.com", days=10), found("a.example.com", days=50)][::order]
    done = take_over(Draft(certificates=both), tmp_path, ["a.example.com"], NOW)
    assert done == ["certificate for a.example.com, valid until 2026-12-21"]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (
            {"key_pem": found("a.example.com").key_pem},
            "the key is not the certificate's; a new one is ordered",
        ),
        ({"key_pem": b"x"}, "the key cannot be read; a new one is ordered"),
        ({"chain_pem": b""}, "it cannot be read; a new one is ordered"),
        ({"chain_pem": found("a.example.com", days=-1).chain_pem}, "the key is not"),
    ],
)
def test_what_cannot_be_used_is_noted(tmp_path: Path, broken: dict[str, bytes], reason: str) -> None:
    whole = found("a.example.com")
    parts = {"chain_pem": whole.chain_pem, "key_pem": whole.key_pem, **broken}
    draft = Draft(certificates=[FoundCertificate(place="old", directory=LETSENCRYPT, **parts)])
    assert take_over(draft, tmp_path, ["a.example.com"], NOW) == []
    (note,) = draft.notes.of(Outcome.LEFT_OUT)
    assert note.reason.startswith(reason)


def test_an_ended_certificate_stays_behind(tmp_path: Path) -> None:
    draft = Draft(certificates=[found("a.example.com", days=-1)])
    assert take_over(draft, tmp_path, ["a.example.com"], NOW) == []
    assert [note.reason for note in draft.notes.of(Outcome.LEFT_OUT)] == [
        "it has ended; a new one is ordered instead"
    ]


def test_an_account_is_taken_over_once(tmp_path: Path) -> None:
    key = new_account().key_pem
    account = FoundAccount(place="old", key_pem=key, uri="https://ca.example/acct/1", directory=LETSENCRYPT)
    assert take_over(Draft(accounts=[account]), tmp_path, [], NOW) == ["account at Let's Encrypt"]
    kept = Storage(tmp_path).load_document(accounts.unsealed, NOW, "accounts", Ca().folder).value
    assert kept is not None
    assert (kept.key_pem, kept.uri) == (key, account.uri)
    assert take_over(Draft(accounts=[account]), tmp_path, [], NOW) == []


def test_a_storage_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ImportRefusedError, match="cannot use the storage"):
        take_over(Draft(), tmp_path / "file", [], NOW)


@pytest.mark.parametrize(
    "directory", ["https://[", "https://ca\0.example/", "http://ca.example/directory", "https://", ""]
)
def test_an_account_of_no_ca_stays_behind(tmp_path: Path, directory: str) -> None:
    account = FoundAccount(place="old", key_pem=new_account().key_pem, uri="", directory=directory)
    draft = Draft(accounts=[account])
    assert take_over(draft, tmp_path, [], NOW) == []
    assert [str(note) for note in draft.notes.of(Outcome.LEFT_OUT)] == [
        "old: account: its folder does not name a CA"
    ]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names, in order, that a root's import would give away; none is."""
    names: list[str] = []

    def chown(path: Path | str, user: int, group: int, **options: object) -> None:
        assert (user, group, options["follow_symlinks"]) == (8, 9, False)
        names.append(str(path))

    monkeypatch.setattr(privileges, "choose_identity", lambda *_: privileges.Identity("daemon", 8, 9))
    monkeypatch.setattr(os, "chown", chown)
    return names


def test_root_gives_all_that_it_writes_away(tmp_path: Path, given: list[str]) -> None:
    folder = tmp_path / "ssl_data"
    for name in ("a.example.com", "b.example.com"):  # the second time the storage is there already
        given.clear()
        take_over(Draft(certificates=[found(name)]), folder, [name], NOW)
        assert sorted(given[:-1]) == sorted(path.name for path in folder.rglob("*"))
        assert given[-1] == str(folder)
        assert given.index(name) < given.index("certificates")


def test_root_gives_away_what_is_there_when_an_import_fails(
    tmp_path: Path, given: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StorageError(OSError(28, "it is full"), "x")

    monkeypatch.setattr(Storage, "save", fail)
    with pytest.raises(ImportRefusedError, match="it is full"):
        take_over(Draft(certificates=[found("a.example.com")]), tmp_path, ["a.example.com"], NOW)
    assert given[-1] == str(tmp_path)


def test_root_gives_no_folder_of_others_away(tmp_path: Path, given: list[str]) -> None:
    (tmp_path / "passwd").touch()
    take_over(Draft(), tmp_path, [], NOW)
    assert given == []


def test_a_storage_that_cannot_be_given_away(
    tmp_path: Path, given: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    with pytest.raises(
        ImportRefusedError, match="cannot give the storage to daemon: Operation not permitted"
    ):
        take_over(Draft(), tmp_path, [], NOW)
