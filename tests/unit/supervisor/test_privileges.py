"""Who to become, and what the storage has to be like; the giving up itself is tested in a process of its own.

Every test holds for root and for anybody else.
"""

import os
import pwd
import resource
from pathlib import Path

import pytest

from proxy.config.schema import Config, Tls
from proxy.supervisor import kernel, starting
from proxy.supervisor.errors import PrivilegeError
from proxy.supervisor.privileges import (
    Identity,
    check_access,
    choose_identity,
    claim_low_ports,
    current_user,
    prepare_storage,
    raise_descriptor_limit,
)

IS_ROOT = os.geteuid() == 0
DAEMON = pwd.getpwnam("daemon")
NOBODY = pwd.getpwnam("nobody")
SELF = Identity(current_user(), os.geteuid(), os.getegid())


def test_nobody_where_there_is_no_storage_yet(tmp_path: Path) -> None:
    identity = choose_identity("", tmp_path / "storage")
    assert (identity is None) == (not IS_ROOT)
    if identity is not None:
        assert (identity.user_id, identity.group_id) == (NOBODY.pw_uid, NOBODY.pw_gid)


def test_the_owner_of_the_storage(tmp_path: Path) -> None:
    if IS_ROOT:
        os.chown(tmp_path, DAEMON.pw_uid, DAEMON.pw_gid)
        assert choose_identity("", tmp_path) == Identity("daemon", DAEMON.pw_uid, DAEMON.pw_gid)
        os.chown(tmp_path, 54321, 0)
        assert choose_identity("", tmp_path) == Identity("54321", 54321, 54321)
    else:
        assert choose_identity("", tmp_path) is None


@pytest.mark.parametrize("user", [current_user(), str(os.geteuid())])
def test_whoever_it_is_already_need_not_be_become(tmp_path: Path, user: str) -> None:
    assert choose_identity(user, tmp_path) is None


def test_a_configured_user(tmp_path: Path) -> None:
    if IS_ROOT:
        assert choose_identity("daemon", tmp_path) == Identity("daemon", DAEMON.pw_uid, DAEMON.pw_gid)
        assert choose_identity("54321", tmp_path) == Identity("54321", 54321, 54321)
    else:
        with pytest.raises(PrivilegeError, match="needs a start as root"):
            choose_identity("root", tmp_path)


def test_a_user_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(PrivilegeError, match='there is no user "no-such-user"'):
        choose_identity("no-such-user", tmp_path)


def test_the_storage_is_made_for_its_user_alone(tmp_path: Path) -> None:
    storage = tmp_path / "deep" / "storage"
    prepare_storage(storage, None)
    assert storage.stat().st_mode & 0o777 == 0o700
    prepare_storage(storage, SELF)
    assert storage.stat().st_uid == os.geteuid()


def test_an_empty_storage_is_given_away(tmp_path: Path) -> None:
    if IS_ROOT:
        prepare_storage(tmp_path, Identity("daemon", DAEMON.pw_uid, DAEMON.pw_gid))
        assert (tmp_path.stat().st_uid, tmp_path.stat().st_mode & 0o777) == (DAEMON.pw_uid, 0o700)


def test_a_storage_with_somebody_elses_files_is_not(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    other = Identity("somebody", os.geteuid() + 1, 1)
    with pytest.raises(PrivilegeError, match=f"chown -R somebody {tmp_path}"):
        prepare_storage(tmp_path, other)
    assert tmp_path.stat().st_uid == os.geteuid()


def test_a_storage_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PrivilegeError, match="make it a folder that Foregate may write to"):
        prepare_storage(tmp_path / "file" / "storage", None)


def test_access_is_checked_as_whom_we_will_be(tmp_path: Path) -> None:
    if not IS_ROOT:
        check_access(None, [tmp_path / "missing"], tmp_path / "missing")
        return
    daemon = Identity("daemon", DAEMON.pw_uid, DAEMON.pw_gid)
    with pytest.raises(PrivilegeError, match=r"user daemon cannot read .*missing, which Foregate runs from"):
        check_access(daemon, [Path("/"), tmp_path / "missing"], Path("/"))
    with pytest.raises(PrivilegeError, match="cannot reach the storage"):
        check_access(daemon, [Path("/")], tmp_path)
    assert (os.geteuid(), os.getegid()) == (0, 0)


def test_a_storage_to_be_made_or_given_needs_only_a_way_to_it(tmp_path: Path) -> None:
    if not IS_ROOT:
        return
    daemon = Identity("daemon", DAEMON.pw_uid, DAEMON.pw_gid)
    check_access(daemon, [], Path("/etc"))
    check_access(daemon, [], Path("/missing/storage"))
    with pytest.raises(PrivilegeError, match="cannot reach the storage"):
        check_access(daemon, [], tmp_path / "missing")


def test_a_refused_start_leaves_the_storage_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = tmp_path / "storage"
    config = Config(tls=Tls(storage=str(storage)))
    monkeypatch.setattr(starting, "installation", lambda: (tmp_path / "missing",))
    if IS_ROOT:
        with pytest.raises(PrivilegeError, match="which Foregate runs from"):
            starting.prepare_storages(config)
        assert not storage.exists()
    else:
        assert starting.prepare_storages(config) is None
        assert storage.is_dir()


def test_the_descriptor_limit_is_raised() -> None:
    assert raise_descriptor_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


@pytest.mark.parametrize(("user", "claimed"), [(0, []), (10001, [kernel.CAP_NET_BIND_SERVICE])])
def test_root_needs_no_claim_on_low_ports(
    monkeypatch: pytest.MonkeyPatch, user: int, claimed: list[int]
) -> None:
    found: list[int] = []
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(kernel, "limit_capabilities", found.append)
    claim_low_ports()
    assert found == claimed
