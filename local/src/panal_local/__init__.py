"""The local platform: a hub and managed clusters on one machine, for one person. Each cluster is a process. Loopback only.

    apiserver/    the Kubernetes API over SQLite          ocm/     the controllers and agents of Open Cluster Management
    controllers/  Jobs, StatefulSets, volumes             node/    Pods as processes
    scheduling/   the clusters that a Placement selects   cel      the adapter of the CEL library
    cluster       a cluster as one process                supervisor/   starts a process for each cluster, and restarts it
    files, logs   writing of files, logging               commands/     panal's commands on it: `panal up`, `panal run APP`
    jsonpath, quantity, owners    shared functions

The first four packages do not import each other; they communicate through the API. Only `commands` knows what runs on the platform.
"""
