"""The loops of kube-controller-manager and kube-scheduler that panal needs, each as a decision over plain objects and a few writes.

    jobs          Jobs and their Pods            namespaces   what every namespace has
    statefulsets  StatefulSets and their Pods    garbage      objects whose owners no longer exist; dependents
    scheduler     Pods to Nodes                  volumes      claims to folders

`run` runs all of them against any API server.
"""
