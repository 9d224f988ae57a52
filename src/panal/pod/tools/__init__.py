"""The programs that run inside users' images. An init container copies this folder to /panal/tools (`install`).

They need Python 3.10 and the standard library. The framework and numpy belong to the image and are imported inside functions. Each runtime
has a folder with its programs and hooks, which nothing here imports. `run.py` starts a program by name; `sitecustomize.py` installs the
hooks in the framework's processes. `codes` and `records` declare the data that flows from a Pod to the hub.
"""
