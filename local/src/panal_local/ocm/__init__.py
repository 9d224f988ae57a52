"""What Open Cluster Management's controllers do on the hub, and its agents on a managed cluster.

    hub            its loops: clusters (accepted, lost, deleted: removal), sets; hubplacing: placing, addons
    agent          its loops: registration (joining, status, lease); workagent: works; addonagent: certificates
    works          what a ManifestWork says of its manifests; applying makes them so
    statuses       what is said of them: feedback, jsonpath, rules
    conditions, writing    what all share

Decisions are functions of plain objects; the loops, `applying` and `writing` do what they say.
"""
