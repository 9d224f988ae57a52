"""What Open Cluster Management's controllers do on the hub, and its agents on a managed cluster.

    python -m panal.local.ocm hub   --kubeconfig HUB
    python -m panal.local.ocm agent --hub-kubeconfig H --kubeconfig SPOKE --cluster NAME

    hub            its loops: clusters (accepted, lost, deleted), sets, placing, addons
    agent          its loops: registration (joining, status, lease), certificates of add-ons, works
    works          what a ManifestWork says about its manifests    applying   making them so on the cluster
    feedback, jsonpath, rules    what is read off them             conditions, writing    what all share

Decisions are functions of plain objects; `hub`, `agent`, `applying` and `writing` do what they say.
"""
