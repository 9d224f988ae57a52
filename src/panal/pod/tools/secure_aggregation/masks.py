"""Masks: streams of numbers modulo 2^64 that only those who have the key can reckon (ChaCha20)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

BLOCK = 1 << 18  # numbers that are reckoned at a time
WIDTH = 8  # bytes of a number


class Masks:
    """The sum of several streams, of which each block has the numbers that follow those of the block before it. `keys`: of 32 bytes, each
    with the sign of its stream, 1 or -1. A key is of one stream alone."""

    def __init__(self, keys: Iterable[tuple[bytes, int]]) -> None:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

        self._streams = [(Cipher(algorithms.ChaCha20(key, bytes(16)), None).encryptor(), sign) for key, sign in keys]

    def add_to(self, numbers: Any) -> None:
        """Adds the next numbers of the mask to a one-dimensional uint64 array."""
        import numpy as np

        zeros, stream = bytes(WIDTH * min(BLOCK, len(numbers))), bytearray(WIDTH * BLOCK)
        for at in range(0, len(numbers), BLOCK):
            block = numbers[at : at + BLOCK]
            for encryptor, sign in self._streams:
                encryptor.update_into(memoryview(zeros)[: WIDTH * len(block)], stream)
                mask = np.frombuffer(stream, "<u8", len(block))
                (np.add if sign > 0 else np.subtract)(block, mask, out=block)
