"""Faults of machines, found by an autoencoder that has learnt how the healthy machines of several plants vibrate."""
