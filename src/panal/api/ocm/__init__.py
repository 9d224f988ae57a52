"""The kinds of Open Cluster Management that panal and users of the local platform work with: their types, and the CRDs generated from them.

    crds.hub(), crds.spoke()    the CustomResourceDefinitions of a hub and of a managed cluster
    clusters, placing           ManagedCluster, its sets, bindings and claims; Placement, decisions, scores
    works, addons               ManifestWork, AppliedManifestWork; add-ons and their configuration

A real hub has these kinds already; this package is not used there.
"""
