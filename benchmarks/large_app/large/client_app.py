"""Loads the whole model, as a training does, changes each number by an amount of this site's own, and returns it."""

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    model = {name: array.numpy() for name, array in message.content["arrays"].items()}
    change = np.float32(np.random.default_rng().random() + 0.5)
    for numbers in model.values():
        numbers *= change
    trained = ArrayRecord({name: Array(numbers) for name, numbers in model.items()})
    return Message(content=RecordDict({"arrays": trained, "metrics": MetricRecord({"num-examples": 10})}), reply_to=message)
