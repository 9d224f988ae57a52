"""The methods that take the place of OpenFL's, which numpy 2.4 has broken."""

from __future__ import annotations

import numpy as np

from panal.pod.tools.openfl import known


def test_a_tensor_is_decoded() -> None:
    numbers = np.arange(6, dtype=np.float32).reshape(2, 3)
    found = known._from_bytes(None, numbers.tobytes(), {"int_list": [2, 3]})
    assert (found == numbers).all()
    assert known._from_bytes(None, np.float32(1.5).tobytes(), {"int_list": []}).shape == ()


def test_a_random_shift_is_taken_back() -> None:
    shift = {"int_to_float": {0: 1.0, 1: 2.0}, "int_list": [2, 1]}
    assert known._shifted_back(None, np.array([[5.0], [5.0]]), shift).tolist() == [[4.0], [3.0]]
