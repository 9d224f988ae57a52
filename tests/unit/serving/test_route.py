"""The HTTPRoute of a service."""

import pytest

from panal.serving.route import address, http_route, problem

OWNER = {"apiVersion": "a", "kind": "b", "name": "digits", "uid": "s"}


def route():
    return http_route("digits", "ns", "gateways/public", "digits.example.com", {"digits": 70, "digits-canary": 30}, OWNER)


def condition(kind, status="True", generation=2, message="fine"):
    return {"type": kind, "status": status, "observedGeneration": generation, "message": message}


def test_requests_are_split_by_weight():
    found = route()
    (rule,) = found["spec"]["rules"]
    assert rule["backendRefs"] == [
        {"name": "digits-predictor", "port": 80, "weight": 70},
        {"name": "digits-canary-predictor", "port": 80, "weight": 30},
    ]
    assert address(found) == ("gateways/public", "digits.example.com")


@pytest.mark.parametrize(
    ("conditions", "why"),
    [
        ([], "no controller has answered for the HTTPRoute digits (Accepted)"),
        ([condition("Accepted"), condition("ResolvedRefs")], ""),
        # of the generation before
        ([condition("Accepted", generation=1), condition("ResolvedRefs", generation=1)], "no controller has answered"),
        ([condition("Accepted", "False", message="no such listener"), condition("ResolvedRefs")], "Accepted is False: no such listener"),
        ([condition("Accepted"), condition("ResolvedRefs", "False", message="no Service")], "ResolvedRefs is False: no Service"),
    ],
)
def test_a_gateway_must_have_taken_the_present_weights(conditions, why):
    found = route()
    found["metadata"]["generation"] = 2
    found["status"] = {"parents": [{"conditions": conditions}]}
    assert why in problem(found)
    assert bool(problem(found)) == bool(why)


def test_without_a_status_nothing_is_routed():
    assert "no controller" in problem(route())
