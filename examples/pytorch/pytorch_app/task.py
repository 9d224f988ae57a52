"""The digits, and the model: two convolutions and a linear layer, 7,434 parameters, on the CPU. Everything is seeded."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

torch.set_num_threads(1)  # the model is too small to gain by more, and one thread always sums in the same order

BATCH = 32
MOMENTUM = 0.9
DECAY = 1e-4
HELD_OUT = 5  # every fifth digit of a site is for evaluation, never for training

Digits = tuple[Tensor, Tensor]


class Net(nn.Module):
    """From (n, 1, 28, 28), 0 to 1, to (n, 10) scores."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 5, padding=2)
        self.conv2 = nn.Conv2d(8, 16, 5)
        self.output = nn.Linear(16 * 5 * 5, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.conv1(images)), 2)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 2)
        return self.output(x.flatten(1))


def initial(seed: int = 0) -> Net:
    torch.manual_seed(seed)
    return Net()


def load(file: Path) -> Digits:
    """Digits of a file with `x`, (n, 28, 28) bytes, and `y`, (n,) labels. Raises ValueError, with the file's name, if it has others."""
    if not file.is_file():
        raise ValueError(f"{file} is missing: ../mnist/split.py makes it")
    try:
        with np.load(file) as data:
            x, y = data["x"], data["y"]
    except (BadZipFile, EOFError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file} is not an .npz file with the arrays x and y: {error}") from error
    if x.ndim != 3 or x.shape[1:] != (28, 28) or x.dtype != np.uint8:
        raise ValueError(f"{file}: x is {x.dtype} {x.shape}, not uint8 (n, 28, 28)")
    if y.shape != (len(x),) or y.dtype.kind not in "iu":
        raise ValueError(f"{file}: y is {y.dtype} {y.shape}, not one whole number for each of the {len(x)} images")
    if len(x) < HELD_OUT:
        raise ValueError(f"{file} has {len(x)} digits; at least {HELD_OUT} are needed")
    if y.min() < 0 or y.max() > 9:
        raise ValueError(f"{file}: y has labels from {y.min()} to {y.max()}, not from 0 to 9")
    return torch.from_numpy(x.astype(np.float32) / 255).unsqueeze(1), torch.from_numpy(y.astype(np.int64))


def divide(digits: Digits) -> tuple[Digits, Digits]:
    """For training, and for evaluation. Always the same."""
    images, labels = digits
    held = torch.arange(len(labels)) % HELD_OUT == 0
    return (images[~held], labels[~held]), (images[held], labels[held])


def train(net: Net, digits: Digits, epochs: int, rate: float, seed: int) -> float:
    """Changes `net`. Returns the mean loss in the last epoch."""
    images, labels = digits
    optimizer = torch.optim.SGD(net.parameters(), lr=rate, momentum=MOMENTUM, weight_decay=DECAY)
    shuffle = torch.Generator().manual_seed(seed)
    net.train()
    total = 0.0
    for _ in range(epochs):
        total = 0.0
        for batch in torch.randperm(len(labels), generator=shuffle).split(BATCH):
            optimizer.zero_grad()
            loss = functional.cross_entropy(net(images[batch]), labels[batch])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
    return total / len(labels)


@torch.no_grad()
def evaluate(net: Net, digits: Digits) -> tuple[float, float]:
    """Mean cross-entropy and accuracy."""
    images, labels = digits
    net.eval()
    scores = net(images)
    return functional.cross_entropy(scores, labels).item(), (scores.argmax(dim=1) == labels).float().mean().item()
