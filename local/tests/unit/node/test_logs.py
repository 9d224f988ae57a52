"""Logs that the node serves: while a container runs, after it has ended, and while its Pod is removed."""

import json

import aiohttp
import pytest
from yarl import URL

from panal_local.node import logs, records


@pytest.fixture
def pod(tmp_path):
    """The folder of a Pod ns/p on the node in `tmp_path`, whose container c has ended."""
    folder = tmp_path / "pods/u"
    attempt = folder / "containers/c/0"
    attempt.mkdir(parents=True)
    (folder / "pod.json").write_text(json.dumps({"pod": {"metadata": {"namespace": "ns", "name": "p"}}}))
    (attempt / "started.json").write_text(json.dumps({"pid": 1}))
    (attempt / "ended.json").write_text(json.dumps({"at": 2.0, "code": 0, "signal": 0, "message": ""}))
    (attempt / "log").write_text("first\nlast\n")
    return folder


async def served(node, query=""):
    """Returns the status and the text of the answer of the node's log server for container c of Pod ns/p."""
    async with logs.LogServer("127.0.0.1", node, node / "token") as port:
        headers = {"Authorization": f"Bearer {(node / 'token').read_text()}"}
        async with aiohttp.ClientSession(headers=headers) as http:
            answer = await http.get(f"http://127.0.0.1:{port}/containerLogs/ns/p/c{query}")
            return answer.status, await answer.text()


@pytest.mark.parametrize("query", ["", "?follow=true"])
async def test_the_log_of_a_pod_that_is_being_removed(pod, tmp_path, query):
    assert await served(tmp_path, query) == (200, "first\nlast\n")
    records.keep_logs(pod, records.kept_logs(tmp_path, "ns", "p"))
    assert await served(tmp_path, query) == (200, "first\nlast\n")
    records.out_of_the_way(pod, tmp_path)
    assert await served(tmp_path, query) == (200, "first\nlast\n")
    records.clear_removed(tmp_path)
    assert await served(tmp_path, query) == (200, "first\nlast\n")


async def test_a_new_pod_of_the_same_name_has_no_log_yet(pod, tmp_path):
    records.keep_logs(pod, records.kept_logs(tmp_path, "ns", "p"))
    records.out_of_the_way(pod, tmp_path)
    new = tmp_path / "pods/v"
    new.mkdir()
    (new / "pod.json").write_text(json.dumps({"pod": {"metadata": {"namespace": "ns", "name": "p"}}}))
    assert await served(tmp_path) == (400, 'container "c" in pod "p" not found or is waiting to start')


async def test_no_path_leaves_the_folder_of_logs(pod, tmp_path):
    (tmp_path / "node").mkdir()
    (tmp_path / "outside_p").mkdir()
    (tmp_path / "outside_p/c.log").write_text("other")
    async with logs.LogServer("127.0.0.1", tmp_path / "node", tmp_path / "node/token") as port:
        headers = {"Authorization": f"Bearer {(tmp_path / 'node/token').read_text()}"}
        async with aiohttp.ClientSession(headers=headers) as http:
            answer = await http.get(URL(f"http://127.0.0.1:{port}/containerLogs/..%2F..%2Foutside/p/c", encoded=True))
            assert answer.status == 400


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("?previous=true", 'previous terminated container "c" in pod "p" not found or is waiting to start'),
        ("?tailLines=x", "tailLines and limitBytes must be numbers"),
        ("?timestamps=true", "timestamps: logs of a local node have no times; leave it out"),
    ],
)
async def test_what_cannot_be_served_is_refused_before_the_log(pod, tmp_path, query, message):
    assert await served(tmp_path, query) == (400, message)


@pytest.mark.parametrize(
    ("content", "lines", "tail"),
    [
        (b"a\nb\nc\n", 1, b"c\n"),
        (b"a\nb\nc\n", 2, b"b\nc\n"),
        (b"a\nb\nc", 1, b"c"),
        (b"a\nb\nc", 2, b"b\nc"),
        (b"a\n\n\n", 2, b"\n\n"),
        (b"a\nb\n", 9, b"a\nb\n"),
        (b"a\nb\n", 0, b""),
        (b"", 3, b""),
        (b"\n", 1, b"\n"),
    ],
)
def test_tail(content, lines, tail, tmp_path):
    (tmp_path / "log").write_bytes(content)
    with (tmp_path / "log").open("rb") as file:
        assert content[logs.tail_offset(file, lines) :] == tail
