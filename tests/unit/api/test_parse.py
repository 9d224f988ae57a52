"""From JSON to the types: what the API server sends, what the former controller left behind, and what is wrong."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panal.api.parse import ParseError, parse, parse_metadata, parse_spec, parse_status
from panal.api.spec import HOST
from panal.api.types import ListenerType, Phase, Spec, Status

METADATA = {"name": "mnist", "namespace": "fl", "uid": "u-1", "generation": 3, "creationTimestamp": "2026-01-02T03:04:05Z"}


def resource(spec=None, status=None, **metadata):
    parts = {"metadata": METADATA | metadata, "spec": spec, "status": status}
    return {key: value for key, value in parts.items() if value is not None}


def test_a_whole_resource():
    found = parse(
        resource(
            {"framework": "flower", "server": {"image": "a:1", "rounds": 3, "listeners": [{"name": "l", "type": "LoadBalancer"}]}},
            {"phase": "Running", "startTime": "2026-01-02T03:04:06Z", "observedGeneration": 2},
            finalizers=["fl.panal/cleanup"],
            deletionTimestamp="2026-01-02T04:00:00Z",
        )
    )
    assert found.metadata.created == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert found.metadata.deleting_since == datetime(2026, 1, 2, 4, tzinfo=UTC)
    assert (found.metadata.generation, found.metadata.finalizers) == (3, ("fl.panal/cleanup",))
    assert (found.spec.framework, found.spec.server.rounds) == ("flower", 3)
    assert found.spec.server.listeners[0].type is ListenerType.LOAD_BALANCER
    assert (found.has_status, found.status.phase, found.status.observed_generation) == (True, Phase.RUNNING, 2)


def test_a_resource_without_spec_and_status_has_the_defaults():
    found = parse(resource())
    assert (found.spec, found.status, found.has_status) == (Spec(), Status(), False)
    assert (found.spec.server.min_available_clients, found.spec.framework) == (1, "other")


def test_what_the_former_controller_wrote_can_be_read():
    listener = {"name": "listener(service):x-server", "port": 31166, "type": "NodePort", "address": "172.18.0.2:31166"}
    found = parse_status(resource(status={"phase": "Start", "message": "", "listeners": [listener, {"type": "LoadBalancer"}]}))
    assert found.phase is Phase.WAITING
    assert [one.port for one in found.listeners] == [31166, 0]


WRONG = [
    ({"server": {"rounds": 0}}, "spec.server.rounds: "),
    ({"server": {"minAvailableClients": 0}}, "spec.server.minAvailableClients: "),
    ({"server": {"listeners": [{}, {"port": 70000}]}}, "spec.server.listeners[1].port: "),
    ({"server": {"storage": {"type": "Tape"}}}, "spec.server.storage.type: "),
    ({"framework": "FATE"}, "spec.framework: "),
]


@pytest.mark.parametrize(("spec", "problem"), WRONG)
def test_what_is_wrong_is_named_as_users_write_it(spec, problem):
    with pytest.raises(ParseError) as raised:
        parse_spec(resource(spec))
    assert [one.startswith(problem) for one in raised.value.problems] == [True]


def test_all_problems_are_named_at_once():
    with pytest.raises(ParseError) as raised:
        parse_spec(resource({"framework": "FATE", "server": {"rounds": 0}}))
    assert len(raised.value.problems) == 2
    assert str(raised.value) == "; ".join(raised.value.problems)


def test_metadata_can_be_read_where_the_spec_cannot():
    assert parse_metadata(resource({"framework": "FATE"})).name == "mnist"


def test_an_object_that_no_api_server_sent_is_refused():
    with pytest.raises(ParseError, match=r"metadata\.uid: missing"):
        parse_metadata({"metadata": {"name": "x", "namespace": "y", "creationTimestamp": "2026-01-02T03:04:05Z"}})


@given(st.builds(Status, message=st.text(), metrics=st.dictionaries(st.text(max_size=9), st.floats(allow_nan=False, allow_infinity=False))))
def test_a_status_reads_back_as_it_was_written(status):
    written = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert parse_status(resource(status=written)) == status


@settings(derandomize=True)
@given(st.from_regex(HOST, fullmatch=True))
def test_the_host_of_a_listener_can_be_resolved(host):
    """Python's resolver raises UnicodeError for a label that is empty or longer than 63 characters."""
    assert host.encode("idna") or not host
