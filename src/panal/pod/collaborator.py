"""`python -m panal.pod.collaborator FOLDER`, the init container of a collaborator: does what `tools.install` does, and writes the bootstrap
configuration of the gateway to the Pod's folder.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from panal.api import names
from panal.gateway import collaborator as gateway
from panal.pod.tools import install
from panal.pod.tools.files import loopback, replace


def main() -> None:
    install.main(sys.argv[1:])
    pod = Path(os.environ["PANAL_POD_DIR"])
    bootstrap = gateway.bootstrap(loopback=loopback(), users=str(pod / names.POD_USERS))
    replace(pod / names.POD_GATEWAY, json.dumps(bootstrap), mode=install.GROUP_READS)


if __name__ == "__main__":
    main()
