"""Charts: scales, gaps, at most so many points, and markup that no name can break."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards import HOSTILE
from panal.client.plotting import MOST, nice, runs, thinned
from panal.dashboard.chart import Chart, Line

NS = "{http://www.w3.org/2000/svg}"


def parsed(chart: Chart) -> ElementTree.Element:
    return ElementTree.fromstring(str(chart.svg("c")))


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=20))
def test_any_values_make_a_picture_without_a_value_that_is_not_finite(values):
    svg = str(Chart("m", [Line("a", dict(enumerate(values, start=1)))]).svg("c"))
    ElementTree.fromstring(svg)
    assert not re.search(r"\b(nan|inf)\b", re.sub(r"<(title|desc|text)[^>]*>.*?</\1>", "", svg))


@given(st.floats(-1e12, 1e12), st.floats(1e-9, 1e12))
def test_ticks_are_few_and_enclose_the_values(low, size):
    high = low + size
    ticks = nice(low, high)
    assert 1 <= len(ticks) <= 20
    if high > low and len(ticks) > 2:
        assert ticks[0] <= low + abs(low) * 1e-9
        assert ticks[-1] >= high - abs(high) * 1e-9


def test_ticks_are_round_numbers():
    assert nice(0.88, 0.95) == pytest.approx([0.88, 0.9, 0.92, 0.94, 0.96])
    assert nice(3, 3) == [3]


def test_a_value_that_is_not_finite_and_a_missing_round_are_gaps():
    points = {1: 0.1, 2: math.nan, 3: 0.3, 4: 0.4, 7: 0.7}
    assert [[number for number, _ in piece] for piece in runs(points)] == [[1], [3, 4], [7]]
    assert len(parsed(Chart("m", [Line("a", points)])).findall(".//polyline")) == 3


def test_a_line_has_so_many_points_at_most_with_the_first_and_the_last():
    rounds = list(range(1, 5001))
    kept = thinned(rounds)
    assert (len(kept), kept[0], kept[-1], len(set(kept))) == (MOST, 1, 5000, MOST)
    (line,) = parsed(Chart("m", [Line("a", {n: float(n) for n in rounds})])).findall(".//polyline")
    assert len(line.attrib["points"].split()) == MOST


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text(name):
    root = parsed(Chart(name, [Line(name, {1: 1.0, 2: 2.0})]))
    assert {element.tag for element in root.iter()} <= {"svg", "title", "desc", "line", "text", "g", "polyline", "circle", "polygon"}
    assert root.find("title").text == name.replace("\r\n", "\n")


def test_there_are_no_style_attributes_and_no_handlers():
    svg = str(Chart("m", [Line("a", {1: 1.0})], {1: (0.0, 1.0), 2: (0.0, 2.0)}).svg("c"))
    assert not re.search(r"\b(style|on\w+|href)=", svg)


def test_a_picture_is_described_in_words():
    root = parsed(Chart("accuracy", [Line("overall", {1: 0.8, 2: 0.91})]))
    assert root.attrib["aria-labelledby"] == "c-t c-d"
    assert root.find("desc").text == "overall: 0.8 in round 1, 0.91 in round 2"


def test_the_overall_line_is_drawn_last():
    lines = [Line("overall", {1: 1.0}, 0), Line("site-a", {1: 1.0}, 1)]
    assert [group.attrib["class"] for group in parsed(Chart("m", lines)).findall("g")] == ["line s1", "line s0"]
