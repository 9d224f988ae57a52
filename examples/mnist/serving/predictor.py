"""Serves one model of the example over HTTP: inference protocol V2 (REST), with numpy alone.

    python predictor.py --model_name digits --model_dir /mnt/models

The input is `images`, FP32, of shape (n, 784), 0 to 1. The outputs are `digit`, INT64, (n), and `probabilities`, FP32, (n, 10). The SHA-256
of the file that was loaded is in every answer: the header `model-digest`, the `model_version` of a prediction, and `versions` of the
metadata. `panal serve` reads it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from mnist_app import model as net
from safetensors.numpy import load

FILE = "model.safetensors"
INPUT, PIXELS = "images", 784
LONGEST = 64 << 20  # bytes of a request
EXPECTED = {name: array.shape for name, array in net.initial().items()}
METADATA = {
    "platform": "numpy",
    "inputs": [{"name": INPUT, "datatype": "FP32", "shape": [-1, PIXELS]}],
    "outputs": [
        {"name": "digit", "datatype": "INT64", "shape": [-1]},
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]},
    ],
}


class RequestError(ValueError):
    """What is wrong with a request."""


def loaded(folder: Path) -> tuple[net.Model, str]:
    """The model and its digest. Raises ValueError if the file is not a model of the example."""
    content = (folder / FILE).read_bytes()
    model = load(content)
    found = {name: array.shape for name, array in model.items()}
    if found != EXPECTED:
        raise ValueError(f"{FILE} has the arrays {found}, and a model of the example has {EXPECTED}")
    return model, f"sha256:{hashlib.sha256(content).hexdigest()}"


def images(request: Any) -> net.Floats:
    """The input of a V2 request. Raises RequestError."""
    try:
        (given,) = (each for each in request["inputs"] if each["name"] == INPUT)
        array = np.asarray(given["data"], np.float32).reshape(given["shape"])
    except (KeyError, TypeError, ValueError) as error:
        raise RequestError(f"one input {INPUT} with `shape` and `data` is needed: {error}") from error
    if array.ndim != 2 or array.shape[1] != PIXELS:
        raise RequestError(f"{INPUT} has the shape {list(array.shape)}; it must be [n, {PIXELS}]")
    if not np.isfinite(array).all():
        raise RequestError(f"{INPUT} has values that are not finite")
    return array


def prediction(model: net.Model, request: Any) -> list[dict[str, Any]]:
    """The outputs of a V2 answer. Raises RequestError."""
    _, probabilities = net.predict(model, images(request))
    found = {"digit": probabilities.argmax(axis=1), "probabilities": probabilities}
    return [
        {"name": each["name"], "datatype": each["datatype"], "shape": list(array.shape), "data": array.ravel().tolist()}
        for each in METADATA["outputs"]
        for array in (found[str(each["name"])],)
    ]


def handler(name: str, model: net.Model, digest: str) -> type[BaseHTTPRequestHandler]:
    path = f"/v2/models/{name}"
    answers = {
        "/v2": {"name": "mnist-predictor", "version": "1", "extensions": []},
        "/v2/health/live": {"live": True},
        "/v2/health/ready": {"ready": True},
        f"{path}/ready": {"name": name, "ready": True},
        path: {"name": name, "versions": [digest], **METADATA},
    }

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60

        def do_GET(self) -> None:
            found = answers.get(self.path)
            self._answer(200, found) if found else self._answer(404, {"error": f"nothing at {self.path}; the model is {name}"})

        def do_POST(self) -> None:
            length = self.headers.get("content-length") or ""
            if not length.isdigit() or int(length) > LONGEST:
                self.close_connection = True
                return self._answer(413 if length.isdigit() else 411, {"error": f"content-length is needed, at most {LONGEST}"})
            content = self.rfile.read(int(length))
            if self.path != f"{path}/infer":
                return self._answer(404, {"error": f"nothing at {self.path}; the model is {name}"})
            try:
                request = json.loads(content)
                outputs = prediction(model, request)
            except ValueError as error:
                return self._answer(400, {"error": str(error)})
            known = {"id": request["id"]} if isinstance(request.get("id"), str) else {}
            return self._answer(200, {"model_name": name, "model_version": digest, **known, "outputs": outputs})

        def _answer(self, code: int, content: Any) -> None:
            body = json.dumps(content).encode()
            self.send_response(code)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.send_header("model-digest", digest)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name in the base class
            """Requests are not logged."""

    return Handler


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model_name", required=True, help="the name of the model in the paths of requests")
    parser.add_argument("--model_dir", type=Path, default=Path("/mnt/models"), help=f"the folder with {FILE}")
    parser.add_argument("--http_port", type=int, default=8080)
    options = parser.parse_args()
    model, digest = loaded(options.model_dir)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"serving {options.model_dir / FILE}, {digest}, as {options.model_name} at port {options.http_port}")
    ThreadingHTTPServer(("", options.http_port), handler(options.model_name, model, digest)).serve_forever()


if __name__ == "__main__":
    main()
