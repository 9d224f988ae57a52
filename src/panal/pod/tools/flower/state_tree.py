"""Encodes the state of a strategy as JSON and numpy arrays, and restores it in a new process.

The new process runs the app's code again, so a strategy with the same functions and settings exists there. `restore` puts the values of its
attributes into it, in place where other objects may refer to them. What is code (functions, classes, modules) or immutable by itself is
left as the app has made it. A value that can be neither encoded nor left is a problem, and named by its path. Nothing is pickled.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import enum
import functools
import importlib
import logging
import pathlib
import random
import re
import sys
import types
import uuid
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any

PLAIN = (type(None), bool, int, float, str)
FIXED = (
    type, types.ModuleType, types.BuiltinFunctionType, types.MethodWrapperType, enum.Enum, logging.Logger, pathlib.PurePath, re.Pattern,
    datetime.date, datetime.timedelta, datetime.tzinfo, decimal.Decimal, uuid.UUID, property, staticmethod, classmethod,
)  # fmt: skip
SEQUENCES: dict[type, str] = {list: "list", tuple: "tuple", set: "set", frozenset: "frozenset", deque: "deque"}
MAPPINGS: dict[type, str] = {dict: "dict", OrderedDict: "OrderedDict", defaultdict: "defaultdict", Counter: "Counter"}
RECORDS = ("ArrayRecord", "MetricRecord", "ConfigRecord", "RecordDict")
MOST = 100_000  # values of one state
DEEPEST = 40

Tree = list[Any]  # a JSON list; its first item is the kind


class StateError(Exception):
    """The state does not fit what the app has made."""


def _flower() -> Any:
    return importlib.import_module("flwr.app")


def _numpy() -> Any:
    return importlib.import_module("numpy")


class Encoder:
    """`arrays` get the arrays of all values; those of Flower's Array as functions, because its data may be in a file. `problems` are the
    paths of values that cannot be restored, each with its type. `known` are the fixed values by path as they were before the first round;
    empty for the first encoding."""

    def __init__(self, known: dict[str, int] | None = None) -> None:
        self.arrays: list[Any] = []
        self.problems: list[str] = []
        self.fixed: dict[str, int] = {}
        self._known = known
        self._seen: dict[int, int] = {}
        self._kept: list[Any] = []  # so that no id is used twice

    def encode(self, value: Any, path: str, *, lenient: bool = False, skip: Iterable[str] = ()) -> Tree:
        """`lenient`: an object of an unknown type counts as fixed. `skip`: attributes of `value` that are not state."""
        return self._encode(value, path, 0, lenient, frozenset(skip))

    def _encode(self, value: Any, path: str, depth: int, lenient: bool, skip: frozenset[str] = frozenset()) -> Tree:
        if type(value) in PLAIN:
            return ["plain", value]
        if depth > DEEPEST or len(self._seen) > MOST:
            return self._problem(path, value)
        if id(value) in self._seen:
            return ["ref", self._seen[id(value)]]
        if not isinstance(value, bytes | complex):
            self._seen[id(value)] = len(self._kept)
            self._kept.append(value)

        def inner(each: Any, name: str) -> Tree:
            return self._encode(each, f"{path}{name}", depth + 1, lenient)

        kind = type(value)
        if kind is bytes:
            return ["bytes", base64.b64encode(value).decode()]
        if kind is complex:
            return ["complex", value.real, value.imag]
        if kind in SEQUENCES:
            items = sorted(value, key=repr) if kind in (set, frozenset) else value
            tree = [SEQUENCES[kind], [inner(each, f"[{index}]") for index, each in enumerate(items)]]
            return [*tree, value.maxlen] if kind is deque else tree
        if kind in MAPPINGS:
            return [MAPPINGS[kind], [[inner(k, " key"), inner(v, f"[{k!r}]")] for k, v in value.items()]]
        return (
            self._numeric(value)
            or self._record(value, inner)
            or self._code(value, path, inner)
            or self._object(value, path, inner, lenient, skip)
        )

    def _array(self, array: Any) -> int:
        self.arrays.append(array)
        return len(self.arrays) - 1

    def _numeric(self, value: Any) -> Tree | None:
        if isinstance(value, random.Random) and type(value) is random.Random:
            version, words, gauss = value.getstate()
            return ["random", [version, list(words), gauss]]
        if "numpy" not in sys.modules:
            return None
        np = _numpy()
        if type(value) is np.ndarray and not value.dtype.hasobject:
            return ["array", self._array(value)]
        if isinstance(value, np.generic) and not value.dtype.hasobject:
            return ["scalar", self._array(np.asarray(value))]
        if type(value) is np.random.Generator:
            return ["generator", self._bits(value.bit_generator.state)]
        if type(value) is np.random.RandomState:
            return ["random state", self._bits(value.get_state(legacy=False))]
        return None

    def _bits(self, state: Any) -> Any:
        """The state of a bit generator: dictionaries with numbers and arrays of numbers."""
        if isinstance(state, dict):
            return {key: self._bits(each) for key, each in state.items()}
        return state.tolist() if hasattr(state, "tolist") else state

    def _record(self, value: Any, inner: Callable[[Any, str], Tree]) -> Tree | None:
        if "flwr.app" not in sys.modules:
            return None
        flower, kind = _flower(), type(value)
        if kind is flower.Array:
            return ["Array", value.dtype, list(value.shape), value.stype, self._array(functools.partial(_bytes_of, value))]
        name = next((name for name in RECORDS if kind is getattr(flower, name)), "")
        return [name, [[key, inner(each, f"[{key!r}]")] for key, each in value.items()]] if name else None

    def _code(self, value: Any, path: str, inner: Callable[[Any, str], Tree]) -> Tree | None:
        if isinstance(value, types.FunctionType):
            self._fix(value, path)
            names = value.__code__.co_freevars
            return ["function", [self._cell(cell, f"{path}.{name}") for name, cell in zip(names, value.__closure__ or ())]]
        if isinstance(value, types.MethodType):
            return ["method", inner(value.__self__, ".__self__")]
        if isinstance(value, functools.partial):
            return ["partial", inner(value.func, ".func"), inner(value.args, ".args"), inner(value.keywords, ".keywords")]
        if isinstance(value, FIXED) or type(value).__module__ == "typing" or _is_numpy_code(value) or _is_grid(value):
            self._fix(value, path)
            return ["fixed"]
        return None

    def _cell(self, cell: Any, path: str) -> Tree:
        try:
            return self._encode(cell.cell_contents, path, 1, lenient=True)
        except ValueError:  # the variable is not set yet
            return ["empty"]

    def _object(self, value: Any, path: str, inner: Callable[[Any, str], Tree], lenient: bool, skip: frozenset[str]) -> Tree:
        """An object of a Python class, whose state is its attributes."""
        if lenient:
            self._fix(value, path)
            return ["fixed"]
        kind = type(value)
        if not hasattr(value, "__dict__") or kind.__basicsize__ != _PlainObject.__basicsize__ or isinstance(value, BaseException):
            return self._problem(path, value)  # it has state outside of its attributes
        attributes = [[name, inner(each, f".{name}")] for name, each in vars(value).items() if name not in skip]
        return ["object", f"{kind.__module__}.{kind.__qualname__}", attributes]

    def _fix(self, value: Any, path: str) -> None:
        """A value that the app must have made before the first round: a later one would be missing in a new process."""
        self.fixed[path] = id(value)
        if self._known is not None and self._known.get(path) != id(value):
            self._problem(path, value)

    def _problem(self, path: str, value: Any) -> Tree:
        self.problems.append(f"{path} ({type(value).__name__})")
        return ["fixed"]


def _bytes_of(array: Any) -> Any:
    return _numpy().frombuffer(array.data, dtype="uint8")


class _PlainObject:
    pass


def _is_numpy_code(value: Any) -> bool:
    return "numpy" in sys.modules and isinstance(value, (_numpy().dtype, _numpy().ufunc))


def _is_grid(value: Any) -> bool:
    return any(each.__module__.startswith("flwr.") and each.__name__ == "Grid" for each in type(value).__mro__)


class Decoder:
    """Restores what an Encoder has encoded. `arrays` are its arrays."""

    def __init__(self, arrays: list[Any]) -> None:
        self._arrays = arrays
        self._made: list[Any] = []

    def restore(self, tree: Tree, current: Any) -> Any:
        """The value of `tree`. Changes `current`, the value that the app has made, where it is mutable. Raises StateError if it is not of
        the same kind."""
        kind, *rest = tree
        if kind == "plain":
            return rest[0]
        if kind == "bytes":
            return base64.b64decode(rest[0])
        if kind == "complex":
            return complex(*rest)
        if kind == "ref":
            return self._made[rest[0]]
        index = len(self._made)
        self._made.append(current)
        self._made[index] = found = self._value(kind, rest, current, index)
        return found

    def _value(self, kind: str, rest: list[Any], current: Any, index: int) -> Any:
        if kind in SEQUENCES.values():
            return self._sequence(kind, rest, current, index)
        if kind in MAPPINGS.values():
            return self._mapping(kind, rest[0], current, index)
        if kind in RECORDS or kind == "Array":
            return self._record(kind, rest, current)
        if kind in ("array", "scalar"):
            return self._arrays[rest[0]] if kind == "array" else self._arrays[rest[0]][()]
        if kind in ("random", "generator", "random state"):
            return self._generator(kind, rest[0], current)
        return self._code(kind, rest, current)

    def _record(self, kind: str, rest: list[Any], current: Any) -> Any:
        if kind == "Array":
            dtype, shape, stype, number = rest
            return _flower().Array(dtype=dtype, shape=tuple(shape), stype=stype, data=self._arrays[number].tobytes())
        old = current if type(current).__name__ == kind else {}
        return getattr(_flower(), kind)({key: self.restore(each, old.get(key)) for key, each in rest[0]})

    def _code(self, kind: str, rest: list[Any], current: Any) -> Any:
        if kind == "function":
            return self._function(rest[0], current)
        if kind == "method":
            self.restore(rest[0], _of(current, types.MethodType).__self__)
            return current
        if kind == "partial":
            partial = _of(current, functools.partial)
            for each, old in zip(rest, (partial.func, partial.args, partial.keywords)):
                self.restore(each, old)
            return current
        return self._object(rest, current) if kind == "object" else current

    def _sequence(self, kind: str, rest: list[Any], current: Any, index: int) -> Any:
        made = {name: each for each, name in SEQUENCES.items()}[kind]
        same = type(current) is made
        old = list(current) if same and kind not in ("set", "frozenset") else []
        target: Any
        if kind == "deque":
            target = current if same and current.maxlen == rest[1] else deque(maxlen=rest[1])
        else:
            target = current if same else made()
        if kind in ("list", "set", "deque"):
            self._made[index] = target  # it may contain itself
        items = [self.restore(each, old[i] if i < len(old) else None) for i, each in enumerate(rest[0])]
        if kind in ("tuple", "frozenset"):
            return made(items)
        target.clear()
        target.update(items) if kind == "set" else target.extend(items)
        return target

    def _mapping(self, kind: str, pairs: list[Any], current: Any, index: int) -> Any:
        made = {name: each for each, name in MAPPINGS.items()}[kind]
        same = type(current) is made
        if kind == "defaultdict" and not same:
            raise StateError("a defaultdict that the app did not make")
        old = dict(current) if same else {}
        target = self._made[index] = current if same else made()
        items = []
        for key, each in pairs:
            name = self.restore(key, None)
            items.append((name, self.restore(each, old.get(name))))
        target.clear()
        for name, value in items:  # `update` of a Counter adds
            target[name] = value
        return target

    def _generator(self, kind: str, state: Any, current: Any) -> Any:
        if kind == "random":
            found = current if type(current) is random.Random else random.Random()
            found.setstate((state[0], tuple(state[1]), state[2]))
            return found
        np = _numpy()
        if kind == "random state":
            target = current if type(current) is np.random.RandomState else np.random.RandomState()
            target.set_state(as_bits(state))
            return target
        if type(current) is not np.random.Generator:
            current = np.random.Generator(getattr(np.random, state["bit_generator"])())
        current.bit_generator.state = as_bits(state)
        return current

    def _function(self, cells: list[Tree], current: Any) -> Any:
        closure = _of(current, types.FunctionType).__closure__ or ()
        if len(closure) != len(cells):
            raise StateError("a function with other variables")
        for cell, tree in zip(closure, cells):
            if tree[0] == "empty":
                continue
            try:
                old = cell.cell_contents
            except ValueError:
                old = None
            cell.cell_contents = self.restore(tree, old)
        return current

    def _object(self, rest: list[Any], current: Any) -> Any:
        name, attributes = rest
        kind = type(current)
        if f"{kind.__module__}.{kind.__qualname__}" != name:
            raise StateError(f"a {name}, where the app has made a {kind.__qualname__}")
        old = dict(vars(current))
        for attribute, tree in attributes:
            vars(current)[attribute] = self.restore(tree, old.get(attribute))
        return current


def _of(current: Any, kind: type) -> Any:
    if not isinstance(current, kind):
        raise StateError(f"a {kind.__name__}, where the app has made a {type(current).__name__}")
    return current


def as_bits(state: Any) -> Any:
    """The state of a bit generator as numpy expects it: lists become arrays of the type that the generator uses."""
    if isinstance(state, dict):
        return {key: as_bits(each) for key, each in state.items()}
    return _numpy().array(state, dtype="uint32" if max(state, default=0) < 1 << 32 else "uint64") if isinstance(state, list) else state
