"""examples/industry: the plants' machines differ as stated, no window is in two files, and the gradients are right."""

from __future__ import annotations

import numpy as np
import pytest

from .conftest import check_gradients

EXAMPLE = "industry"


def test_no_window_is_in_two_files_and_a_third_of_the_held_out_are_of_moved_machines(data, module):
    split = module("split")
    windows = set()
    for cluster in split.PLANTS:
        healthy, held_out = np.load(data / cluster / "healthy.npz"), np.load(data / cluster / "held-out.npz")
        assert healthy["x"].shape == (240, 1024)
        fault = held_out["fault"]
        assert [(fault == name).sum() for name in ("", *split.FAULTS)] == [120, 21, 21, 21]
        assert [held_out["moved"][fault == name].mean() for name in ("", *split.FAULTS)] == pytest.approx([1 / 3] * 4)
        windows |= {row.tobytes() for row in (*healthy["x"], *held_out["x"])}
    assert len(windows) == 4 * (240 + 183)


def test_the_machines_of_the_plants_turn_at_their_own_speeds(data, module):
    """The gear's teeth are in the spectrum where the speed puts them, and those of a moved machine where its first plant has them."""
    split = module("split")
    plants = list(split.PLANTS.values())
    frequencies = np.fft.rfftfreq(1024, 1 / 2000)

    def loudest(x, plant):
        """Whether the loudest frequency above 200 Hz is the meshing, or twice that, of one of the plant's machines."""
        spectrum = np.abs(np.fft.rfft(x * np.hanning(1024)))
        found = frequencies[np.argmax(np.where(frequencies > 200, spectrum, 0))]
        lowest, highest = (speed * plant.teeth for speed in plant.speed)
        return lowest - 4 <= found <= highest + 4

    for number, cluster in enumerate(split.PLANTS):
        held_out = np.load(data / cluster / "held-out.npz")
        healthy = held_out["fault"] == ""
        for moved, plant in ((False, plants[number]), (True, plants[number - 1])):
            chosen = held_out["x"][healthy & (held_out["moved"] == moved)]
            assert np.mean([loudest(x, plant) for x in chosen]) > 0.85, (cluster, moved)


def test_the_gradients_are_those_of_the_error(data, module):
    net, app = module("industry_app.model"), module("industry_app.data")
    x = app.load(data / "cluster1/healthy.npz")[0][:7].astype(float)
    model = {name: array + 0.01 for name, array in net.initial().items()}
    model = {name: array.astype(float) for name, array in model.items()}
    check_gradients(lambda model: float(net.errors(model, x).mean()), model, net.gradients(model, x))


def test_windows_of_another_form_are_refused(module, tmp_path):
    load = module("industry_app.data").load
    np.savez(tmp_path / "healthy.npz", x=np.zeros((3, 512), np.float32))
    with pytest.raises(ValueError, match=r"x is \(3, 512\), not \(n, 1024\)"):
        load(tmp_path / "healthy.npz")
    np.savez(tmp_path / "healthy.npz", x=np.full((3, 1024), np.nan, np.float32))
    with pytest.raises(ValueError, match="not numbers"):
        load(tmp_path / "healthy.npz")
