"""`python3 /panal/tools/run.py superlink|launcher|supernode`: starts one of our programs inside a user's image.

Lies beside the folder `panal_tools`, which holds them; Python puts this file's folder on the path.
"""

import importlib
import sys

PROGRAMS = ("superlink", "launcher", "supernode")

if __name__ == "__main__":
    if sys.argv[1:2] == [] or sys.argv[1] not in PROGRAMS:
        sys.exit(f"usage: run.py {'|'.join(PROGRAMS)}")
    sys.exit(importlib.import_module(f"panal_tools.flower_{sys.argv[1]}").main())
