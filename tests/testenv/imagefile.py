"""An image of one file, made without any tool: the pause image of the nodes."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path


def write_image(archive: Path, name: str, program: Path) -> None:
    """An image with one file in it, as `docker load` and `ctr images import` read it."""

    def add(tar: tarfile.TarFile, path: str, data: bytes, mode: int = 0o644) -> None:
        info = tarfile.TarInfo(path)
        info.size, info.mode = len(data), mode
        tar.addfile(info, io.BytesIO(data))

    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        add(tar, program.name, program.read_bytes(), 0o755)
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    config = json.dumps(
        {
            "architecture": "amd64" if os.uname().machine == "x86_64" else "arm64",
            "os": "linux",
            "config": {"Entrypoint": [f"/{program.name}"], "User": "65535"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
    ).encode()
    with tarfile.open(archive, "w") as tar:
        add(tar, "layer.tar", layer.getvalue())
        add(tar, "config.json", config)
        add(tar, "manifest.json", json.dumps([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]).encode())
