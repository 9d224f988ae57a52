"""Reads the line of data/x.csv for its partition, and keeps a file between rounds."""

from pathlib import Path

from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    partition, count = context.node_config["partition-id"], context.node_config["num-partitions"]
    if context.run_config["mode"] == "asks-too-much":
        context.node_config["no-such-key"]
    line = Path("data/x.csv").read_text().split()[int(partition)]
    with Path("rounds.log").open("a") as file:
        file.write("round\n")
    numbers = {"partition": partition, "partitions": count, "line": int(line), "files": len(Path("rounds.log").read_text().split())}
    arrays = message.content["arrays"]
    grown = ArrayRecord({key: Array(arrays[key].numpy() + context.run_config["step"]) for key in arrays})
    content = RecordDict({"arrays": grown, "metrics": MetricRecord({"num-examples": 1, **numbers})})
    return Message(content=content, reply_to=message)
