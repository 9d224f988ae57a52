"""The loops of kube-controller-manager and kube-scheduler that panal needs, each as a decision over plain objects and a few writes.

    jobs          Jobs: their Pods, and how they end          endpoints   EndpointSlices of Services
    statefulsets  StatefulSets: Pods with names that stay      namespaces  what every namespace has, and its end
    scheduler     Pods to Nodes                                garbage     what lost its owner goes; dependents
    volumes       claims to folders

`run` runs all of them against any API server.
"""
