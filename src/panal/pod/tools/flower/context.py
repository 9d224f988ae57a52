"""Node config and run config as the app reads them: a key that is missing is named, at the hub as well.

An exception's text stays at its site, and so would the one thing that helps here. The name of a key is no secret of the site: it stands in
the app, and a node config is made by panal. So the app gets dictionaries that raise an error of ours, which `errors` lets out.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

_NODE, _RUN = "the node config has no key", "the run config has no key"
SENTENCE = re.compile(rf"(?:{_NODE}|{_RUN}) '[A-Za-z0-9._-]{{1,64}}'")


class MissingKey(KeyError):  # noqa: N818  its name is what the status shows
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
    """The reason code of a failure, with the key that is missing, if that is what failed."""
    return f"{reason}: {text}" if reason in MISSING and SENTENCE.fullmatch(text) else reason


def naming_missing_keys(context: Any) -> Any:
    """The context of an app, whose configs raise our errors from now on."""
    context.node_config = NodeConfig(context.node_config)
    context.run_config = RunConfig(context.run_config)
    return context
