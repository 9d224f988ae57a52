#!/usr/bin/env bash
# Library: aiohttp 3.14.5 (the client). Found with: Python 3.11 on Linux.
#
# What one expects: `trust_env=True`, which one sets so that the proxy of the environment is used, leaves a request's own Authorization
# header as it is. A client of a Kubernetes API server sends a bearer token in it.
# What happens: it also looks for the host in .netrc, for each request. Where a user has an entry for that host, a request with a bearer
# token is not sent: ValueError. Without `trust_env` it is sent, but not through the proxy.
#
# Output when this was written:
#   aiohttp 3.14.5
#   trust_env=False: 200, the server got: Bearer mine
#   trust_env=True: ValueError: Cannot combine AUTHORIZATION header with AUTH argument or credentials encoded in URL
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install aiohttp==3.14.5
printf 'machine 127.0.0.1 login someone password of-another-service\n' >"$folder/netrc"
chmod 600 "$folder/netrc"
NETRC="$folder/netrc" "$folder/venv/bin/python" - <<'PYTHON'
import asyncio

import aiohttp
from aiohttp import web


async def answer(request):
    return web.Response(text=request.headers.get("Authorization", ""))


async def get(port, trust_env):
    async with aiohttp.ClientSession(trust_env=trust_env) as session:
        try:
            async with session.get(f"http://127.0.0.1:{port}/", headers={"Authorization": "Bearer mine"}) as response:
                return f"{response.status}, the server got: {await response.text()}"
        except ValueError as error:
            return f"ValueError: {error}"


async def main():
    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found = {trust: await get(runner.addresses[0][1], trust) for trust in (False, True)}
    await runner.cleanup()
    return found


found = asyncio.run(main())
print(f"aiohttp {aiohttp.__version__}")
for trust, text in found.items():
    print(f"trust_env={trust}: {text}")
assert found[False] == "200, the server got: Bearer mine", found
assert found[True].startswith("ValueError: Cannot combine"), "this has changed"
PYTHON
