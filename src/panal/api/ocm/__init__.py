"""The kinds of Open Cluster Management that panal and users of the local platform work with: their types, and the CRDs made from them.

    crds.hub(), crds.spoke()    the CustomResourceDefinitions of a hub and of a managed cluster
    clusters, placing           ManagedCluster, its sets, bindings and claims; Placement, decisions, scores
    works, addons               ManifestWork, AppliedManifestWork; add-ons and their configuration

On a real hub these kinds are there already and nothing here is used.
"""
