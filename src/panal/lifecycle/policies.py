"""Whether a cluster complies with the policies that a run requires.

Open Cluster Management's policy propagator copies a Policy into the namespace of each cluster on which it is placed, and the cluster's
policy add-ons write the compliance into the status of that copy. What is not known counts as not compliant.
"""

from __future__ import annotations

from panal.api.names import ClusterName, replicated_policy
from panal.api.spec import Client
from panal.lifecycle.reasons import Reason, Trouble
from panal.lifecycle.world import Compliance

COMPLIANT = "Compliant"


def required(client: Client, namespace: str) -> tuple[str, ...]:
    """The names of the copies of the required policies. `namespace` is that of the run."""
    return tuple(dict.fromkeys(replicated_policy(each.namespace or namespace, each.name) for each in client.require_policies))


def not_compliant(cluster: ClusterName, policies: tuple[str, ...], compliance: Compliance) -> Trouble | None:
    """Why the cluster does not comply with all `policies`; None if it does."""
    states = {name: _state(cluster, name, compliance) for name in policies}
    failing = {name: state for name, state in states.items() if state != COMPLIANT}
    if not failing:
        return None
    known = any(failing.values())
    why = "; ".join(_why(name, state, compliance) for name, state in failing.items())
    return Trouble.of(Reason.POLICY_NOT_COMPLIANT if known else Reason.POLICY_UNKNOWN, f"{cluster}: {why}")


def _state(cluster: ClusterName, name: str, compliance: Compliance) -> str | None:
    """None: the cluster has no copy."""
    return compliance.get(name, {}).get(cluster)


def _why(name: str, state: str | None, compliance: Compliance) -> str:
    policy = f"Policy {name.replace('.', '/', 1)}"
    if state:
        return f"{policy} is {state}"
    if state is not None:
        return f"{policy} has no status yet"
    return f"{policy} is not placed on it" if name in compliance else f"{policy} is placed on no cluster"
