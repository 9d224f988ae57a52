"""Writes the model as ONNX. After a run panal calls `onnx` in this image, because pyproject.toml names it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnist_app.model import Model


def onnx(arrays: Model, metadata: Mapping[str, Any], folder: Path) -> None:
    """`model.onnx`: from `image` (n, 784), 0 to 1, to `probability` (n, 10)."""
    from onnx import TensorProto, checker, helper, numpy_helper, save

    nodes = [
        helper.make_node("Gemm", ["image", "hidden.weight", "hidden.bias"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["hidden"]),
        helper.make_node("Gemm", ["hidden", "output.weight", "output.bias"], ["score"]),
        helper.make_node("Softmax", ["score"], ["probability"], axis=1),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 784])
    probability = helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n", 10])
    weights = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "digits", [image], [probability], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model.producer_name = f"panal run {metadata['run']['namespace']}/{metadata['run']['name']}"
    checker.check_model(model)
    save(model, folder / "model.onnx")
