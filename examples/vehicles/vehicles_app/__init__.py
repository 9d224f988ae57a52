"""Drowsy drivers, recognized by how they keep the lane: a network that vehicles train when they are connected."""
