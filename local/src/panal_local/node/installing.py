"""The steps of an installation, parsed from the output of pip or uv. Pure."""

from __future__ import annotations

import re

_STEPS = (  # of pip, then of uv
    (re.compile(r"\s*Collecting ([\w.\-\[\]]+).*"), "collecting {0}"),
    (re.compile(r"\s*Processing (?:\S*/)?([A-Za-z0-9_.]+)-\d[^-/]*-[^/\s]+\.whl.*"), "collecting {0}"),
    (re.compile(r"\s*Downloading (?:\S*/)?([A-Za-z0-9_.]+)-(\d[^-/]*)-[^/\s]+\.whl \((.*)\)"), "downloading {0} {1} ({2})"),
    (re.compile(r"\s*Downloading (?:\S*/)?([A-Za-z0-9_.\-]+)\.(?:tar\.gz|zip) \((.*)\)"), "downloading {0} ({1})"),
    (re.compile(r"\s*Building wheel for (\S+) .*: started"), "building {0}"),
    (re.compile(r"Installing collected packages: (.*)"), "installing"),
    (re.compile(r"Resolved (\d+ packages?) in .*"), "collected {0}"),
    (re.compile(r"\s*Downloading (\S+(?<!\.metadata)) \((.*)\)"), "downloading {0} ({1})"),
    (re.compile(r"\s*Building (\S+)"), "building {0}"),
    (re.compile(r"Prepared (\d+ packages?) in .*"), "installing {0}"),
)


class Steps:
    """`step` returns the step that a line reports, or an empty string. Counts the collected packages."""

    def __init__(self) -> None:
        self._collected: set[str] = set()

    def step(self, line: str) -> str:
        for pattern, words in _STEPS:
            if found := pattern.fullmatch(line.rstrip()):
                return self._counted(words, found)
        return ""

    def _counted(self, words: str, found: re.Match[str]) -> str:
        if words == "installing":
            return f"installing {len(found[1].split(', '))} packages"
        text = words.format(*found.groups())
        if not text.startswith("collecting "):
            return text
        self._collected.add(found[1].partition("[")[0])
        return f"{text} (package {len(self._collected)})"
