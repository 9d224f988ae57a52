"""`panal suspend`, `resume`, `stop` and `delete`."""

from __future__ import annotations

from panal.cli import output
from panal.cli.run import done
from panal.client import deleting
from panal.client.access import Access
from panal.client.finding import find
from panal.client.problem import Code
from panal.client.spec_changes import Switch, switch


def change(access: Access, name: str, namespace: str | None, field: Switch, value: bool) -> Code:
    """Sets `spec.suspend` or `spec.stop`."""

    async def work() -> Code:
        async with access.open() as client:
            run = await find(client, name, namespace)
            output.line(f"{name}: {await switch(client, run, field, value)}")
            return Code.OK

    return done(work(), access)


def delete(access: Access, name: str, namespace: str | None, within: float | None) -> Code:
    """Returns when the run is deleted. Raises Problem if that takes more than `within` seconds."""

    async def work() -> Code:
        async with access.open() as client:
            run = await find(client, name, namespace)
            await deleting.delete(client, run, within)
            output.line(f"{name} deleted; {deleting.kept(run)}")
            return Code.OK

    return done(work(), access)
