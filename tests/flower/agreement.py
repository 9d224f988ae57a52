"""Compares methods of aggregation with Flower's own strategies; runs with Flower's Python and prints those that agree."""

import json
from collections.abc import Callable
from typing import Any

import flwr.app.message.array
import flwr.app.message.arrayrecord
import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAdam, FedAvg, FedAvgM, FedMedian, FedTrimmedAvg, Krum, MultiKrum
from flwr.supercore.task_identity import TaskIdentity
from panal_tools.flower import arrays
from panal_tools.flower.methods import Method
from panal_tools.flower.replies import Clusters, Phase
from panal_tools.flower.robust import Robust

arrays.patch(flwr.app.message.array)  # as in a server app's process: arrays are in files
arrays.patch(flwr.app.message.arrayrecord)

TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 1  # as in a server app's process

SITES, LARGE = 7, 30_000
RNG = np.random.default_rng(5)
MODEL = {"large": RNG.random((LARGE, 3), np.float32), "small": RNG.random(4), "half": RNG.random(5).astype(np.float16)}
AT_START = ArrayRecord({name: Array(value) for name, value in MODEL.items()})


def replies() -> list[Message]:
    """One of them is poisoned. All have as many examples, since Flower's MultiKrum weights by them. Flower's strategies
    empty the replies, so each gets its own."""
    rng = np.random.default_rng(6)
    found = []
    for node in range(SITES):
        of = {n: Array(np.asarray(v + rng.normal(0, 0.1, v.shape) * (100 if node == 3 else 1), v.dtype)) for n, v in MODEL.items()}
        content = RecordDict({"arrays": ArrayRecord(of), "metrics": MetricRecord({"num-examples": 10, "loss": float(node)})})
        asked = Message(RecordDict(), dst_node_id=node + 1, message_type="train")
        found.append(Message(content, reply_to=asked))
    return found


def ours(method: Method, byzantine: int, strategy: Any) -> Any:
    def aggregate(given: list[Message]) -> Any:
        return strategy.aggregate_train(1, given)

    return Robust(method, byzantine).in_place_of_the_mean("train", aggregate, Clusters(), Phase())(replies())


def begun(strategy: Any) -> Any:
    """A strategy that knows the model, as after its `configure_train`."""

    class Grid:
        def get_node_ids(self) -> list[int]:
            return list(range(1, SITES + 1))

    list(strategy.configure_train(1, AT_START.copy(), ConfigRecord(), Grid()))
    return strategy


def same(ours: ArrayRecord, theirs: ArrayRecord) -> None:
    assert list(ours) == list(theirs)
    for name in theirs:
        found, expected = ours[name].numpy(), theirs[name].numpy()
        assert found.dtype == MODEL[name].dtype
        eps = float(np.finfo(found.dtype).eps)
        np.testing.assert_allclose(found.astype(np.float64), expected.astype(np.float64), rtol=8 * eps, atol=8 * eps)


def replaced(arrays: ArrayRecord) -> list[Message]:
    """One reply with the result of a method, for a strategy that then averages nothing else."""
    asked = Message(RecordDict(), dst_node_id=1, message_type="train")
    return [Message(RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 1})}), reply_to=asked)]


PAIRS: list[tuple[Method, int, Callable[[], Any]]] = [
    (Method.MEDIAN, 1, FedMedian),
    (Method.KRUM, 1, lambda: Krum(num_malicious_nodes=1)),
    (Method.MULTI_KRUM, 1, lambda: MultiKrum(num_malicious_nodes=1, num_nodes_to_select=SITES - 3)),
    (Method.TRIMMED_MEAN, 1, lambda: FedTrimmedAvg(beta=1.01 / SITES)),
]
agreed = []
for method, byzantine, make in PAIRS:
    expected, _ = make().aggregate_train(1, replies())
    found, metrics = ours(method, byzantine, FedAvg())
    same(found, expected)
    assert metrics == FedAvg().aggregate_train(1, replies())[1]  # of all sites, as the strategy averages them
    agreed.append(type(make()).__name__)

median, _ = ours(Method.MEDIAN, 1, FedAvg())
for optimizer in (lambda: FedAdam(eta=0.1), lambda: FedAvgM(server_learning_rate=0.5, server_momentum=0.9)):
    found, _ = ours(Method.MEDIAN, 1, begun(optimizer()))
    expected, _ = begun(optimizer()).aggregate_train(1, replaced(median))
    for name in expected:
        np.testing.assert_array_equal(found[name].numpy(), expected[name].numpy())
    agreed.append(type(optimizer()).__name__)

print(json.dumps({"agreed": agreed}))
