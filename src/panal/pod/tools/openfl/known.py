"""Checks the installed OpenFL, and repairs what newer versions of numpy break in it."""

from __future__ import annotations

from typing import Any

from ..files import RunError
from .codes import OpenFLEnding

PIN = "openfl==1.9"


def refuse_unknown() -> None:
    """Raises RunError unless OpenFL 1.9 is installed. It is the last release, and its internals differ from those of earlier ones."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version("openfl")
    except PackageNotFoundError:
        message = f"The image holds no OpenFL for its `python3`: install {PIN} in it"
        raise RunError(OpenFLEnding.OPENFL_NOT_SUPPORTED, message) from None
    if not supported(found):
        raise RunError(OpenFLEnding.OPENFL_NOT_SUPPORTED, f"The image holds OpenFL {found}, and panal knows 1.9: install {PIN} in it")


def supported(version: str) -> bool:
    return version == "1.9" or version.startswith("1.9.")


def repair() -> None:
    """Replaces two methods that pass `newshape` to numpy.reshape, which numpy 2.4 has removed: without them no tensor can be decoded."""
    from openfl.pipelines import pipeline, random_shift_pipeline

    pipeline.Float32NumpyArrayToBytes.backward = _from_bytes
    random_shift_pipeline.RandomShiftTransformer.backward = _shifted_back


def _from_bytes(self: Any, data: Any, metadata: Any, **kwargs: Any) -> Any:
    import numpy as np

    return np.frombuffer(data, dtype=np.float32).reshape(tuple(metadata["int_list"]))


def _shifted_back(self: Any, data: Any, metadata: Any, **kwargs: Any) -> Any:
    import numpy as np

    shift = [metadata["int_to_float"][index] for index in range(len(metadata["int_to_float"]))]
    return data - np.array(shift).reshape(tuple(metadata["int_list"]))
