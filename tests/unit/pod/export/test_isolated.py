"""The network is taken from an export by a filter of the kernel."""

from __future__ import annotations

import subprocess
import sys
import textwrap

PROGRAM = """
import ctypes, errno, socket, subprocess, sys, threading
from panal.pod.tools.export.isolated import isolate

assert socket.socket(socket.AF_INET, socket.SOCK_STREAM).close() is None
isolate()
"""


def isolated(code: str) -> str:
    """What the code prints in a process that was isolated."""
    program = [sys.executable, "-c", PROGRAM + textwrap.dedent(code)]
    ended = subprocess.run(program, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_no_socket_of_any_family_but_unix_can_be_opened() -> None:
    found = isolated(
        """
        for family in (socket.AF_INET, socket.AF_INET6, socket.AF_PACKET, socket.AF_NETLINK, socket.AF_VSOCK, socket.AF_CAN):
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
                try:
                    socket.socket(family, kind)
                except PermissionError:
                    continue
                print(family, kind)
        a, b = socket.socketpair()
        a.send(b"1")
        assert b.recv(1) == b"1"
        print("done")
        """
    )
    assert found == "done\n"


def test_what_it_starts_has_no_network_either() -> None:
    found = isolated(
        """
        def refused():
            try:
                socket.socket()
            except PermissionError as error:
                print(type(error).__name__, flush=True)
        thread = threading.Thread(target=refused)
        thread.start()
        thread.join()
        subprocess.run([sys.executable, "-c", "import socket; socket.socket()"], stderr=subprocess.DEVNULL).returncode and print("child")
        """
    )
    assert found == "PermissionError\nchild\n"


def test_io_uring_and_other_abis_are_missing() -> None:
    found = isolated(
        """
        libc = ctypes.CDLL(None, use_errno=True)
        for number in (425, 0x40000000 + 41):  # io_uring_setup, and socket of the x32 ABI
            assert libc.syscall(number, 2, 1, 0) == -1
            print(errno.errorcode[ctypes.get_errno()])
        """
    )
    assert found == "ENOSYS\nENOSYS\n"


def test_an_unknown_machine_is_refused() -> None:
    found = isolated(
        """
        import platform
        from panal.pod.tools.export.isolated import IsolationError
        platform.machine = lambda: "s390x"
        try:
            isolate()
        except IsolationError as error:
            print(error)
        """
    )
    assert found.startswith("panal has no filter for linux on s390x")
