"""Adds one to every array, slowly if STEPS_SECONDS says so; with a data path, its folder or bucket must hold `number`. Says what
it has found. What else the environment may ask for is in `tries`."""

import os
import time
import urllib.request
from pathlib import Path

from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict

from steps import takeover, tries
from steps.kinds import EitherInterface

app = EitherInterface()


@app.train()
def train(message: Message, context: Context) -> Message:
    if os.environ.get("STEPS_RAISES_ON") in ("everywhere", context.node_config.get("cluster-name")):
        raise ValueError("patient 4711 has a secret")
    if os.environ.get("STEPS_ATTACKS_ON") == context.node_config.get("cluster-name"):
        takeover.begin(os.environ["STEPS_ATTACKS"].split(","))
    path = str(context.node_config.get("data-path", ""))
    number = float(read(path)) if path else 1.0
    time.sleep(float(os.environ.get("STEPS_SECONDS", "0")))
    arrays = message.content["arrays"]
    grown = ArrayRecord({key: Array(arrays[key].numpy() + 1) for key in arrays})
    with Path("rounds.log").open("a") as file:
        file.write("round\n")
    found = {key: context.node_config[key] for key in ("partition-id", "num-partitions")}
    metrics = MetricRecord({"loss": number, "num-examples": 10, "scale": context.run_config["scale"], **found, **tries.reached()})
    return Message(content=RecordDict({"arrays": grown, "metrics": metrics}), reply_to=message)


def read(path: str) -> str:
    if not path.startswith("s3://"):
        return Path(path, "number").read_text()
    with urllib.request.urlopen(f"{os.environ['AWS_ENDPOINT_URL_S3']}/{path.removeprefix('s3://')}/number", timeout=10) as answer:
        return answer.read().decode()
