"""The state of a service in its ConfigMap."""

import dataclasses

import pytest

from panal.serving.version import State, Version, read, written

ONE = Version("digits", "u1", "pvc://m/d", ("sha256:1",), {"containers": []}, 3, {"rounds": {"accuracy": 0.9}})
TWO = dataclasses.replace(ONE, run="digits-2", uid="u2", uri="pvc://m/e", digests=("sha256:2",))
OWNER = {"apiVersion": "a/v1", "kind": "InferenceService", "metadata": {"name": "digits", "uid": "s"}}


@pytest.mark.parametrize("state", [State(), State(ONE), State(ONE, TWO, TWO, ONE), State(canary=TWO), State(pending=ONE, adopted=True)])
def test_what_is_written_is_read(state):
    config = written(state, "digits", "ns", OWNER)
    assert config["metadata"]["ownerReferences"][0]["uid"] == "s"
    assert read(config) == state


@pytest.mark.parametrize("data", [{"serving": "{}"}, {"serving": "x"}, {"serving": "[]"}, {"serving": '{"digests": [], "more": 1}'}])
def test_what_others_have_written_is_refused(data):
    with pytest.raises(ValueError, match=r"."):
        read({"data": data})


def test_what_has_answered_serves_and_what_served_is_the_previous():
    assert State(ONE, None, TWO).proven() == State(TWO, ONE)
    assert State(ONE, TWO, ONE).proven() == State(ONE, TWO)  # the same again
    assert State(None, None, ONE, TWO).proven() == State(ONE, None, None, TWO)
    assert State(TWO, ONE, ONE).returned() == State(ONE)


def test_a_revision_is_that_of_all_that_is_served():
    other = [
        dataclasses.replace(ONE, uid="u2"),
        dataclasses.replace(ONE, uri="x"),
        dataclasses.replace(ONE, digests=("sha256:2",)),
        dataclasses.replace(ONE, predictor={}),
    ]
    assert len({each.revision for each in [ONE, *other]}) == 5
    assert dataclasses.replace(ONE, metrics={}).revision == ONE.revision
