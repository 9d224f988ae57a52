"""The Python API over the resource FederatedLearning, for notebooks and scripts: the same calls on a hub and on the local platform.

    import panal

    done = panal.run("./myapp", rounds=5)        # shows the rounds as they come, and returns when the run has ended
    model = done.model()                         # downloads it; checks its digest
    model.arrays["hidden.weight"]                # numpy

run        `panal.run`                              learning  `FederatedLearning`, the object over the resource
place      on which API server it is                progress  what `watch` yields, and why a run failed
loop       an event loop in a thread                model     the stored model, downloaded
tensors    its file as arrays                       display   a run in a cell, or in lines
picture    the HTML of a cell                       reference docs/reference/python.md
"""

from panal.client.problem import Problem
from panal.sdk.learning import FederatedLearning
from panal.sdk.model import Model
from panal.sdk.progress import Progress, RunFailed
from panal.sdk.run import run

__all__ = ["FederatedLearning", "Model", "Problem", "Progress", "RunFailed", "run"]
