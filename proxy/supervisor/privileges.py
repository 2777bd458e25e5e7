"""What this process may do: as little as possible, from the moment on at which the sockets are bound."""

import grp
import os
import pwd
import resource
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.supervisor import kernel
from proxy.supervisor.errors import PrivilegeError

_NOBODY: Final = "nobody"
_NOBODY_ID: Final = 65534  # where there is no user database


@dataclass(frozen=True, slots=True)
class Identity:
    """The user that supervisor and workers run as."""

    name: str
    user_id: int
    group_id: int


def raise_descriptor_limit() -> int:
    """Allow as many open files as the hard limit does, for this process and its workers; return the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def claim_low_ports() -> None:
    """Put CAP_NET_BIND_SERVICE into effect where the program's file merely permits it; other capabilities go.

    The container image's interpreter has it so: a file capability in effect from the start would keep the program
    from starting at all where the container must not have it.
    """
    if os.geteuid() != 0:
        kernel.limit_capabilities(kernel.CAP_NET_BIND_SERVICE)


def forbid_core_dumps() -> None:
    """Keep private keys out of core files and away from other processes of the same user."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    kernel.forbid_core_dumps()


def choose_identity(user: str, storage: Path) -> Identity | None:
    """Decide who to become; None: stay who we are, because there is nothing to give up.

    `user` is [server] user: a name or a number; empty means the owner of the storage, or nobody where that is
    root or does not exist yet. Raises PrivilegeError.
    """
    own = os.geteuid()
    if user:
        wanted = _known(user)
        if wanted.user_id == own:
            return None
        if own != 0:
            raise PrivilegeError(
                f'[server] user = "{user}" needs a start as root, and this is user {own}; '
                f"remove the key, or start as root"
            )
        return wanted
    if own != 0:
        return None
    try:
        owner = storage.stat().st_uid
    except OSError:
        owner = 0
    return _known(str(owner)) if owner else _nobody()


def check_access(identity: Identity | None, needed: Iterable[Path], storage: Path) -> None:
    """Make sure that who we will be may read what workers run from, and write to the storage.

    A storage that is yet to be made, or to be given to that user, need only have a way to it.
    Raises PrivilegeError. Call it while there is one thread: for a moment the whole process is somebody else.
    """
    if identity is None:
        return
    own_group = os.getegid()
    os.setegid(identity.group_id)
    os.seteuid(identity.user_id)
    try:
        unreadable = [path for path in needed if not os.access(path, os.R_OK, effective_ids=True)]
        has_storage = _may_have(storage, identity)
    finally:
        os.seteuid(0)
        os.setegid(own_group)
    if unreadable:
        raise PrivilegeError(
            f"user {identity.name} cannot read {unreadable[0]}, which Foregate runs from; install Foregate where "
            f'everybody may read, such as /opt, or set [server] user ("root" stays root)'
        )
    if not has_storage:
        raise PrivilegeError(
            f"user {identity.name} cannot reach the storage {storage} through the folders above it; set [tls] "
            f"storage to a place such as /var/lib/foregate, or set [server] user"
        )


def _may_have(storage: Path, identity: Identity) -> bool:
    """Tell it as that user; what else is in the way of a storage of somebody else's, `prepare_storage` says."""
    try:
        owner = storage.stat().st_uid
    except PermissionError:
        return False
    except OSError:
        return True
    return owner != identity.user_id or os.access(storage, os.R_OK | os.W_OK | os.X_OK, effective_ids=True)


def prepare_storage(storage: Path, identity: Identity | None) -> None:
    """Make sure that the storage exists and belongs to whom we will be. Raises PrivilegeError."""
    try:
        storage.mkdir(mode=0o700, parents=True, exist_ok=True)
        if identity is not None:
            # One folder from look to gift, whatever somebody puts in its place meanwhile.
            descriptor = os.open(storage, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                _give(descriptor, storage, identity)
            finally:
                os.close(descriptor)
    except OSError as exc:
        raise PrivilegeError(
            f"cannot use the storage {storage}: {exc.strerror}; make it a folder that Foregate may write to"
        ) from exc


def _give(descriptor: int, storage: Path, identity: Identity) -> None:
    """Let an empty folder belong to whom we will be."""
    owner = os.fstat(descriptor).st_uid
    if owner == identity.user_id:
        return
    if os.listdir(descriptor):
        raise PrivilegeError(
            f"the storage {storage} belongs to user {owner}, and Foregate runs as {identity.name}; "
            f"chown -R {identity.name} {storage}, or set [server] user"
        )
    os.fchown(descriptor, identity.user_id, identity.group_id)
    os.fchmod(descriptor, 0o700)


def drop(identity: Identity | None) -> None:
    """Become `identity` for good and keep CAP_NET_BIND_SERVICE at most. Raises PrivilegeError.

    Threads keep their privileges: call this before there is a second one.
    """
    try:
        if identity is not None:
            kernel.keep_capabilities(True)
            _set_groups(identity)
            os.setresgid(identity.group_id, identity.group_id, identity.group_id)
            os.setresuid(identity.user_id, identity.user_id, identity.user_id)
            kernel.keep_capabilities(False)
        if os.geteuid() != 0:
            kernel.limit_capabilities(kernel.CAP_NET_BIND_SERVICE)
        kernel.forbid_new_privileges()
    except OSError as exc:
        name = identity.name if identity else f"user {os.geteuid()}"
        raise PrivilegeError(
            f"cannot give up privileges and run as {name}: {exc.strerror}; "
            f"let the container keep CAP_SETUID, CAP_SETGID and CAP_CHOWN, or start as that user"
        ) from exc


def current_user() -> str:
    """Return the name of the user that this process runs as."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _set_groups(identity: Identity) -> None:
    """Take the groups of the user alone: root's would give away more than the user's own."""
    try:
        os.initgroups(identity.name, identity.group_id)
    except (OSError, OverflowError):
        os.setgroups([identity.group_id])


def _known(user: str) -> Identity:
    try:
        entry = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except (KeyError, OverflowError) as exc:
        if user.isdecimal():
            return Identity(user, int(user), int(user))
        raise PrivilegeError(f'there is no user "{user}" ([server] user); create it, or set another') from exc
    return Identity(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _nobody() -> Identity:
    try:
        return _known(_NOBODY)
    except PrivilegeError:
        return Identity(_NOBODY, _NOBODY_ID, _nobody_group())


def _nobody_group() -> int:
    for name in ("nogroup", _NOBODY):
        try:
            return grp.getgrnam(name).gr_gid
        except KeyError:
            continue
    return _NOBODY_ID
