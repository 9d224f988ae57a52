"""The control loops of kube-controller-manager and kube-scheduler that panal needs. Each has a pure decision and a few writes.

    jobs          Jobs and their Pods            namespaces   the default objects of each namespace
    statefulsets  StatefulSets and their Pods    garbage      objects whose owners no longer exist; dependents
    scheduler     Pods to Nodes                  volumes      claims to folders

`run` runs all loops against any API server.
"""
