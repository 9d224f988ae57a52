"""A run's progress as HTML, for a notebook's cell: a line, a curve for each metric, and a table of the last rounds. Pure.

Names and texts of apps and sites are escaped. It has no script, and loads nothing. Colours follow the notebook's theme.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape as escaped

from panal.api import figures
from panal.api.history import Round
from panal.api.progress import Metric
from panal.api.text import shown
from panal.client.plotting import Points, Scale, drawn, labelled, nice, runs, span, thinned
from panal.sdk.progress import OF_NAMES, Progress

CURVES = 4  # metrics with a curve
COLUMNS = 6  # metrics in the table
ROWS = 6  # rounds in the table
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 260, 130, 46, 8, 22, 20
COLOUR = {"Completed": "#2e7d32", "Failed": "#c62828"}


def escape(text: str) -> str:
    return escaped(shown(text))


def page(progress: Progress, rounds: Sequence[Round]) -> str:
    parts = [_head(progress), *_notes(progress), _curves(rounds), _table(rounds), _clusters(progress)]
    return f'<div style="font-size:13px;line-height:1.5">{"".join(parts)}</div>'


def _head(progress: Progress) -> str:
    colour = COLOUR.get(progress.phase, "inherit")
    numbers = f"round {progress.round}/{progress.rounds}" if progress.rounds else ""
    clients = f"{progress.status.clients.summary} clusters" if progress.status.clients.summary else ""
    facts = ", ".join(filter(None, (numbers, clients)))
    return f'<div><b>{escape(progress.name)}</b> <b style="color:{colour}">{escape(progress.phase)}</b> {escape(facts)}</div>'


def _notes(progress: Progress) -> Iterator[str]:
    if progress.message:
        yield f"<div>{escape(progress.message)}</div>"
    if not progress.current:
        yield f'<div style="color:{COLOUR["Failed"]}">May be out of date: {escape(why_old(progress))}.</div>'


def why_old(progress: Progress) -> str:
    if progress.unavailable:
        return f"the API server does not answer ({progress.unavailable})"
    since = progress.silent_since
    return f"the controller has not been running since {since:%Y-%m-%d %H:%M:%S}Z" if since else ""


# --- curves ----------------------------------------------------------------------------------------------------------
def _curves(rounds: Sequence[Round]) -> str:
    found = [_curve(name, points) for name, points in list(_points(rounds).items())[:CURVES]]
    return f'<div style="display:flex;flex-wrap:wrap;gap:8px">{"".join(found)}</div>' if found else ""


def _points(rounds: Iterable[Round]) -> dict[str, dict[int, float]]:
    """The finite and other values of each metric that the app reports, by round."""
    found: dict[str, dict[int, float]] = {}
    for each in rounds:
        for name, value in each.metrics.items():
            found.setdefault(name, {})[each.round] = OF_NAMES.get(value, math.nan) if isinstance(value, str) else value
    return found


def _curve(name: str, points: Points) -> str:
    known = [value for value in points.values() if drawn(value)]
    low, high = span(known)
    ticks = nice(low, high, 3)
    numbers = sorted(points)
    x = Scale(numbers[0], numbers[-1], LEFT, WIDTH - RIGHT)
    y = Scale(min(low, ticks[0]), max(high, ticks[-1]), HEIGHT - BOTTOM, TOP)
    parts = [f'<text x="{LEFT}" y="13" font-weight="bold">{escape(name)}</text>']
    for tick in ticks if known else ():
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" stroke="currentColor" opacity=".2"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{y(tick) + 4:.1f}" text-anchor="end" opacity=".7">{labelled(tick, ticks)}</text>')
    for number in dict.fromkeys((numbers[0], numbers[-1])):
        anchor = "middle" if len(numbers) == 1 else "start" if number == numbers[0] else "end"
        parts.append(f'<text x="{x(number):.1f}" y="{HEIGHT - 5}" text-anchor="{anchor}" opacity=".7">{number}</text>')
    parts += _lines(points, x, y)
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" font-size="11" fill="currentColor" role="img">'
        f"<title>{escape(name)}</title>{''.join(parts)}</svg>"
    )


def _lines(points: Points, x: Scale, y: Scale) -> Iterator[str]:
    for piece in runs(points):
        values = dict(piece)
        kept = [(x(number), y(values[number])) for number in thinned(list(values))]
        places = " ".join(f"{across:.1f},{down:.1f}" for across, down in kept)
        yield f'<polyline points="{places}" fill="none" stroke="#1f77b4" stroke-width="1.8"/>'
        if len(kept) <= 12:
            yield from (f'<circle cx="{across:.1f}" cy="{down:.1f}" r="2.2" fill="#1f77b4"/>' for across, down in kept)


# --- tables ----------------------------------------------------------------------------------------------------------
def _table(rounds: Sequence[Round]) -> str:
    last = rounds[-ROWS:]
    names = list(dict.fromkeys(name for each in last for name in each.metrics))[:COLUMNS]
    if not last:
        return ""
    header = ["round", "seconds", "clusters", "failed", *names]
    rows = [[f"{each.round}{'' if each.complete else ' …'}", _seconds(each), str(each.replies), str(each.failures),
             *(_value(each.metrics, name) for name in names)] for each in last]  # fmt: skip
    return _html(header, rows)


def _seconds(each: Round) -> str:
    return "" if each.seconds is None else f"{each.seconds:.1f}"


def _value(metrics: Mapping[str, Metric], name: str) -> str:
    return figures.number(metrics.get(name))


def _clusters(progress: Progress) -> str:
    """Those that have something to say, and why."""
    rows = [[each.cluster, each.state, f"{each.reason} {each.message}".strip()] for each in progress.status.collaborators if each.reason]
    return _html(["cluster", "state", "reason"], rows[:ROWS], "left") if rows else ""


def _html(header: Sequence[str], rows: Sequence[Sequence[str]], align: str = "right") -> str:
    cell = f'style="text-align:{align};padding:1px 8px"'
    head = "".join(f"<th {cell}>{escape(text)}</th>" for text in header)
    body = "".join(f"<tr>{''.join(f'<td {cell}>{escape(text)}</td>' for text in row)}</tr>" for row in rows)
    return f'<table style="font-size:inherit"><tr>{head}</tr>{body}</table>'
