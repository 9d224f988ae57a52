"""What the sites have found about a model (`spec.mode: Evaluate`), as `panal run`, `panal get` and `panal history` print it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from panal.cli import output


def show(status: Mapping[str, Any]) -> None:
    """Prints headline and table, if the run has evaluated a model."""
    found = status.get("evaluation")
    if not found:
        return
    output.line("")
    if model := status.get("initialModel"):
        output.line(f"model               {model['uri']}{' of ' + model['run'] if model.get('run') else ''}")
    for text in headline(found):
        output.line(text)
    metric = found.get("metric", "")
    rows = [_row(each, metric) for each in found.get("table") or ()]
    if rows:
        output.line("")
        output.columns(("SITE", "EXAMPLES", f"GLOBAL {metric}".rstrip(), "LOCAL", "DIFFERENCE", "REASON"), rows)
    output.line(f"all sites and metrics: {found['uri']}")


def headline(found: Mapping[str, Any]) -> list[str]:
    """Worst site and spread first: an average hides both."""
    if found.get("worst") is None:
        return ["no site has reported the metric of the model"]
    better = "lower" if found.get("goal") == "Minimize" else "higher"
    deviation = f"standard deviation {found['standardDeviation']:.4g}"
    lines = [
        f"worst site          {found['worstSite']}, {found['metric']} {found['worst']:.4g} ({better} is better)",
        f"spread              {found['spread']:.4g} between {found.get('sites', 0)} sites, {deviation}",
    ]
    if found.get("weightedMean") is not None:
        lines.append(f"weighted mean       {found['weightedMean']:.4g} of {found.get('examples', 0)} examples")
    if compared := found.get("compared"):
        lines.append(f"better than local   at {found.get('better', 0)} of {compared} sites")
    if without := found.get("without"):
        lines.append(f"without a value     {without} site{'s' if without > 1 else ''}")
    return lines


def _row(each: Mapping[str, Any], metric: str) -> tuple[str, ...]:
    of_global, of_local = (each.get(name) or {} for name in ("globalModel", "localModel"))
    numbers = (of_global.get(metric), of_local.get(metric), each.get("difference"))
    examples = each.get("examples")
    return each["cluster"], "-" if examples is None else str(examples), *map(_number, numbers), each.get("reason", "")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
