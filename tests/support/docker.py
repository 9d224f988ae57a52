#!/usr/bin/env python3
"""What pages call `docker`, for nodes without a registry: `build` makes an archive of the image, `push` loads it onto every node.

PANAL_TEST_STORE is the folder of images.py's images, PANAL_TEST_FLEET that of the clusters.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

TESTENV = Path(__file__).resolve().parents[1] / "testenv"


def main() -> None:
    parser = argparse.ArgumentParser(prog="docker")
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build")
    build.add_argument("-t", dest="tag", required=True)
    build.add_argument("-f", dest="file", required=True)
    build.add_argument("context")
    commands.add_parser("push").add_argument("tag")
    given = parser.parse_args()
    archive = Path(os.environ["TMPDIR"]) / f"{re.sub('[/:]', '_', given.tag)}.tar"  # a colon would end the path in buildah's eyes
    if given.command == "build":
        program, store = TESTENV / "images.py", os.environ["PANAL_TEST_STORE"]
        command = [program, "build", store, given.context, given.tag, archive, "-f", given.file]
    else:
        command = [TESTENV / "clusters.py", "load", os.environ["PANAL_TEST_FLEET"], archive]
    sys.exit(subprocess.run([sys.executable, *map(str, command)], check=False).returncode)


if __name__ == "__main__":
    main()
