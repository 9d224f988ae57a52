"""`python3 /panal/tools/run.py superlink|launcher|supernode`: starts one of our programs inside a user's image. By themselves they start
Flower's: `run.py flower-superlink|flower-supernode ARGUMENTS`.

Lies beside the folder `panal_tools`, which holds them; Python puts this file's folder on the path.
"""

import importlib
import os
import sys

PROGRAMS = ("superlink", "launcher", "supernode")
FLOWERS = ("flower-superlink", "flower-supernode")

if __name__ == "__main__":
    name = "".join(sys.argv[1:2])
    if name not in (*PROGRAMS, *FLOWERS):
        sys.exit(f"usage: run.py {'|'.join(PROGRAMS)}")
    importlib.import_module("panal_tools.proxies").spare_loopback(os.environ)
    sys.exit(importlib.import_module(f"panal_tools.flower_{'start' if name in FLOWERS else name}").main())
