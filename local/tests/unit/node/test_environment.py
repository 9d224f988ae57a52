"""Env, command and paths of a container."""

import base64

import pytest

from panal_local.node.environment import NotReadyError, command, environment, expand, field, real, rewrite, rewrite_argument

MOUNTS = [("/panal/run", "/r/run"), ("/panal", "/r/all/"[:-1]), ("/tmp", "/r/tmp")]
POD = {
    "metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"a/b": "c"}, "annotations": {"x": "y"}},
    "spec": {"nodeName": "n"},
    "status": {"podIP": "127.1.0.1", "podIPs": [{"ip": "127.1.0.1"}], "hostIP": "127.0.0.9"},
}
OBJECTS = {
    ("ConfigMap", "cm"): {
        "kind": "ConfigMap",
        "data": {"k": "v", "path": "/panal/run/x"},
        "binaryData": {"b": base64.b64encode(b"z").decode()},
    },
    ("Secret", "sec"): {"kind": "Secret", "data": {"k": base64.b64encode(b"hidden").decode()}},
}


def lookup(kind, namespace, name):
    assert namespace == "ns"
    return OBJECTS.get((kind.kind, name))


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)", "1"),
        ("x$(A)$(B)y", "x12y"),
        ("$(C)", "$(C)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A $", "$A $"),
        ("$(A", "$(A"),
        ("$()", "$()"),
    ],
)
def test_references_are_expanded_as_a_kubelet_does(text, expanded):
    assert expand(text, {"A": "1", "B": "2"}) == expanded


@pytest.mark.parametrize(
    ("text", "rewritten"),
    [
        ("/panal/run", "/r/run"),
        ("/panal/run/a/b", "/r/run/a/b"),
        ("/panal/runs", "/r/all/runs"),
        ("/panals", "/panals"),
        ("/tmp/", "/r/tmp/"),
        ("/usr/bin:/panal/run/bin:", "/usr/bin:/r/run/bin:"),
        ("http://tmp/x", "http://tmp/x"),
        ("file:/tmp/x", "file:/tmp/x"),
        ("pvc:///tmp", "pvc:///tmp"),
        ("tmp", "tmp"),
        ("cat /tmp/x", "cat /tmp/x"),
        ("", ""),
    ],
)
def test_mount_paths_are_replaced_by_whole_components_and_the_longest_mount(text, rewritten):
    assert rewrite(text, MOUNTS) == rewritten


def test_a_mount_path_may_end_with_a_slash():
    assert real("/data/x", [("/data/", "/r")]) == "/r/x"


def test_arguments_may_be_options():
    assert rewrite_argument("--config=/tmp/c", MOUNTS) == "--config=/r/tmp/c"
    assert rewrite_argument("A=/tmp/c", MOUNTS) == "A=/tmp/c"


def test_the_environment_is_in_order_with_references_to_earlier_variables():
    container = {
        "envFrom": [{"configMapRef": {"name": "cm"}, "prefix": "P_"}, {"secretRef": {"name": "none", "optional": True}}],
        "env": [
            {"name": "A", "value": "/tmp/a"},
            {"name": "B", "value": "in $(A), $(LATER), $(P_k)"},
            {"name": "LATER", "value": "x"},
            {"name": "S", "valueFrom": {"secretKeyRef": {"name": "sec", "key": "k"}}},
            {"name": "NONE", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "none", "optional": True}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "EMPTY"},
            {"name": "HOME", "value": "/tmp"},
        ],
    }
    assert environment(container, POD, lookup, MOUNTS, {"HOME": "/image", "PATH": "/bin"}) == {
        "PATH": "/bin",
        "HOME": "/r/tmp",
        "P_k": "v",
        "P_path": "/r/run/x",
        "P_b": "z",
        "A": "/r/tmp/a",
        "B": "in /r/tmp/a, $(LATER), v",
        "LATER": "x",
        "S": "hidden",
        "IP": "127.1.0.1",
        "EMPTY": "",
    }


def test_fixed_variables_can_be_referenced_and_not_overridden():
    given = [{"name": "PANAL_LOOPBACK", "value": "127.0.0.1"}, {"name": "AT", "value": "$(PANAL_LOOPBACK):8000"}]
    found = environment({"env": given}, POD, lookup, MOUNTS, {"HOME": "/image"}, {"PANAL_LOOPBACK": "127.1.0.1"})
    assert found == {"HOME": "/image", "PANAL_LOOPBACK": "127.1.0.1", "AT": "127.1.0.1:8000"}


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ({"configMapKeyRef": {"name": "gone", "key": "k"}}, 'configmap "gone" not found'),
        ({"configMapKeyRef": {"name": "cm", "key": "gone"}}, "couldn't find key gone in ConfigMap ns/cm"),
        ({"secretKeyRef": {"name": "gone", "key": "k"}}, 'secret "gone" not found'),
        ({"resourceFieldRef": {"resource": "limits.cpu"}}, "resourceFieldRef is not supported"),
        ({"fieldRef": {"fieldPath": "status.phase"}}, "fieldRef status.phase is not supported"),
    ],
)
def test_missing_references_are_config_errors_with_the_messages_of_a_kubelet(source, says):
    with pytest.raises(NotReadyError, match=says) as error:
        environment({"env": [{"name": "A", "valueFrom": source}]}, POD, lookup, [], {})
    assert error.value.reason == "CreateContainerConfigError"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.labels['a/b']", "c"),
        ("metadata.labels['none']", ""),
        ("metadata.annotations['x']", "y"),
        ("metadata.labels", 'a/b="c"'),
        ("spec.nodeName", "n"),
        ("spec.serviceAccountName", "default"),
        ("status.podIPs", "127.1.0.1"),
        ("status.hostIP", "127.0.0.9"),
    ],
)
def test_fields_of_the_downward_api(path, value):
    assert field(POD, path) == value


@pytest.mark.parametrize(
    ("container", "words"),
    [
        ({}, ["entry", "cmd"]),
        ({"args": ["a"]}, ["entry", "a"]),
        ({"command": ["c"]}, ["c"]),
        ({"command": ["c"], "args": ["/tmp/$(A)"]}, ["c", "/r/tmp/1"]),
    ],
)
def test_command_and_arguments_replace_those_of_the_image(container, words):
    assert command({"image": "i", **container}, {"A": "1"}, MOUNTS, ["entry"], ["cmd"]) == words


def test_a_missing_command_is_an_error():
    with pytest.raises(NotReadyError, match="no command specified"):
        command({"image": "i"}, {}, [], [], [])


def test_a_mounted_folder_is_named_inside_an_argument_by_a_variable():
    """As the gateway's configuration names the Pod's secret: the value of the variable is a mount path, which is replaced first."""
    mounts = [("/panal/pod", "/node/pods/u/volumes/pod")]
    container = {"args": ['{"filename": "$(PANAL_POD_DIR)/users"}'], "env": [{"name": "PANAL_POD_DIR", "value": "/panal/pod"}]}
    pod = {"metadata": {"namespace": "ns", "name": "p"}, "spec": {}}
    env = environment(container, pod, lambda *_: None, mounts, {})
    assert command(container, env, mounts, ["envoy"], []) == ["envoy", '{"filename": "/node/pods/u/volumes/pod/users"}']
