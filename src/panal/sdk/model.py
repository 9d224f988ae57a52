"""The stored model of a run, downloaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from panal.api import figures
from panal.client.access import Access
from panal.client.download import opened, save
from panal.client.problem import Code, Problem
from panal.kube.client import Client
from panal.kube.objects import Object
from panal.sdk import tensors

if TYPE_CHECKING:
    from numpy.typing import NDArray

METADATA = "metadata.json"
SUFFIX = ".safetensors"
MOST = 16 << 20  # bytes of metadata.json that are read
PIECE = 1 << 20


@dataclass(frozen=True)
class Model:
    """A model as the run has stored it.

    `path` is the downloaded file, whose SHA-256 is `digest` (`sha256:<hex>`), as in the status of the run. `round` is the last round that
    it includes, `uri` is where it is stored, and `metadata` has what the run stored beside it as `metadata.json`: versions, metrics, the
    app; empty if there is none.
    """

    path: Path
    digest: str
    round: int
    uri: str
    metadata: dict[str, Any] = field(default_factory=dict, repr=False)

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by name, read from the file when they are first used. Address them by name, not by their order. Needs numpy. Raises
        Problem for a file that is not safetensors, or of a type that numpy does not have, such as bfloat16."""
        if self.path.suffix != SUFFIX:
            raise Problem(Code.USAGE, f"{self.path} is not a safetensors file", "Load it with the framework that has written it.")
        return tensors.read(self.path)

    @property
    def names(self) -> list[str]:
        """The names of the arrays."""
        return list(self.arrays)


async def fetched(access: Access, client: Client, run: Object, to: Path | None, say: Callable[[str], None]) -> Model:
    """Downloads the model, unless the file is here already. Raises Problem; then the file is as it was before."""
    name = run["metadata"]["name"]
    model = (run.get("status") or {}).get("model")
    if not model:
        raise Problem(Code.NOT_FOUND, f"{name} has no stored model", "It is stored after the rounds: `status` shows its state.")
    stored = str(model["uri"]).rpartition("/")[2]
    path = _path(to, f"{name}{Path(stored).suffix}")
    expected = str(model["digest"])
    here = _digest(path) == expected
    async with opened(access, client, run, say) as read:
        metadata = _parsed(await _small(read(METADATA)))
        if not here:
            path.parent.mkdir(parents=True, exist_ok=True)
            await save(read(stored), path, expected, lambda done: say(f"{figures.amount(done)} of {stored}"))
    return Model(path, expected, int(model["round"]), str(model["uri"]), metadata)


def _path(to: Path | None, file: str) -> Path:
    if to is None:
        return Path(file).resolve()
    return (to / file if to.is_dir() else to).resolve()


def _digest(path: Path) -> str:
    if not path.is_file():
        return ""
    sums = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            sums.update(piece)
    return f"sha256:{sums.hexdigest()}"


async def _small(content: Any) -> bytes:
    """Empty if the run has no such file, or it is too large."""
    found = bytearray()
    try:
        async for piece in content:
            found += piece
            if len(found) > MOST:
                return b""
    except Problem as problem:
        if problem.code != Code.NOT_FOUND:
            raise
        return b""
    return bytes(found)


def _parsed(content: bytes) -> Object:
    """Empty for what is no object: the model does not depend on it."""
    try:
        found = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
