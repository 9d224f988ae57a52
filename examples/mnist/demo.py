"""`make demo`: what docs/how-to/real-hub.md does on a real hub, on the local platform: the same resources, the same controller.

    python examples/mnist/demo.py --work FOLDER [--keep]

The platform lives in FOLDER/platform. At its end the demo ends the platform and forgets its clusters, unless it is to keep them; images and
their environments stay either way, so that another demo starts in seconds, and so does the model, in FOLDER/result.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from panal.api.names import COLLABORATOR_NAMESPACE
from panal.cli.notebook import EXECUTING, find
from panal.kube import kinds
from panal.kube.client import Client, Selector
from panal.kube.errors import NotFound

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from stage import Stage  # noqa: E402  which is beside the examples

SITES = ("cluster1", "cluster2", "cluster3")  # cluster4 has no digits, makes no claim, and is not selected
IMAGE = "panal/example-mnist:0.1.0"
NOTEBOOK = (*EXECUTING, "matplotlib", "safetensors")
RUNS = ("digits", *(f"alone-{site}" for site in SITES))


class Demo(Stage):
    def __init__(self, work: Path) -> None:
        super().__init__(work / "platform")
        self.data, self.result = work / "data", work / "result"
        self.began = time.monotonic()
        self.began_at = time.time()

    # --- the demo ------------------------------------------------------------------------------------------------
    def play(self) -> None:
        example = str(HERE.relative_to(HERE.parents[1]))
        self.title("A hub and four managed clusters, as processes on this machine")
        self.run("panal", "up", "--clusters", "4")
        self.title("The image: a plain Flower app with its environment (the first time takes a while)")
        self.run("panal", "image", "build", example, "-t", IMAGE)
        self.title("Each site's digits, on a volume of its own cluster; cluster4 has none")
        self.run("python", f"{example}/split.py", str(self.data))
        asyncio.run(self.place())
        self.title("One federated run over the clusters that say they have digits")
        self.run("panal", "run", "-f", f"{example}/hub/run.yaml", "--create-namespace")
        print(f"first round {asyncio.run(self.first_round()):.0f} s after the start of the demo")
        self.run("panal", "get", "clusters")
        self.title("The same from each cluster's digits alone, for comparison")
        self.run("panal", "run", "-f", f"{example}/hub/alone.yaml")
        self.title("Was it worth it?")
        asyncio.run(self.fetch())
        alone = [word for site in SITES for word in ("--alone", f"{site}={self.result / f'alone-{site}.safetensors'}")]
        self.run(
            "python", f"{example}/compare.py", "--data", str(self.data), "--federated", str(self.result / "digits.safetensors"), *alone
        )
        self.validate()
        print(f"\n{time.monotonic() - self.began:.0f} s in all")

    def validate(self) -> None:
        """The notebook, executed, if there is an environment for it: nothing is installed."""
        example, folder = str(HERE.relative_to(HERE.parents[1])), str(self.result / "notebook")
        self.title("The notebook that validates the model")
        python = find(NOTEBOOK)
        if python is None:
            print(f"left out: no Python with {', '.join(NOTEBOOK)} was found (docs/how-to/validate-a-model.md)")
            return
        beside = [word for site in SITES for word in ("--beside", f"alone-{site}")]
        self.run("panal", "notebook", "digits", "--app", example, *beside, "--to", folder, "--execute", "--python", str(python))

    async def place(self) -> None:
        """As a site's owner would: a volume with the site's digits, and the claim that offers them."""
        for site in SITES:
            async with self.client(site) as client:
                for document in documents("site/volume.yaml"):
                    if document["kind"] != "Pod":  # which fills the volume where it is no folder of this machine
                        await client.apply(document)
                folder = await volume(client, COLLABORATOR_NAMESPACE, "digits")
                for file in ("train.npz", "held-out.npz"):
                    shutil.copy(self.data / site / file, folder / file)
                for document in documents("site/claim.yaml"):
                    await client.apply(document)
            print(f"{site}: {folder / 'train.npz'}, and the ClusterClaim digits.example.com")

    async def first_round(self) -> float:
        async with self.client("hub") as client:
            events = (await client.list(kinds.EVENT, Selector("mnist", fields="involvedObject.name=digits"))).items
        found = [datetime.fromisoformat(e["eventTime"]).timestamp() for e in events if e["message"].startswith("round ")]
        return min(found) - self.began_at

    async def fetch(self) -> None:
        """The models, from the hub's volume."""
        self.result.mkdir(parents=True, exist_ok=True)
        async with self.client("hub") as client:
            folder = await volume(client, "mnist", "models")
            for name in RUNS:
                model = (await client.get(kinds.FEDERATED_LEARNING, "mnist", name))["status"]["model"]
                shutil.copy(folder / model["uri"].removeprefix("pvc://models/"), self.result / f"{name}.safetensors")

    def client(self, context: str) -> Client:
        return Client.from_kubeconfig(self.home / "kubeconfig", context=context, field_manager="demo")

    def print_next_steps(self, keep: bool) -> None:
        self.title("What now")
        print(f"the federated model: {self.result / 'digits.safetensors'}")
        if keep:
            print("the platform is up; these two lines choose it in a shell:")
            print(f"export PATH={Path(sys.executable).parent}:$PATH PANAL_HOME={self.home}")
            print("unset KUBECONFIG")
            print("to look at it:       panal dashboard (in a browser), panal top, panal get, panal history digits, panal logs digits")
            print("in the end:          panal down; unset PANAL_HOME")
        else:
            print("the platform is down and its clusters are gone; `make demo KEEP=1` keeps them, for `panal dashboard` and `panal top`")
        print("an app of your own:  .venv/bin/panal new myapp && .venv/bin/panal run ./myapp   (docs/tutorial/first-run.md)")
        print("on a real hub:       docs/how-to/real-hub.md, with the same run.yaml")


def documents(name: str) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all((HERE / name).read_text()) if document]


async def volume(client: Client, namespace: str, claim: str) -> Path:
    """The folder that is the claim's volume, as soon as there is one."""
    for _ in range(600):
        try:
            name = (await client.get(kinds.PERSISTENT_VOLUME_CLAIM, namespace, claim))["spec"].get("volumeName")
            folder = Path((await client.get(kinds.PERSISTENT_VOLUME, "", name))["spec"]["hostPath"]["path"]) if name else None
        except NotFound:
            folder = None
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
            return folder
        await asyncio.sleep(0.1)
    sys.exit(f"the claim {claim} in {namespace} was not bound within a minute")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--keep", action="store_true", help="leave the platform up at the end")
    given = parser.parse_args()
    demo = Demo(given.work.resolve())
    with demo.tidied(given.keep):
        demo.play()
        demo.print_next_steps(given.keep)


if __name__ == "__main__":
    main()
