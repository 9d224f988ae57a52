"""What secure aggregation costs: the same run without it and with it, one after the other, REPEATS times.

    make test-flower                                                   # once: Flower's environment
    .venv/bin/python benchmarks/secure_aggregation.py                  # five sites, a model of 40 MB
    .venv/bin/python benchmarks/secure_aggregation.py --megabytes 1 --clients 20

The processes are those of `large_models.py`. Seconds are those from submission to finish, bytes those that sites send in requests, and
memory is in multiples of the model. Each pair gives ratios, because a busy machine slows both.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
from pathlib import Path

from flower_overhead import Pods
from large_models import Memory, configured

SECURE = {"PANAL_PRIVACY": json.dumps({"secureAggregation": {"threshold": None}})}
WHAT = ("seconds", "sent", "received", "aggregator's memory", "collaborator's memory")


class Run(Pods):
    """`more` is added to the environment of every program. Each site has a folder of its own for its session."""

    more: dict[str, str]

    def environment(self, name: str) -> dict[str, str]:
        return super().environment(name) | {"PANAL_WORK_DIR": str(self.folder / f"work-{name}")} | self.more


def measure(secure: bool, options: argparse.Namespace) -> tuple[float, ...]:
    """Seconds, megabytes that sites send and receive, and the memory of the aggregator and of a collaborator in multiples of the model."""
    folder = Path(tempfile.mkdtemp(prefix="panal-benchmark-"))
    Run.more = SECURE if secure else {}
    pods = Run("Auto", folder, app=configured(folder, options), nodes=options.clients, rounds=options.rounds)
    watched: list[Memory] = []
    sent, received, started = [0], [0], pods.start

    def start(*args: str | list[str], **env: str) -> None:
        started(*args, **env)  # type: ignore[arg-type]
        if len(pods.processes) == options.clients + 1:
            watched.append(Memory([process.pid for process in pods.processes]))

    def ask(body: bytes) -> bytes:
        sent[0] += len(body)
        return body

    def answer(body: bytes) -> bytes:
        received[0] += len(body)
        return body

    pods.start, pods.gateways.asked, pods.gateways.answered = start, ask, answer  # type: ignore[method-assign,assignment]
    try:
        seconds = pods.run()
        aggregator, *collaborators = (most / (options.megabytes << 20) for most in watched[0].end())
        return seconds, sent[0] / (1 << 20), received[0] / (1 << 20), aggregator, max(collaborators)
    finally:
        for memory in watched:
            memory.end()
        pods.end()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("megabytes", 40), ("arrays", 10), ("clients", 5), ("rounds", 3), ("repeats", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    ratios: list[list[float]] = []
    for number in range(options.repeats):
        found = [measure(secure, options) for secure in (False, True)]
        for name, values in zip(("plain", "secure"), found, strict=True):
            seconds, sent, received, aggregator, collaborator = values
            print(
                f"{number} {name:6} {seconds / options.rounds:6.2f} s a round   sent {sent / options.rounds:7.1f} MB a round   "
                f"received {received / options.rounds:7.1f} MB a round   aggregator {aggregator:5.2f} x model   "
                f"collaborator {collaborator:5.2f} x model",
                flush=True,
            )
        ratios.append([secure / plain for plain, secure in zip(*found, strict=True)])
    medians = (statistics.median(each) for each in zip(*ratios, strict=True))
    print("with secure aggregation:", ", ".join(f"{what} {ratio:.2f}" for what, ratio in zip(WHAT, medians, strict=True)))


if __name__ == "__main__":
    main()
