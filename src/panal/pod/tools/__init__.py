"""What runs inside users' images: an init container copies this folder to /panal/tools (`install`).

Python 3.10 or later and the standard library only; the framework and numpy are the image's own and are imported where they are needed.
There is one folder for each runtime, with its programs and hooks; nothing here imports them. `run.py` starts one of the programs by name;
`sitecustomize.py` brings the hooks into the framework's processes. `codes` and `records` declare what flows from a Pod to the hub.
"""
