"""`python3 /panal/tools/run.py RUNTIME PROGRAM [ARGUMENTS]`: runs `main` of the module `panal_tools.RUNTIME.PROGRAM` in a user's image.

Python adds the folder of this file to the path.
"""

import importlib
import os
import sys

if __name__ == "__main__":
    names, arguments = sys.argv[1:3], sys.argv[3:]
    if len(names) < 2 or not all(name.isidentifier() for name in names):
        sys.exit("usage: run.py RUNTIME PROGRAM [ARGUMENTS]")
    sys.argv[1:] = arguments
    importlib.import_module("panal_tools.proxies").exclude_loopback(os.environ)
    sys.exit(importlib.import_module(".".join(("panal_tools", *names))).main())
