"""`make example NAME=health`: an example of a field, from its data to a table, on the local platform.

    python examples/fields.py NAME --work FOLDER --python PYTHON [--write] [--keep]

    split.py            the data of each site, as the field's data differs
    hub/run.yaml        the run, by the real controller, on one cluster for each site
    compare.py          the federated model beside those of single sites, and a central one, on data that none was trained on
    validate.ipynb      the same numbers from the model that the run stored

It fails if the federated model is not better than that of each single site, or the notebook's numbers are not those of the table. PYTHON is
that of an environment with what the examples import and Jupyter (requirements/fields.txt). With --write the table goes into the example's
README and docs/examples.md. What is the same in all examples is here; what differs is in their folders, which import nothing of this file.
Only the clusters that come and go in one of them are here too, because that needs the platform (ABSENCES).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from panal.kube import kinds
from panal.kube.client import Client
from panal.kube.errors import NotFound
from stage import Stage

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs/examples.md"
NAMES = ("health", "retail", "industry", "vehicles")
COMPARE = """
import json, pathlib, sys
sys.path.insert(0, sys.argv[1])
import compare
rows = compare.rows(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]))
print(json.dumps({"best_by": compare.BEST_BY, "higher_is_better": compare.HIGHER_IS_BETTER, "rows": rows}))
"""


@dataclass(frozen=True)
class Absence:
    """A cluster withdraws its data when a round is complete, and announces it again when a later one is."""

    cluster: str
    after: int
    until: int


ABSENCES = {"vehicles": (Absence("cluster2", after=3, until=10), Absence("cluster5", after=6, until=13))}


@dataclass(frozen=True)
class Comparison:
    """`rows` has the numbers of each model: `only SITE` for each site, `federated`, `central`, and maybe others."""

    best_by: str
    higher_is_better: bool
    rows: dict[str, dict[str, float]]

    @property
    def best_site(self) -> str:
        """The single site whose model is best."""
        sites = [name for name in self.rows if name.startswith("only ")]
        return (max if self.higher_is_better else min)(sites, key=lambda name: self.rows[name][self.best_by])

    @property
    def gain(self) -> float:
        """How much better the federated model is than that of the best site; negative if it is worse."""
        gain = self.rows["federated"][self.best_by] - self.rows[self.best_site][self.best_by]
        return gain if self.higher_is_better else -gain

    def table(self) -> str:
        columns = list(self.rows["federated"])
        lines = [["", *columns], ["---"] * (len(columns) + 1)]
        lines += [[name, *(f"{row[column]:.3f}" for column in columns)] for name, row in self.rows.items()]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def with_table(text: str, name: str, table: str) -> str:
    """The text of a page with another table between its marks. Raises ValueError if it has no marks for this example."""
    begin, end = f"<!-- table of {name} -->\n", "<!-- end of table -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"the page has no {begin.strip()} with {end} after it")
    return pattern.sub(lambda _: f"{begin}{table}\n{end}", text, count=1)


class Field:
    def __init__(self, name: str, work: Path, python: Path) -> None:
        self.name, self.folder, self.python = name, HERE / name, python
        self.data, self.result = work / name / "data", work / name / "result"
        self.stage = Stage(work / "platform", python)

    def play(self) -> Comparison:
        stage, place = self.stage, f"examples/{self.name}"
        stage.title("The data of each site")
        stage.run("python", f"{place}/split.py", str(self.data))
        sites = sorted(path.name for path in self.data.glob("cluster*"))
        stage.title("A hub and one managed cluster for each site, as processes on this machine; each announces its data")
        claims = [word for site in sites for word in ("--claim", f"{site}:{self.name}.example.com={self.data / site}")]
        stage.run("panal", "up", "--clusters", str(len(sites)), *claims)
        stage.title("The image: a plain Flower app with its environment (the first time takes a while)")
        stage.run("panal", "image", "build", place, "-t", f"panal/example-{self.name}:0.1.0")
        stage.title("One federated run over the clusters that announce data")
        detached = ["--detach"] if self.name in ABSENCES else []
        stage.run("panal", "run", "-f", f"{place}/hub/run.yaml", "--create-namespace", *detached)
        if detached:
            asyncio.run(self.come_and_go())
            stage.run("panal", "get", self.name, "-n", self.name, "--watch")
        stage.run("panal", "history", self.name, "-n", self.name)
        stage.title("Was it worth it? On data that no model was trained on")
        self.result.mkdir(parents=True, exist_ok=True)
        model = self.result / "model.safetensors"
        stage.run("panal", "models", "download", self.name, "-n", self.name, "--to", str(model))
        found = self.compare(model)
        print(f"\n{found.table()}\n")
        return found

    def compare(self, model: Path) -> Comparison:
        command = [str(self.python), "-c", COMPARE, str(self.folder), str(self.data), str(model)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            sys.exit(f"examples/{self.name}/compare.py failed")
        return Comparison(**json.loads(done.stdout))

    def validate(self, found: Comparison) -> None:
        """Executes the notebook on the stored model. Ends the program if a number differs from the table's."""
        self.stage.title("The notebook that validates the model")
        to, app = self.result / "notebook", f"examples/{self.name}"
        words = ["--app", app, "--to", str(to), "--execute", "--python", str(self.python)]
        self.stage.run("panal", "notebook", self.name, "-n", self.name, *words)
        numbers = json.loads((to / "metrics.json").read_text())
        for name, row in found.rows.items():
            for column, value in row.items():
                if abs(numbers[f"{name}: {column}"] - value) > 1e-6:
                    sys.exit(f"{name}, {column}: the notebook says {numbers[f'{name}: {column}']}, compare.py {value}")

    # --- clusters that come and go -------------------------------------------------------------------------------
    async def come_and_go(self) -> None:
        moments = [(each.after, "withdraw", each.cluster) for each in ABSENCES[self.name]]
        moments += [(each.until, "announce", each.cluster) for each in ABSENCES[self.name]]
        for number, act, cluster in sorted(moments):
            reached = await self.completed(number)
            await getattr(self, act)(cluster)
            print(
                f"after round {reached}: {cluster} {'no longer announces its data' if act == 'withdraw' else 'announces its data again'}",
                flush=True,
            )

    async def completed(self, number: int) -> int:
        """Waits until that many rounds are complete. Ends the program if the run ends before."""
        async with self.client("hub") as hub:
            while True:
                status = (await hub.get(kinds.FEDERATED_LEARNING, self.name, self.name)).get("status") or {}
                done = (status.get("rounds") or {}).get("completed") or 0
                if done >= number:
                    return int(done)
                if status.get("phase") in ("Completed", "Failed"):
                    sys.exit(f"the run ended after round {done}: {status.get('message', '')}")
                await asyncio.sleep(0.2)

    async def withdraw(self, cluster: str) -> None:
        async with self.client(cluster) as there:
            try:
                await there.delete(kinds.CLUSTER_CLAIM, "", f"{self.name}.example.com")
            except NotFound:
                sys.exit(f"{cluster} does not announce its data")

    async def announce(self, cluster: str) -> None:
        claim = {"apiVersion": kinds.CLUSTER_CLAIM.api_version, "kind": "ClusterClaim", "metadata": {"name": f"{self.name}.example.com"}}
        async with self.client(cluster) as there:
            await there.apply(claim | {"spec": {"value": str(self.data / cluster)}})

    def client(self, context: str) -> Client:
        return Client.from_kubeconfig(self.stage.home / "kubeconfig", context=context, field_manager="example")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--python", type=Path, required=True)
    parser.add_argument("--write", action="store_true", help="write the table into the README and docs/examples.md")
    parser.add_argument("--keep", action="store_true", help="leave the platform up at the end")
    given = parser.parse_args()
    began = time.monotonic()
    field = Field(given.name, given.work.resolve(), given.python.absolute())
    with field.stage.tidied(given.keep):
        found = field.play()
        field.validate(found)
    print(f"\n{time.monotonic() - began:.0f} s in all")
    if found.gain <= 0:
        sys.exit(f"the federated model is not better than the one of {found.best_site}: {found.best_by} {found.gain:+.3f}")
    if given.write:
        for page in (field.folder / "README.md", DOCS):
            page.write_text(with_table(page.read_text(), given.name, found.table()))
    print(f"federated is better than the best single site ({found.best_site}): {found.best_by} by {found.gain:.3f}")


if __name__ == "__main__":
    main()
