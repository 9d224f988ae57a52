"""The settings of the reporter, which the controller gives it as environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from panal.api.names import RUN_DIR, STORAGE_DIR, WORK_DIR
from panal.api.types import Evaluation
from panal.pod.initial_model import InitialModel
from panal.pod.storage_errors import Address
from panal.pod.storing import Place
from panal.pod.tracking.settings import Telemetry, Tracking


@dataclass(frozen=True, slots=True)
class Settings:
    run_dir: Path
    place: Place
    run: Mapping[str, str]  # namespace, name and uid, for metadata.json
    attempt: str
    work_dir: Path = Path(WORK_DIR)
    mount: Path = Path(STORAGE_DIR)
    bucket: Address | None = None  # None: `mount` is the volume on which the run is stored
    tracking: Tracking | None = None
    telemetry: Telemetry | None = None
    initial: InitialModel | None = None  # the model with which the run begins
    evaluation: Evaluation | None = None  # what an evaluation compares
    private: bool = False  # whether updates are counted (spec.privacy)

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Settings:
        run = (env["PANAL_NAMESPACE"], env["PANAL_RUN"], env["PANAL_RUN_UID"])
        mount = Path(env.get("PANAL_STORAGE_DIR", STORAGE_DIR))
        return cls(
            run_dir=Path(env.get("PANAL_RUN_DIR", RUN_DIR)),
            place=Place.read(env),
            run=dict(zip(("namespace", "name", "uid"), run, strict=True)),
            attempt=env.get("PANAL_ATTEMPT", ""),
            work_dir=Path(env.get("PANAL_WORK_DIR", WORK_DIR)),
            mount=mount,
            bucket=Address.read(env),
            tracking=Tracking.read(env),
            telemetry=Telemetry.read(env),
            initial=InitialModel.read(env),
            evaluation=Evaluation.model_validate_json(env["PANAL_EVALUATION"]) if env.get("PANAL_EVALUATION") else None,
            private=bool(env.get("PANAL_PRIVATE")),
        )
