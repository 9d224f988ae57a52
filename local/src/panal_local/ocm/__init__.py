"""What Open Cluster Management's controllers do on the hub, and its agents on a managed cluster.

    hub            its loops: clusters (accepted, lost, deleted: removal), sets; hubplacing: placing, addons
    agent          its loops: registration (joining, status, lease); workagent: works; addonagent: certificates
    works          the manifests of a ManifestWork; applying applies them
    statuses       the status of each manifest: feedback, jsonpath
    crds           the definitions of the kinds that both serve
    conditions, writing    shared by all

Decisions are functions of plain objects; the loops, `applying` and `writing` carry them out.
"""
