"""The rounds of a run, from the ConfigMap that its reporter writes."""

from __future__ import annotations

from panal.api.history import History, HistoryError, of_config_map
from panal.api.names import history as history_name
from panal.client.problem import Code, Problem
from panal.kube.client import Client
from panal.kube.errors import NotFound
from panal.kube.kinds import CONFIG_MAP
from panal.kube.objects import Object


async def read(client: Client, run: Object) -> History:
    """Raises Problem if there is no history that can be read."""
    metadata = run["metadata"]
    try:
        found = of_config_map(await client.get(CONFIG_MAP, metadata["namespace"], history_name(metadata["name"])))
    except NotFound:
        found = None
    except HistoryError as error:
        raise Problem(Code.REFUSED, f"the ConfigMap {history_name(metadata['name'])}: {error}", "") from error
    if found is None or found.run.get("uid") != metadata["uid"]:
        remedy = "A run has a history from its first round on; runs of earlier versions of panal have none."
        raise Problem(Code.NOT_FOUND, f"{metadata['name']} has no history yet", remedy)
    return found
