"""A line chart as SVG. Pure: numbers in, markup out.

Colours, widths and fonts are classes of the style sheet, so the chart follows light and dark and needs no style attribute. A value that is
not finite, or a round without one, is a gap in the line; `panal.client.plotting` has the geometry. All text is escaped here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from panal.api.figures import number
from panal.client.plotting import Points, Scale, drawn, labelled, nice, runs, span, thinned

WIDTH, HEIGHT = 400, 210  # units of the view box; a phone shows about as many pixels
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 10, 26
COLOURS = 8  # classes of the style sheet: s0 is the overall line, s1 to s6 are clusters, s7 is the run to compare with
OTHER = 7


@dataclass(frozen=True, slots=True)
class Line:
    """`colour`: the number of a class of the style sheet; 0 is drawn last and thicker. `emphasis`: `strong`, `dim`, or neither."""

    name: str
    points: Points
    colour: int = 0
    emphasis: str = ""

    @property
    def classes(self) -> str:
        return f"line s{self.colour % COLOURS} {self.emphasis}".rstrip()


@dataclass(frozen=True, slots=True)
class Chart:
    """`band`: the lowest and highest value of each round over clusters that have no line of their own."""

    title: str
    lines: Sequence[Line]
    band: Mapping[int, tuple[float, float]] = field(default_factory=dict)

    @property
    def rounds(self) -> list[int]:
        return sorted({number for line in self.lines for number in line.points} | set(self.band))

    @property
    def constant(self) -> bool:
        """No line changes in any round: such a chart says little."""
        series = [list(line.points.values()) for line in self.lines] + [list(self.band.values())]
        return len(self.rounds) > 1 and all(each == found[0] for found in series for each in found)

    def svg(self, name: str) -> Markup:
        """`name` becomes the id of the title, by which a screen reader names the picture."""
        rounds = self.rounds
        x = Scale(rounds[0], rounds[-1], LEFT, WIDTH - RIGHT) if rounds else Scale(0, 1, LEFT, WIDTH - RIGHT)
        low, high = span(self._values())
        ticks = nice(low, high)
        y = Scale(min(low, ticks[0]), max(high, ticks[-1]), HEIGHT - BOTTOM, TOP)
        parts = [*_grid(ticks, y), *_rounds(rounds, x), *_band(self.band, x, y)]
        parts += [_line(line, x, y) for line in sorted(self.lines, key=lambda line: line.colour, reverse=True)]
        inside = Markup("").join(parts)
        named = Markup('<title id="{}-t">{}</title><desc id="{}-d">{}</desc>').format(name, self.title, name, self._summary())
        size = f"0 0 {WIDTH} {HEIGHT}"
        return Markup('<svg class="chart" viewBox="{}" role="img" aria-labelledby="{}-t {}-d">{}{}</svg>').format(
            size, name, name, named, inside
        )

    def _values(self) -> Iterator[float]:
        yield from (value for line in self.lines for value in line.points.values() if drawn(value))
        yield from (value for both in self.band.values() for value in both if drawn(value))

    def _summary(self) -> str:
        """What a screen reader says instead of the picture; the table beside it has all values."""
        said = []
        for line in self.lines[:COLOURS]:
            known = [(n, v) for n, v in sorted(line.points.items()) if drawn(v)]
            if known:
                said.append(f"{line.name}: {number(known[0][1])} in round {known[0][0]}, {number(known[-1][1])} in round {known[-1][0]}")
        return ". ".join(said)


def _grid(ticks: Sequence[float], y: Scale) -> Iterator[Markup]:
    for each in ticks:
        at = f"{y(each):.1f}"
        yield Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(LEFT, WIDTH - RIGHT, at, at)
        yield Markup('<text class="tick y" x="{}" y="{}" dy="4">{}</text>').format(LEFT - 6, at, labelled(each, ticks))


def _rounds(rounds: Sequence[int], x: Scale) -> Iterator[Markup]:
    for each in thinned(rounds, 6):
        anchor = "middle" if len(rounds) == 1 or each not in (rounds[0], rounds[-1]) else ("start" if each == rounds[0] else "end")
        yield Markup('<text class="tick" x="{:.1f}" y="{}" text-anchor="{}">{}</text>').format(x(each), HEIGHT - 8, anchor, each)


def _band(band: Mapping[int, tuple[float, float]], x: Scale, y: Scale) -> Iterator[Markup]:
    known = [each for each in sorted(band) if all(map(drawn, band[each]))]
    if len(known) < 2:
        return
    kept = thinned(known)
    upper = [f"{x(each):.1f},{y(band[each][1]):.1f}" for each in kept]
    lower = [f"{x(each):.1f},{y(band[each][0]):.1f}" for each in reversed(kept)]
    yield Markup('<polygon class="band" points="{}"/>').format(" ".join([*upper, *lower]))


def _line(line: Line, x: Scale, y: Scale) -> Markup:
    parts = [Markup("<title>{}</title>").format(line.name)]
    for piece in runs(line.points):
        values = dict(piece)
        kept = thinned([each for each, _ in piece])
        places = " ".join(f"{x(each):.1f},{y(values[each]):.1f}" for each in kept)
        parts.append(Markup('<polyline points="{}"/>').format(places))
        if len(piece) <= 12:  # few points are marked; a piece of one point is nothing but its mark
            radius = 4 if len(piece) == 1 and len(line.points) > 1 else 2.5
            parts += [Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{}"/>').format(x(each), y(values[each]), radius) for each in kept]
    return Markup('<g class="{}">{}</g>').format(line.classes, Markup("").join(parts))
