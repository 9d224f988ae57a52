"""Tests that are mostly waiting, side by side: a module's stories begin together, as many at once as the engine carries.

    @story()
    def test_it_ends_well(engine): ...

    @story("first", "last")
    def test_it_is_killed(engine, moment): ...

Each is an ordinary test to pytest. A module with stories has the fixture `stories` beside its fixture `engine`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

Tell = Callable[..., None]


def story(*cases: str) -> Callable[[Tell], Tell]:
    """With cases, the story is told once for each, which is then its second argument."""

    def made(tell: Tell) -> Tell:
        def once(stories: Stories) -> None:
            stories.outcome(tell, ())

        def each(stories: Stories, case: str) -> None:
            stories.outcome(tell, (case,))

        test: Any = pytest.mark.parametrize("case", cases)(each) if cases else once
        test.__name__, test.__doc__, test.__module__, test.tell = tell.__name__, tell.__doc__, tell.__module__, tell
        return test  # type: ignore[no-any-return]

    return made


class Stories:
    """What was begun, and how it came out."""

    def __init__(self, pool: ThreadPoolExecutor, engine: Any, chosen: list[tuple[Tell, tuple[str, ...]]]) -> None:
        self._begun: dict[tuple[Tell, tuple[str, ...]], Future[None]] = {one: pool.submit(one[0], engine, *one[1]) for one in chosen}

    def outcome(self, tell: Tell, cases: tuple[str, ...]) -> None:
        self._begun[tell, cases].result()


@pytest.fixture(scope="module")
def stories(engine: Any, request: pytest.FixtureRequest) -> Iterator[Stories]:
    with ThreadPoolExecutor(engine.at_once) as pool:
        yield Stories(pool, engine, list(_chosen(request)))
        pool.shutdown(cancel_futures=True)


def _chosen(request: pytest.FixtureRequest) -> Iterator[tuple[Tell, tuple[str, ...]]]:
    """The stories of this module that are to be told, in their order."""
    for item in request.session.items:
        tell = getattr(getattr(item, "function", None), "tell", None)
        if tell and item.module is request.module:  # type: ignore[attr-defined]
            case = getattr(item, "callspec", None)
            yield tell, (case.params["case"],) if case else ()
