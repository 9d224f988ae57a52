"""`panal run -f` of a file whose run exists already, at the embedded API server."""

from __future__ import annotations

import pytest
import yaml

from api import api
from command_line import *  # noqa: F403
from panal.api import names
from panal.client.problem import Code
from panal.kube import kinds


@pytest.fixture
def ended(server, tmp_path):
    """The file of a run that is Completed, and what it applies with other numbers of rounds."""
    hub, file = api(server.kubeconfig), tmp_path / "run.yaml"
    hub.make_namespace("mnist")

    def write(rounds):
        spec = {"server": {"image": "a:1", "rounds": rounds}, "client": {"image": "a:1", "dataClaim": "None"}}
        about = {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": {"name": "digits", "namespace": "mnist"}}
        file.write_text(yaml.safe_dump(about | {"spec": spec}))
        return file

    return hub, write


def test_a_changed_spec_of_a_run_that_has_ended_needs_another_name_or_a_deletion(panal, server, ended):
    hub, write = ended
    words = ("--kubeconfig", str(server.kubeconfig), "-d")
    assert panal("run", "-f", str(write(rounds=2)), *words)[0] == Code.OK
    hub.patch_status(kinds.FEDERATED_LEARNING, "mnist", "digits", phase="Completed", startTime="2026-01-01T00:00:00Z")
    code, _, err = panal("run", "-f", str(write(rounds=3)), *words)
    assert code == Code.REFUSED
    assert "the run has ended, so its spec is immutable" in err
    assert "Give the new run another name" in err
    assert "`panal delete digits -n mnist`" in err
    assert "Correct the field" not in err
