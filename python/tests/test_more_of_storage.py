"""What `Storage` and `Cache` can do beyond what atomic-lru does: each promise once, for both."""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Callable
from typing import Any

import pytest

from rustcache import CACHE_MISS, Cache, KvStore, Stats, Storage

BOTH = pytest.mark.parametrize("kind", [Storage, Cache])


def weigh(key: Any, value: Any) -> int:
    return int(value)


def listen(key: Any, value: Any, cause: str) -> None: ...


def encode(value: Any) -> bytes:
    return str(value).encode()


def decode(value: bytes) -> str:
    return value.decode()


@BOTH
def test_length_membership_and_iteration(kind: type[Storage]) -> None:
    storage = kind(max_items=100)
    assert len(storage) == 0
    assert storage, "an empty cache is no falsehood"
    entries = {f"key:{number}": number for number in range(50)}
    storage.set_many(entries)
    assert len(storage) == 50
    assert "key:7" in storage
    assert "key:77" not in storage
    assert dict(storage.items()) == entries
    assert sorted(storage) == sorted(storage.keys()) == sorted(entries)
    assert sorted(storage.values()) == sorted(entries.values())


@BOTH
def test_looking_neither_refreshes_nor_counts(kind: type[Storage]) -> None:
    storage = kind(max_items=2)
    storage.set("a", 1)
    storage.set("b", 2)
    assert "a" in storage
    assert storage.ttl("a") is None
    assert ("a", 1) in list(storage.items())
    storage.set("c", 3)
    assert "a" not in storage
    stats = storage.stats()
    assert (stats.hits, stats.misses) == (0, 0)


@BOTH
def test_iteration_is_safe_while_everything_changes(kind: type[Storage]) -> None:
    storage = kind(max_items=10_000)
    lasting = {f"lasting:{number}" for number in range(3000)}
    storage.set_many(dict.fromkeys(lasting, 1))
    seen = []
    for turn, key in enumerate(storage):
        storage.set(f"new:{turn}", 2)
        storage.delete(f"new:{turn - 1}")
        if key in lasting:
            storage.set(key, 3)
        seen.append(key)
    assert lasting <= set(seen)
    assert len(seen) == len(set(seen))
    iterator = iter(storage)
    next(iterator)
    storage.clear()
    list(iterator)
    assert list(storage) == []
    with pytest.raises(StopIteration):
        next(iterator)


@BOTH
def test_many_at_once(kind: type[Storage]) -> None:
    storage = kind()
    storage.set_many([("a", 1), ("b", 2)], ttl=100)
    storage.set_many({"c": 3})
    assert storage.get_many(["a", "c", "missing"]) == {"a": 1, "c": 3}
    assert storage.get_many(iter(["b"])) == {"b": 2}
    assert storage.ttl("a") is not None
    assert storage.ttl("c") is None
    assert storage.delete_many(["a", "missing", "c"]) == 2
    assert list(storage) == ["b"]
    with pytest.raises(TypeError, match="not iterable"):
        storage.get_many(7)


@BOTH
def test_many_are_written_of_the_pairs_that_dict_takes(kind: type[Storage]) -> None:
    storage = kind()
    pairs: list[Any] = [["a", 1], ("b", 2), iter(["c", 3]), "d4"]
    storage.set_many(pairs)
    assert dict(storage.items()) == {"a": 1, "b": 2, "c": 3, "d": "4"}
    refused: list[tuple[Any, type[Exception], str]] = [
        ("abc", ValueError, "pairs of key and value, and one is 'abc', of length 3$"),
        (("a",), ValueError, "one is .*, of length 1$"),
        (7, TypeError, "pairs of key and value, and one is 7$"),
    ]
    for pair, error, text in refused:
        with pytest.raises(error, match=text):
            storage.set_many([("before", 5), pair, ("behind", 6)])
        assert storage.pop("before") == 5
        assert "behind" not in storage

    def raises() -> Any:
        yield "a"
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        storage.set_many([raises()])


@BOTH
def test_add_writes_only_what_is_absent(kind: type[Storage]) -> None:
    storage = kind()
    assert storage.add("key", 1) is True
    assert storage.add("key", 2) is False
    assert storage.get("key") == 1
    storage.set("key", 1, ttl=0)
    assert storage.add("key", 3, ttl=100) is True
    assert storage.ttl("key") is not None


@BOTH
def test_setdefault_gives_what_is_there(kind: type[Storage]) -> None:
    storage = kind()
    assert storage.setdefault("key", [1]) == [1]
    assert storage.setdefault("key", [2]) == [1]
    assert storage.get("key") == [1]


@BOTH
def test_incr_counts_and_keeps_the_deadline(kind: type[Storage]) -> None:
    storage = kind()
    assert storage.incr("visits", ttl=100) == 1
    assert storage.incr("visits", 10) == 11
    assert storage.incr("visits", -1, ttl=None) == 10
    left = storage.ttl("visits")
    assert isinstance(left, float)
    assert left <= 100
    assert storage.incr("float", 0.5, default=1) == 1.5
    assert storage.incr("big", 2**100) == 2**100
    storage.set("text", "1")
    with pytest.raises(TypeError, match="of type str"):
        storage.incr("text")
    with pytest.raises(TypeError):
        storage.incr("visits", "1")
    assert (storage.get("text"), storage.get("visits")) == ("1", 10)


@BOTH
def test_touch_gives_another_ttl_and_refreshes(kind: type[Storage]) -> None:
    storage = kind(max_items=2, default_ttl=50)
    storage.set("a", 1, ttl=10)
    storage.set("b", 2)
    assert storage.touch("a", ttl=1000) is True
    storage.set("c", 3)
    assert "b" not in storage
    left = storage.ttl("a")
    assert isinstance(left, float)
    assert left > 900
    assert storage.touch("a") is True
    left = storage.ttl("a")
    assert isinstance(left, float)
    assert left <= 50
    assert storage.touch("a", ttl=None) is True
    assert storage.ttl("a") is None
    assert storage.touch("missing") is False
    assert storage.touch("a", ttl=0) is True
    assert "a" not in storage


@BOTH
def test_pop_gives_what_it_removes(kind: type[Storage]) -> None:
    storage = kind()
    storage.set("key", 1)
    assert storage.pop("key") == 1
    assert storage.pop("key") is CACHE_MISS
    assert storage.pop("key", None) is None
    assert storage.get("key", default=7) == 7
    assert storage.get("key", None) is None


@BOTH
def test_what_is_counted(kind: type[Storage]) -> None:
    storage = kind(max_items=2)
    for key in ("a", "b", "c"):
        storage.set(key, 1)
    storage.set("c", 2, ttl=100)
    storage.get("c")
    storage.get("a")
    storage.delete("b")
    stats = storage.stats()
    assert isinstance(stats, Stats)
    expected = {
        "hits": 1,
        "misses": 1,
        "items": 1,
        "inserts": 3,
        "updates": 1,
        "removals": 1,
        "evictions_by_items": 1,
        "items_with_deadline": 1,
    }
    assert expected.items() <= stats.as_dict().items()
    assert stats.hit_ratio == 0.5
    assert repr(stats).startswith("Stats(hit_ratio=0.500, hits=1, misses=1, ")
    assert "<tr><th>hits</th><td>1</td></tr>" in stats._repr_html_()
    assert stats == storage.stats()


def test_a_notebook_shows_the_hit_ratio_and_what_is_held_beside_its_limit() -> None:
    cache = Cache(size_limit_in_bytes=64 << 20, max_items=10_000)
    cache.set("a", 1)
    for key in ("a", "a", "b"):
        cache.get(key)
    stats = cache.stats()
    assert (stats.max_items, stats.max_weight) == (10_000, 64 << 20)
    html = stats._repr_html_()
    for row in ("<th>hit ratio</th><td>66.7 %</td>", "<th>items</th><td>1 of 10000</td>", f"<td>{stats.weight} B of 64.0 MiB</td>"):
        assert row in html
    assert html.count("<tr>") == html.count("</tr>") == 13
    assert repr(stats) == (f"Stats(hit_ratio=0.667, hits=2, misses=1, items=1 of 10000, bytes={stats.weight} B of 64.0 MiB, inserts=1)")


def test_what_weighs_nothing_known_is_not_called_bytes() -> None:
    storage: Storage[str] = Storage()
    storage.set("a", "b")
    assert repr(storage.stats()) == "Stats(hit_ratio=0.000, hits=0, misses=0, items=1, inserts=1)"
    weighed: Storage[str] = Storage(max_weight=10, weigher=lambda key, value: len(value))
    weighed.set("a", "four")
    assert "items=1, weight=4 of 10, " in repr(weighed.stats())
    assert "bytes" not in weighed.stats()._repr_html_()


@BOTH
@pytest.mark.parametrize("policy", ["lru", "s3-fifo", "tinylfu", "adaptive"])
def test_another_policy_is_one_word(kind: type[Storage], policy: Any) -> None:
    storage = kind(max_items=50, policy=policy)
    assert storage.policy == policy
    for number in range(500):
        storage.set(f"key:{number}", number)
    assert len(storage) <= 50
    with pytest.raises(ValueError, match='there is no policy "LRU"'):
        kind(policy="LRU")


@BOTH
def test_a_with_statement_closes(kind: type[Storage]) -> None:
    with kind() as storage:
        storage.set("key", 1)
    assert storage.closed
    assert storage.get("key") == 1


@BOTH
def test_the_listener_is_told_of_each_entry_that_leaves_and_why(kind: type[Storage]) -> None:
    told: list[tuple[Any, Any, str]] = []
    storage = kind(max_items=2, eviction_listener=lambda *entry: told.append(entry))
    storage.set("a", 1)
    storage.set("a", 2)
    storage.set("b", 3)
    storage.set("c", 4)
    storage.delete("b")
    storage.pop("c")
    storage.set("d", 5)
    storage.set("d", 6, ttl=0)
    storage.set("e", 7)
    storage.clear()
    assert told == [
        ("a", 1, "replaced"),
        ("a", 2, "max_items"),
        ("b", 3, "removed"),
        ("c", 4, "removed"),
        ("d", 5, "removed"),
        ("e", 7, "cleared"),
    ]


@BOTH
def test_a_listener_may_use_the_cache_and_what_it_raises_is_not_lost(kind: type[Storage], monkeypatch: pytest.MonkeyPatch) -> None:
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    storage: Storage[Any]

    def listener(key: Any, value: Any, cause: str) -> None:
        if cause == "max_items":
            storage.get("b")
            raise ArithmeticError(key)

    storage = kind(max_items=1, eviction_listener=listener)
    storage.set("a", 1)
    storage.set("b", 2)
    assert [str(entry.exc_value) for entry in unraisable] == ["a"]
    assert storage.get("b") == 2
    assert storage.stats().hits == 2


def test_a_weigher_says_what_objects_weigh() -> None:
    storage = Storage[str](max_weight=10, weigher=lambda key, value: len(value))
    storage.set("a", "xxxx")
    storage.set("b", "yyyyy")
    assert len(storage) == 2
    assert storage.stats().weight == 9
    storage.set("b", "yyyyyyy")
    assert list(storage) == ["b"]
    storage.set("b", "y" * 11)
    assert len(storage) == 0
    assert storage.stats().refused == 1
    by_size = Storage[object](size_limit_in_bytes=10_000, weigher=lambda key, value: 1000)
    by_size.set_many({number: object() for number in range(100)})
    assert len(by_size) == 10


@pytest.mark.parametrize(
    ("weight", "error", "text"),
    [(-1, OverflowError, "gave -1"), (2**64, OverflowError, "gave 18446744073709551616"), ("1", TypeError, "gave '1'")],
)
def test_a_weigher_that_gives_nonsense_is_an_error_and_nothing_changes(weight: Any, error: type[Exception], text: str) -> None:
    storage = Storage[int](weigher=lambda key, value: weight if value == 2 else 1)
    storage.set("key", 1)
    with pytest.raises(error, match=text):
        storage.set("key", 2)
    assert storage.get("key") == 1


def test_what_a_weigher_raises_goes_to_the_caller() -> None:
    storage = Storage[object](max_weight=10, weigher=lambda key, value: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        storage.set("key", 1)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"max_weight": 0, "weigher": weigh}, ValueError, "max_weight must be at least 1"),
        ({"max_weight": 10}, ValueError, "needs a weigher"),
        ({"max_weight": 10, "size_limit_in_bytes": 5000, "weigher": weigh}, ValueError, "exclude each other"),
        ({"weigher": 7}, TypeError, "weigher has to be callable, and 7 is not"),
        ({"eviction_listener": "no"}, TypeError, "eviction_listener has to be callable, and 'no' is not"),
        ({"time_to_idle": 0}, ValueError, "time_to_idle must be positive"),
        ({"maxsize": 3}, TypeError, "maxsize"),
    ],
)
def test_options_that_make_no_sense_are_refused_with_a_reason(options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        Storage(**options)


@BOTH
def test_idle_entries_go(kind: type[Storage]) -> None:
    from waiting import until

    storage = kind(time_to_idle=0.01)
    storage.set("key", 1)
    until(lambda: "key" not in storage)


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda storage: pickle.loads(pickle.dumps(storage))])
def test_copies_have_the_configuration_and_no_entries(how: Any) -> None:
    storage = Storage[int](
        max_items=3, default_ttl=7, max_weight=100, weigher=weigh, eviction_listener=listen, policy="tinylfu", time_to_idle=9
    )
    storage.set("a", 1)
    other = how(storage)
    assert type(other) is Storage
    assert len(other) == 0
    assert other.__reduce__() == storage.__reduce__()
    assert (other.max_items, other.default_ttl, other.policy) == (3, 7, "tinylfu")
    cache = Cache(size_limit_in_bytes=9000, serializer=encode, deserializer=decode)
    other = how(cache)
    other.set("a", 5)
    assert (type(other), other.get("a"), other.size_limit_in_bytes) == (Cache, "5", 9000)


class Named(Storage[Any]):
    def __init__(self, name: str) -> None:
        super().__init__(max_items=2)
        self.name = name


class NamedCache(Cache):
    def __init__(self, name: str) -> None:
        super().__init__(max_items=2)
        self.name = name


class Forgetful(Storage[Any]):
    def __init__(self) -> None:
        pass


@pytest.mark.parametrize("kind", [Named, NamedCache])
def test_subclasses_may_have_a_constructor_and_attributes_of_their_own(kind: type[Named]) -> None:
    storage = kind("first")
    storage.set("key", 1)
    assert (storage.name, storage.get("key"), storage.max_items) == ("first", 1, 2)
    for other in (copy.copy(storage), pickle.loads(pickle.dumps(storage))):
        assert (type(other), other.name, other.max_items, len(other)) == (kind, "first", 2, 0)


def test_a_subclass_that_forgets_the_constructor_is_told_so() -> None:
    storage = Forgetful()
    for use in (
        lambda: storage.get("key"),
        lambda: storage.set("key", 1),
        lambda: len(storage),
        lambda: storage.stats(),
        lambda: list(storage),
    ):
        with pytest.raises(RuntimeError, match="__init__ was not called"):
            use()
    assert "before __init__" in repr(storage)
    with pytest.raises(RuntimeError, match="__init__ was called before"):
        Storage().__init__()


@BOTH
def test_repr_says_what_it_is(kind: type[Storage]) -> None:
    storage = kind(max_items=5)
    storage.set("key", 1)
    assert repr(storage) == f"<{kind.__name__}: 1 items, max_items=5, size_limit_in_bytes=None, policy=lru>"


def test_keys_of_a_cache_are_text_or_bytes() -> None:
    cache = Cache()
    cache.set("schlüssel", 1)
    cache.set(b"\xff\x00", 2)
    assert cache.get("schlüssel".encode()) == 1
    assert set(cache) == {"schlüssel", b"\xff\x00"}
    with pytest.raises(TypeError, match="has to be str or bytes, and not int"):
        cache.set(1, 1)
    with pytest.raises(UnicodeEncodeError):
        cache.set("\ud800", 1)


def test_any_hashable_object_is_a_key_of_a_storage() -> None:
    storage = Storage[int]()
    keys = ["text", b"bytes", 1, 2**80, -(2**80), 1.5, (1, ("a", b"b")), None, frozenset([1]), int, len]
    for number, key in enumerate(keys):
        storage.set(key, number)
    # Equal ones that are others, as far as there can be any.
    again = [
        "".join(["te", "xt"]),
        bytes([98, 121]) + b"tes",
        1,
        2**79 * 2,
        -(2**79) * 2,
        3.0 / 2,
        (1, ("".join("a"), bytes([98]))),
        None,
        frozenset([1]),
    ]
    assert [storage.get(key) for key in again] == list(range(len(again)))
    assert storage.get(int) == 9
    assert storage.get(1.0) == 2
    assert storage.get(True) == 2
    assert storage.get((1.0, ("a", b"b"))) == 6
    assert storage.get("1") is CACHE_MISS
    assert storage.get((1, ("a", "b"))) is CACHE_MISS
    with pytest.raises(TypeError, match="unhashable"):
        storage.get([])


def test_errors_of_arguments_say_which_and_what() -> None:
    storage = Storage[Any](max_weight=5, weigher=lambda key, value: value)
    wrong: list[tuple[Callable[[], Any], type[Exception], str]] = [
        (lambda: storage.set("key", 1.5), TypeError, "gave 1.5"),
        (lambda: storage.set("key", "x"), TypeError, "gave 'x'"),
        (lambda: storage.set("key", -1), OverflowError, "gave -1"),
        (lambda: storage.get(1, 2, 3), TypeError, r"get\(\) takes at most 2 arguments, and 3 were given"),  # type: ignore[call-overload]
        (lambda: storage.set(1, 2, 3, 4), TypeError, r"set\(\) takes at most 3 arguments, and 4 were given"),  # type: ignore[call-arg]
        (lambda: storage.incr("nothing", default="x"), TypeError, "the default is of type str"),
        (lambda: KvStore(-1), OverflowError, "and is -1"),
        (lambda: KvStore(2**64), OverflowError, "and is 18446744073709551616"),
        (lambda: Storage(max_weight=0, weigher=lambda key, value: 1), ValueError, "max_weight must be at least 1, and is 0"),
    ]
    for call, kind, text in wrong:
        with pytest.raises(kind, match=text):
            call()


@pytest.mark.parametrize("kind", [Storage, Cache])
def test_incr_counts_as_a_read(kind: type[Storage[Any]]) -> None:
    storage = kind()
    storage.incr("key")
    storage.incr("key")
    assert (storage.stats().hits, storage.stats().misses) == (1, 1)


def test_keys_of_a_cache_may_be_long() -> None:
    cache = Cache()
    cache.set("k" * 1_000_000, 1)
    assert cache.get("k" * 1_000_000) == 1
