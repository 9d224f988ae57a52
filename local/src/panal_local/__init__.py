"""The local platform: a hub and managed clusters, each of them a process, on one machine, for one person. Loopback only.

    apiserver/    the Kubernetes API over SQLite          ocm/     what Open Cluster Management's controllers and agents do
    controllers/  Jobs, StatefulSets, volumes             node/    Pods as processes
    scheduling/   the clusters that a Placement selects   cel      the adapter of the CEL library
    cluster       all of these as one process             supervisor/   starts a process for each cluster, and restarts it
    files         how files are written                   commands/     panal's commands on it: `panal up`, `panal run APP`

The first four folders do not import each other; they meet at the API. Only `commands` knows what runs on the platform.
"""
