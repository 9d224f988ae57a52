"""As SoftmaxRunner, with momentum. As with OpenFL's runners, the velocities are tensors of the model only after the first training."""

import numpy as np
from openfl.utilities import TensorKey

from .taskrunner import SoftmaxRunner


class MomentumRunner(SoftmaxRunner):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.v = {"v/w": np.zeros((64, 10), np.float32), "v/b": np.zeros((10,), np.float32)}
        self.trained = False

    def get_required_tensorkeys_for_function(self, func_name, **kwargs):
        found = super().get_required_tensorkeys_for_function(func_name, **kwargs)
        if self.trained and self.opt_treatment == "CONTINUE_GLOBAL" and func_name == "train_task":
            found = [*found, *(TensorKey(name, "GLOBAL", 0, False, ("model",)) for name in self.v)]
        return found

    def train_task(self, col_name, round_num, input_tensor_dict, epochs=1, **kwargs):
        if "v/w" in input_tensor_dict:
            self.v = {name: np.array(input_tensor_dict[name]) for name in self.v}
        before = {name: np.array(input_tensor_dict[name]) for name in ("w", "b")}
        sent, kept = super().train_task(col_name, round_num, {name: input_tensor_dict[name] for name in before}, epochs)
        for name in before:
            self.v[f"v/{name}"] = np.float32(0.9) * self.v[f"v/{name}"] + (getattr(self, name) - before[name])
            setattr(self, name, before[name] + self.v[f"v/{name}"])
        self.trained = True
        metric = next(key for key in sent if "metric" in key.tags)
        for name, value in {"w": self.w, "b": self.b, **self.v}.items():
            sent[TensorKey(name, col_name, round_num, False, ("trained",))] = value
            kept[TensorKey(name, col_name, round_num + 1, False, ("model",))] = value
        return {metric: sent[metric], **{key: value for key, value in sent.items() if key != metric}}, kept
