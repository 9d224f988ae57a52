"""`panal.run`: an app as a run, shown while it goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from panal.api.history import Round
from panal.client.problem import Problem
from panal.sdk import display
from panal.sdk.learning import FederatedLearning
from panal.sdk.place import File
from panal.sdk.progress import RunFailed


def run(
    folder: File,
    *,
    name: str | None = None,
    namespace: str | None = None,
    rounds: int | None = None,
    clients: int | None = None,
    run_config: Mapping[str, Any] | None = None,
    image: str | None = None,
    data: File | None = None,
    data_claim: str | None = None,
    initial_model: str | FederatedLearning | None = None,
    spec: Mapping[str, Any] | None = None,
    kubeconfig: File | None = None,
    context: str | None = None,
    home: File | None = None,
    timeout: float | None = None,
) -> FederatedLearning:
    """Runs an app's folder, and returns the run when it has ended: `FederatedLearning.from_app`, `apply` and `watch` in one call.

    In a notebook's cell it shows the last rounds as a table, and curves of up to four metrics, which change with each round; in a script
    it prints a line for each change. The arguments are those of `FederatedLearning.from_app`; `timeout` in seconds begins when the run is
    applied.

    Raises RunFailed if the run Failed, with the reason and what to do; Problem if it could not be started or followed. A run that was
    applied continues then: `FederatedLearning.get` attaches to it.
    """
    made = FederatedLearning.from_app(
        folder,
        name=name,
        namespace=namespace,
        rounds=rounds,
        clients=clients,
        run_config=run_config,
        image=image,
        data=data,
        data_claim=data_claim,
        initial_model=initial_model,
        spec=spec,
        kubeconfig=kubeconfig,
        context=context,
        home=home,
    )
    show = display.here()
    made.apply(say=show.say)
    last = display.follow(show, made.watch(timeout), lambda: _rounds(made))
    if last.phase == "Failed":
        raise RunFailed(last)
    return made


def _rounds(made: FederatedLearning) -> Sequence[Round]:
    """Empty if they cannot be read at the moment, or by this user: the run is shown without its curves."""
    try:
        return made.history()
    except Problem:
        return ()
