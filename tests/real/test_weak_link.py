"""The weak link between machines (`tests/testenv/weak_link.py`): one direction of it with a clock of its own, then a real one."""

from __future__ import annotations

import json
import os
import random
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge import Bridge, missing_packages
from machine import Machine
from processes import assets
from waiting import eventually
from weak_link import Weakness, Wire

ECHO = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 4711))
print("here", flush=True)
received = 0
while True:
    data, peer = s.recvfrom(65536)
    if data[:4] == b"echo":
        s.sendto(data, peer)
    elif data[:4] == b"sink":
        received += len(data)
    else:
        s.sendto(str(received).encode(), peer)
"""
# Prints the round trips that came back, in seconds, of so many datagrams, ten milliseconds apart.
TRIPS = """
import json, socket, sys, threading, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 4711))
s.settimeout(2)
def ask():
    for _ in range(int(sys.argv[2])):
        s.send(b"echo" + repr(time.monotonic()).encode())
        time.sleep(0.01)
threading.Thread(target=ask).start()
trips = []
try:
    while True:
        sent = float(s.recv(100)[4:])
        trips.append(time.monotonic() - sent)
except TimeoutError:
    print(json.dumps(trips))
"""
# Sends more than the link carries for so many seconds, and prints the bytes that came.
FLOOD = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 4711))
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    s.send(b"sink" + bytes(1200))
    time.sleep(0.004)
time.sleep(2)
s.settimeout(1)
while True:
    try:
        s.send(b"how many")
        print(s.recv(100).decode())
        break
    except TimeoutError:
        pass
"""


def wire(**figures: float) -> Wire:
    return Wire(Weakness(**{"delay": 0.5, "loss": 0.0, "rate": 1000, "queue": 1000} | figures), random.Random(1))


def test_a_frame_arrives_after_its_length_and_the_delay() -> None:
    link = wire()
    link.take(bytes(100), 10.0)
    link.take(bytes(200), 10.0)
    assert [len(f) for f in link.arrived(10.59)] == []
    assert link.next == pytest.approx(10.6)
    assert [len(f) for f in link.arrived(10.61)] == [100]
    assert [len(f) for f in link.arrived(10.81)] == [200]
    assert link.next is None


def test_what_does_not_fit_into_the_queue_is_dropped() -> None:
    link = wire()
    for _ in range(12):
        link.take(bytes(100), 10.0)
    link.take(bytes(100), 10.1)
    assert (link.dropped, len(list(link.arrived(20.0)))) == (2, 11)


def test_the_same_share_of_frames_is_lost_each_time() -> None:
    counts = []
    for _ in range(2):
        link = wire(loss=0.02, rate=10**9, queue=10**9)
        for _ in range(10_000):
            link.take(b"frame", 0.0)
        counts.append(link.lost)
    assert counts[0] == counts[1]
    assert 150 < counts[0] < 250


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[tuple[Machine, Machine]]:
    """Two, without anything on them."""
    if os.geteuid() or missing_packages() or not os.environ.get("KUBEBUILDER_ASSETS"):
        pytest.skip("machines need root, Debian packages and the programs (docs/design/testing.md)")
    bridge = Bridge(tmp_path)
    found = tuple(Machine(tmp_path / name, name, bridge, number) for number, name in enumerate(("one", "two")))
    bridge.up({m.name: m.ip for m in found})
    for machine in found:
        machine.log.parent.mkdir(parents=True)
        machine.power_on(assets() / "pause")
    yield found[0], found[1]
    for machine in found:
        machine.power_off()
        machine.clean()
    bridge.down()


def python(machine: Machine, program: str, *arguments: str) -> str:
    return machine.shell(f"{sys.executable} - {' '.join(arguments)} <<'END'\n{program}\nEND")


@pytest.mark.real
def test_a_machine_behind_a_weak_link(machines: tuple[Machine, Machine]) -> None:
    hub, site = machines
    echo = subprocess.Popen(hub.enter(sys.executable, "-c", ECHO), stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert echo.stdout
        assert echo.stdout.readline() == b"here\n"
        near = json.loads(python(site, TRIPS, hub.ip, "20"))
        assert max(near) < 0.1
        site.weaken(Weakness())
        trips = json.loads(python(site, TRIPS, hub.ip, "500"))
        print(f"round trip {statistics.median(trips):.3f} s, {500 - len(trips)} of 500 lost")
        assert 0.3 < statistics.median(trips) < 0.4
        assert 2 <= 500 - len(trips) <= 50
        rate = int(python(site, FLOOD, hub.ip, "4")) / (4 + 100_000 / 125_000) * 8
        print(f"{rate:.0f} bit/s")
        assert 700_000 < rate < 1_050_000
        figures = site.mend()
        assert max(f["longest"] for f in figures.values()) <= 1514
        assert figures["from the machine"]["dropped"] > 0
        assert max(json.loads(python(site, TRIPS, hub.ip, "20"))) < 0.1
    finally:
        os.killpg(echo.pid, signal.SIGKILL)
        echo.communicate()


@pytest.mark.real
def test_a_weak_link_that_was_killed_leaves_nothing(machines: tuple[Machine, Machine]) -> None:
    _, site = machines
    site.weaken(Weakness())
    os.kill(site.weak_link.pid, signal.SIGKILL)
    eventually(lambda: not Path("/sys/class/net", site.weak_link.near).exists(), "its interfaces vanish", 10)
    site.mend()
    assert not Path("/sys/class/net", site.weak_link.small).exists()
    site.weaken(Weakness())
    site.power_off()
    site.clean()
    assert not [name for name in os.listdir("/sys/class/net") if name.endswith(site.port[1:])]
