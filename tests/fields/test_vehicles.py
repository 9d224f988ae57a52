"""examples/vehicles: the drives differ as stated, no window is in two files, and the gradients of the convolutions are right."""

from __future__ import annotations

import numpy as np
import pytest

from .conftest import check_gradients

EXAMPLE = "vehicles"


def test_no_drive_is_in_two_files_and_drivers_are_as_drowsy_as_stated(data, module):
    split = module("split")
    windows = set()
    for cluster, vehicle in split.VEHICLES.items():
        drives, held_out = np.load(data / cluster / "drives.npz"), np.load(data / cluster / "held-out.npz")
        assert drives["drowsy"].mean() == pytest.approx(vehicle.drowsy, abs=0.005)
        assert held_out["drowsy"].mean() == 0.5
        windows |= {row.tobytes() for row in (*drives["x"], *held_out["x"])}
    assert len(windows) == 5 * 600


def test_vehicles_differ_in_their_curves_and_drowsy_drivers_stray_further(data, module):
    split = module("split")
    steering = {}
    for cluster in split.VEHICLES:
        held_out = np.load(data / cluster / "held-out.npz")
        strayed = np.abs(held_out["x"][:, 1]).mean(axis=1)
        assert strayed[held_out["drowsy"]].mean() > 1.2 * strayed[~held_out["drowsy"]].mean()
        steering[cluster] = held_out["x"][~held_out["drowsy"], 0].std()
    assert min(steering["cluster2"], steering["cluster5"]) > 2 * max(steering["cluster1"], steering["cluster3"])


def test_the_gradients_are_those_of_the_loss(data, module):
    net, app = module("vehicles_app.model"), module("vehicles_app.data")
    x, y = app.load(data / "cluster3/drives.npz")
    x, y = x[:6].astype(float), y[:6]
    model = {name: array.astype(float) for name, array in net.initial(3).items()}
    check_gradients(lambda model: net.loss(model, x, y), model, net.gradients(model, x, y))


def test_a_convolution_is_what_numpy_correlates(module):
    net = module("vehicles_app.model")
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((1, 2, 40)), rng.standard_normal((2 * 5, 1))
    expected = sum(np.correlate(x[0, channel], weight.reshape(2, 5)[channel], "valid") for channel in range(2))[:: net.STRIDE]
    assert (net.cut(x, 5) @ weight)[0, :, 0] == pytest.approx(expected)
    ones = net.paste(net.cut(np.ones((1, 2, 40)), 5), 2, 40)  # how often each sample is in a piece
    assert ones[0, 0, :6].tolist() == [1, 1, 2, 2, 3, 2]


def test_windows_of_another_form_are_refused(module, tmp_path):
    load = module("vehicles_app.data").load
    np.savez(tmp_path / "drives.npz", x=np.zeros((3, 160), np.float32), drowsy=np.zeros(3))
    with pytest.raises(ValueError, match=r"x is \(3, 160\) and drowsy \(3,\), not \(n, 2, 160\)"):
        load(tmp_path / "drives.npz")
