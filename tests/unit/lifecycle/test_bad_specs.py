"""Specs that the CRD refuses, as the CRD of another version may have let them in: the parser names the field, or the run is decided."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from bad_specs import Bad, bad_specs
from panal.api.parse import ParseError, parse, parse_metadata
from panal.api.types import Phase
from panal.lifecycle.decide import decide
from panal.lifecycle.refuse import refuse
from panal.lifecycle.world import PlacementView
from worlds import NOW, fresh, job, launcher, pod, resource, run, running

CASES = [bad for bad in bad_specs() if not bad.unknown]  # the parser ignores what a later version has
# Copied into Pods or the Placement as they are: the API server that gets these checks them.
COPIED = re.compile(r"spec\.(server|client|validation)\.(resources\.|env\b|imagePullSecrets\b|tolerations\b)")
# What the parser reads all the same, as the value that is meant.
READ = ("'7' for integer", "'7' for number", "'true' for boolean", "1 for boolean")


def problem(spec: dict[str, Any]) -> ParseError | None:
    try:
        parse(resource() | {"spec": spec})
    except ParseError as error:
        return error
    return None


def test_the_parser_names_the_field() -> None:
    wanted = [bad for bad in CASES if bad.what not in READ and not COPIED.match(bad.path) and "more bits" not in bad.what]
    assert len(wanted) >= 300
    found = {bad.id: problem(bad.spec) for bad in wanted}
    wrong = [bad.id for bad in wanted if not any(line.startswith(f"{bad.path}: ") for line in getattr(found[bad.id], "problems", ()))]
    assert not wrong


def test_a_resource_that_cannot_be_parsed_fails_with_field_and_remedy() -> None:
    for bad in CASES:
        if error := problem(bad.spec):
            status = refuse(parse_metadata(resource()), "", error, (), timedelta(minutes=5), NOW).status
            assert status is not None
            assert status.phase is Phase.FAILED
            assert bad.path in status.message
            assert status.message.endswith("Correct the field and create the run again.")


def runnable(bad: Bad) -> dict[str, Any] | None:
    """Its spec, with what a run needs elsewhere; None if the parser refuses it."""
    if problem(bad.spec):
        return None
    return {"framework": "flower", **bad.spec, "client": {"dataClaim": "None", **bad.spec["client"]}}


@pytest.mark.parametrize("bad", [bad for bad in CASES if COPIED.match(bad.path) or bad.what in READ], ids=lambda bad: bad.id)
def test_what_the_parser_reads_is_decided(bad: Bad) -> None:
    spec = runnable(bad)
    if spec is None:
        return
    asked = run(**spec)
    starting = running(run=asked, job=job(pod(launcher(running=False))), progress=None)
    for world in (fresh(run=asked), fresh(run=asked, placement=PlacementView(frozenset())), starting, running(run=asked, works={})):
        assert decide(world, NOW).status
