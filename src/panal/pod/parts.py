"""A file that is sent to a bucket in parts: their size and checksums, and what the server has of them already."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from panal.pod.tools.files import replace

LIMIT = 16 << 20  # bytes: a larger file is sent in parts, each of which is in memory while it is sent
MOST = 9_000  # parts; S3 has a limit of 10,000
MIB = 1 << 20


def part_size(size: int) -> int:
    """Of the parts of a file of `size` bytes."""
    return max(LIMIT, -(-size // (MOST * MIB)) * MIB)


@dataclass(slots=True)
class Upload:
    """`digest`: the SHA-256 of the whole file. `parts`: by number what the server answered, as it wants to have it at the end."""

    id: str
    digest: str
    part_size: int
    sha256: bool
    parts: dict[int, dict[str, Any]]

    def missing(self, size: int) -> list[int]:
        """The numbers of the parts that are to be sent."""
        return [number for number in range(1, -(-size // self.part_size) + 1) if number not in self.parts]

    def listed(self) -> list[dict[str, Any]]:
        return [{"PartNumber": number, **self.parts[number]} for number in sorted(self.parts)]


def algorithm(*, sha256: bool) -> dict[str, Any]:
    """The parameter by which the server learns what the parts will have."""
    return {"ChecksumAlgorithm": "SHA256"} if sha256 else {}


def checksum(body: bytes, *, sha256: bool) -> dict[str, Any]:
    """The parameter by which the server checks `body`."""
    if sha256:
        return {"ChecksumSHA256": base64.b64encode(hashlib.sha256(body).digest()).decode()}
    return {"ContentMD5": base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()}


def remember(folder: Path, key: str, upload: Upload) -> None:
    replace(_file(folder, key), json.dumps(asdict(upload)))


def remembered(folder: Path, key: str) -> Upload | None:
    """The upload that was begun for this key."""
    try:
        content = json.loads(_file(folder, key).read_text())
        parts = {int(number): part for number, part in content.pop("parts").items()}
        return Upload(parts=parts, **content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def forget(folder: Path, key: str) -> None:
    _file(folder, key).unlink(missing_ok=True)


def _file(folder: Path, key: str) -> Path:
    return folder / f".upload-{hashlib.sha256(key.encode()).hexdigest()[:20]}.json"
