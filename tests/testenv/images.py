#!/usr/bin/env python3
"""Container images without an image registry, for the nodes of clusters.py.

    images.py base STORE                                   make docker.io/library/python:3.11-slim from Debian packages
    images.py build STORE CONTEXT TAG ARCHIVE [-f FILE]    build CONTEXT's Containerfile and write it as a docker-archive file
    images.py list STORE

STORE is a folder for buildah's images and layers. A Containerfile may start FROM python:3.11-slim or from what was built before;
nothing is ever pulled. `RUN pip install` and `RUN apt-get install` work with this machine's own settings and certificates: they
are mounted while the image is built, and only empty files of those names stay in it. `clusters.py load` puts the archive on nodes.

Needs root and the Debian packages buildah, crun (or runc) and mmdebstrap. The base stands for the image of that name on Docker
Hub: python, pip and what pip installs are in /usr/local, as there; but that is a virtual environment of Debian's /usr/bin/python3.
"""

from __future__ import annotations

import argparse
import configparser
import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BASE = "docker.io/library/python:3.11-slim"
PACKAGES = "python3,python3-venv,ca-certificates,tzdata"
# Run in the base's root. Removed: documents and translations, and every word of where the packages came from.
STEPS = (
    "python3 -m venv /usr/local && rm -f /usr/local/bin/[Aa]ctivate*",
    "rm -rf /usr/share/doc /usr/share/man /usr/share/locale /usr/share/info /var/cache/* /var/log/* /var/lib/apt/lists/*",
    "rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/* /etc/apt/apt.conf.d/99mmdebstrap",
    "rm -f /etc/hostname /etc/resolv.conf && touch /etc/resolv.conf",
    "find / -xdev -name __pycache__ -prune -exec rm -rf {} +",
    # Nothing can write into a container's root, so that each process would compile the standard library again.
    "python3 -m compileall -q --invalidation-mode unchecked-hash /usr/lib/python3.* /usr/local/lib",
)
# Mounted while an image is built: how this machine reaches its package registries.
HOST = ("/etc/apt", "/usr/share/keyrings", "/etc/ssl/certs", "/usr/local/share/ca-certificates")


def buildah(store: Path, *args: str, capture: bool = False) -> str:
    """Run buildah on the images of `store`; what it prints, if captured."""
    # `chroot` needs no container runtime settings or network set-up; a RUN step uses this machine's network.
    command = ["buildah", f"--root={store}/root", f"--runroot={store}/run", "--storage-driver=overlay", *args]
    env = {**os.environ, "BUILDAH_ISOLATION": "chroot"}
    done = subprocess.run(command, text=True, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if capture else None, check=False)
    if done.returncode:
        subprocess.run(
            [*command[:4], "rm", "--all"], env=env, stdout=subprocess.DEVNULL, check=False
        )  # a failed build stays mounted otherwise
        sys.exit(f"buildah {args[0]} failed")
    return done.stdout or ""


def base(store: Path, name: str = BASE, suite: str = "bookworm", packages: str = PACKAGES) -> None:
    with tempfile.TemporaryDirectory(dir=store) as folder:
        archive = Path(folder) / "root.tar"
        hooks = [f"--customize-hook=chroot \"$1\" sh -c '{line}'" for line in STEPS]
        subprocess.run(
            [
                "mmdebstrap",
                "--variant=minbase",
                f"--include={packages}",
                '--aptopt=APT::Install-Recommends "false"',
                *hooks,
                suite,
                str(archive),
            ],
            check=True,
        )
        container = buildah(store, "from", "scratch", capture=True).strip()
        buildah(store, "add", "--quiet", container, str(archive), "/")
        buildah(
            store,
            "config",
            "--cmd=python3",
            "--env=LANG=C.UTF-8",
            "--env=PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
            container,
        )
        buildah(store, "commit", "--quiet", "--rm", container, name)


def build(store: Path, context: Path, tag: str, archive: Path, containerfile: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pip = Path(folder, "pip.conf")
        pip.write_text(pip_settings())
        mounts = [f"--volume={p}:{p}:ro" for p in HOST if Path(p).exists()] + [f"--volume={pip}:/etc/pip.conf:ro"]
        buildah(
            store,
            "build",
            "--pull-never",
            "--layers",
            "--network=host",
            *mounts,
            *(("-f", containerfile) if containerfile else ()),
            "-t",
            tag,
            str(context),
        )
    archive.unlink(missing_ok=True)
    name = tag if "/" in tag else f"docker.io/library/{tag}"
    buildah(store, "push", "--quiet", tag, f"docker-archive:{archive}:{name}")


def pip_settings() -> str:
    """This machine's pip settings as one file: /etc/pip.conf and what PIP_... variables say."""
    settings = configparser.RawConfigParser()
    settings.read("/etc/pip.conf")
    if not settings.has_section("global"):
        settings.add_section("global")
    for name, value in os.environ.items():
        if name.startswith("PIP_") and name not in ("PIP_CONFIG_FILE", "PIP_FIND_LINKS"):
            settings.set("global", name[4:].lower().replace("_", "-"), value)
    text = io.StringIO()
    settings.write(text)
    return text.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("base", "build", "list"):
        commands.add_parser(name).add_argument("store", type=Path)
    make = commands.choices["build"]
    make.add_argument("context", type=Path)
    make.add_argument("tag")
    make.add_argument("archive", type=Path)
    make.add_argument("-f", "--file", default="")
    args = parser.parse_args()
    if not shutil.which("buildah"):
        sys.exit("buildah is missing: apt-get install buildah crun mmdebstrap")
    store = args.store.resolve()
    store.mkdir(parents=True, exist_ok=True)
    if args.command == "base":
        base(store)
    elif args.command == "build":
        build(store, args.context, args.tag, args.archive.resolve(), args.file)
    else:
        buildah(store, "images")


if __name__ == "__main__":
    main()
