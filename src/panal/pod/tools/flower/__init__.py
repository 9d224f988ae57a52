"""Flower in users' images: the programs of its containers, the hooks in its processes, and the guards of SuperLink and SuperNode."""
