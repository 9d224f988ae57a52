"""examples/mnist/serving: what the predictor answers, and which model it says has answered."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
import threading
import urllib.error
import urllib.request
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

EXAMPLE = Path(__file__).parents[2] / "examples/mnist"


@pytest.fixture(scope="module")
def predictor():
    """The module; it finds the example's model code beside itself, as in its image."""
    sys.path.insert(0, str(EXAMPLE))
    try:
        spec = importlib.util.spec_from_file_location("mnist_predictor", EXAMPLE / "serving/predictor.py")
        found = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
        yield found
    finally:
        sys.path.remove(str(EXAMPLE))
        for name in [name for name in sys.modules if name.partition(".")[0] == "mnist_app"]:
            del sys.modules[name]


@pytest.fixture(scope="module")
def content(predictor):
    return save({name: np.ascontiguousarray(array) for name, array in predictor.net.initial(3).items()})


@pytest.fixture(scope="module")
def url(predictor, content, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    (folder / "model.safetensors").write_bytes(content)
    server = ThreadingHTTPServer(("127.0.0.1", 0), predictor.handler("digits", *predictor.loaded(folder)))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(address, body=None, headers=None):
    """Status, headers, JSON."""
    sent = urllib.request.Request(address, body if body is None or isinstance(body, bytes) else json.dumps(body).encode(), headers or {})
    try:
        with urllib.request.urlopen(sent, timeout=10) as answer:
            return answer.status, answer.headers, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, json.load(error)


def images(count, **other):
    data = np.random.default_rng(1).random((count, 784), np.float32)
    return data, {"inputs": [{"name": "images", "datatype": "FP32", "shape": [count, 784], "data": data.ravel().tolist(), **other}]}


def test_the_prediction_is_that_of_the_model_and_says_which(predictor, content, url):
    data, request = images(5)
    status, headers, found = ask(f"{url}/v2/models/digits/infer", request | {"id": "7"})
    _, expected = predictor.net.predict(predictor.net.initial(3), data)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert (status, headers["model-digest"], found["model_version"], found["id"]) == (200, digest, digest, "7")
    digit, probabilities = found["outputs"]
    assert (digit["name"], digit["shape"], digit["data"]) == ("digit", [5], expected.argmax(axis=1).tolist())
    assert probabilities["shape"] == [5, 10]
    np.testing.assert_allclose(np.array(probabilities["data"]).reshape(5, 10), expected, rtol=1e-5)


def test_the_metadata_and_the_health(content, url):
    _, _, found = ask(f"{url}/v2/models/digits")
    assert found["versions"] == [f"sha256:{hashlib.sha256(content).hexdigest()}"]
    assert found["inputs"][0]["shape"] == [-1, 784]
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/digits/ready"):
        assert ask(url + path)[0] == 200
    assert ask(f"{url}/v2/models/other")[0] == 404


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"{", "Expecting"),
        ({}, "one input images"),
        ([], "one input images"),
        (images(1, name="other")[1], "one input images"),
        (images(1, shape=[2, 784])[1], "one input images"),
        (images(2, shape=[1, 1568])[1], "it must be [n, 784]"),
        (images(1, data=[float("nan")] * 784)[1], "not finite"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(url, body, why):
    status, _, found = ask(f"{url}/v2/models/digits/infer", body)
    assert (status, why in found["error"]) == (400, True), found


def test_a_request_without_a_length_is_refused(url):
    status, _, found = ask(f"{url}/v2/models/digits/infer", b"", {"Content-Length": "x"})
    assert (status, "content-length" in found["error"]) == (411, True)


def test_a_model_of_another_app_is_not_loaded(predictor, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(save({"a": np.zeros(3, np.float32)}))
    with pytest.raises(ValueError, match="has the arrays"):
        predictor.loaded(tmp_path)
