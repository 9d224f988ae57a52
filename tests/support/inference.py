"""A model that `panal serve` serves: the command, and a client of it behind a Gateway. The example's predictor answers with the digits."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Panal = Callable[..., tuple[int, str, str]]
Serve = Callable[..., tuple[int, dict[str, Any], str]]
Images = list[list[float]]  # 784 pixels each, 0 to 1
Digits = tuple[Images, list[int]]  # with their labels


def request(images: Images) -> dict[str, Any]:
    flat = [value for image in images for value in image]
    return {"inputs": [{"name": "images", "datatype": "FP32", "shape": [len(images), 784], "data": flat}]}


def serving(panal: Panal, service: str, namespace: str, kubeconfig: Path, probe: Path, image: list[float]) -> Serve:
    """`panal serve RUN --name SERVICE …` with the image as its probe, which is written to the file: exit code, JSON, messages."""
    probe.write_text(json.dumps(request([image])))
    usual = ("-n", namespace, "--name", service, "--probe", str(probe), "--kubeconfig", str(kubeconfig), "-o", "json")

    def call(run: str, *options: str) -> tuple[int, dict[str, Any], str]:
        code, out, error = panal("serve", run, *usual, *options)
        return code, json.loads(out) if out else {}, error

    return call


@dataclass
class Client:
    """Of a service behind the Gateway. Counts its answers by the digest of the model, and what went wrong."""

    url: str
    host: str
    service: str
    images: Images
    labels: list[int]
    seen: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def ask(self, images: Images) -> tuple[str, list[int]]:
        """The digest that the answer states, and the digits."""
        headers = {"Host": self.host, "Content-Type": "application/json"}
        sent = urllib.request.Request(f"{self.url}/v2/models/{self.service}/infer", json.dumps(request(images)).encode(), headers)
        with urllib.request.urlopen(sent, timeout=10) as answer:
            content = json.load(answer)
            assert answer.headers["model-digest"] == content["model_version"]
        (found,) = (each["data"] for each in content["outputs"] if each["name"] == "digit")
        return content["model_version"], found

    def is_reached(self) -> bool:
        try:
            return bool(self.ask(self.images[:1]))
        except urllib.error.HTTPError as error:
            error.close()
            return False

    def accuracy(self) -> float:
        return float(np.mean(np.array(self.ask(self.images)[1]) == self.labels))

    def count(self, times: int) -> Counter[str]:
        return Counter(self.ask(self.images[:1])[0] for _ in range(times))

    @contextmanager
    def asking(self) -> Iterator[None]:
        """All the time, in the block."""
        over = threading.Event()

        def ask() -> None:
            while not over.wait(0.05):
                try:
                    self.seen[self.ask(self.images[:1])[0]] += 1
                except (OSError, urllib.error.URLError) as error:
                    self.wrong.append(repr(error))

        asker = threading.Thread(target=ask)
        asker.start()
        try:
            yield
        finally:
            over.set()
            asker.join()
