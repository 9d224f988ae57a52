"""`python3 /panal/tools/run.py RUNTIME PROGRAM [ARGUMENTS]`: starts one of a runtime's programs inside a user's image.

It is the module PROGRAM of the folder `panal_tools/RUNTIME` beside this file, whose `main` gives the exit code. Python puts this file's
folder on the path.
"""

import importlib
import os
import sys

if __name__ == "__main__":
    names, arguments = sys.argv[1:3], sys.argv[3:]
    if len(names) < 2 or not all(name.isidentifier() for name in names):
        sys.exit("usage: run.py RUNTIME PROGRAM [ARGUMENTS]")
    sys.argv[1:] = arguments
    importlib.import_module("panal_tools.proxies").spare_loopback(os.environ)
    sys.exit(importlib.import_module(".".join(("panal_tools", *names))).main())
