"""Which version of the add-on API the hub has: v1beta1 if it has both, else v1alpha1."""

from __future__ import annotations

from panal.addon.versions import from_v1beta1, to_v1beta1
from panal.kube.client import Client
from panal.kube.forms import Form
from panal.kube.kinds import LATER_ADDONS, Kind


async def forms(client: Client) -> dict[Kind, Form]:
    """What `client` should speak. Raises KubeError."""
    served = {kind: later for kind, later in LATER_ADDONS.items() if await client.serves(later)}
    return {each: Form(later, from_v1beta1, to_v1beta1) for kind, later in served.items() for each in (kind, later)}


async def has(client: Client, kind: Kind) -> bool:
    """Whether the hub has a kind of the add-on API in any of these versions. Raises KubeError."""
    return await client.serves(kind) or await client.serves(LATER_ADDONS[kind])
