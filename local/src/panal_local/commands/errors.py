"""Converts the platform's errors to those of the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from panal.client import problem
from panal.client.problem import Code, Problem
from panal_local.node.recipes import BuildError
from panal_local.supervisor.folder import PlatformError


@contextmanager
def explained() -> Iterator[None]:
    """Raises Problem instead of the platform's errors, and of those of API servers and files."""
    with problem.explained():
        try:
            yield
        except PlatformError as error:
            raise Problem(Code.PLATFORM, str(error), error.remedy) from error
        except BuildError as error:
            raise Problem(Code.IMAGE, str(error)) from error
