"""On which API server a run is: the one that is asked for, else that of KUBECONFIG, else the local platform, else kubectl's own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from panal.client.access import Access
from panal.client.choose import choose
from panal.client.platform import Platform, installed
from panal.client.problem import Code, Problem

File = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Place:
    """`kubeconfig` and `context` choose an API server, `home` the folder of the local platform (None: the default one)."""

    kubeconfig: Path | None = None
    context: str | None = None
    home: Path | None = None

    @classmethod
    def of(cls, kubeconfig: File | None, context: str | None, home: File | None) -> Place:
        """Raises Problem if both a hub and the local platform are asked for."""
        if home is not None and (kubeconfig or context):
            raise Problem(Code.USAGE, "home is the local platform's folder; kubeconfig and context choose a hub", "Omit one of them.")
        return cls(Path(kubeconfig) if kubeconfig else None, context, Path(home) if home is not None else None)

    def access(self) -> Access:
        """Raises Problem if there is none."""
        if self.home is not None:
            platform = self.platform()
            if found := platform.access(self.home):
                return found
            raise Problem(Code.PLATFORM, f"the local platform in {self.home} is not up", f"Start it: `panal up --folder {self.home}`.")
        return choose(self.kubeconfig, self.context)

    def is_local(self) -> bool:
        """Whether a run without an image is for the local platform, which need not be up."""
        if self.home is not None or not (self.kubeconfig or self.context or os.environ.get("KUBECONFIG")):
            return True
        return choose(self.kubeconfig, self.context).local

    def platform(self) -> Platform:
        """Raises Problem if the local platform is not installed."""
        if found := installed():
            return found
        remedy = (
            "Install panal-local (`pip install ./local` in a clone of panal); or run on a hub: give kubeconfig= or context=, and image=."
        )
        raise Problem(Code.PLATFORM, "a run without an image needs the local platform, which is not installed", remedy)


def checked_image(image: Any) -> str:
    if not isinstance(image, str) or not image:
        remedy = "`panal package APP` writes a Containerfile and a run.yaml: build and push the image, then give its name as image=."
        raise Problem(Code.USAGE, "a run on a hub needs the image of the app", remedy)
    return image
