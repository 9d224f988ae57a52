"""The tables of docs/reference/metrics.md, generated from the metrics: `python -m panal.hub.scrape.reference FILE` updates them in FILE.

They are between `<!-- metrics of PART -->` and `<!-- end -->`. A test compares the page with the code, and the list of the names in the
chart (charts/panal/files/metrics.yaml) with the page.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from panal.hub import metrics
from panal.hub.scrape import families as f
from panal.hub.scrape.families import Family
from panal.kube import metrics as kube_metrics

HEAD = "| metric | type | labels | meaning |\n|---|---|---|---|"
TABLE = re.compile(r"(<!-- metrics of (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)

Row = tuple[str, str, tuple[str, ...], str]  # name, type, labels, meaning


def parts() -> dict[str, list[Row]]:
    """The metrics by the part of the page."""
    return {
        "process": [*_counted(metrics), *_counted(kube_metrics)],
        "controller": _derived(f.OF_THE_CONTROLLER),
        "certificates": _derived(f.OF_CERTIFICATES),
        "run": _derived(f.OF_A_RUN),
        "cluster": _derived(f.OF_A_CLUSTER),
    }


def names() -> list[str]:
    """The names of all series, except the buckets of histograms."""
    rows = [(name, type_) for part in parts().values() for name, type_, _, _ in part]
    return sorted(f"{name}{suffix}" for name, type_ in rows for suffix in (("_sum", "_count") if type_ == "histogram" else ("",)))


def table(part: str) -> str:
    rows = (
        f"| `{name}` | {type_} | {', '.join(f'`{label}`' for label in labels)} | {meaning} |"
        for name, type_, labels, meaning in parts()[part]
    )
    return "\n".join([HEAD, *rows])


def renewed(page: str) -> str:
    """The page with all its tables updated."""
    return TABLE.sub(lambda found: f"{found[1]}{table(found[2])}\n{found[3]}", page)


def _derived(families: tuple[Family, ...]) -> list[Row]:
    return [(family.name, family.type, family.labels, family.meaning) for family in families]


def _counted(module: object) -> Iterator[Row]:
    for metric in vars(module).values():
        if isinstance(metric, MetricWrapperBase):
            (described,) = metric.describe()
            name = f"{described.name}_total" if described.type == "counter" else described.name
            yield name, described.type, tuple(metric._labelnames), described.documentation


def main() -> None:
    for file in sys.argv[1:]:
        Path(file).write_text(renewed(Path(file).read_text()))


if __name__ == "__main__":
    main()
