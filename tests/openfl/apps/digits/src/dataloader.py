"""Synthetic digits: ten noisy prototypes of 64 pixels. `data_path` is the number of a shard, or None where the model alone is wanted."""

import numpy as np
from openfl.federated import DataLoader


class DigitsLoader(DataLoader):
    def __init__(self, data_path=None, batch_size=32, collaborator_count=1, **kwargs):
        super().__init__(**kwargs)
        self.batch_size = batch_size
        self.x, self.y = np.zeros((0, 64), np.float32), np.zeros((0,), np.int64)
        if data_path is not None:
            print(f"shard {data_path} of {collaborator_count}", flush=True)
            self.x, self.y = samples(int(data_path))
        cut = len(self.x) * 4 // 5
        self.x_train, self.y_train, self.x_valid, self.y_valid = self.x[:cut], self.y[:cut], self.x[cut:], self.y[cut:]

    def get_feature_shape(self):
        return [64]

    def get_train_data_size(self):
        return len(self.x_train)

    def get_valid_data_size(self):
        return len(self.x_valid)


def samples(shard):
    prototypes = np.random.default_rng(0).normal(size=(10, 64))
    random = np.random.default_rng(shard + 1)
    labels = random.integers(0, 10, 400)
    return (prototypes[labels] + random.normal(size=(400, 64))).astype(np.float32), labels
