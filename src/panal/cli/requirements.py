"""What an image's Python environment is made of: the dependencies of pyproject.toml, and requirements.txt beside it, which adds to them.

A requirements.txt with hashes is a complete list: pip takes nothing without a hash beside it, so it stands in the dependencies' place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_OTHER_FILE = re.compile(r"(?:-r|--requirement|-c|--constraint)[\s=]*(\S.*)")
_OPTION = re.compile(r"\s--?[a-z]")  # after a requirement, such as --hash
_COMMENT = re.compile(r"(^|\s)#.*")


@dataclass(frozen=True, slots=True)
class Requirements:
    """`file` is requirements.txt, if there is one. `pins` are installed as well: what was chosen within the ranges of the others."""

    dependencies: Sequence[str]
    file: Path | None = None
    pins: Sequence[str] = ()

    @property
    def locked(self) -> bool:
        return any("--hash=" in line for line in self._lines())

    @property
    def arguments(self) -> list[str]:
        """What to tell pip; empty if nothing is to be installed."""
        listed = ["-r", str(self.file)] if self.file else []
        return listed if self.locked else [*listed, *self.dependencies, *self.pins]

    @property
    def asked(self) -> list[str]:
        """Every requirement and constraint that counts, as it is written, without options."""
        lines = [_OPTION.split(line)[0].strip() for line in self._lines() if not line.startswith("-")]
        return lines if self.locked else [*self.dependencies, *lines]

    @property
    def told(self) -> str:
        """Which of the two files is taken; empty if there is but one."""
        if self.file is None or not self.dependencies:
            return ""
        if self.locked:
            return "installs requirements.txt, which is complete as it has hashes, in the place of pyproject.toml's dependencies"
        return "installs pyproject.toml's dependencies, and what requirements.txt adds"

    @property
    def identity(self) -> str:
        """The same for all that is installed alike."""
        return "\n".join([*self._lines(), *([] if self.locked else [*sorted(self.dependencies), *self.pins])])

    def _lines(self) -> list[str]:
        return list(_lines(self.file, frozenset({self.file.resolve()}))) if self.file else []


def _lines(file: Path, within: frozenset[Path]) -> Iterator[str]:
    """Without comments and with the lines of the files that it names; one that is not there is pip's to complain about."""
    if not file.is_file():
        return
    for line in re.sub(r"\\\r?\n", " ", file.read_text(errors="replace")).splitlines():
        found = _COMMENT.sub("", line).strip()
        if other := _OTHER_FILE.fullmatch(found):
            named = (file.parent / other[1]).resolve()
            yield from _lines(named, within | {named}) if named not in within else ()
        elif found:
            yield found
