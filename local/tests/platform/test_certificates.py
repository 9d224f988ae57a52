"""Certificates on the local platform: `up` waits for them, and `panal certs` shows, revokes, restores and renews them."""

from __future__ import annotations

import pytest

from api import api
from panal.api import names
from panal.kube import kinds
from panal.kube.objects import condition
from panal_local.supervisor.folder import PlatformError
from panal_local.supervisor.ready import Waiter
from waiting import eventually

SOON = 30
WORK = f"addon-{names.ADDON}-deploy-0"


@pytest.fixture(scope="module")
def up(home):
    home.panal("up", "--clusters", "2")
    return home


def hub(home):
    return api(home.folder.admin("hub"))


def spoke(home, cluster):
    return api(home.folder.admin(cluster))


def of(home, cluster):
    return next(c for c in home.json("certs")["clusters"] if c["cluster"] == cluster)


def secret(home, cluster):
    return spoke(home, cluster).get(kinds.SECRET, names.COLLABORATOR_NAMESPACE, names.IDENTITY_SECRET)


def test_every_cluster_has_its_certificate_when_up_returns(up):
    found = up.json("certs")
    assert [(a["authority"], a["role"]) for a in found["authorities"]] == [("servers", "current"), ("collaborators", "current")]
    assert [(c["cluster"], c["available"], len(c["certificates"])) for c in found["clusters"]] == [
        ("cluster1", "True", 1),
        ("cluster2", "True", 1),
    ]
    for cluster in ("cluster1", "cluster2"):
        assert {"tls.crt", "tls.key"} <= secret(up, cluster)["data"].keys()
        assert spoke(up, cluster).get(kinds.CONFIG_MAP, names.COLLABORATOR_NAMESPACE, names.TRUST)["data"]["ca.crt"]


def test_a_revoked_cluster_has_no_certificate_and_up_does_not_wait_for_it(up):
    before = of(up, "cluster2")["certificates"]
    up.panal("certs", "revoke", "cluster2")
    eventually(lambda: secret(up, "cluster2") is None, "its Secret goes", SOON)
    eventually(lambda: of(up, "cluster2")["reason"] == "Revoked", "it is said", SOON)
    up.panal("up")
    assert secret(up, "cluster1")
    up.panal("certs", "restore", "cluster2")
    eventually(lambda: of(up, "cluster2")["available"] == "True", "it is back", SOON)
    assert secret(up, "cluster2")
    after = {c["serial"]: c["revoked"] for c in of(up, "cluster2")["certificates"]}
    assert all(after[c["serial"]] for c in before)
    assert sum(not revoked for revoked in after.values()) == 1


def test_new_authorities_are_trusted_before_they_sign(up):
    before = {a["authority"]: a["fingerprint"] for a in up.json("certs")["authorities"]}
    assert "is created and is distributed to every gateway" in up.panal("certs", "rotate", "servers")
    found = [(a["authority"], a["role"], a["fingerprint"] == before[a["authority"]]) for a in up.json("certs")["authorities"]]
    assert found == [("servers", "next", False), ("servers", "current", True), ("collaborators", "current", True)]

    def trusted():
        held = spoke(up, "cluster1").get(kinds.CONFIG_MAP, names.COLLABORATOR_NAMESPACE, names.TRUST)
        return held["data"]["ca.crt"].count("BEGIN CERTIFICATE") == 2

    eventually(trusted, "both are trusted at the site", SOON)


def test_up_does_not_change_the_selection_of_clusters(up):
    placement = hub(up).get(kinds.PLACEMENT, names.SYSTEM_NAMESPACE, names.ADDON)
    chosen = [{"requiredClusterSelector": {"labelSelector": {"matchLabels": {"feature": "none"}}}}]
    hub(up).patch(kinds.PLACEMENT, names.SYSTEM_NAMESPACE, names.ADDON, spec={"predicates": chosen, "clusterSets": []})
    eventually(lambda: not hub(up).list(kinds.MANAGED_CLUSTER_ADDON), "the add-on is nowhere", SOON)
    eventually(lambda: hub(up).get(kinds.MANIFEST_WORK, "cluster1", WORK) is None, "and so is its work", SOON)
    eventually(lambda: secret(up, "cluster1") is None, "its Secret goes", SOON)
    assert spoke(up, "cluster1").get(kinds.NAMESPACE, "", names.COLLABORATOR_NAMESPACE)
    up.panal("up")
    assert not hub(up).list(kinds.MANAGED_CLUSTER_ADDON)
    hub(up).patch(kinds.PLACEMENT, names.SYSTEM_NAMESPACE, names.ADDON, spec={"predicates": None, **placement["spec"]})
    up.panal("up")
    assert of(up, "cluster1")["available"] == "True"
    assert condition(hub(up).get(kinds.MANAGED_CLUSTER_ADDON, "cluster1", names.ADDON), "Progressing")["reason"] == "Completed"


async def test_the_timeout_names_what_is_missing(up):
    from panal.kube.client import Client
    from panal_local.commands.addons import install_everywhere

    async with Client.from_kubeconfig(up.folder.admin("hub")) as client:
        with pytest.raises(PlatformError, match=r"cluster9 can take part: not in time .Open Cluster Management has not installed"):
            await install_everywhere(Waiter(up.folder, 0.0), client, ["cluster9"], lambda _: None)
