"""Flower inside users' images: the programs of its containers, the hooks in its processes, and the guards of its two servers."""
