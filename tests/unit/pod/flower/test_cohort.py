"""Replies about too few examples do not leave a site."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from panal.pod.tools.flower.cohort import POLICY, withheld

TRAINED = [{"loss": 0.5}, {"num-examples": 10}]


@pytest.fixture
def owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The owner's file, in the data folder of the site. It does not exist yet."""
    monkeypatch.setenv("PANAL_DATA_PATH", str(tmp_path))
    monkeypatch.delenv("PANAL_MINIMUM_EXAMPLES", raising=False)
    (tmp_path / POLICY).parent.mkdir()
    return tmp_path / POLICY


@pytest.mark.parametrize(
    ("of_the_owner", "of_the_run", "reason"),
    [
        (None, 0, None),
        (10, 0, None),
        (11, 0, "TooFewExamples"),
        (None, 10, None),
        (None, 11, "TooFewExamples"),
        (11, 1, "TooFewExamples"),  # a run cannot ask for less
        (1, 11, "TooFewExamples"),
    ],
)
def test_the_larger_minimum_counts(
    owner: Path, monkeypatch: pytest.MonkeyPatch, of_the_owner: int | None, of_the_run: int, reason: str | None
) -> None:
    if of_the_owner is not None:
        owner.write_text(f'{{"minimumExamples": {of_the_owner}}}')
    if of_the_run:
        monkeypatch.setenv("PANAL_MINIMUM_EXAMPLES", str(of_the_run))
    for kind in ("train", "evaluate", "query.counts", "train.fine-tune"):
        assert withheld(kind, TRAINED) == reason


INVALID = ["", "7", "{}", '{"minimumExamples": "7"}', '{"minimumExamples": -1}', '{"minimumExamples": true}', "[" * 99_999]
SILENT = [[], [{"loss": 1.0}], [{"num-examples": float("nan")}], [{"num-examples": [9, 9]}], [{"num-examples": 9}, {"num_examples": 1}]]


@pytest.mark.parametrize("text", INVALID, ids=range(len(INVALID)))
def test_a_file_that_cannot_be_read_withholds_every_reply(owner: Path, text: str) -> None:
    owner.write_text(text)
    assert withheld("evaluate", TRAINED) == "SitePolicyInvalid"


@pytest.mark.parametrize("metrics", SILENT)
def test_a_reply_that_does_not_say_how_many_is_withheld(owner: Path, metrics: list[dict[str, Any]]) -> None:
    owner.write_text('{"minimumExamples": 2}')
    assert withheld("evaluate", metrics) == "TooFewExamples"


def test_the_older_interface_says_it_in_another_way(owner: Path) -> None:
    owner.write_text('{"minimumExamples": 10}')
    assert withheld("train", [{"num_examples": 10}]) is None
    assert withheld("query.get_parameters", []) is None


def test_data_in_a_bucket_has_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANAL_DATA_PATH", "s3://bucket/data")
    assert withheld("evaluate", TRAINED) is None
