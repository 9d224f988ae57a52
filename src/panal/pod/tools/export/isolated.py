"""Takes the network from this process and all that it starts: a seccomp filter of the kernel refuses every socket but those of Unix.

A process may give itself such a filter, and can never remove it, under the Pod Security Standard `restricted` and with any container
runtime, network plugin or storage: it needs no privilege but `no_new_privs`, which is set first. A network namespace would need one that
`restricted` forbids, and a NetworkPolicy depends on the plugin. io_uring, which opens sockets without a system call of its own, is refused.

What the image starts before, such as its sitecustomize.py or a .pth file of its Python, still has the network.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import socket
import struct
import sys

# Of prctl(2):
SET_SECCOMP, SET_NO_NEW_PRIVS, MODE_FILTER = 22, 38, 2
# Offsets in the data of a filter:
NUMBER, ARCH, FIRST_ARGUMENT = 0, 4, 16
# Instructions of a filter, and what it may return:
LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
X32 = 0x40000000  # numbers of another ABI of x86-64
IO_URING_SETUP = 425
# By machine: the kernel's number of its architecture, and that of socket(2).
MACHINES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}


class IsolationError(Exception):
    """The network cannot be taken from this process."""


def isolate() -> None:
    """Call it before other threads exist: they would keep the network. Raises IsolationError."""
    machine = platform.machine()
    if sys.platform != "linux" or machine not in MACHINES:
        raise IsolationError(f"panal has no filter for {sys.platform} on {machine}; run the export on a node with {' or '.join(MACHINES)}")
    libc = ctypes.CDLL(None, use_errno=True)
    program = b"".join(_filter(*MACHINES[machine]))
    buffer = ctypes.create_string_buffer(program, len(program))
    size = len(program) // 8
    address = struct.pack("HxxxxxxP", size, ctypes.addressof(buffer))
    for arguments in ((SET_NO_NEW_PRIVS, 1, 0), (SET_SECCOMP, MODE_FILTER, ctypes.c_char_p(address))):
        if libc.prctl(*arguments, 0, 0):
            raise IsolationError(f"the kernel of this node refuses the filter: {errno.errorcode.get(ctypes.get_errno(), 'unknown error')}")
    if _has_network():
        raise IsolationError("the filter of the kernel has no effect on this node")


def _filter(arch: int, open_socket: int) -> list[bytes]:
    refused, missing = ERRNO | errno.EACCES, ERRNO | errno.ENOSYS
    return [
        _instruction(LOAD, ARCH),
        _instruction(EQUAL, arch, then=1),
        _instruction(RETURN, missing),  # system calls of another architecture, such as those of 32 bits
        _instruction(LOAD, NUMBER),
        _instruction(AT_LEAST, X32, otherwise=1),
        _instruction(RETURN, missing),
        _instruction(EQUAL, IO_URING_SETUP, otherwise=1),
        _instruction(RETURN, missing),
        _instruction(EQUAL, open_socket, then=1),
        _instruction(RETURN, ALLOW),
        _instruction(LOAD, FIRST_ARGUMENT),
        _instruction(EQUAL, socket.AF_UNIX, otherwise=1),
        _instruction(RETURN, ALLOW),
        _instruction(RETURN, refused),
    ]


def _instruction(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    """`then` and `otherwise`: how many instructions a jump leaves out."""
    return struct.pack("HBBI", code, then, otherwise, value)


def _has_network() -> bool:
    for family in (socket.AF_INET, socket.AF_INET6, socket.AF_PACKET, socket.AF_NETLINK):
        try:
            socket.socket(family, socket.SOCK_RAW if family in (socket.AF_PACKET, socket.AF_NETLINK) else socket.SOCK_STREAM).close()
        except PermissionError:
            continue
        except OSError:
            continue
        return True
    return False
