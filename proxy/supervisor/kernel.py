"""What Python has no functions for: prctl, capabilities, and a filter on a listening socket (Linux only)."""

import ctypes
import os
import socket
import struct
from typing import Final

_PR_SET_DUMPABLE: Final = 4
_PR_SET_KEEPCAPS: Final = 8
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_RAISE: Final = 2
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4

_CAPABILITY_VERSION_3: Final = 0x20080522
CAP_NET_BIND_SERVICE: Final = 10

# Classic BPF over the TCP header: a segment with SYN and without ACK is dropped, everything else let through.
_SO_ATTACH_FILTER: Final = 26
_SYN, _ACK, _FLAGS_OFFSET = 0x02, 0x10, 13
_LOAD_OCTET, _AND, _JUMP_IF_EQUAL, _RETURN = 0x30, 0x54, 0x15, 0x06
_NO_NEW_CONNECTIONS: Final = (
    (_LOAD_OCTET, 0, 0, _FLAGS_OFFSET),
    (_AND, 0, 0, _SYN | _ACK),
    (_JUMP_IF_EQUAL, 0, 1, _SYN),
    (_RETURN, 0, 0, 0),
    (_RETURN, 0, 0, 0xFFFFFFFF),
)

_libc = ctypes.CDLL(None, use_errno=True)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def _prctl(option: int, argument: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(argument), *(ctypes.c_ulong(0),) * 3):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def keep_capabilities(keep: bool) -> None:
    """Say whether a change of the user keeps the permitted capabilities of this thread."""
    _prctl(_PR_SET_KEEPCAPS, keep)


def forbid_new_privileges() -> None:
    """Make sure that no program that this process starts gains a privilege, by setuid or otherwise."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def forbid_core_dumps() -> None:
    """Make this process's memory, with its keys, unreadable for others of the same user."""
    _prctl(_PR_SET_DUMPABLE, 0)


def limit_capabilities(capability: int) -> bool:
    """Give up all capabilities but this one, if it was there; tell whether it was. Children get none."""
    header = _Header(_CAPABILITY_VERSION_3, 0)
    sets = (_Sets * 2)()
    if _libc.capget(ctypes.byref(header), ctypes.byref(sets)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    kept = sets[0].permitted & (1 << capability)
    sets[0] = _Sets(kept, kept, 0)
    sets[1] = _Sets(0, 0, 0)
    if _libc.capset(ctypes.byref(header), ctypes.byref(sets)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    return bool(kept)


def pass_capability_on(capability: int) -> None:
    """Let the next program of this process keep a capability, if it is there. Raises OSError."""
    header = _Header(_CAPABILITY_VERSION_3, 0)
    sets = (_Sets * 2)()
    if _libc.capget(ctypes.byref(header), ctypes.byref(sets)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    if not sets[0].permitted & (1 << capability):
        return
    sets[0].inheritable |= 1 << capability
    if _libc.capset(ctypes.byref(header), ctypes.byref(sets)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    if _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def drop_new_connections(listening: socket.socket) -> None:
    """Ignore who wants to connect from now on; handshakes that have begun go on. Raises OSError.

    A client tries again after a second, and finds the socket closed then, or the next instance.
    """
    program = ctypes.create_string_buffer(
        b"".join(struct.pack("=HBBI", *step) for step in _NO_NEW_CONNECTIONS)
    )
    described = struct.pack("@HP", len(_NO_NEW_CONNECTIONS), ctypes.addressof(program))
    listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)
