"""`python -m panal.pod.collaborator FOLDER`, the init container of a collaborator: does what `tools.install` does, and writes the bootstrap
configuration of the gateway to the Pod's folder. With PANAL_SITE_POLICY=Required the gateway asks the site controller about each request;
its address is in the folder `site` beside the Pod's. Then the files that say where the aggregator is are written as well: nothing that the
hub can change later is a part of the gateway's configuration.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from panal.api import names
from panal.gateway import collaborator as gateway
from panal.gateway import site
from panal.pod.tools import install
from panal.pod.tools.files import loopback, replace

SITE, KEYS = Path(names.SITE_DIR).name, Path(names.GATEWAY_DIR).name  # on the local platform they are folders of volumes


def main() -> None:
    install.main(sys.argv[1:])
    pod = Path(os.environ["PANAL_POD_DIR"])
    asked = site_controller(pod.with_name(SITE), pod.with_name(KEYS))
    written = {names.POD_GATEWAY: gateway.bootstrap(loopback=loopback(), users=str(pod / names.POD_USERS), asked=asked)}
    if asked:
        written |= target(asked.keys)
    for name, content in written.items():
        replace(pod / name, json.dumps(content), mode=install.GROUP_READS)


def target(keys: str) -> dict[str, gateway.Json]:
    """The files that say where the aggregator is. Exits if the Pod does not say it."""
    try:
        found = gateway.read_target(os.environ.get("PANAL_SITE_TARGET", ""))
    except ValueError as error:
        sys.exit(f"panal: PANAL_SITE_TARGET does not say where the aggregator is: {error}")
    return gateway.files(
        address=found.address, server_name=found.server_name, sni=found.sni, protocol=found.protocol, proxy=found.proxy, keys=keys
    )


def site_controller(folder: Path, keys: Path) -> site.SiteController | None:
    """The one that the site's policy requires; None if it requires none. Exits if `folder` does not say where it is."""
    if os.environ.get("PANAL_SITE_POLICY") != site.REQUIRED:
        return None
    file = folder / "address"
    try:
        host, port = site.address(file.read_text())
    except (OSError, ValueError) as error:
        sys.exit(f"panal: the site's policy is required, but {file} does not say where the site controller is: {error}")
    return site.SiteController(host, port, str(folder), str(keys), bodies=os.environ.get("PANAL_SITE_BODIES") == site.WHOLE)


if __name__ == "__main__":
    main()
