"""What runs inside users' images: an init container copies this folder to /panal/tools (`install`).

Python 3.10 or later and the standard library only; Flower and numpy are the image's own and are imported where they are needed.
`run.py` starts one of the programs by name; `sitecustomize.py` brings the hooks into Flower's processes. `codes` and `records` declare what
flows from a Pod to the hub.
"""
