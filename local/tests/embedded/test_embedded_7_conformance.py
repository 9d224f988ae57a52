"""What every runtime owes a run, on the local platform."""

from __future__ import annotations

import pytest

from conformance_suite import *  # noqa: F403
from conformance_suite import IMAGES, RUNTIMES
from local_pods import make_image
from platform_engine import Platform

pytestmark = [pytest.mark.flower, pytest.mark.long]


@pytest.fixture(scope="module", autouse=True)
def _images(engine: Platform, tmp_path_factory: pytest.TempPathFactory) -> None:
    for runtime in RUNTIMES:
        if runtime in IMAGES:
            make_image(engine.folder.images, tmp_path_factory.mktemp("app"), *IMAGES[runtime])
