"""Tables over placements and clusters: who qualifies, and the words for who does not."""

import time
from dataclasses import dataclass, field

import pytest

from panal.api.names import ClusterName
from panal.placement import explain

UNREACHABLE = "cluster.open-cluster-management.io/unreachable"
TOLERATE_UNREACHABLE = {"key": UNREACHABLE, "operator": "Exists"}


@dataclass(frozen=True)
class Cluster:
    name: ClusterName
    accepted: bool = True
    labels: dict[str, str] = field(default_factory=dict)
    claims: dict[str, str] = field(default_factory=dict)
    taints: tuple[tuple[str, str, str], ...] = ()


def cluster(name="c1", **more):
    return Cluster(ClusterName(name), **more)


def verdict(spec, one, selected=()):
    members = {"global": frozenset({one.name})}
    return explain(spec, {one.name: one}, members, frozenset({"global"}), selected).verdicts[one.name]


def claims(*expressions):
    return {"claimSelector": {"matchExpressions": list(expressions)}}


def labels(*expressions, **exact):
    return {"labelSelector": {"matchLabels": exact, "matchExpressions": list(expressions)}}


def predicates(*selectors):
    return {"predicates": [{"requiredClusterSelector": selector} for selector in selectors]}


def need(key, operator, *values):
    return {"key": key, "operator": operator, "values": list(values)}


EU = {"region": "eu"}
SELECTORS = [
    # selector, labels = claims of the cluster, reason against it
    (claims(need("region", "Exists")), EU, ""),
    (claims(need("region", "Exists")), {}, "lacks claim region"),
    (claims(need("region", "Exists")), {"region": ""}, ""),
    (claims(need("region", "DoesNotExist")), {}, ""),
    (claims(need("region", "DoesNotExist")), EU, "has claim region"),
    (claims(need("region", "In", "eu", "us")), EU, ""),
    (claims(need("region", "In", "us", "asia")), EU, 'has claim region "eu", not in [asia, us]'),
    (claims(need("region", "In", "us")), {}, "lacks claim region"),
    (claims(need("region", "NotIn", "eu")), EU, 'has claim region "eu", which is excluded'),
    (claims(need("region", "NotIn", "us")), EU, ""),
    (claims(need("region", "NotIn", "us")), {}, ""),
    (claims(need("region", "NotIn", "")), {"region": ""}, 'has claim region "", which is excluded'),
    (labels(region="eu"), EU, ""),
    (labels(region="us"), EU, 'has label region "eu", not in [us]'),
    (labels(region="us"), {}, "lacks label region"),
    (labels(need("gpu", "Exists"), region="eu"), EU, "lacks label gpu"),
    (labels(need("gpu", "Exists"), region="us"), EU, 'has label region "eu", not in [us] and lacks label gpu'),
    (labels(region="eu") | claims(need("data", "Exists")), EU, "lacks claim data"),
    ({}, {}, ""),
    (
        claims(need("data", "In", "a", "b", "c", "d", "e", "f")),
        {"data": "x" * 1024},
        f'has claim data "{"x" * 62}…", not in [a, b, c, d, e, …]',
    ),
]


@pytest.mark.parametrize(("selector", "having", "reason"), SELECTORS)
def test_inside_a_predicate_everything_must_be_met(selector, having, reason):
    found = verdict(predicates(selector), cluster(labels=having, claims=having))
    assert (found.qualifies, found.text()) == (not reason, reason)


def test_one_of_several_predicates_is_enough_and_the_nearest_gives_the_reason():
    spec = predicates(labels(a="1", b="1"), claims(need("data", "Exists")))
    assert verdict(spec, cluster(claims={"data": "/x"})).qualifies
    assert verdict(spec, cluster(labels={"a": "1", "b": "1"})).qualifies
    assert verdict(spec, cluster()).text() == "lacks claim data"
    assert verdict(predicates(claims(need("x", "Exists"), need("y", "Exists")), labels(a="1")), cluster()).text() == "lacks label a"


def test_a_cel_selector_is_left_open():
    cel = {"celSelector": {"celExpressions": ["managedCluster.status.version.kubernetes.startsWith('v1.34')"]}}
    open_question = verdict(predicates(cel), cluster())
    assert (open_question.qualifies, open_question.text()) == (True, "may not match celSelector")
    assert verdict(predicates(cel | labels(a="1")), cluster()).text() == "lacks label a", "what is known to fail is said"
    assert verdict(predicates(cel | labels(a="1"), labels(b="1")), cluster(labels={"b": "1"})).text() == "", "another predicate is met"
    assert verdict(predicates(cel, labels(b="1")), cluster()).text() == "may not match celSelector"


TAINTS = [
    # taint, tolerations, in the decisions already, reason
    ((UNREACHABLE, "", "NoSelect"), [], False, f"is tainted {UNREACHABLE}"),
    ((UNREACHABLE, "", "NoSelect"), [], True, f"is tainted {UNREACHABLE}"),
    ((UNREACHABLE, "", "NoSelect"), [TOLERATE_UNREACHABLE], False, ""),
    ((UNREACHABLE, "", "NoSelect"), [{"operator": "Exists"}], False, ""),
    ((UNREACHABLE, "", "NoSelect"), [TOLERATE_UNREACHABLE | {"effect": "NoSelectIfNew"}], False, f"is tainted {UNREACHABLE}"),
    (("gpu", "broken", "PreferNoSelect"), [], False, ""),
    (("gpu", "broken", "NoSelectIfNew"), [], False, "is tainted gpu=broken"),
    (("gpu", "broken", "NoSelectIfNew"), [], True, ""),
    (("gpu", "broken", "NoSelect"), [{"key": "gpu", "value": "broken"}], False, ""),
    (("gpu", "broken", "NoSelect"), [{"key": "gpu", "operator": "", "value": "broken"}], False, ""),
    (("gpu", "broken", "NoSelect"), [{"key": "gpu"}], False, "is tainted gpu=broken"),
    (("gpu", "", "NoSelect"), [{"key": "gpu"}], False, ""),
    (("gpu", "", "NoSelect"), [{"key": "gpu", "operator": "Like"}], False, "is tainted gpu"),
    (("gpu", "broken", "NoSelect"), [{"key": "cpu", "operator": "Exists"}], False, "is tainted gpu=broken"),
]


@pytest.mark.parametrize(("taint", "tolerations", "selected", "reason"), TAINTS)
def test_taints(taint, tolerations, selected, reason):
    one = cluster(taints=(taint,))
    found = verdict({"tolerations": tolerations}, one, frozenset({one.name}) if selected else frozenset())
    assert (found.qualifies, found.text()) == (not reason, reason)


def test_a_toleration_that_ends_is_left_open_unless_another_one_does_not():
    one = cluster(taints=(("gpu", "", "NoSelect"),))
    for_a_while = {"key": "gpu", "operator": "Exists", "tolerationSeconds": 60}
    found = verdict({"tolerations": [for_a_while]}, one)
    assert (found.qualifies, found.text()) == (True, "may be tainted gpu for longer than is tolerated")
    assert verdict({"tolerations": [for_a_while, {"key": "gpu", "operator": "Exists"}]}, one).text() == ""


def test_a_cluster_that_the_hub_did_not_accept_cannot_take_part():
    assert verdict({}, cluster(accepted=False)).text() == "is not accepted by the hub"


MISCONFIGURED = [
    (
        {"tolerations": [{"operator": "Equal", "value": "x"}]},
        "tolerations[0].key: missing; a toleration without a key needs operator Exists",
    ),
    ({"tolerations": [{"key": "a", "operator": "Exists", "value": "x"}]}, "tolerations[0].value: operator Exists takes no value"),
    ({"tolerations": [{}, {}]}, "tolerations[0].key: missing; a toleration without a key needs operator Exists"),
    (predicates(claims(need("a", "In"))), "claimSelector.matchExpressions[0]: operator In needs at least one value"),
    (
        predicates({}, labels(need("a", "Exists", "x"))),
        "predicates[1].requiredClusterSelector.labelSelector.matchExpressions[0]: operator Exists",
    ),
    (predicates(labels(need("a", "Like", "x"))), 'operator "Like" is not one of In, NotIn, Exists, DoesNotExist'),
    (predicates(claims(need("a", "In", "/data/mnist"))), '"/data/mnist" has not the form of a label value'),
    (predicates(claims(need("a b", "Exists"))), '"a b" cannot be a key'),
]


@pytest.mark.parametrize(("spec", "problem"), MISCONFIGURED)
def test_a_placement_that_is_wrong_in_itself_selects_nothing(spec, problem):
    one = cluster()
    found = explain(spec, {one.name: one}, {"global": frozenset({one.name})}, frozenset({"global"}))
    assert not found.qualifying
    assert found.summary().startswith("0 of 1 cluster qualify: the placement is wrong: ")
    assert problem in found.summary()


SETS = [
    # spec.clusterSets, bound sets, qualifying, words in the summary
    ([], {"eu"}, {"c1"}, "1 of 3 clusters qualify: c2 is in none of the cluster sets [eu] that are bound to the run's namespace"),
    ([], {"eu", "us"}, {"c1", "c2"}, "2 of 3 clusters qualify: c3 is in none"),
    (["us"], {"eu", "us"}, {"c2"}, "1 of 3 clusters qualify: c1 is in none of the cluster sets [us];"),
    (["us", "asia"], {"us"}, {"c2"}, "1 of 3 clusters qualify"),
    (["us"], {"eu"}, set(), "0 of 3 clusters qualify: cluster set [us] is not bound to the run's namespace"),
    (["asia"], {"asia"}, set(), "0 of 3 clusters qualify: cluster set [asia] does not exist"),
    ([], set(), set(), "0 of 3 clusters qualify: no existing cluster set is bound to the run's namespace"),
    ([], {"asia"}, set(), "0 of 3 clusters qualify: no existing cluster set is bound to the run's namespace"),
]


@pytest.mark.parametrize(("wanted", "bound", "qualifying", "words"), SETS)
def test_cluster_sets(wanted, bound, qualifying, words):
    clusters = {ClusterName(name): cluster(name) for name in ("c1", "c2", "c3")}
    members = {"eu": frozenset({ClusterName("c1")}), "us": frozenset({ClusterName("c2")})}
    found = explain({"clusterSets": wanted}, clusters, members, frozenset(bound))
    assert found.qualifying == qualifying
    assert found.summary().startswith(words)


def everywhere(spec, *clusters):
    names = frozenset(one.name for one in clusters)
    return explain(spec, {one.name: one for one in clusters}, {"global": names}, frozenset({"global"}))


def test_the_summary_of_a_waiting_run():
    found = everywhere(
        predicates(claims(need("example.com/mnist", "Exists"))),
        cluster("cluster1", claims={"example.com/mnist": "pvc://mnist"}),
        cluster("cluster2", claims={"example.com/mnist": "pvc://mnist"}, taints=((UNREACHABLE, "", "NoSelect"),)),
        cluster("cluster3"),
    )
    assert found.summary(5) == f"1 of 3 clusters qualify: cluster2 is tainted {UNREACHABLE}; cluster3 lacks claim example.com/mnist"
    assert found.summary(1) == f"1 of 3 clusters qualify: cluster2 is tainted {UNREACHABLE} and 1 more"
    assert found.summary(0) == "1 of 3 clusters qualify"


def test_when_all_qualify_there_is_nothing_to_explain():
    assert everywhere({}, cluster("a"), cluster("b")).summary() == "2 of 2 clusters qualify"
    assert everywhere({}).summary() == "0 of 0 clusters qualify"


def test_thousands_of_clusters_are_explained_quickly_and_in_few_words():
    many = [
        cluster(f"cluster{n}", labels={"region": f"r{n % 7}", "env": "prod"}, claims={f"claim{i}": "v" * 900 for i in range(20)})
        for n in range(3500)
    ]
    spec = predicates(labels(need("region", "In", "r1", "r2"), env="prod"), claims(need("claim3", "In", "x"), need("data", "Exists")))
    started = time.process_time()
    found = everywhere(spec, *many)
    text = found.summary(3)
    assert time.process_time() - started < 0.5, "it takes about 40 ms; the limit leaves room for a busy machine"
    assert len(found.qualifying) == 1000
    assert text.endswith(" and 2497 more")
    assert len(text) < 1000
