"""Whether a model fits the arrays with which an app starts."""

from __future__ import annotations

import pytest

from panal.pod.tools.flower.warm_start import compare

TORCH = {"conv.weight": ("float32", (8, 3)), "norm.num_batches_tracked": ("int64", ())}


@pytest.mark.parametrize(
    ("own", "model", "words"),
    [
        (TORCH, TORCH, ""),
        (TORCH, dict(reversed(TORCH.items())), ""),  # in another order
        (TORCH, TORCH | {"norm.num_batches_tracked": ("float64", ())}, ""),  # as its average is
        (TORCH, TORCH | {"norm.num_batches_tracked": ("float32", ())}, "norm.num_batches_tracked is float32 () and not int64 ()"),
        (TORCH, TORCH | {"conv.weight": ("float64", (8, 3))}, "conv.weight is float64 (8, 3) and not float32 (8, 3)"),
        (TORCH, {"conv.bias": ("float32", (8,))}, "it lacks conv.weight, norm.num_batches_tracked; the app has no conv.bias"),
        ({"0": ("uint8", (0,))}, {"0": ("uint8", (5000,))}, ""),  # trees
        ({"0": ("uint8", (0,))}, {"0": ("float32", (5000,))}, "0 is float32 (5000,) and not uint8 (0,)"),
        ({"0": ("uint8", (2, 2))}, {"0": ("uint8", (2, 3))}, "0 is uint8 (2, 3) and not uint8 (2, 2)"),
        (
            {str(n): ("float32", (n,)) for n in range(5)},
            {str(n): ("float32", (n + 1,)) for n in range(5)},
            "0 is float32 (1,) and not float32 (0,); 1 is float32 (2,) and not float32 (1,); "
            "2 is float32 (3,) and not float32 (2,) and 2 more",
        ),
        ({"a\x1b[31m": ("float32", ())}, {}, "it lacks a\\x1b[31m"),
    ],
)
def test_names_shapes_and_types_are_compared(
    own: dict[str, tuple[str, tuple[int, ...]]], model: dict[str, tuple[str, tuple[int, ...]]], words: str
) -> None:
    assert compare(own, model) == words
