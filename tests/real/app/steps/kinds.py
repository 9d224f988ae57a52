"""Ways of using Flower other than one call of `Strategy.start`; the run config's `kind` says which."""

import time

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.client import NumPyClient
from flwr.client.mod import secaggplus_mod
from flwr.clientapp import ClientApp
from flwr.common import ndarrays_to_parameters
from flwr.server import LegacyContext, ServerConfig
from flwr.server.strategy import FedAvg as OlderFedAvg
from flwr.server.workflow import DefaultWorkflow, SecAggPlusWorkflow
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg


def own_loop(grid: Grid, context: Context) -> None:
    """Two rounds of training; the model is a file of the app's own."""
    arrays = ArrayRecord({"weights": Array(np.zeros(3, np.float32))})
    for _ in range(2):
        while len(nodes := list(grid.get_node_ids())) < 3:
            time.sleep(0.2)
        content = RecordDict({"arrays": arrays, "config": ConfigRecord({})})
        replies = list(grid.send_and_receive([Message(content, node, "train") for node in nodes]))
        arrays = replies[0].content["arrays"]
    np.save("own.npy", arrays["weights"].numpy())


def secure(grid: Grid, context: Context) -> None:
    """Secure aggregation, which Flower has for its older interface alone."""
    strategy = OlderFedAvg(initial_parameters=ndarrays_to_parameters([np.zeros(3, np.float32)]), fraction_evaluate=0.0)
    legacy = LegacyContext(context=context, config=ServerConfig(num_rounds=2), strategy=strategy)
    DefaultWorkflow(fit_workflow=SecAggPlusWorkflow(num_shares=3, reconstruction_threshold=2))(grid, legacy)


def two_models(grid: Grid, context: Context) -> None:
    for name in ("first", "second"):
        arrays = ArrayRecord({name: Array(np.zeros(3, np.float32))})
        FedAvg(fraction_evaluate=0.0).start(grid=grid, initial_arrays=arrays, num_rounds=1)


SERVERS = {"own-loop": own_loop, "secure": secure, "two-models": two_models}


class Adding(NumPyClient):
    def fit(self, parameters, config):
        return [p + np.float32(1) for p in parameters], 10, {}


older = ClientApp(client_fn=lambda context: Adding().to_client(), mods=[secaggplus_mod])


class EitherInterface(ClientApp):
    """The older one for secure aggregation."""

    def __call__(self, message: Message, context: Context) -> Message:
        return older(message, context) if context.run_config["kind"] == "secure" else super().__call__(message, context)
