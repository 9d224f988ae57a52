"""One server app for each way in which apps use Flower; MODES has them by name."""

import time
from collections.abc import Iterable

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import Bulyan, DifferentialPrivacyServerSideFixedClipping, FedAdam, FedAvg, FedXgbBagging, Result

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    MODES[str(context.run_config["mode"])](grid)


def model(dtype: type = np.float32, name: str = "w") -> ArrayRecord:
    return ArrayRecord({name: Array(np.zeros(4, dtype))})


def messages(nodes: Iterable[int], kind: str, arrays: ArrayRecord | None, group: str = "") -> list[Message]:
    content = RecordDict({"config": ConfigRecord({"asked": 1})} | ({"arrays": arrays} if arrays is not None else {}))
    return [Message(content, node, kind, group_id=group) for node in nodes]


def nodes_of(grid: Grid, least: int = 2) -> list[int]:
    while len(nodes := list(grid.get_node_ids())) < least:
        time.sleep(0.5)
    return nodes


def loop(grid: Grid, group: bool = False) -> ArrayRecord:
    """Three rounds of a custom main loop, each with training and evaluation."""
    arrays = model()
    for number in range(1, 4):
        name = str(number) if group else ""
        replies = list(grid.send_and_receive(messages(nodes_of(grid), "train", arrays, name), timeout=60))
        arrays = replies[0].content["arrays"]
        list(grid.send_and_receive(messages(nodes_of(grid), "evaluate", arrays, name)))
    np.savez("own.npz", w=arrays["w"].numpy())
    return arrays


def push(grid: Grid) -> None:
    """Two rounds with push_messages and pull_messages."""
    arrays = model()
    for _ in range(2):
        waited = set(grid.push_messages(messages(nodes_of(grid), "train", arrays)))
        while waited:
            for reply in grid.pull_messages(waited):
                waited.discard(reply.metadata.reply_to_message_id)
            time.sleep(0.2)


def query(grid: Grid) -> None:
    """Statistics, and no model."""
    replies = list(grid.send_and_receive(messages(nodes_of(grid), "query", None)))
    print("counted", sum(reply.content["metrics"]["count"] for reply in replies), flush=True)


class OwnStart(FedAvg):
    """A strategy with its own main loop, which stops early."""

    def start(self, grid, initial_arrays, num_rounds=3, timeout=3600, train_config=None, evaluate_config=None, evaluate_fn=None):
        result = Result()
        result.arrays = initial_arrays
        for number in range(1, num_rounds + 1):
            replies = grid.send_and_receive(self.configure_train(number, result.arrays, ConfigRecord(), grid), timeout=timeout)
            arrays, metrics = self.aggregate_train(number, replies)
            if arrays is not None and metrics is not None:
                result.arrays, result.train_metrics_clientapp[number] = arrays, metrics
            if number == 2:
                break
        return result


class Calling(FedAvg):
    """A strategy that runs code before and after Flower's `start`."""

    def start(self, *args, **kwargs):
        result = super().start(*args, **kwargs)
        print("rounds", sorted(result.train_metrics_clientapp), flush=True)
        return result


def two_models(grid: Grid) -> None:
    models = {name: model(name=name) for name in ("generator", "critic")}
    for _ in range(2):
        for name in models:
            result = FedAvg(fraction_evaluate=0.0).start(grid=grid, initial_arrays=models[name], num_rounds=1)
            models[name] = result.arrays
    print("generator", models["generator"]["generator"].numpy()[0], flush=True)


class Halving(FedAvg):
    """Halves the learning rate in place, as schedules do."""

    def configure_train(self, server_round, arrays, config, grid):
        config["lr"] = float(config["lr"]) / 2
        print(f"round {server_round}: lr {config['lr']}", flush=True)
        return super().configure_train(server_round, arrays, config, grid)


def schedule(grid: Grid) -> None:
    config = ConfigRecord({"lr": 2.0})
    Halving(fraction_evaluate=0.0).start(grid=grid, initial_arrays=model(), num_rounds=3, train_config=config)


def started(strategy, arrays: ArrayRecord | None = None, **more):
    def run(grid: Grid) -> None:
        strategy().start(grid=grid, initial_arrays=arrays or model(), num_rounds=3, **more)

    return run


def fails_after(grid: Grid) -> None:
    FedAvg(fraction_evaluate=0.0).start(grid=grid, initial_arrays=model(), num_rounds=2)
    raise OSError(30, "Read-only file system", "final_model.npz")


def waits(grid: Grid) -> None:
    nodes_of(grid, 5)


class Variance(FedAvg):
    """Returns a negative variance, which no model should have."""

    def aggregate_train(self, server_round, replies):
        _, metrics = super().aggregate_train(server_round, replies)
        return ArrayRecord({"norm.running_var": Array(np.array([-1.0], np.float32))}), metrics


class Nothing(FedAvg):
    def aggregate_train(self, server_round, replies):
        return None, None


class FirstOnly(FedAvg):
    """Returns arrays only after the first round."""

    def aggregate_train(self, server_round, replies):
        arrays, metrics = super().aggregate_train(server_round, replies)
        return (arrays if server_round == 1 else None), metrics


def private() -> DifferentialPrivacyServerSideFixedClipping:
    return DifferentialPrivacyServerSideFixedClipping(FedAvg(fraction_evaluate=0.0), 0.1, 1.0, 2)


def vertical(grid: Grid) -> None:
    """Vertical learning: sites send embeddings, and the server sends gradients without polling for replies."""
    wanted = np.array([1.0, 2.0, 3.0, 4.0])
    for _ in range(3):
        asked = [Message(RecordDict(), node, "query.embed") for node in nodes_of(grid)]
        replies = list(grid.send_and_receive(asked))
        given = sum(reply.content["arrays"]["embedding"].numpy() for reply in replies)
        error = given - wanted
        print("loss", float((error**2).mean()), flush=True)
        content = RecordDict({"gradients": ArrayRecord({"gradient": Array(np.array([error.mean() / 2]))})})
        grid.push_messages([Message(content, reply.metadata.src_node_id, "train.step") for reply in replies])


def judged(server_round: int, arrays: ArrayRecord) -> MetricRecord:
    return MetricRecord({"judged": float(server_round)} if server_round < 2 else {})


MODES = {
    "loop": loop,
    "loop-groups": lambda grid: loop(grid, group=True),
    "push": push,
    "query": query,
    "own-start": started(lambda: OwnStart(fraction_evaluate=0.0)),
    "calling": started(lambda: Calling(fraction_evaluate=0.0)),
    "two-models": two_models,
    "schedule": schedule,
    "diverges": started(lambda: FedAvg(fraction_evaluate=0.0)),
    "stale": started(lambda: FedAvg(fraction_evaluate=0.0), evaluate_fn=judged),
    "complex": started(FedAvg, model(np.complex64, "fourier")),
    "grows": started(lambda: FedAdam(fraction_evaluate=0.0)),
    "bulyan": started(lambda: Bulyan(fraction_evaluate=0.0, num_malicious_nodes=1)),
    "nothing": started(lambda: Nothing(fraction_evaluate=0.0)),
    "first-only": started(lambda: FirstOnly(fraction_evaluate=0.0)),
    "variance": started(lambda: Variance(fraction_evaluate=0.0)),
    "private": started(private),
    "mods": started(lambda: FedAvg(fraction_evaluate=0.0)),
    "trees": started(lambda: FedXgbBagging(fraction_evaluate=0.0), ArrayRecord([np.frombuffer(b"", np.uint8)])),
    "vertical": vertical,
    "fails-after": fails_after,
    "waits": waits,
}
