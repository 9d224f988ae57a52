"""The JSON of an API server, however deeply it is nested."""

import json

import pytest

from panal.kube.decoding import DEEPEST, _cut, decode
from panal.kube.errors import Unavailable


def nested(levels: int, inner: str = "1", key: str = "a") -> str:
    return json.dumps({key: 0})[:-2] * levels + inner + "}" * levels


@pytest.mark.parametrize("levels", [1500, 9000])
def test_what_surrounds_a_deep_value_remains(levels: int) -> None:
    found = decode(f'[{{"name": "first"}}, {{"deep": {nested(levels)}, "name": "second"}}, {{"name": "third"}}]'.encode())
    assert [each["name"] for each in found] == ["first", "second", "third"]


@pytest.mark.parametrize("levels", [DEEPEST - 1, DEEPEST, DEEPEST + 1, DEEPEST + 2])
def test_only_deeper_levels_become_null(levels: int) -> None:
    text = nested(levels)
    assert json.loads(_cut(text.encode())) == json.loads(text if levels <= DEEPEST else nested(DEEPEST, "null"))


def test_brackets_in_strings_are_no_levels() -> None:
    text = nested(2, json.dumps({"b": '}]"\\' * 200 + "{[" * 200}), key='{["\\')
    assert _cut(text.encode()).decode() == text


def test_anything_but_json_is_an_outage() -> None:
    for content in (b"<html>", b'{"a":' * 2000):
        with pytest.raises(Unavailable):
            decode(content)
