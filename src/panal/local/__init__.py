"""The local platform: a hub and managed clusters as processes on one machine, for one person. Loopback only.

    apiserver/    the Kubernetes API over SQLite          ocm/     what Open Cluster Management's controllers and agents do
    controllers/  Jobs, StatefulSets, volumes, endpoints  node/    Pods as processes
    supervisor/   starts all of these, and starts again what ends   files   how files are written

The parts do not import each other; they meet at the API. None knows what runs on the platform.
"""
