#!/usr/bin/env bash
# Library: flwr 1.42.0 (`flwr build`). Found with: Python 3.11 on Linux.
#
# What one expects: the bundle that SuperLink and SuperNodes get has the app's modules, or the build says what it leaves out.
# What happens: what Python projects usually keep out of Git is left out without a word, although the app imports it: a package `lib`
# or `parts` beside pyproject.toml, and every module named test_*.py or *_test.py. The build ends well; the import fails at the sites.
#
# Output when this was written:
#   files of the app: a_b_test.py client.py lib/data.py parts/net.py server.py
#   in the bundle:    client.py server.py
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install flwr==1.42.0
mkdir -p "$folder/app/shop" "$folder/app/lib" "$folder/app/parts"
cd "$folder/app"
touch shop/__init__.py lib/__init__.py parts/__init__.py
echo 'PRICE = 1.0' | tee lib/data.py parts/net.py shop/a_b_test.py >/dev/null
cat >shop/client.py <<'EOF'
from flwr.clientapp import ClientApp
from lib.data import PRICE
from parts.net import PRICE as NET
from shop.a_b_test import PRICE as OTHER

app = ClientApp()
EOF
printf 'from flwr.serverapp import ServerApp\n\napp = ServerApp()\n' >shop/server.py
cat >pyproject.toml <<'EOF'
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "shop"
version = "1.0.0"
description = "prices"
license = "Apache-2.0"
dependencies = ["flwr>=1.42"]

[tool.flwr.app]
publisher = "someone"

[tool.flwr.app.components]
serverapp = "shop.server:app"
clientapp = "shop.client:app"
EOF
FLWR_HOME="$folder/home" "$folder/venv/bin/flwr" build --app . >"$folder/log" 2>&1 || { cat "$folder/log"; exit 1; }
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version
from pathlib import Path
from zipfile import ZipFile

bundle = next(Path().glob("*.fab"))
names = [name for name in ZipFile(bundle).namelist() if name.endswith(".py") and not name.endswith("__init__.py")]
there = [str(path) for path in Path().rglob("*.py") if path.name != "__init__.py"]
short = lambda found: " ".join(sorted(name.removeprefix("shop/") for name in found))
print(f"flwr {version('flwr')}")
print("files of the app:", short(there))
print("in the bundle:   ", short(names))
assert short(there) == "a_b_test.py client.py lib/data.py parts/net.py server.py", there
assert short(names) == "client.py server.py", "this has changed"
PYTHON
