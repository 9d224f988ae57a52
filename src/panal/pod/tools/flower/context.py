"""Replaces the app's node config and run config by dictionaries whose errors name the missing key, also on the hub.

Exception texts do not leave a site, but the name of a config key is not secret: it is in the app, and panal creates the node config. So
`errors` lets the texts of these two errors pass.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

_NODE, _RUN = "the node config has no key", "the run config has no key"
SENTENCE = re.compile(rf"(?:{_NODE}|{_RUN}) '[A-Za-z0-9._-]{{1,64}}'")


class MissingKey(KeyError):  # noqa: N818  the status shows its name
    def __str__(self) -> str:
        return str(self.args[0])


class MissingNodeConfig(MissingKey): ...


class MissingRunConfig(MissingKey): ...


class NodeConfig(dict[str, Any]):
    def __missing__(self, key: object) -> NoReturn:
        raise MissingNodeConfig(f"{_NODE} {key!r}")


class RunConfig(dict[str, Any]):
    def __missing__(self, key: object) -> NoReturn:
        raise MissingRunConfig(f"{_RUN} {key!r}")


MISSING = frozenset({MissingNodeConfig.__name__, MissingRunConfig.__name__})


def with_key(reason: str, text: str) -> str:
    """The reason code of a failure, followed by the missing key if that is the cause."""
    return f"{reason}: {text}" if reason in MISSING and SENTENCE.fullmatch(text) else reason


def naming_missing_keys(context: Any) -> Any:
    """Replaces the configs of an app's context. Returns the context."""
    context.node_config = NodeConfig(context.node_config)
    context.run_config = RunConfig(context.run_config)
    return context
