"""A hub that has the add-on API as v1beta1 too, with the conversion webhook of Open Cluster Management (`make soak`).

Open Cluster Management v1.2.1 itself uses v1alpha1, which is stored; panal uses v1beta1. The webhook also listens on all addresses of ports
8000 and 8080, so no local platform may run beside this test.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from addon_suite import SOON, AddOnSite, AddOnSuite, on_fleet
from cluster import PROJECT, Cluster
from fleet import Fleet
from gateways import listens, wait_for
from panal.kube import kinds
from processes import free_port
from rights import entries
from waiting import eventually

pytestmark = [pytest.mark.real, pytest.mark.soak]

LATER = "/apis/addon.open-cluster-management.io/v1beta1/"
SERVICE = re.compile(r"        caBundle: .*\n        service:\n(?:          .*\n)+")


def crd_files() -> list[Path]:
    folder = Path(os.environ.get("PANAL_ADDON_CRDS") or PROJECT.parent / "shared/testenv/addon-conversion")
    found = sorted(folder.glob("*.crd.yaml"))
    if not found:
        pytest.skip(f"no CRDs in {folder}: set PANAL_ADDON_CRDS to the folder of the add-on API's CRDs with both versions")
    return found


def serve_both(hub: Cluster) -> None:
    """The CRDs with both versions, and the webhook that converts them."""
    keys, port = hub.dir / "webhook", free_port()
    keys.mkdir(exist_ok=True)
    hub.pki.certificate("webhook", "/CN=addon-webhook", usage="serverAuth", san="IP:127.0.0.1")
    for name in ("crt", "key"):
        (keys / f"tls.{name}").write_bytes((hub.pki.folder / f"webhook.{name}").read_bytes())
    hub.start("ocm-addon.webhook", "webhook-server", f"--port={port}", f"--certdir={keys}", env={"KUBECONFIG": str(hub.kubeconfig)})
    wait_for("the conversion webhook", lambda: listens(port), SOON)
    authority = base64.b64encode((hub.pki.folder / "ca.crt").read_bytes()).decode()
    for path in crd_files():
        text, count = SERVICE.subn(f"        caBundle: {authority}\n        url: https://127.0.0.1:{port}/convert\n", path.read_text())
        assert count == 1
        hub.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)
    listed = ("get", "--raw", f"{LATER}{kinds.MANAGED_CLUSTER_ADDON.plural}")
    eventually(lambda: '"items"' in hub.kubectl(*listed, check=False), "the hub has v1beta1", SOON)


@pytest.fixture(scope="module")
def site(ocm: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AddOnSite]:
    serve_both(ocm.hub)
    with on_fleet(AddOnSite, ocm, tmp_path_factory.mktemp("addon")) as found:
        yield found


class TestAddOn(AddOnSuite):
    """In the old version, what panal writes in the later one."""


def test_panal_has_asked_for_the_later_version(site: AddOnSite, ocm: Fleet) -> None:
    found = [entry for entry in entries(ocm.root / "hub/log/audit.log") if entry["requestURI"].startswith(LATER) and "objectRef" in entry]
    asked = {(entry["verb"], entry["objectRef"]["resource"]) for entry in found}
    watched = {("watch", kind.plural) for kind in (kinds.MANAGED_CLUSTER_ADDON, kinds.CLUSTER_MANAGEMENT_ADDON)}
    assert asked >= {*watched, ("patch", kinds.MANAGED_CLUSTER_ADDON.plural)}
    assert not [line for line in site.log.splitlines() if " ERROR " in line]
