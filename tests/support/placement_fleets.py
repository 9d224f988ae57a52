"""Seeded random fleets and Placements, on which `panal.placement` and the real placement controller have to agree.

What the real controller's outcome would depend on by chance is left out by construction (docs/design/placement.md): a hand-made
decision keeps the prioritizer Balance's maximum fixed, Placements that Balance can sway come one a fleet at a time (`waves`), and each
later state changes one object of a fleet.
"""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass, field
from typing import Any

GROUP = "cluster.open-cluster-management.io"
SET_LABEL = f"{GROUP}/clusterset"
DISABLED = f"{GROUP}/experimental-scheduling-disable"
FLEETS, PLAIN, WAVES = 26, 68, 12
LONG_AGO, FAR_AWAY = "2020-01-01T00:00:00Z", "2199-01-01T00:00:00Z"
NAMESPACES = {"all": ("a", "b", "every"), "one": ("a",), "two": ("b", "none"), "unbound": (), "ghost": ("ghost",), "empty": ("none",)}
BALLAST = 100
PROBE = "probe"

Object = dict[str, Any]


@dataclass(slots=True)
class Fleet:
    name: str
    clusters: list[Object] = field(default_factory=list)
    sets: list[Object] = field(default_factory=list)
    bindings: list[Object] = field(default_factory=list)
    scores: list[Object] = field(default_factory=list)
    plain: list[Object] = field(default_factory=list)
    waves: list[Object] = field(default_factory=list)

    @property
    def placements(self) -> list[Object]:
        return self.plain + self.waves


def ballast() -> Object:
    """100 decisions for a cluster of no fleet."""
    decided = [{"clusterName": "ballast", "reason": ""}] * BALLAST
    metadata = {"name": "ballast", "namespace": "ballast"}
    return {"apiVersion": f"{GROUP}/v1beta1", "kind": "PlacementDecision", "metadata": metadata, "status": {"decisions": decided}}


def fleets() -> list[Fleet]:
    return [_fleet(f"f{number:02}", random.Random(number)) for number in range(FLEETS)]


def _fleet(name: str, dice: random.Random) -> Fleet:
    fleet = Fleet(name)
    fleet.clusters = [_cluster(fleet.name, number, dice) for number in range(dice.randint(5, 11))]
    if dice.random() < 0.5:
        fleet.clusters[-1]["metadata"] |= {"finalizers": ["example.com/stays"], "deletionTimestamp": LONG_AGO}
    selector = {"selectorType": "LabelSelector", "labelSelector": {"matchLabels": {"fleet": name}}}
    every = {"clusterSelector": selector}
    fleet.sets = [
        _object("v1beta2", "ManagedClusterSet", f"{name}-{each}", spec=every if each == "every" else {})
        for each in ("a", "b", "none", "every")
    ]
    for namespace, sets in NAMESPACES.items():
        for each in sets:
            binding = _object(
                "v1beta2", "ManagedClusterSetBinding", f"{name}-{each}", f"{name}-{namespace}", spec={"clusterSet": f"{name}-{each}"}
            )
            fleet.bindings.append(binding)
    for cluster in fleet.clusters:
        fleet.scores += _scores(cluster["metadata"]["name"], dice)
    fleet.plain = [_placement(fleet, f"p{number:02}", dice) for number in range(PLAIN)]
    fleet.waves = [_swayed(fleet, f"w{number:02}", dice) for number in range(WAVES)]
    return fleet


def _object(version: str, kind: str, name: str, namespace: str = "", **parts: Any) -> Object:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": f"{GROUP}/{version}", "kind": kind, "metadata": metadata, **parts}


def _some(dice: random.Random, share: float, **items: Any) -> dict[str, Any]:
    return {key: value for key, value in items.items() if dice.random() < share}


def _cluster(fleet: str, number: int, dice: random.Random) -> Object:
    labels = {"fleet": fleet} | _some(
        dice, 0.7, region=dice.choice(["eu", "us", "asia"]), tier=dice.choice(["dev", "prod"]), gpu=dice.choice(["", "a100"])
    )
    if dice.random() < 0.8:
        labels[SET_LABEL] = f"{fleet}-{dice.choice('aab')}"
    claims = _some(dice, 0.6, mnist=dice.choice(["pvc://mnist", "/data/mnist"]), size=dice.choice(["small", "big"]), zone=f"z{number % 3}")
    claims |= {"info": dice.choice(['{"cores": 8, "arm": true}', '{"cores": 4}', "no json"])}
    amounts = {"cpu": dice.choice(["4", "1500m", "8", "16", "0.5"]), "memory": dice.choice(["8Gi", "16Gi", "9000Mi", "1e10", "1.5Gi"])}
    cluster = _object(
        "v1", "ManagedCluster", f"{fleet}-c{number:02}", spec={"hubAcceptsClient": dice.random() < 0.8, "leaseDurationSeconds": 60}
    )
    cluster["metadata"]["labels"] = labels
    if dice.random() < 0.45:
        cluster["spec"]["taints"] = [_taint(dice) for _ in range(dice.randint(1, 2))]
    cluster["status"] = {
        "clusterClaims": [{"name": name, "value": value} for name, value in claims.items()],
        "capacity": dict(amounts) if dice.random() < 0.85 else {},
        "allocatable": amounts if dice.random() < 0.85 else {},
        "conditions": [],
        "version": {"kubernetes": dice.choice(["v1.29.3", "v1.30.0", "v1.31.1-eks-1234", "unknown"])},
    }
    return cluster


def _taint(dice: random.Random) -> Object:
    effect = dice.choice(["NoSelect", "NoSelect", "NoSelectIfNew", "PreferNoSelect"])
    taint = {"key": dice.choice(["gpu", "example.com/old", f"{GROUP}/unreachable"]), "effect": effect}
    return taint | _some(dice, 0.5, value=dice.choice(["broken", "slow"]), timeAdded=LONG_AGO)


def _scores(cluster: str, dice: random.Random) -> list[Object]:
    def score(name: str, **status: Any) -> Object:
        items = _some(dice, 0.8, cpu=dice.randint(-100, 100), memory=dice.randint(-100, 100))
        status |= {"scores": [{"name": key, "value": value} for key, value in items.items()]}
        return _object("v1alpha1", "AddOnPlacementScore", name, cluster, status=status)

    made = [score("load"), score("fresh", validUntil=FAR_AWAY), score("old", validUntil=LONG_AGO)]
    return [each for each in made if dice.random() < 0.8]


def _placement(fleet: Fleet, name: str, dice: random.Random) -> Object:
    """Of the kind that Balance cannot sway: it selects all that pass, or Balance has no weight."""
    namespace = dice.choices(list(NAMESPACES), (12, 5, 4, 1, 1, 1))[0]
    spec: Object = {}
    if dice.random() < 0.3:
        spec["clusterSets"] = [f"{fleet.name}-{each}" for each in dice.sample(["a", "b", "none", "every", "ghost"], dice.randint(1, 2))]
    if dice.random() < 0.6:
        spec["predicates"] = [{"requiredClusterSelector": _selector(dice)} for _ in range(dice.randint(1, 2))]
    if dice.random() < 0.6:
        spec["tolerations"] = [_toleration(dice) for _ in range(dice.randint(1, 3))]
    if dice.random() < 0.6:
        spec["numberOfClusters"] = dice.choice([0, 1, 1, 2, 2, 3, 4, 20])
    spec |= _policy(dice, balance=0 if "numberOfClusters" in spec else None)
    if dice.random() < 0.3:
        spec["decisionStrategy"] = {"groupStrategy": _groups(dice)}
    if dice.random() < 0.1:
        constraint = {"topologyKey": "region", "topologyKeyType": "Label", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}
        spec["spreadPolicy"] = {"spreadConstraints": [constraint]}
    placement = _object("v1beta1", "Placement", name, f"{fleet.name}-{namespace}", spec=spec)
    if dice.random() < 0.02:
        placement["metadata"]["annotations"] = {DISABLED: dice.choice(["true", "false"])}
    return placement


def _swayed(fleet: Fleet, name: str, dice: random.Random) -> Object:
    spec = {"numberOfClusters": dice.randint(1, 4)} | _policy(dice, balance=dice.choice([1, 1, 3, 10, -2]), expired=False)
    if dice.random() < 0.5:
        spec["tolerations"] = [{"operator": "Exists"}]
    return _object("v1beta1", "Placement", name, f"{fleet.name}-all", spec=spec)


def _policy(dice: random.Random, balance: int | None, expired: bool = True) -> Object:
    """With Balance weighted `balance`, else anyhow. Steady counts for nothing less than 0: a Placement would never come to rest."""
    if balance is None and dice.random() < 0.4:
        return {}
    configurations = [_configuration(dice, expired) for _ in range(dice.randint(0, 3))]
    if dice.random() < 0.04:  # never two mistakes: which of them is told is left to chance
        mistake = dice.choice([{"builtIn": "Random"}, {"type": "AddOn"}])
        configurations.append({"scoreCoordinate": mistake, "weight": dice.choice([1, 1, 0])})
    if balance is not None:
        configurations = [c for c in configurations if c["scoreCoordinate"].get("builtIn") != "Balance"]
        configurations.append({"scoreCoordinate": {"builtIn": "Balance"}, "weight": balance})
    mode = dice.choice(["Additive", "Exact", "Exact", "Fuzzy"] if balance is None and dice.random() < 0.1 else ["Additive", "Exact"])
    return {"prioritizerPolicy": {"mode": mode, "configurations": configurations}}


def _configuration(dice: random.Random, expired: bool) -> Object:
    if dice.random() < 0.5:
        built_in = dice.choice(["Balance", "Steady", "ResourceAllocatableCPU", "ResourceAllocatableMemory"])
        return {"scoreCoordinate": {"type": "BuiltIn", "builtIn": built_in}, "weight": dice.randint(0 if built_in == "Steady" else -10, 10)}
    names = ["load", "fresh", "missing"] + ["old", "old"] * expired
    add_on = {"resourceName": dice.choice(names), "scoreName": dice.choice(["cpu", "memory", "other"])}
    return {"scoreCoordinate": {"type": "AddOn", "addOn": add_on}} | _some(dice, 0.8, weight=dice.randint(-10, 10))


def _selector(dice: random.Random) -> Object:
    selector = _some(
        dice,
        0.4,
        labelSelector=_labels(dice),
        claimSelector={"matchExpressions": [_expression(dice, ["mnist", "size", "zone"], ["small", "z1", "z2"])]},
        celSelector={"celExpressions": [dice.choice(CEL) for _ in range(dice.randint(1, 2))]},
    )
    if dice.random() < 0.02:
        selector["labelSelector"] = dice.choice(WRONG_LABELS)
    if dice.random() < 0.03:
        selector["claimSelector"] = {"matchExpressions": [dice.choice(WRONG_EXPRESSIONS)]}
    if dice.random() < 0.03:
        selector["celSelector"] = {"celExpressions": [dice.choice(WRONG_CEL)]}
    return selector


def _labels(dice: random.Random) -> Object:
    if dice.random() < 0.5:
        return {"matchLabels": {"region": dice.choice(["eu", "us"])}}
    expressions = [_expression(dice, ["region", "tier", "gpu"], ["eu", "us", "prod", "a100", ""]) for _ in range(dice.randint(1, 2))]
    return {"matchExpressions": expressions}


def _expression(dice: random.Random, keys: list[str], values: list[str]) -> Object:
    key, operator = dice.choice(keys), dice.choice(["In", "NotIn", "Exists", "DoesNotExist"])
    return {"key": key, "operator": operator} | ({"values": dice.sample(values, 2)} if operator in ("In", "NotIn") else {})


WRONG_EXPRESSIONS = [
    {"key": "mnist", "operator": "Like", "values": ["x"]},
    {"key": "mnist", "operator": "In"},
    {"key": "mnist", "operator": "NotIn", "values": []},
    {"key": "mnist", "operator": "In", "values": ["ok", "/data/mnist", "pvc://x"]},
    {"key": "mnist", "operator": "Exists", "values": ["a<b", "c"]},
    {"key": "a b", "operator": "Exists"},
    {"key": "/x", "operator": "In", "values": ["x" * 64]},
    {"key": "Example.com/x", "operator": "DoesNotExist"},
    {"key": "a/b/c", "operator": "Exists"},
    {"key": f"{'x' * 254}/{'y' * 64}", "operator": "Exists"},
    {"key": "", "operator": "Exists"},
    {"key": "x", "operator": "In", "values": ['say "hi"\n', "é", "x\x7f"]},
]
WRONG_LABELS = [{"matchLabels": {"region": "e u"}}, {"matchLabels": {"-": "eu"}}, *({"matchExpressions": [e]} for e in WRONG_EXPRESSIONS)]
CEL = [
    'managedCluster.metadata.name.endsWith("1")',
    'managedCluster.metadata.labels.region == "eu"',
    'managedCluster.metadata.labels[?"region"].orValue("eu") == "eu"',
    '"gpu" in managedCluster.metadata.labels',
    "managedCluster.spec.hubAcceptsClient",
    "has(managedCluster.spec.taints) && managedCluster.spec.taints.all(t, t.timeAdded == null)",
    "has(managedCluster.spec) && !has(managedCluster.status.managedNamespaces)",
    "managedCluster.spec.leaseDurationSeconds == 60",
    'managedCluster.status.clusterClaims.exists(c, c.name == "size" && c.value == "big")',
    'managedCluster.status.clusterClaims.exists(c, c.name == "info" && c.value.parseJSON().cores > 4.0)',
    'managedCluster.status.clusterClaims.filter(c, c.name == "info")[0].value.parseJSON().arm',
    'managedCluster.scores("load").exists(s, s.name == "cpu" && s.value > 0)',
    'managedCluster.scores("fresh").map(s, int(s.value)).sum() > 10',
    'managedCluster.scores("missing").size() == 0',
    'quantity(managedCluster.status.allocatable.memory).isGreaterThan(quantity("9G"))',
    'quantity(managedCluster.status.allocatable.cpu).add(1).compareTo(quantity("2500m")) >= 0',
    'managedCluster.status.allocatable.memory in ["8Gi", "9000Mi", "10e9", "1536Mi"]',
    'managedCluster.status.allocatable.cpu in ["500m", "4"]',
    'semver(managedCluster.status.version.kubernetes, true).isLessThan(semver("1.31.0"))',
    "isSemver(managedCluster.status.version.kubernetes, true)",
    'managedCluster.status.version.kubernetes.startsWith("v1.3")',
    'managedCluster.status.version.kubernetes.find("[0-9]+") == "1"',
    'managedCluster.metadata.name.findAll("[0-9]+").size() == 2',
    'ip("10.1.2.3").isGlobalUnicast() && cidr("10.0.0.0/8").containsIP("10.1.2.3")',
    '[3, 1, 2].max() == 3 && ["a", "b"].isSorted()',
    'url("https://example.com:8443/a?b=c").getPort() == "8443"',
    'managedCluster.metadata.labels.tier.upperAscii() == "PROD"',
    '"%s".format([managedCluster.metadata.labels.tier]) == "dev"',
    "managedCluster.metadata.name",
    "managedCluster.status.nothing == 1",
    "managedCluster.status.conditions == null || managedCluster.status.conditions.size() == 0",
    "true",
    "false",
]
WRONG_CEL = ["managedClusters.metadata", "managedCluster.", "1 + true == 2", "managedCluster.nothing()", 'quantity("1") == 1', "["]


def _toleration(dice: random.Random) -> Object:
    if dice.random() < 0.02:
        return dice.choice([{"operator": "Equal", "value": "x"}, {"key": "gpu", "operator": "Exists", "value": "x"}, {}])
    if dice.random() < 0.15:
        toleration: Object = {"operator": "Exists"}
    else:
        toleration = {"key": dice.choice(["gpu", "example.com/old", f"{GROUP}/unreachable"])}
        toleration |= _some(dice, 0.8, operator=dice.choice(["Exists", "Exists", "Equal", "Equal", "", "Like"]))
        if toleration.get("operator") != "Exists":
            toleration |= _some(dice, 0.7, value=dice.choice(["broken", "slow"]))
    toleration |= _some(dice, 0.3, effect=dice.choice(["NoSelect", "NoSelectIfNew", "PreferNoSelect"]))
    return toleration | _some(dice, 0.3, tolerationSeconds=dice.choice([0, -1, 60, 5_000_000_000, 10_000_000_000]))


def _groups(dice: random.Random) -> Object:
    strategy: Object = _some(dice, 0.7, clustersPerDecisionGroup=dice.choice([1, 2, 100, 0, "1%", "30%", "50%", "100%"]))
    if dice.random() < 0.05:
        strategy["clustersPerDecisionGroup"] = "3"
    groups = [{"groupName": f"group{n}", "groupClusterSelector": _group_selector(dice)} for n in range(dice.randint(0, 3))]
    return strategy | ({"decisionGroups": groups} if groups else {})


def _group_selector(dice: random.Random) -> Object:
    if dice.random() < 0.05:
        return {"claimSelector": {"matchExpressions": [dice.choice(WRONG_EXPRESSIONS)]}}
    claims = {"matchExpressions": [_expression(dice, ["mnist", "size", "zone"], ["small", "z1", "z2"])]}
    return _some(dice, 0.6, labelSelector=_labels(dice), claimSelector=claims)


@dataclass(frozen=True, slots=True)
class Change:
    """A merge patch of one cluster; `subresource` is empty or status."""

    cluster: str
    patch: Object
    subresource: str = ""


def changes(fleet: Fleet, state: int) -> Change:
    """The one change that leads to the second state (a cluster's labels and taints) or to the third (its claims and resources)."""
    dice = random.Random(f"{fleet.name} {state}")
    cluster = copy.deepcopy(dice.choice([c for c in fleet.clusters if "deletionTimestamp" not in c["metadata"]]))
    name = cluster["metadata"]["name"]
    if state == 2:
        labels = {PROBE: f"{fleet.name}-2"} | dice.choice(
            [{"region": "eu"}, {"tier": None}, {SET_LABEL: f"{fleet.name}-b"}, {SET_LABEL: None}, {}]
        )
        taints = dice.choice(
            [[], [{"key": "gpu", "effect": "NoSelectIfNew"}], [{"key": "gpu", "effect": "NoSelect"}], cluster["spec"].get("taints")]
        )
        return Change(name, {"metadata": {"labels": labels}, "spec": {"taints": taints}})
    claims = [{"name": PROBE, "value": f"{fleet.name}-3"}, *cluster["status"]["clusterClaims"][1:]]
    amounts = {"cpu": "12", "memory": "12Gi"}
    return Change(name, {"status": {"clusterClaims": claims, "capacity": amounts, "allocatable": amounts}}, "status")


def changed(fleet: Fleet, change: Change) -> Fleet:
    clusters = [_merged(c, change.patch) if c["metadata"]["name"] == change.cluster else c for c in fleet.clusters]
    return Fleet(fleet.name, clusters, fleet.sets, fleet.bindings, fleet.scores, fleet.plain, fleet.waves)


def _merged(old: Any, patch: Any) -> Any:
    if not isinstance(patch, dict) or not isinstance(old, dict):
        return patch
    merged = old | {key: _merged(old.get(key), value) for key, value in patch.items()}
    return {key: value for key, value in merged.items() if value is not None}
