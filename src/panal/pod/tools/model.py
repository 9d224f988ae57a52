"""Hands a model over to the reporter: named numpy arrays, in one folder for each model. Also what every runtime checks of them.

The folder has model.npz, written array by array to save memory, then model.json.
"""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from .codes import Doubt, Ending
from .export.declared import announced
from .files import ARRAYS, MODEL, MODELS, Json, RunError, append, run_dir, shown, write_json
from .records import ModelReady, Notice, Number

# numpy's names of the types that safetensors supports.
STORABLE = frozenset({"bool", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)), "float16", "float32", "float64"})
SHOWN = 3  # arrays that are named
LONGEST_NAME = 80
AT_A_TIME = 1 << 20  # numbers that are checked at a time
PIECE = 4 << 20  # bytes
History = Mapping[str, Mapping[int, Mapping[str, Number]]]  # metrics by phase and round
SUFFIX = ".npy"  # of an array's name in an npz file


def write_model(folder: Path, arrays: Iterable[tuple[str, Any]], description: Json) -> None:
    """Writes model.npz and model.json. `arrays` are names with numpy arrays; the i-th is `i.npy` in the npz, and `arrays` in model.json
    lists the names in that order."""
    import numpy as np

    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{ARRAYS}.part"
    names = []
    with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for index, (name, array) in enumerate(arrays):
            names.append(name)
            with archive.open(f"{index}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)
    part.replace(folder / ARRAYS)
    write_json(folder / MODEL, {**description, "export": announced(), "arrays": names})


def hand_over(arrays: Mapping[str, Any], round_: int, history: History, framework: str, versions: Iterable[str]) -> None:
    """Hands numpy arrays over, the result of `round_`. `versions` are the distributions whose versions are stored with the model, if they
    are installed. Raises RunError for an array that cannot be stored."""
    if unfit := [f"{name} ({kind})" for name, array in arrays.items() if (kind := type_name(array)) not in STORABLE]:
        raise RunError(Ending.ARRAYS_NOT_STORABLE, f"The model has arrays that safetensors cannot store: {named(unfit)}")
    description = {
        "start": 1,
        "round": round_,
        "metrics": {name: value for rounds in history.values() for name, value in rounds.get(round_, {}).items()},
        "history": {phase: rounds for phase, rounds in history.items() if rounds},
        "strategy": framework,
        "app": {},
        "versions": {name: each.version for name in versions for each in distributions(name=name)},
    }
    write_model(run_dir() / MODELS / "1", arrays.items(), description)
    if infinite := [name for name, array in arrays.items() if not_finite(array)]:
        append(Notice(kind=Doubt.MODEL_SUSPECT, message=f"{named(infinite)} with NaN or infinity"))
    append(ModelReady(start=1, round=round_))


def adopt_model(npz: Path, folder: Path, description: Json) -> None:
    """Writes the same files from an npz file, as `numpy.savez` writes it, without numpy. Raises RunError if it is not such a file."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{ARRAYS}.part"
    try:
        with zipfile.ZipFile(npz) as source, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            members = source.namelist()
            if why := _unfit(members):
                raise _not_a_model(npz, why)
            for index, member in enumerate(members):
                with source.open(member) as array, archive.open(f"{index}{SUFFIX}", "w", force_zip64=True) as file:
                    shutil.copyfileobj(array, file, PIECE)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise _not_a_model(npz, str(error)) from error
    part.replace(folder / ARRAYS)
    write_json(folder / MODEL, {**description, "export": announced(), "arrays": [member.removesuffix(SUFFIX) for member in members]})


def _unfit(members: list[str]) -> str:
    """Why an archive with these members is no model."""
    if not members:
        return "it has no arrays"
    if other := next((member for member in members if not member.endswith(SUFFIX)), ""):
        return f"{shown(other, LONGEST_NAME)} is no array"
    if len(set(members)) < len(members):
        return "several arrays have the same name"
    return ""


def _not_a_model(npz: Path, why: str) -> RunError:
    return RunError(Ending.ARRAYS_NOT_STORABLE, f"The model {npz} is not an npz file with arrays, as numpy.savez writes it: {why}")


def infinite_in(npz: Path) -> str:
    """The arrays of an npz file that contain NaN or infinity. Empty if there are none, or if numpy is not there or cannot read them."""
    try:
        import numpy as np  # noqa: F401
    except ImportError:
        return ""
    try:
        with zipfile.ZipFile(npz) as archive:
            return named([member.removesuffix(SUFFIX) for member in archive.namelist() if _member_not_finite(archive, member)])
    except (ValueError, TypeError):
        return ""  # the reporter says why it cannot store it


def _member_not_finite(archive: zipfile.ZipFile, member: str) -> bool:
    """In pieces, so that memory does not depend on the array's size. Raises ValueError for what is no array of numbers."""
    import numpy as np

    with archive.open(member) as file:
        first = np.lib.format.read_magic(file) == (1, 0)
        _, _, dtype = (np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0)(file)
        if dtype.kind not in "fc":
            return False
        while piece := file.read(AT_A_TIME * dtype.itemsize):
            if not_finite(np.frombuffer(piece, dtype)):
                return True
    return False


def named(names: list[str]) -> str:
    """The first names as text, such as `a, b and 3 more`."""
    listed = ", ".join(shown(name, LONGEST_NAME) for name in names[:SHOWN])
    return f"{listed} and {len(names) - SHOWN} more" if len(names) > SHOWN else listed


def type_name(array: Any) -> str:
    """numpy's name of an array's type, without byte order; the declared name of a type that numpy lacks."""
    import numpy as np

    try:
        return str(np.dtype(array.dtype).newbyteorder("=").name)
    except TypeError:
        return str(array.dtype)[:LONGEST_NAME]


def not_finite(numbers: Any) -> bool:
    """Whether a numpy array contains NaN or infinity. Memory does not depend on its size if it is contiguous."""
    import numpy as np

    if numbers.dtype.kind not in "fc":
        return False
    flat = numbers.reshape(-1)
    return not all(bool(np.isfinite(flat[at : at + AT_A_TIME]).all()) for at in range(0, len(flat), AT_A_TIME))
