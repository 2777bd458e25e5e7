"""Where an instance listens, read from files in every condition."""

from pathlib import Path

import pytest

from proxy.admin.whereabouts import Whereabouts, whereabouts
from proxy.config.schema import ListenAddress, UnixAddress

DEFAULT_METRICS = ListenAddress(host="127.0.0.1", port=9145)


def found(tmp_path: Path, text: str, **environ: str) -> Whereabouts:
    file = tmp_path / "proxy.toml"
    file.write_text(text)
    return whereabouts(file, environ)


def socket_in(folder: Path) -> UnixAddress:
    return UnixAddress(path=str(folder / "admin.sock"))


def test_the_defaults(tmp_path: Path) -> None:
    assert found(tmp_path, "") == Whereabouts(socket_in(tmp_path / "ssl_data"), "", DEFAULT_METRICS)


def test_what_the_file_says(tmp_path: Path) -> None:
    text = '[server]\nadmin = "127.0.0.1:9"\nadmin_token = "${TOKEN}"\nmetrics = ""\n'
    admin = ListenAddress(host="127.0.0.1", port=9)
    assert found(tmp_path, text, TOKEN="secret") == Whereabouts(admin, "secret", None)


@pytest.mark.parametrize(("storage", "folder"), [("data", "data"), ("/var/lib/x", "/var/lib/x")])
def test_the_socket_is_relative_to_the_storage_and_that_to_the_file(
    tmp_path: Path, storage: str, folder: str
) -> None:
    assert found(tmp_path, f'[tls]\nstorage = "{storage}"').admin == socket_in(tmp_path / folder)


def test_other_faults_do_not_matter(tmp_path: Path) -> None:
    text = '[server]\nhttp = 7\nunknown = true\n[tls]\nstorage = "data"\n[[site]]\n'
    assert found(tmp_path, text).admin == socket_in(tmp_path / "data")


def test_faults_in_the_keys_themselves_count_as_defaults(tmp_path: Path) -> None:
    text = '[server]\nadmin = "nowhere"\nmetrics = 5\nadmin_token = 7\n[tls]\nstorage = []'
    assert found(tmp_path, text) == found(tmp_path, "")
    assert found(tmp_path, '[server]\nadmin_token = "of two\\nlines"') == found(tmp_path, "")
    assert found(tmp_path, "server = 1\ntls = []") == found(tmp_path, "")


def test_a_file_that_is_no_toml_any_more(tmp_path: Path) -> None:
    text = (
        '[server\nmetrics = "127.0.0.1:99"\n  admin = \'unix:x.sock\' # here\n[tls]\nstorage = "data"\n[[si'
    )
    assert found(tmp_path, text) == Whereabouts(
        UnixAddress(path=str(tmp_path / "data" / "x.sock")), "", ListenAddress(host="127.0.0.1", port=99)
    )


def test_a_file_that_is_gone_or_garbage(tmp_path: Path) -> None:
    assert whereabouts(tmp_path / "proxy.toml", {}) == found(tmp_path, "")
    (tmp_path / "proxy.toml").write_bytes(bytes(range(256)))
    assert whereabouts(tmp_path / "proxy.toml", {}) == found(tmp_path, "")


def test_an_installation_may_say_where_for_files_that_do_not(tmp_path: Path) -> None:
    image = {"FOREGATE_METRICS": ":9145", "FOREGATE_STORAGE": "/var/lib/foregate"}
    for content in ("[[site]]\n", "[server", '[server]\nmetrics = "127.0.0.1:1"\n'):
        file = tmp_path / "proxy.toml"
        file.write_text(content)
        found = whereabouts(file, image)
        assert found.admin == UnixAddress(path="/var/lib/foregate/admin.sock")
        port = 1 if "metrics" in content else 9145
        assert found.metrics is not None
        assert found.metrics.port == port
