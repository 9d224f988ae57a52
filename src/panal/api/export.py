"""The result of an export. The Job's last container leaves it as its termination message; the controller reads it into the status.

The folder `export` beside the model has the files that the app has written, and export.json, which lists all of them. The status has the
digest of export.json, so that each file can be checked.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, ValidationError

from panal.api.progress import Count, Text
from panal.api.schema import Model
from panal.api.status import MAX_EXPORTED, ExportedFile
from panal.pod.tools import codes
from panal.pod.tools.codes import DIGEST

LIST = "export.json"
BYTES = 4000  # of the message: Kubernetes cuts it at 4096
MOST = 64  # files
LONGEST = 128  # characters of a file's path, and of what is said about its check
PORTS = 64  # inputs, and outputs
PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*){0,3}", re.ASCII)  # of a file in the folder
FUNCTION = re.compile(codes.FUNCTION, re.ASCII)

Digest = Annotated[str, Field(pattern=rf"^sha256:{DIGEST}$")]


class Port(Model):
    """An input or output of the model. `type` is numpy's name of the type, and -1 in `shape` any length."""

    name: Annotated[str, Field(max_length=LONGEST)]
    type: Annotated[str, Field(max_length=32)]
    shape: Annotated[list[int], Field(max_length=16)]


class Entry(Model):
    name: Annotated[str, Field(pattern=rf"^{PATH.pattern}$", max_length=LONGEST)]
    size: Count
    digest: Digest
    check: Annotated[str, Field(max_length=4 * LONGEST)]


class Listing(Model):
    """The content of export.json."""

    function: Text
    files: Annotated[list[Entry], Field(max_length=MOST)]
    inputs: Annotated[list[Port], Field(max_length=PORTS)] = Field(default_factory=list)
    outputs: Annotated[list[Port], Field(max_length=PORTS)] = Field(default_factory=list)
    versions: Annotated[dict[str, str], Field(max_length=16)] = Field(default_factory=dict)


class Result(Model):
    """`files` are the first ones, `count` and `size` are those of all. `digest` is that of export.json."""

    files: Annotated[list[ExportedFile], Field(max_length=MAX_EXPORTED)]
    count: Count
    size: Count
    digest: Digest

    def message(self) -> str:
        """At most BYTES; the last files are left out if there are more."""
        kept = list(self.files)
        while True:
            text = self.model_copy(update={"files": kept}).model_dump_json(by_alias=True)
            if len(text.encode()) <= BYTES or not kept:
                return text
            kept.pop()


def read(message: str) -> Result | None:
    """None if it is not a result."""
    try:
        return Result.model_validate_json(message)
    except ValidationError:
        return None
