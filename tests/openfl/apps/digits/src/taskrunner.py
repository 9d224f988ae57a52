"""Softmax regression with numpy. The file FAULT of the environment says how the site misbehaves, for tests of failures."""

import os
import time
from pathlib import Path

import numpy as np
from openfl.federated import TaskRunner
from openfl.utilities import Metric, TensorKey


def fault():
    file = Path(os.environ.get("FAULT", "/nonexistent"))
    return file.read_text() if file.exists() else ""


class SoftmaxRunner(TaskRunner):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        if fault() == "raise at start":
            raise OSError("the secret of a patient")
        self.w, self.b = np.zeros((64, 10), np.float32), np.zeros((10,), np.float32)

    def initialize_tensorkeys_for_functions(self, with_opt_vars=False):
        pass

    def get_tensor_dict(self, with_opt_vars=False):
        return {"w": self.w, "b": self.b}

    def set_tensor_dict(self, tensor_dict, with_opt_vars=False):
        self.w, self.b = np.array(tensor_dict["w"]), np.array(tensor_dict["b"])

    def get_required_tensorkeys_for_function(self, func_name, **kwargs):
        local = func_name == "validate_task" and kwargs["apply"] == "local"
        key = ("LOCAL", 0, False, ("trained",)) if local else ("GLOBAL", 0, False, ("model",))
        return [TensorKey(name, *key) for name in self.get_tensor_dict()]

    def probabilities(self, x):
        z = x @ self.w + self.b
        e = np.exp(z - z.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    def train_task(self, col_name, round_num, input_tensor_dict, epochs=1, **kwargs):
        self.set_tensor_dict(input_tensor_dict)
        what = self.misbehave(round_num)
        loader, losses = self.data_loader, []
        for _ in range(epochs):
            for start in range(0, len(loader.x_train), loader.batch_size):
                x, y = loader.x_train[start : start + loader.batch_size], loader.y_train[start : start + loader.batch_size]
                p = self.probabilities(x)
                losses.append(-np.log(p[np.arange(len(y)), y] + 1e-9).mean())
                p[np.arange(len(y)), y] -= 1
                self.w -= 0.1 * (x.T @ p) / len(y)
                self.b -= 0.1 * p.mean(0)
        if what == "nan":
            self.w[0, 0] = np.nan
        if what == "shape":
            self.b = np.zeros((3,), np.float32)
        return self.results(col_name, round_num, Metric("other" if what == "name" else "loss", np.array(np.mean(losses))))

    def get_train_data_size(self):
        return 0 if fault() == "empty" else super().get_train_data_size()

    def misbehave(self, round_num):
        what = fault()
        if what == "raise":
            raise ValueError("the secret of a patient")
        if what == f"wait in {round_num}":
            print(f"waits in {round_num}", flush=True)
        while fault() == f"wait in {round_num}":
            time.sleep(0.05)
        return what

    def results(self, col_name, round_num, metric):
        tensors = self.get_tensor_dict()
        sent = {TensorKey(metric.name, col_name, round_num, True, ("metric",)): metric.value}
        sent |= {TensorKey(name, col_name, round_num, False, ("trained",)): value.astype(np.float32) for name, value in tensors.items()}
        return sent, {TensorKey(name, col_name, round_num + 1, False, ("model",)): value for name, value in tensors.items()}

    def validate_task(self, col_name, round_num, input_tensor_dict, apply="global", **kwargs):
        self.set_tensor_dict(input_tensor_dict)
        loader = self.data_loader
        accuracy = np.array((self.probabilities(loader.x_valid).argmax(1) == loader.y_valid).mean())
        if fault() == "nan metric":
            accuracy = np.array(np.nan)
        tags = ("metric", "validate_agg" if apply == "global" else "validate_local")
        return {TensorKey("accuracy", col_name, round_num, True, tags): accuracy}, {}
