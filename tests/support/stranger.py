"""Somebody else on the machine of a local platform: `python3 - PREFIX FOLDER < stranger.py`, as another user.

Asks every port that listens at an address beginning with PREFIX, plain and by TLS, for what it might give away or do, and looks into FOLDER
and at the command lines of all processes. Prints what came, as JSON. Standard library alone.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PROTOBUF = {"content-type": "application/protobuf"}
FORGED = {"x-panal-cluster": "cluster1", "x-panal-pod": "Basic cGFuYWw6Z3Vlc3M=", "x-panal-instance": "x", "authorization": "Bearer guess"}
REQUESTS = [
    ("GET", "/"),
    ("GET", "/ready"),
    ("GET", "/healthz"),
    ("GET", "/version"),
    ("GET", "/metrics"),
    ("GET", "/pods"),
    ("GET", "/containerLogs/runs/x/superlink"),
    ("GET", "/api/v1/secrets"),
    ("POST", "/v1/control/start-run"),
    ("POST", "/v1/runtime/acquire-task"),
    ("POST", "/v1/fleet/pull-messages"),
]


def listening(prefix: str) -> list[tuple[str, int]]:
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        address, _, port = fields[1].partition(":")
        host = socket.inet_ntoa(struct.pack("<I", int(address, 16)))
        if fields[3] == "0A" and host.startswith(prefix):
            found.add((host, int(port, 16)))
    return sorted(found)


def ask(host: str, port: int, method: str, path: str, headers: dict[str, str], secure: bool) -> str:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    made = (
        http.client.HTTPSConnection(host, port, timeout=10, context=context)
        if secure
        else http.client.HTTPConnection(host, port, timeout=10)
    )
    try:
        made.request(method, path, body=b"" if method == "POST" else None, headers=headers)
        return str(made.getresponse().status)
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        made.close()


def command_lines() -> list[str]:
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(file.read_text(errors="replace"))
        except OSError:
            continue
    return found


def readable(folder: str) -> list[str]:
    return [str(Path(where, name)) for where, _, names in os.walk(folder) for name in names if os.access(Path(where, name), os.R_OK)]


def main(prefix: str, folder: str) -> None:
    tries = [
        (host, port, method, path, headers, secure)
        for host, port in listening(prefix)
        for secure in (False, True)
        for method, path in REQUESTS
        for headers in ([PROTOBUF, PROTOBUF | FORGED] if method == "POST" else [{}, FORGED])
    ]
    with ThreadPoolExecutor(16) as pool:
        outcomes = pool.map(lambda each: ask(*each), tries)
        came = [[f"{t[0]}:{t[1]}", "https" if t[5] else "http", t[2], t[3], told] for t, told in zip(tries, outcomes)]
    print(json.dumps({"user": os.getuid(), "came": came, "lines": command_lines(), "files": readable(folder)}))


main(sys.argv[1], sys.argv[2])
