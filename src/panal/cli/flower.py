"""Which Flower an app's image gets: the newest that panal knows of those that the app's own range allows.

Decided before anything is installed. A version that is not known by its number is fetched alone, and known by its modules or refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import Specifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from panal.cli import output
from panal.cli.problem import Code, Problem
from panal.local.node.recipes import BuildError, fetch_alone, read
from panal.local.node.requirements import Requirements
from panal.pod.tools.flower_known import PIN, VERSIONS, WORKING, difference

Fetch = Callable[[str, Path], None]

_LOWER = ("==", "===", "~=", ">=", ">")


class UnknownError(Exception):
    """Goes on from what the app asks for: that allows no Flower that panal knows."""


@dataclass(frozen=True, slots=True)
class Flower:
    """`pins` is what has to be installed beside what the app asks for, so that it is this version."""

    version: str
    pins: tuple[str, ...]
    told: str


def pins(folder: Path) -> tuple[str, ...]:
    """For `build`: says what will be installed. Problem if it would be a Flower that panal does not know."""
    wanted = read(folder).requirements
    found = resolve(wanted)
    for told in (wanted.told, found.told if found else ""):
        if told:
            output.note(told)
    return found.pins if found else ()


def resolve(wanted: Requirements, fetch: Fetch = fetch_alone) -> Flower | None:
    """None for what does not name Flower."""
    asked = asked_of(wanted.asked)
    if not asked:
        return None
    said = " and ".join(dict.fromkeys(map(_shown, asked)))
    by_address = next((each for each in asked if each.url), None)
    version = "" if by_address else newest_allowed(asked)
    if not version:
        try:
            version = _fetched(str(by_address) if by_address else f"flwr{_together(asked)}", asked, fetch)
        except UnknownError as error:
            where = "requirements.txt" if wanted.locked else "the dependencies of pyproject.toml"
            raise Problem(Code.IMAGE, f"{said} {error}", f'Flower {WORKING} work: write "{PIN}" in {where}.') from error
    return Flower(version, () if wanted.locked or by_address else (f"flwr=={version}",), f"flwr {version}, of {said}")


def asked_of(lines: Iterable[str]) -> list[Requirement]:
    """The requirements among them that are for Flower, in this environment."""
    found = [each for each in map(_requirement, lines) if each is not None]
    return [
        each for each in found if re.sub(r"[-_.]+", "-", each.name).lower() == "flwr" and (each.marker is None or each.marker.evaluate())
    ]


def newest_allowed(asked: Sequence[Requirement]) -> str:
    """The newest version that panal knows by its number and that all allow; empty if there is none."""
    return next((version for version in reversed(VERSIONS) if _together(asked).contains(version)), "")


def _together(asked: Sequence[Requirement]) -> SpecifierSet:
    found = SpecifierSet()
    for each in asked:
        found &= each.specifier
    return found


def _requirement(line: str) -> Requirement | None:
    """None for what only pip understands, such as a path, or is wrong, which pip will say."""
    try:
        return Requirement(line)
    except InvalidRequirement:
        return None


def _fetched(requirement: str, asked: Sequence[Requirement], fetch: Fetch) -> str:
    """The version that is known by its modules."""
    if not any(each.url or any(map(_may_be_unknown, each.specifier)) for each in asked):
        raise UnknownError("allows no version of Flower that panal knows")
    with TemporaryDirectory(prefix="panal-") as place:
        try:
            fetch(requirement, Path(place))
        except BuildError as error:
            raise UnknownError(f"allows no version of Flower that panal knows, and {error}") from error
        version = next((path.stem.removeprefix("flwr-") for path in Path(place).glob("flwr-*.dist-info")), "of no version")
        if unlike := difference(lambda path: (Path(place) / path).read_bytes()):
            raise UnknownError(f"is Flower {version}, which panal does not know. {unlike}")
    return version


def _may_be_unknown(clause: Specifier) -> bool:
    """Whether it names a version that may have come after the oldest that is known."""
    try:
        return clause.operator in _LOWER and Version(clause.version.removesuffix(".*")) > Version(VERSIONS[0])
    except InvalidVersion:
        return True


def _shown(asked: Requirement) -> str:
    """Without markers, and of an address no password."""
    extras = f"[{','.join(sorted(asked.extras))}]" if asked.extras else ""
    address = urlsplit(asked.url or "")
    return f"flwr{extras}" + (f" @ {address.scheme}://{address.hostname or ''}{address.path}" if asked.url else str(asked.specifier))
