"""Which version of Flower an app's image gets: the newest supported version that the app's requirements allow.

The version is chosen before anything is installed. A version that is not in the list of supported versions is downloaded on its own, and
accepted if the modules that panal hooks are the same as those of a supported version.
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
from panal.cli.fetch import FetchError, fetch_alone
from panal.cli.recipe import read
from panal.cli.requirements import Requirements
from panal.client.problem import Code, Problem
from panal.pod.tools.flower.known import PIN, VERSIONS, WORKING, difference

Fetch = Callable[[str, Path], None]

_LOWER = ("==", "===", "~=", ">=", ">")


class UnknownError(Exception):
    """The app's requirement allows no supported version of Flower. The message continues a sentence that begins with the requirement."""


@dataclass(frozen=True, slots=True)
class Flower:
    """`pins` are the requirements to install in addition to the app's own, so that `version` is installed. `description` is shown."""

    version: str
    pins: tuple[str, ...]
    description: str


def pins(folder: Path, tell: Callable[[str], None] = output.note) -> tuple[str, ...]:
    """The pins for `build`. Tells which version is installed. Raises Problem if it is not supported."""
    wanted = read(folder).requirements
    found = resolve(wanted)
    for text in (wanted.told, found.description if found else ""):
        if text:
            tell(text)
    return found.pins if found else ()


def resolve(wanted: Requirements, fetch: Fetch = fetch_alone) -> Flower | None:
    """None if the requirements do not include Flower."""
    requirements = for_flower(wanted.asked)
    if not requirements:
        return None
    named = " and ".join(dict.fromkeys(map(_shown, requirements)))
    by_address = next((each for each in requirements if each.url), None)
    version = "" if by_address else newest_allowed(requirements)
    if not version:
        try:
            version = _fetched(str(by_address) if by_address else f"flwr{_together(requirements)}", requirements, fetch)
        except UnknownError as error:
            where = "requirements.txt" if wanted.locked else "the dependencies of pyproject.toml"
            raise Problem(Code.IMAGE, f"{named} {error}", f'panal supports Flower {WORKING}: write "{PIN}" in {where}.') from error
    return Flower(version, () if wanted.locked or by_address else (f"flwr=={version}",), f"flwr {version}, of {named}")


def for_flower(lines: Iterable[str]) -> list[Requirement]:
    """The requirements for Flower whose markers match this environment."""
    found = [each for each in map(_requirement, lines) if each is not None]
    return [
        each for each in found if re.sub(r"[-_.]+", "-", each.name).lower() == "flwr" and (each.marker is None or each.marker.evaluate())
    ]


def newest_allowed(requirements: Sequence[Requirement]) -> str:
    """The newest version in the list of supported versions that all requirements allow; empty if there is none."""
    return next((version for version in reversed(VERSIONS) if _together(requirements).contains(version)), "")


def _together(requirements: Sequence[Requirement]) -> SpecifierSet:
    found = SpecifierSet()
    for each in requirements:
        found &= each.specifier
    return found


def _requirement(line: str) -> Requirement | None:
    """None for a line that only pip understands, such as a path, and for an invalid line, which pip reports."""
    try:
        return Requirement(line)
    except InvalidRequirement:
        return None


def _fetched(requirement: str, requirements: Sequence[Requirement], fetch: Fetch) -> str:
    """The version that is installed for `requirement`, if its modules are those of a supported version."""
    if not any(each.url or any(map(_may_be_unknown, each.specifier)) for each in requirements):
        raise UnknownError("allows no version of Flower that panal supports")
    with TemporaryDirectory(prefix="panal-") as place:
        try:
            fetch(requirement, Path(place))
        except FetchError as error:
            raise UnknownError(f"allows no version of Flower that panal supports, and {error}") from error
        version = next((path.stem.removeprefix("flwr-") for path in Path(place).glob("flwr-*.dist-info")), "of no version")
        if unlike := difference(lambda path: (Path(place) / path).read_bytes()):
            raise UnknownError(f"is Flower {version}, which panal does not support. {unlike}")
    return version


def _may_be_unknown(clause: Specifier) -> bool:
    """Whether it allows a version that is newer than the oldest supported version."""
    try:
        return clause.operator in _LOWER and Version(clause.version.removesuffix(".*")) > Version(VERSIONS[0])
    except InvalidVersion:
        return True


def _shown(requirement: Requirement) -> str:
    """The requirement without markers, and without credentials in a URL."""
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    address = urlsplit(requirement.url or "")
    return f"flwr{extras}" + (
        f" @ {address.scheme}://{address.hostname or ''}{address.path}" if requirement.url else str(requirement.specifier)
    )
