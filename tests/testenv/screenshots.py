"""Pictures of the dashboard for the documents, from the run `digits` of a demo that is up: `make demo KEEP=1`, then `make screenshots`."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from browser import WIDE, browser

RUN = "/runs/mnist/digits?with=alone-cluster1"
SMALL = (360, 780)
PICTURES = {
    "dashboard-hub": ("/", (1100, 620), False),
    "dashboard-run": (RUN, (1060, 850), False),
    "dashboard-run-dark": (RUN, (1060, 850), True),
    "dashboard-clusters": ("/clusters", (1360, 400), False),
    "dashboard-phone": (RUN, SMALL, True),
}
LARGEST = 150_000  # bytes


async def main(home: str, folder: Path) -> None:
    words = [sys.executable, "-m", "panal.cli.main", "dashboard", "--no-open"]
    env = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"} | {"PANAL_HOME": home}
    process = await asyncio.create_subprocess_exec(*words, env=env, stdout=asyncio.subprocess.PIPE)
    assert process.stdout
    try:
        address = (await asyncio.wait_for(process.stdout.readline(), 60)).decode().split()[-1]
        folder.mkdir(parents=True, exist_ok=True)
        async with browser() as tab:
            await tab.look(WIDE)
            await tab.send("Emulation.setScrollbarsHidden", hidden=True)
            await tab.open(address)
            for name, (path, size, dark) in PICTURES.items():
                await tab.look(size, dark)
                await tab.open(address.split("/enter")[0] + path)
                await tab.until("document.getElementById('connection').dataset.state === 'live'", "the page is live")
                await tab.evaluate("document.querySelector('.api').textContent = 'the local platform'")  # not this machine's folders
                await tab.picture(folder / f"{name}.png")
                size_of_it = (folder / f"{name}.png").stat().st_size
                assert size_of_it < LARGEST, f"{name}.png has {size_of_it} bytes"
    finally:
        process.terminate()
        await process.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
