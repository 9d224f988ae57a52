"""The objects of one kind in the watch cache, by key, by namespace and by indexes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from panal.kube.objects import Key, Object, key_of

IndexFunction = Callable[[Object], Iterable[str]]  # the index values of an object
_NAMESPACE = "namespace of the object"


class Store:
    """Returned objects are shared: do not change them."""

    def __init__(self, indexes: Mapping[str, IndexFunction]) -> None:
        self._objects: dict[Key, Object] = {}
        self._functions: dict[str, IndexFunction] = {**indexes, _NAMESPACE: lambda obj: (key_of(obj).namespace,)}
        self._found: dict[str, dict[str, dict[Key, Object]]] = {name: {} for name in self._functions}
        self.changes = 0  # increases with each change

    def __len__(self) -> int:
        return len(self._objects)

    def keys(self) -> set[Key]:
        return set(self._objects)

    def get(self, key: Key) -> Object | None:
        return self._objects.get(key)

    def all(self, namespace: str | None = None) -> list[Object]:
        if namespace is None:
            return list(self._objects.values())
        return self.by_index(_NAMESPACE, namespace)

    def by_index(self, index: str, value: str) -> list[Object]:
        return list(self._found[index].get(value, {}).values())

    def put(self, obj: Object) -> Object | None:
        """Stores the object and returns the one that it replaces."""
        key = key_of(obj)
        old = self.remove(key)
        self._objects[key] = obj
        self.changes += 1
        for values, value in self._entries(obj):
            values.setdefault(value, {})[key] = obj
        return old

    def remove(self, key: Key) -> Object | None:
        """Removes and returns the object."""
        old = self._objects.pop(key, None)
        if old is not None:
            self.changes += 1
            for values, value in self._entries(old):
                self._remove_entry(values, value, key)
        return old

    def _entries(self, obj: Object) -> Iterable[tuple[dict[str, dict[Key, Object]], str]]:
        return ((self._found[name], value) for name, function in self._functions.items() for value in function(obj))

    @staticmethod
    def _remove_entry(values: dict[str, dict[Key, Object]], value: str, key: Key) -> None:
        keys = values.get(value, {})
        keys.pop(key, None)
        if not keys:
            values.pop(value, None)
