"""The CustomResourceDefinitions of Open Cluster Management's kinds, for the local platform: `crds.hub()` and `crds.spoke()`.

A real hub has these kinds already; this package is not used there.
"""
