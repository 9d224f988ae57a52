"""The objects of a collaborator on its cluster: what its Pod can reach and read."""

from __future__ import annotations

from dataclasses import replace

from panal.addon.config import NOTHING
from panal.lifecycle.decide import decide
from worlds import NOW, UID, applied, fresh, job, manifests, pod, progress, service, sites


def test_a_collaborator_reaches_only_the_aggregator() -> None:
    starting = fresh(exposed=(service(),), job=job(pod()), progress=progress(connected=0, started=False))
    policy = manifests(decide(starting, NOW))["NetworkPolicy"]["spec"]
    assert policy["podSelector"]["matchLabels"] == {"fl.panal/run-uid": UID}
    assert policy["egress"] == [{"to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}], "ports": [{"protocol": "TCP", "port": 30123}]}]
    through_proxy = replace(starting, sites=sites(1, 2, 3, config=replace(NOTHING, proxy=("192.0.2.7", 3128))))
    policy = manifests(decide(through_proxy, NOW))["NetworkPolicy"]["spec"]
    assert policy["egress"] == [{"to": [{"ipBlock": {"cidr": "192.0.2.7/32"}}], "ports": [{"protocol": "TCP", "port": 3128}]}]


def test_only_the_gateway_mounts_the_key_of_a_site() -> None:
    starting = fresh(exposed=(service(),), job=job(pod()), progress=progress(connected=0, started=False))
    spec = manifests(decide(starting, NOW))["StatefulSet"]["spec"]["template"]["spec"]
    holders = [c["name"] for c in (*spec["initContainers"], *spec["containers"]) if any(m["name"] == "gateway" for m in c["volumeMounts"])]
    assert holders == ["gateway"]
    assert (spec["dnsPolicy"], spec["automountServiceAccountToken"]) == ("None", False)
    job_spec = applied(decide(fresh(), NOW), "Job")[0]["spec"]["template"]["spec"]
    mounted = [c for c in (*job_spec["initContainers"], *job_spec["containers"]) if any(m["name"] == "gateway" for m in c["volumeMounts"])]
    assert [c["name"] for c in mounted] == ["tools", "reporter", "gateway"]


def test_the_pods_secret_is_in_memory_and_mounted_by_programs_on_loopback() -> None:
    starting = fresh(exposed=(service(),), job=job(pod()), progress=progress(connected=0, started=False))
    site = manifests(decide(starting, NOW))["StatefulSet"]["spec"]["template"]["spec"]
    hub = applied(decide(fresh(), NOW), "Job")[0]["spec"]["template"]["spec"]
    for spec, readers in ((site, ["gateway", "supernode"]), (hub, ["reporter", "superlink", "launcher"])):
        assert {"name": "pod", "emptyDir": {"medium": "Memory"}} in spec["volumes"]
        mounts = {c["name"]: m for c in (*spec["initContainers"], *spec["containers"]) for m in c["volumeMounts"] if m["name"] == "pod"}
        paths = {
            c["name"]: e["value"] for c in (*spec["initContainers"], *spec["containers"]) for e in c["env"] if e["name"] == "PANAL_POD_DIR"
        }
        assert [name for name, mount in mounts.items() if mount.get("readOnly")] == readers
        assert set(mounts) == set(paths) == {"tools", *readers}
        assert {m["mountPath"] for m in mounts.values()} == set(paths.values()) == {"/panal/pod"}
