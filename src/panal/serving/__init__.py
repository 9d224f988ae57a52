"""Decisions of `panal serve`: whether a model may be served, the objects of KServe and of the Gateway API, and which version answers.

Pure, like `panal.lifecycle`: nothing is read or written here. `panal.cli.serve` reads and writes. docs/design/serving.md explains it.

    gate.py       whether a run's model may be served
    version.py    what is served, and the state of a service, which is kept in a ConfigMap
    predictor.py  the InferenceService
    route.py      the HTTPRoute that splits the traffic
    revision.py   what the Pods do, and which model has answered
"""
