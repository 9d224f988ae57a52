import numpy as np
from flwr.app import Context
from flwr.client import NumPyClient
from flwr.client.mod import secaggplus_mod
from flwr.clientapp import ClientApp


class Adding(NumPyClient):
    def fit(self, parameters, config):
        return [np.asarray(p + 1, p.dtype) for p in parameters], 10, {"seen": 10}

    def evaluate(self, parameters, config):
        return 0.25, 10, {"accuracy": 0.75}


def client_fn(context: Context):
    return Adding().to_client()


def only_for_secure_aggregation(message, context, call_next):
    return secaggplus_mod(message, context, call_next) if "secagg" in str(context.run_config["mode"]) else call_next(message, context)


app = ClientApp(client_fn=client_fn, mods=[only_for_secure_aggregation])
