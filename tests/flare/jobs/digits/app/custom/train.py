"""Softmax regression on synthetic data, which is the same for each site except for its random numbers. FAULT names a file that says what a
site does instead: raise, wait, nan."""

import os
import time
from pathlib import Path

import numpy as np
import nvflare.client as flare

SITE = int(os.environ["PANAL_PARTITION_ID"])
CENTRES = np.array([[3, 0, 0, 0], [0, 3, 0, 0], [0, 0, 3, 0]], np.float32)


def data(samples=150):
    rng = np.random.default_rng(SITE)
    y = rng.integers(0, 3, samples)
    return (CENTRES[y] + rng.normal(0, 0.5, (samples, 4))).astype(np.float32), y


def probabilities(x, w, b):
    z = x @ w + b
    p = np.exp(z - z.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


def trained(x, y, w, b):
    for _ in range(20):
        p = probabilities(x, w, b)
        p[np.arange(len(y)), y] -= 1
        w, b = w - 0.1 * x.T @ p / len(y), b - 0.1 * p.mean(0)
    return w, b


def fault(number):
    """What to do in this round: the file holds `WHAT`, or `WHAT in NUMBER`."""
    file = Path(os.environ.get("FAULT", ""))
    what, _, when = (file.read_text() if file.is_file() else "").partition(" in ")
    return what if not when or int(when) == number else ""


def main():
    flare.init()
    x, y = data()
    print(f"site {flare.get_site_name()} is part {SITE} of {os.environ['PANAL_NUM_PARTITIONS']}", flush=True)
    while flare.is_running():
        model = flare.receive()
        if model is None:
            break
        what = fault(model.current_round)
        print(f"round {model.current_round} {what}", flush=True)
        if what == "raise":
            raise ValueError("the secret of a patient")
        while what == "wait" and fault(model.current_round) == "wait":
            time.sleep(0.1)
        w, b = trained(x, y, np.asarray(model.params["w"]), np.asarray(model.params["b"]))
        accuracy = float((probabilities(x, w, b).argmax(1) == y).mean())
        metrics = {"accuracy": accuracy, "broken": float("nan")} if what == "nan" else {"accuracy": accuracy}
        flare.send(flare.FLModel(params={"w": w, "b": b}, metrics=metrics, meta={"NUM_STEPS_CURRENT_ROUND": len(y)}))


main()
