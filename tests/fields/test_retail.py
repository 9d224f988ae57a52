"""examples/retail: the stores differ as stated, a forecast knows only what is known a week before, and every tree reaches the model."""

from __future__ import annotations

import csv
import json
import subprocess
from datetime import date

import numpy as np
import pytest
from tests.flower.conftest import flower_venv

from .conftest import EXAMPLES

EXAMPLE = "retail"


def rows(file):
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_the_stores_have_tried_other_discounts_and_are_open_for_other_times(data, module):
    split, app = module("split"), module("retail_app.data")
    seen = set()
    for cluster, store in split.STORES.items():
        found = rows(data / cluster / "sales.csv")
        days = sorted({date.fromisoformat(row["date"]) for row in found})
        assert len(days) == store.open + split.LAST == (days[-1] - days[0]).days + 1
        assert len(found) == split.PRODUCTS * len(days)
        last = days[-split.LAST]
        before = {float(row["discount"]) for row in found if date.fromisoformat(row["date"]) < last}
        after = {float(row["discount"]) for row in found if date.fromisoformat(row["date"]) >= last}
        assert before == {0.0, *store.discounts}
        assert after == set(split.DISCOUNTS)
        summer = any(day.month in (6, 7, 8) for day in days[7 * app.WEEKS + app.AHEAD : -split.LAST])  # of what is trained on
        assert summer == (cluster not in ("cluster3", "cluster4"))
        prices = tuple(sorted({row["price"] for row in found}))
        assert prices not in seen  # the stores' products are not the same
        seen.add(prices)


def test_what_is_held_out_comes_after_what_is_trained_on(data, module):
    app = module("retail_app.data")
    for folder in data.glob("cluster*"):
        train, held_out = app.load(folder)
        count = len({row["product"] for row in rows(folder / "sales.csv")})
        assert len(held_out) == app.HELD_OUT * count
        assert len(train) == len(rows(folder / "sales.csv")) - len(held_out) - (7 * app.WEEKS + app.AHEAD) * count
        assert np.isfinite(train.x).all()


def test_a_forecast_does_not_know_the_sales_of_the_last_week(module):
    known = module("retail_app.data").known
    rng = np.random.default_rng(0)
    table = np.column_stack([np.arange(735_000, 735_100), *(np.ones(100) for _ in range(6)), rng.poisson(20, 100)])
    days, x, usual, sold = known(table)
    later = table.copy()
    later[-7:, -1] += 100
    _, same_x, same_usual, other_sold = known(later)
    assert (x == same_x).all()
    assert (usual == same_usual).all()
    assert (other_sold[-7:] == sold[-7:] + 100).all()
    at = 80
    row = int(np.flatnonzero(days == table[at, 0])[0])
    assert usual[row] == pytest.approx(table[at - 7 - 27 : at - 6, -1].mean())
    same = np.mean([table[at - 7 * week, -1] for week in range(1, 9)])
    assert x[row, -1] == pytest.approx(same / table[at - 7 - 55 : at - 6, -1].mean(), rel=1e-5)


def test_a_file_with_other_columns_or_too_few_days_is_refused(module, tmp_path):
    load = module("retail_app.data").load
    (tmp_path / "sales.csv").write_text("date,product,sold\n2026-01-01,1,5\n")
    with pytest.raises(ValueError, match=r"sales\.csv lacks the columns category, price"):
        load(tmp_path)
    (tmp_path / "sales.csv").write_text("date,product,category,price,discount,holiday,temperature,sold\n2026-01-01,1,0,2,0,0,9,5\n")
    with pytest.raises(ValueError, match="too few days: at least 119"):
        load(tmp_path)


def test_bagging_keeps_every_tree_and_one_store_alone_grows_what_xgboost_grows(data):
    """With XGBoost, which is in another environment."""
    script = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from flwr.serverapp.strategy.strategy_utils import aggregate_bagging
from retail_app import model as trees
from retail_app.data import load
trees.SETTINGS["subsample"] = 1.0  # trees of all rows do not depend on random numbers
stores = [load(Path(sys.argv[2]) / name)[0] for name in ("cluster3", "cluster4")]
both, one = b"", b""
for _ in range(4):
    grown = [trees.grown(both, store, 0.1) for store in stores]
    one = aggregate_bagging(one, trees.grown(one, stores[0], 0.1))
    for tree in grown:
        both = aggregate_bagging(both, tree)
alone = trees.trained(stores[0], 4, 0.1)
off = abs(trees.forecast(one, stores[0]) - trees.forecast(alone, stores[0])).max()
print(json.dumps([trees.read(both).num_boosted_rounds(), trees.read(one).num_boosted_rounds(), float(off)]))
"""
    command = [str(flower_venv() / "bin/python"), "-c", script, str(EXAMPLES / EXAMPLE), str(data)]
    both, one, off = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    assert (both, one) == (8, 4)
    assert off < 0.01  # pieces
