#!/usr/bin/env bash
# Library: flwr 1.42.0 (flower-supernode, flower-superlink). Found with: Python 3.11 on Linux.
#
# What one expects: a SuperNode sends a heartbeat every 17 to 23 seconds as long as it runs, whatever became of an earlier one.
# What happens: after an answer with status 502, 503 or 504 it sends another one within seconds. After status 500, which gateways and
# servers in front of a SuperLink give as well, it never sends one again. It goes on asking for messages, so that it looks alive; the
# SuperLink counts it as offline a minute later, answers its messages with an error, and refuses what it replies.
#
# Output when this was written:
#   one heartbeat is answered with 503: more heartbeats within 40 s: yes, requests for messages: yes
#   one heartbeat is answered with 500: more heartbeats within 40 s: no, requests for messages: yes
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install flwr==1.42.0
cd "$folder"
PATH="$folder/venv/bin:$PATH" HOME="$folder" FLWR_TELEMETRY_ENABLED=0 "$folder/venv/bin/python" - <<'PYTHON'
import http.client
import socket
import subprocess
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from threading import Thread

HEARTBEAT, ASKS = "/v1/fleet/send-node-heartbeat", "/v1/fleet/pull-messages"
SECONDS = 40


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def gateway(superlink: int, status: int) -> tuple[ThreadingHTTPServer, Counter]:
    """Forwards all requests but the first heartbeat, which it answers itself."""
    seen: Counter = Counter()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen[self.path] += 1
            if self.path == HEARTBEAT and seen[HEARTBEAT] == 1:
                return self.answer(status, "text/plain", b"try again")
            try:
                connection = http.client.HTTPConnection("127.0.0.1", superlink, timeout=30)
                connection.request("POST", self.path, body, dict(self.headers))
                answer = connection.getresponse()
                self.answer(answer.status, answer.getheader("Content-Type", ""), answer.read())
            except OSError:
                self.answer(503, "text/plain", b"")

        def answer(self, code: int, kind: str, content: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    return server, seen


def after(status: int) -> str:
    port = free_port()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    hub = subprocess.Popen(["flower-superlink", "--insecure", "--host", "127.0.0.1", "--port", str(port)], **quiet)
    server, seen = gateway(port, status)
    node = subprocess.Popen(
        ["flower-supernode", "--insecure", "--superlink", f"127.0.0.1:{server.server_port}", "--host", "127.0.0.1", "--port", str(free_port())],
        **quiet,
    )
    try:
        end = time.monotonic() + 60
        while not seen[HEARTBEAT] and time.monotonic() < end:
            time.sleep(0.2)
        assert seen[HEARTBEAT], "no heartbeat at all"
        before = Counter(seen)
        time.sleep(SECONDS)
        more = {path: "yes" if seen[path] - before[path] > 1 - (path == HEARTBEAT) else "no" for path in (HEARTBEAT, ASKS)}
    finally:
        for process in (node, hub):
            process.terminate()
        for process in (node, hub):
            process.wait(30)
        server.shutdown()
    told = f"one heartbeat is answered with {status}"
    return f"{told}: more heartbeats within {SECONDS} s: {more[HEARTBEAT]}, requests for messages: {more[ASKS]}"


EXPECTED = """\
one heartbeat is answered with 503: more heartbeats within 40 s: yes, requests for messages: yes
one heartbeat is answered with 500: more heartbeats within 40 s: no, requests for messages: yes"""
print(f"flwr {version('flwr')}")
found = "\n".join(map(after, (503, 500)))
print(found)
assert found == EXPECTED, "this has changed"
PYTHON
