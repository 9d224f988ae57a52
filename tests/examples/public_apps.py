#!/usr/bin/env python3
"""Copies Flower's public examples, with data that need no network.

    public_apps.py EXAMPLES TARGET [--clusters N] [NAME...]

EXAMPLES is the folder `examples` of a checkout of github.com/adap/flower, NAME one of the seventeen (all, if none is given). Each is
copied as it is, but for the lines that import what loads its data: they import the same names from synthetic.py, which is put
beside them. With fewer clusters than an example's code asks for, its number of clients is changed to theirs. What was changed is
printed. Nothing of the examples is part of this repository.
"""

from __future__ import annotations

import argparse
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
LOADERS = re.compile(
    r"^from (?:flwr_datasets import FederatedDataset|datasets import load_dataset|sqlalchemy import create_engine)$", re.MULTILINE
)
CLIENTS = re.compile(r"(?<=\bmin_fit_clients=)\d+|(?<=\bmin_available_clients=)\d+")
NAME = re.compile(r'(?<=^name = ").*(?="$)', re.MULTILINE)
MOVED = {  # in the versions of Flower that have an HTTP port
    "from flwr.client.typing import ": "from flwr.clientapp.typing import ",
    "from flwr.common.typing import UserConfig": "from flwr.app.user_config import UserConfig",
}
IMAGE = '\n[tool.panal.image]\nenv = { WANDB_MODE = "offline" }\n'


THREE = {"num-sampled-clients": 15, "num-shares": 3, "reconstruction-threshold": 2}


@dataclass(frozen=True)
class Example:
    kind: str
    clusters: int = 3  # that its own numbers ask for
    fewer: Mapping[str, int] = field(default_factory=dict)  # its run config for three clusters
    requires: str = ""  # beside what it names, as it does not work with the newest of what it does not pin
    offline: bool = False  # its server app reports to Weights & Biases, which needs an account unless it is told to stay offline


EXAMPLES = {
    "quickstart-numpy": Example("NumPy"),
    "quickstart-sklearn": Example("scikit-learn"),
    "quickstart-pandas": Example("pandas, queries"),
    "quickstart-xgboost": Example("XGBoost"),
    "xgboost-comprehensive": Example("XGBoost, bagging or cyclic"),
    "quickstart-catboost": Example("CatBoost, own main loop"),
    "federated-analytics": Example("federated analytics"),
    "federated-kaplan-meier-fitter": Example("survival curves", clusters=2),
    "quickstart-pytorch": Example("PyTorch"),
    "advanced-pytorch": Example("own strategy", offline=True),
    "custom-mods": Example("mods"),
    "federated-vae": Example("VAE"),
    "fl-tabular": Example("tabular", requires="pandas<3"),
    "fl-dp-sa": Example("differential privacy, secure aggregation", clusters=5, fewer=THREE),
    "opacus": Example("differential privacy at the site"),
    "flower-secure-aggregation": Example("secure aggregation", clusters=5),
    "vertical-fl": Example("vertical"),
}


def copy(source: Path, target: Path, example: Example, clusters: int | None = None) -> list[str]:
    """What was changed in the copy: a line for each place."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    changes = []
    for file in sorted(target.rglob("*.py")):
        changes += redirect(file, target) + moved(file, target)
        if clusters and clusters < example.clusters:
            changes += fewer(file, target, clusters)
    changes += rename(target / "pyproject.toml")
    if example.requires:
        (target / "requirements.txt").write_text(f"{example.requires}\n")
        changes.append(f"requirements.txt: {example.requires}")
    if example.offline:
        with (target / "pyproject.toml").open("a") as file:
            file.write(IMAGE)
        changes.append("pyproject.toml: WANDB_MODE=offline for the image's containers")
    return changes


def redirect(file: Path, folder: Path) -> list[str]:
    text = file.read_text()
    found = LOADERS.findall(text)
    if found:
        package = file.parent.relative_to(folder).as_posix().replace("/", ".")
        file.write_text(LOADERS.sub(lambda line: f"from {package}.synthetic import {line[0].split()[-1]}", text))
        shutil.copy(HERE / "synthetic.py", file.parent / "synthetic.py")
    return [f"{file.relative_to(folder)}: {line} -> from our own" for line in found]


def fewer(file: Path, folder: Path, clusters: int) -> list[str]:
    text = file.read_text()
    found = CLIENTS.findall(text)
    file.write_text(CLIENTS.sub(str(clusters), text))
    return [f"{file.relative_to(folder)}: {number} clients -> {clusters}" for number in found]


def rename(pyproject: Path) -> list[str]:
    """Flower bundles no app whose project's name has an underscore."""
    text = pyproject.read_text()
    named = NAME.sub(lambda name: name[0].replace("_", "-"), text)
    pyproject.write_text(named)
    return ["pyproject.toml: - for _ in the project's name, which Flower does not bundle"] if named != text else []


def moved(file: Path, folder: Path) -> list[str]:
    text = file.read_text()
    found = [before for before in MOVED if before in text]
    for before in found:
        text = text.replace(before, MOVED[before])
    file.write_text(text)
    return [f"{file.relative_to(folder)}: {before.strip()} -> {MOVED[before].strip()}" for before in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("examples", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(EXAMPLES))
    parser.add_argument("--clusters", type=int)
    args = parser.parse_args()
    for name in args.names or EXAMPLES:
        changes = copy(args.examples / name, args.target / name, EXAMPLES[name], args.clusters)
        print(f"{name}: {EXAMPLES[name].kind}; {EXAMPLES[name].clusters} clusters")
        print("".join(f"    {change}\n" for change in changes or ["nothing changed"]), end="")


if __name__ == "__main__":
    main()
