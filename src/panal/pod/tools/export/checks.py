"""Whether an exported file loads: `run.py export checks FILE MODEL METADATA ANSWER`, in a process of its own for each file.

Loading a file is done by the library of its format, if the image has it. Without one the answer says `Unchecked`. Pickles are refused,
because loading one runs code. The answer is JSON: `check`, and `inputs` and `outputs` of an ONNX model; or `error`.
"""

from __future__ import annotations

import json
import pickletools
import re
import sys
import zipfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

from .arrays import FormatError, differences, read, read_header

Answer = dict[str, Any]
NAMED = 3  # arrays in a message
PICKLES = (".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle")
SCRIPTS = (".pt", ".pth", ".ts")  # of TorchScript, whose archives have pickles beside their code
LOOKED_AT = 4 << 20  # bytes at the beginning of a file, and of what it is decompressed to
CALLED = ("GLOBAL", "INST", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4")  # what a pickle that runs code has
NAMED_GLOBAL = re.compile(r"[\w.]+ [\w.]+")
REMEDY = "write ONNX, XGBoost JSON, TorchScript, skops or safetensors instead"
NUMPY = {
    "tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16", "tensor(bool)": "bool", "tensor(string)": "str",
}  # fmt: skip


class RefusedError(Exception):
    """The file is not stored. The message says why."""


def check(file: Path, model: Path, metadata: Mapping[str, Any]) -> Answer:
    """Raises RefusedError; whatever a library raises means that the file does not load."""
    if is_pickle(file):
        raise RefusedError(f"{file.name} is a pickle, which runs code when it is loaded: {REMEDY}")
    loader = LOADERS.get(file.suffix.lower())
    if file.suffix.lower() == ".safetensors":
        return {"check": _safetensors(file, read(model, metadata))}
    return loader(file) if loader else {"check": f"Unchecked: panal knows no loader for {file.suffix or 'a file without a suffix'}"}


def is_pickle(file: Path) -> bool:
    """By its suffix or its content: a pickle, also compressed with gzip or zlib, or an archive with one as torch.save writes it."""
    suffix = file.suffix.lower()
    if suffix in PICKLES:
        return True
    with suppress(zipfile.BadZipFile):
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                names = archive.namelist()
            script = suffix in SCRIPTS and any("/code/" in name for name in names)
            if not script and any(name.lower().endswith(PICKLES) for name in names):
                return True
    with file.open("rb") as opened:
        first = opened.read(LOOKED_AT)
    return _begins_pickle(first) or _begins_pickle(_decompressed(first))


def _decompressed(first: bytes) -> bytes:
    """The first bytes of what gzip or zlib have compressed; empty if they have not."""
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(first, LOOKED_AT)
    except zlib.error:
        return b""


def _begins_pickle(first: bytes) -> bool:
    """Protocols 0 and 1 have no mark at their beginning: a text that its disassembler can read is one if it names what it calls, or ends
    with it. joblib writes the bytes of arrays between the instructions, which the disassembler cannot read."""
    marked = first[:1] == b"\x80" and first[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    stream, read, calls, ended = BytesIO(first), 0, False, False
    with suppress(Exception):  # whatever the disassembler says about a file that is none
        for code, argument, _ in pickletools.genops(stream):
            read, ended = read + 1, code.name == "STOP"
            calls |= code.name in CALLED and (not isinstance(argument, str) or NAMED_GLOBAL.fullmatch(argument) is not None)
    if ended:
        return marked or calls or (read > 1 and stream.tell() == len(first))
    return (marked and (calls or len(first) == LOOKED_AT)) or (calls and len(first) == LOOKED_AT)


def _onnx(file: Path) -> Answer:
    try:
        import onnxruntime
    except ImportError:
        return _onnx_checker(file)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    ports = {
        side: [{"name": p.name, "type": NUMPY.get(p.type, p.type[7:-1]), "shape": _shape(p.shape)} for p in found]
        for side, found in (("inputs", session.get_inputs()), ("outputs", session.get_outputs()))
    }
    return {"check": f"loaded by onnxruntime {onnxruntime.__version__}", **ports}


def _onnx_checker(file: Path) -> Answer:
    try:
        import onnx
    except ImportError:
        return {"check": "Unchecked: the image has neither onnxruntime nor onnx"}
    onnx.checker.check_model(str(file), full_check=True)
    graph = onnx.load(str(file), load_external_data=False).graph
    constants = {each.name for each in graph.initializer}
    ports = {"inputs": [p for p in graph.input if p.name not in constants], "outputs": list(graph.output)}
    return {"check": f"checked by onnx {onnx.__version__}"} | {side: [_port(onnx, p) for p in found] for side, found in ports.items()}


def _port(onnx: Any, value: Any) -> Answer:
    tensor = value.type.tensor_type
    shape = [each.dim_value if each.HasField("dim_value") else -1 for each in tensor.shape.dim]
    return {"name": value.name, "type": str(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)), "shape": shape}


def _shape(shape: Any) -> list[int]:
    return [each if isinstance(each, int) and each >= 0 else -1 for each in shape]


def _json(file: Path) -> Answer:
    content = json.loads(file.read_bytes())
    if isinstance(content, dict) and "learner" in content:
        return _xgboost(file, "parsed as JSON; the image has no xgboost to load it")
    return {"check": "parsed as JSON"}


def _xgboost(file: Path, without: str = "Unchecked: the image has no xgboost") -> Answer:
    try:
        import xgboost
    except ImportError:
        return {"check": without}
    trees = xgboost.Booster(model_file=str(file)).num_boosted_rounds()
    return {"check": f"loaded by xgboost {xgboost.__version__}, {trees} rounds"}


def _torch(file: Path) -> Answer:
    try:
        import torch
    except ImportError:
        return {"check": "Unchecked: the image has no torch"}
    torch.jit.load(str(file), map_location="cpu")
    return {"check": f"loaded by torch {torch.__version__}"}


def _numpy(file: Path) -> Answer:
    import numpy as np

    found = np.load(file, allow_pickle=False)
    if hasattr(found, "files"):
        for name in found.files:
            found[name]
    return {"check": f"loaded by numpy {np.__version__}"}


def _safetensors(file: Path, model: Mapping[str, Any]) -> str:
    _, header = read_header(file)
    scrambled, other = differences(file, model)
    if scrambled:
        remedy = "call numpy.ascontiguousarray on each array before safetensors.numpy.save_file, which writes others wrongly"
        raise RefusedError(f"{file.name}: {_named(scrambled)} has the model's numbers in the wrong order: {remedy}")
    equal = len(header.keys() & model.keys()) - len(other)
    said = f"read, {len(header)} arrays, {equal} of them equal to those of the model"
    return f"{said}; different: {_named(other)}" if other else said


def _named(names: list[str]) -> str:
    listed = ", ".join(name[:40] for name in names[:NAMED])
    return f"{listed} and {len(names) - NAMED} more" if len(names) > NAMED else listed


LOADERS: Mapping[str, Callable[[Path], Answer]] = {
    ".onnx": _onnx, ".json": _json, ".ubj": _xgboost, ".pt": _torch, ".pth": _torch, ".ts": _torch, ".npz": _numpy, ".npy": _numpy,
}  # fmt: skip


def main() -> int:
    file, model, metadata, answer = map(Path, sys.argv[1:5])
    try:
        about = json.loads(metadata.read_bytes()) if metadata.is_file() else {}
        found = check(file, model, about)
    except (RefusedError, FormatError) as error:
        found = {"error": str(error)}
    except Exception as error:  # noqa: BLE001  of any library
        found = {"error": f"{file.name} does not load: {type(error).__name__}: {' '.join(str(error).split())[:300]}"}
    answer.write_text(json.dumps(found))
    return 0
