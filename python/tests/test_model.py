"""Random programs, against a textbook: an OrderedDict, moved and cut by hand. And random nonsense, which must be one of Python's own errors
and leave a cache that works."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nonsense import ANYTHING, NAMES, SHARED, attempt
from rustcache import CACHE_MISS, Cache, KvStore, Storage

KEYS = st.sampled_from(["a", "b", "c", "d", "e", "ß", ""])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["set", "get", "delete", "add", "incr", "pop", "touch", "in", "ttl", "setdefault", "many", "zero", "clear", "all"]),
        KEYS,
        st.integers(0, 9),
    ),
    max_size=60,
)


class Textbook:
    def __init__(self, max_items: int) -> None:
        self.max_items = max_items
        self.entries: OrderedDict[str, int] = OrderedDict()

    def set(self, key: str, value: int) -> None:
        self.entries[key] = value
        self.entries.move_to_end(key)
        if len(self.entries) > self.max_items:
            self.entries.popitem(last=False)

    def get(self, key: str) -> Any:
        if key not in self.entries:
            return CACHE_MISS
        self.entries.move_to_end(key)
        return self.entries[key]


def step(storage: Storage[Any], model: Textbook, name: str, key: str, number: int) -> None:
    entries = model.entries
    if name == "set":
        storage.set(key, number)
        model.set(key, number)
    elif name == "get":
        assert storage.get(key) == model.get(key)
    elif name == "delete":
        assert storage.delete(key) is (entries.pop(key, None) is not None)
    elif name == "add":
        added = key not in entries
        assert storage.add(key, number) is added
        if added:
            model.set(key, number)
    elif name == "incr":
        model.set(key, entries.get(key, 0) + number)
        assert storage.incr(key, number) == entries[key]
    elif name == "pop":
        assert storage.pop(key, None) == entries.pop(key, None)
    elif name == "touch":
        assert storage.touch(key) is (model.get(key) is not CACHE_MISS)
    elif name == "in":
        assert (key in storage) is (key in entries)
    elif name == "ttl":
        assert storage.ttl(key) is (None if key in entries else CACHE_MISS)
    elif name == "setdefault":
        if model.get(key) is CACHE_MISS:
            model.set(key, number)
        assert storage.setdefault(key, number) == entries[key]
    elif name == "many":
        keys = ["a", key, "nothing"]
        assert storage.get_many(keys) == {key: value for key in keys if (value := model.get(key)) is not CACHE_MISS}
    elif name == "zero":
        storage.set(key, number, ttl=0)
        entries.pop(key, None)
    elif name == "clear":
        storage.clear()
        entries.clear()
    else:
        assert dict(storage.items()) == dict(entries)


@pytest.mark.parametrize("kind", [Storage, Cache])
@given(steps=STEPS, max_items=st.integers(1, 5))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_cache_does_as_a_textbook_does(kind: type[Storage], steps: list[tuple[str, str, int]], max_items: int) -> None:
    storage, model = kind(max_items=max_items), Textbook(max_items)
    for name, key, number in steps:
        step(storage, model, name, key, number)
        assert len(storage) == len(model.entries)


METHODS = [
    *sorted(name for name in dir(Storage) if not name.startswith("__")),
    "__contains__",
    "__enter__",
    "__eq__",
    "__exit__",
    "__getitem__",
    "__init__",
    "__iter__",
    "__len__",
    "__reduce__",
    "__reduce_ex__",
    "__repr__",
    "__setstate__",
]
OPTIONS = [
    "size_limit_in_bytes",
    "max_items",
    "default_ttl",
    "expiration_thread_delay",
    "expiration_thread_max_checks_per_iteration",
    "expiration_disabled",
    "policy",
    "time_to_idle",
    "max_weight",
    "weigher",
    "eviction_listener",
    "serializer",
    "deserializer",
]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", [Storage, Cache, KvStore])
@given(data=st.data())
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_nonsense_is_an_error_of_python_and_the_cache_works_on(kind: Any, data: st.DataObject) -> None:
    options = data.draw(st.dictionaries(st.sampled_from(OPTIONS), ANYTHING, max_size=2))
    cache = attempt(kind, **options)
    if cache is None:
        cache = kind(3) if kind is KvStore else kind(max_items=3)
    calls = data.draw(
        st.lists(
            st.tuples(
                st.sampled_from(METHODS), st.lists(ANYTHING, max_size=3), st.dictionaries(st.sampled_from(NAMES), ANYTHING, max_size=1)
            ),
            max_size=12,
        )
    )
    for name, args, named in calls:
        result = attempt(lambda cache, name, *args, **named: getattr(cache, name)(*args, **named), cache, name, *args, **named)
        if hasattr(result, "__next__"):
            attempt(list, result)
    assert SHARED.get("nothing") is CACHE_MISS
    if kind is not KvStore and not cache.closed:
        attempt(cache.clear)
        assert len(cache) == 0
