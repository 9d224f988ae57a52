"""The steps of an installation in the output of pip and uv."""

import pytest

from panal_local.node.installing import Steps

LINES = [
    ("Looking in links: /wheels", ""),
    ("Collecting flwr==1.41.*", "collecting flwr (package 1)"),
    ("  Obtaining dependency information for flwr==1.41.* from https://example.org/flwr.whl.metadata", ""),
    ("  Downloading flwr-1.41.0-py3-none-any.whl.metadata (15 kB)", ""),
    ("Collecting numpy>=2.0", "collecting numpy (package 2)"),
    (
        "  Downloading numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl (16.9 MB)",
        "downloading numpy 2.4.6 (16.9 MB)",
    ),
    ("     ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━ 16.9/16.9 MB 133.6 MB/s eta 0:00:00", ""),
    ("Collecting ray[default]==2.55.1 (from flwr[simulation])", "collecting ray[default] (package 3)"),
    ("Collecting charset_normalizer<4,>=2 (from requests)", "collecting charset_normalizer (package 4)"),
    ("Collecting numpy>=1.26 (from ray)", "collecting numpy (package 4)"),
    ("Processing /wheels/small-1.0-py3-none-any.whl (from app)", "collecting small (package 5)"),
    ("Processing /wheels-3/of-7-sites/tiny-1.0-py3-none-any.whl (from app)", "collecting tiny (package 6)"),
    ("Requirement already satisfied: idna in /venv/lib", ""),
    ("  Downloading pip_tools-7.6.2-py3-none-any.whl (76 kB)", "downloading pip_tools 7.6.2 (76 kB)"),
    (
        "Downloading https://example.org/simple/torch-2.9.1+cpu-cp311-cp311-linux_x86_64.whl (184.5 MB)",
        "downloading torch 2.9.1+cpu (184.5 MB)",
    ),
    ("  Downloading sgmllib3k-1.0.0.tar.gz (5.8 kB)", "downloading sgmllib3k-1.0.0 (5.8 kB)"),
    ("  Building wheel for sgmllib3k (pyproject.toml): started", "building sgmllib3k"),
    ("Installing collected packages: numpy, ray, flwr", "installing 3 packages"),
    ("Successfully installed flwr-1.41.0 numpy-2.4.6 ray-2.55.1", ""),
    ("Resolved 41 packages in 1.20s", "collected 41 packages"),
    ("Downloading torch (846.9MiB)", "downloading torch (846.9MiB)"),
    ("   Building sgmllib3k==1.0.0", "building sgmllib3k==1.0.0"),
    ("Prepared 12 packages in 20.31s", "installing 12 packages"),
    ("Installed 41 packages in 300ms", ""),
    (" + numpy==2.4.6", ""),
]


def test_steps_of_an_installation():
    steps = Steps()
    assert [(line, steps.step(line + "\n")) for line, _ in LINES] == LINES


@pytest.mark.parametrize("line", ["", "\n", "Collecting", "Downloading (", "Installing collected packages:"])
def test_a_partial_line_is_no_step(line):
    assert Steps().step(line) == ""
