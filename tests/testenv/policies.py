"""Open Cluster Management's policy controllers: the propagator on the hub, and for each spoke the controller of ConfigurationPolicies.

What carries policies to a spoke and their compliance back is a program of its own, governance-policy-framework-addon, which is not among
the programs: tests/support/policy_sync.py stands in for it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cluster import PROJECT, Cluster
from processes import free_port, wait

PROPAGATOR = ("policies", "placementbindings", "policyautomations", "policysets")
CONTROLLER = ("configurationpolicies", "operatorpolicies")


def policy_crds(module: str, *names: str) -> list[Path]:
    """Of the Go module of a controller: `make policies` links them."""
    folder = Path(os.environ.get("PANAL_POLICY_CRDS") or PROJECT / ".cache/policies") / module / "deploy/crds"
    if not folder.is_dir():
        sys.exit(f"no CRDs of policies in {folder}: make policies (docs/design/testing.md)")
    return [folder / f"policy.open-cluster-management.io_{name}.yaml" for name in names]


def start_on_hub(hub: Cluster) -> None:
    _define(hub, policy_crds("governance-policy-propagator", *PROPAGATOR))
    options = ("--disable-placementrule", "--enable-webhooks=false", "--leader-elect=false")
    hub.start("governance-policy-propagator", *options, *_ports(), env={"WATCH_NAMESPACE": "", "KUBECONFIG": str(hub.kubeconfig)})


def start_for(spoke: Cluster) -> None:
    """The controller reads the spoke's namespace of the name that it has on the hub."""
    _define(spoke, policy_crds("config-policy-controller", *CONTROLLER))
    spoke.namespaces(spoke.name)
    options = (f"--kubeconfig={spoke.kubeconfig}", f"--cluster-name={spoke.name}", "--leader-elect=false", "--enable-metrics=false")
    environment = {"WATCH_NAMESPACE": spoke.name}
    spoke.start("config-policy-controller", "controller", *options, "--enable-ocm-policy-namespace=false", *_ports(), env=environment)


def stop(hub: Cluster, *spokes: Cluster) -> None:
    hub.processes.end("governance-policy-propagator")
    for spoke in spokes:
        spoke.processes.end("config-policy-controller")


def _define(cluster: Cluster, definitions: list[Path]) -> None:
    for path in definitions:
        cluster.kubectl("apply", "--server-side", "-f", str(path))
    asked = ("wait", "--for=condition=Established", "--timeout=5s", *(f"--filename={path}" for path in definitions))
    served = lambda: cluster.kubectl(*asked, check=False).count("condition met") == len(definitions)  # noqa: E731
    wait(f"{cluster.name}: the kinds of policies are served", served, 60)


def _ports() -> tuple[str, str]:
    return f"--health-probe-bind-address=127.0.0.1:{free_port()}", f"--metrics-bind-address=127.0.0.1:{free_port()}"
