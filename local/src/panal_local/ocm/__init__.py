"""The controllers of Open Cluster Management on the hub, and its agents on a managed cluster.

    hub            the hub's loops: clusters, sets; hubplacing: placing, addons
    agent          the agent's loops: registration; workagent: works; addonagent: certificates
    works          the manifests of a ManifestWork; applying applies them
    statuses       the status of a ManifestWork; feedback reads values from objects
    crds           the CRDs of the hub and of managed clusters
    conditions, writing    shared by all

Decisions are functions of plain objects; the loops, `applying` and `writing` do input and output.
"""
