"""The local platform: a hub and managed clusters, each of them a process, on one machine, for one person. Loopback only.

    apiserver/    the Kubernetes API over SQLite          ocm/     what Open Cluster Management's controllers and agents do
    controllers/  Jobs, StatefulSets, volumes, endpoints  node/    Pods as processes
    cluster       all of these as one process             supervisor/   starts a process for each cluster, and again when one ends
    files         how files are written                   commands/     panal's commands on it: `panal up`, `panal run APP`

The first four folders do not import each other; they meet at the API. Only `commands` knows what runs on the platform.
"""
