import numpy as np
from flwr.app import Context
from flwr.common import ndarrays_to_parameters
from flwr.server import LegacyContext, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.server.workflow import DefaultWorkflow, SecAggPlusWorkflow
from flwr.serverapp import Grid, ServerApp

app = ServerApp()


def average(metrics):
    return {"accuracy": sum(n * m["accuracy"] for n, m in metrics) / sum(n for n, _ in metrics)}


def strategy() -> FedAvg:
    start = ndarrays_to_parameters([np.zeros(4, np.float32)])
    return FedAvg(initial_parameters=start, min_available_clients=9, min_fit_clients=9, evaluate_metrics_aggregation_fn=average)


def components(context: Context) -> ServerAppComponents:
    return ServerAppComponents(strategy=strategy(), config=ServerConfig(num_rounds=int(context.run_config["num-server-rounds"])))


@app.main()
def main(grid: Grid, context: Context) -> None:
    if context.run_config["mode"] == "server-fn":
        ServerApp(server_fn=components)(grid, context)
        return
    shares, threshold = (3, 2) if context.run_config["mode"] == "secagg" else (12, 9)  # more than there are sites: it halts
    secure = SecAggPlusWorkflow(num_shares=shares, reconstruction_threshold=threshold)
    legacy = LegacyContext(context=context, config=ServerConfig(num_rounds=9), strategy=strategy())
    DefaultWorkflow(fit_workflow=secure)(grid, legacy)
