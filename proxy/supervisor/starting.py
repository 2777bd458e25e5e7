"""What happens before the event loop runs: limits, sockets, storage, and the end of all privileges."""

import errno
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from proxy.config.schema import Config
from proxy.supervisor import privileges
from proxy.supervisor.certificate_wishes import storages
from proxy.supervisor.errors import StartError
from proxy.supervisor.handover import Handover
from proxy.supervisor.listeners import Endpoint, Listener, adopt_lent, endpoints, open_all, open_listener
from proxy.supervisor.memory_limit import memory_limit, warn_of_memory
from proxy.supervisor.processes import installation, keep_descriptors
from proxy.supervisor.reloading import log_warnings
from proxy.supervisor.service_manager import lent_sockets
from proxy.supervisor.source import ConfigFile, Loaded
from proxy.telemetry import process_log
from proxy.traffic.firewall import listed_files

_log = process_log.logger("supervisor")


@dataclass(frozen=True, slots=True)
class Started:
    """What the supervisor starts with."""

    loaded: Loaded
    listeners: tuple[Listener, ...]
    held: Handover | None = None


def start(file: ConfigFile) -> Started:
    """Read the configuration, bind every socket and give up what is not needed any more.

    Raises ConfigError or StartError; nothing has been served then.
    """
    loaded = file.read()
    config = loaded.config
    process_log.configure(config.log.format, config.log.level)
    keep_descriptors()
    privileges.raise_descriptor_limit()
    privileges.claim_low_ports()
    lent, unknown = adopt_lent(endpoints(config), lent_sockets(os.environ))
    for address in unknown:
        _log.warning("closed a socket that [server] does not name", extra=process_log.fields(address=address))
    wanted = tuple(one for one in endpoints(config) if one not in [held.endpoint for held in lent])
    listeners = (*lent, *open_all(endpoint for endpoint in wanted if endpoint.address is not None))
    try:
        privileges.drop(prepare_storages(config))
        _check_access_log(config.log.access)
        # The admin socket lies in the storage and belongs to whom we are now.
        listeners += open_all(endpoint for endpoint in wanted if endpoint.address is None)
    except StartError:
        for listener in listeners:
            listener.close()
        raise
    privileges.forbid_core_dumps()
    _warn(file, loaded)
    return Started(loaded, listeners)


def prepare_storages(config: Config) -> privileges.Identity | None:
    """Decide who to become, and have every storage ready for that user; a refusal leaves them as they were.

    Raises PrivilegeError.
    """
    identity = privileges.choose_identity(config.server.user, Path(config.tls.storage))
    folders = storages(config)
    for folder in folders:
        privileges.check_access(identity, installation(), folder)
    for folder in folders:
        privileges.prepare_storage(folder, identity)
        privileges.check_access(identity, (), folder)  # the folders above may be new, too, and root's alone
    return identity


def _check_access_log(access: str) -> None:
    """Make sure that the access log can be written; later a worker drops its lines where it cannot."""
    if access in ("stdout", "off"):
        return
    try:
        os.close(
            os.open(access, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o640)
        )
    except OSError as exc:
        if exc.errno != errno.ENXIO:  # a named pipe that nobody reads yet
            raise StartError(
                f"cannot write the access log {access} as user {privileges.current_user()}: {exc.strerror}; "
                f"make it writable, or set [log] access"
            ) from exc


def resume(file: ConfigFile, held: Handover) -> Started:
    """Go on where the former program of this process stopped, which a trial has shown to be possible.

    Raises ConfigError or StartError; then nobody serves any more.
    """
    loaded = file.read_or(held.source)
    process_log.configure(loaded.config.log.format, loaded.config.log.level)
    keep_descriptors()
    privileges.claim_low_ports()
    listeners = _held_listeners(endpoints(loaded.config), held)
    privileges.drop(None)
    privileges.forbid_core_dumps()
    _warn(file, loaded)
    return Started(loaded, listeners, held)


def _held_listeners(wanted: tuple[Endpoint, ...], held: Handover) -> tuple[Listener, ...]:
    """Use the sockets that are open, bind what else is wanted, and close what is not."""
    sockets = {
        (one.purpose, one.endpoint): (socket.socket(fileno=one.descriptor), one.lent) for one in held.sockets
    }
    kept = []
    for endpoint in wanted:
        opened = sockets.pop((endpoint.purpose.value, str(endpoint)), None)
        kept.append(open_listener(endpoint) if opened is None else Listener(endpoint, *opened))
    for unwanted, _ in sockets.values():
        unwanted.close()
    return tuple(kept)


def _warn(file: ConfigFile, loaded: Loaded) -> None:
    log_warnings(loaded)
    warn_of_memory(loaded.config, memory_limit())
    if os.geteuid() == 0:
        _log.warning("running as root, because of [server] user")
    if not os.access(file.path, os.R_OK):
        reader = privileges.current_user()
        _log.warning(
            "reloads will fail: the configuration file cannot be read any more",
            extra=process_log.fields(file=str(file.path), user=reader),
        )
    for listed in listed_files(loaded.config):
        if not os.access(listed, os.R_OK):
            _log.warning(
                "reloads will fail: a list of addresses cannot be read any more",
                extra=process_log.fields(file=listed, user=privileges.current_user()),
            )
    if file.is_mounted_alone():
        _log.warning(
            "a replaced configuration file will not be noticed: mount its folder instead of the file",
            extra=process_log.fields(file=str(file.path)),
        )
