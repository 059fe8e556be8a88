"""Keys whose `__hash__` and `__eq__` raise, use the cache, or let others in, and values whose `__del__` does: nobody waits for ever,
nothing is lost, and each gets what it raised."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rustcache import CACHE_MISS, Cache, KvStore, Storage


class Key:
    """Equal by number, all of one hash. `at_eq` and `at_hash` run before the answer."""

    def __init__(self, number: int, at_eq: Callable[[], object] | None = None, at_hash: Callable[[], object] | None = None) -> None:
        self.number = number
        self.at_eq = at_eq
        self.at_hash = at_hash

    def __hash__(self) -> int:
        if self.at_hash is not None:
            self.at_hash()
        return 7

    def __eq__(self, other: object) -> bool:
        if self.at_eq is not None:
            self.at_eq()
        return isinstance(other, Key) and self.number == other.number


class Dying:
    """Calls something when it dies."""

    def __init__(self, last_words: Callable[[], object]) -> None:
        self.last_words = last_words

    def __del__(self) -> None:
        self.last_words()


def operations(storage: Storage[Any], key: Any) -> Iterator[Callable[[], object]]:
    yield lambda: storage.get(key)
    yield lambda: storage.set(key, 1)
    yield lambda: storage.add(key, 1)
    yield lambda: storage.setdefault(key, 1)
    yield lambda: storage.incr(key)
    yield lambda: storage.touch(key)
    yield lambda: storage.ttl(key)
    yield lambda: key in storage
    yield lambda: storage.delete(key)
    yield lambda: storage.pop(key)
    yield lambda: storage.get_many([key])
    yield lambda: storage.set_many([(key, 1)])
    yield lambda: storage.delete_many([key])


def boom() -> None:
    raise ZeroDivisionError("boom")


def test_keys_of_one_hash_are_told_apart_by_their_eq() -> None:
    storage = Storage[int](max_items=100)
    for number in range(20):
        storage.set(Key(number), number)
    assert [storage.get(Key(number)) for number in range(20)] == list(range(20))
    assert storage.get(Key(20)) is CACHE_MISS
    storage.set(Key(3), 33)
    assert storage.delete(Key(4))
    assert (storage.get(Key(3)), len(storage)) == (33, 19)


def test_what_hash_raises_goes_to_the_caller_and_changes_nothing() -> None:
    storage = Storage[int]()
    storage.set("other", 1)
    for operation in operations(storage, Key(1, at_hash=boom)):
        with pytest.raises(ZeroDivisionError, match="boom"):
            operation()
    assert list(storage.items()) == [("other", 1)]


@pytest.mark.parametrize("raising", ["held", "sought"])
def test_what_eq_raises_goes_to_the_caller_and_changes_nothing(raising: str) -> None:
    storage = Storage[int]()
    held = Key(1, at_eq=boom if raising == "held" else None)
    storage.set(held, 1)
    sought: Any = Key(2)
    if raising == "sought":
        # The one that is held does not know, so the other is asked.
        held.__class__ = type("Shy", (Key,), {"__hash__": Key.__hash__, "__eq__": lambda self, other: NotImplemented})
        sought = Key(2, at_eq=boom)
    for operation in operations(storage, sought):
        with pytest.raises(ZeroDivisionError, match="boom"):
            operation()
    held.at_eq = None
    assert list(storage.items()) == [(held, 1)]


def test_identical_keys_are_equal_without_being_asked_as_in_a_dict() -> None:
    storage = Storage[int]()
    key = Key(1, at_eq=boom)
    storage.set(key, 1)
    assert storage.get(key) == 1
    nan = float("nan")
    storage.set(nan, 2)
    assert (storage.get(nan), storage.get(float("nan"))) == (2, CACHE_MISS)


def test_keys_of_different_hashes_are_never_asked_as_in_a_dict() -> None:
    storage = Storage[int]()
    for number in range(200):
        key = Key(number, at_eq=boom)
        key.__class__ = type("Hashed", (Key,), {"__hash__": lambda self: self.number, "__eq__": Key.__eq__})
        storage.set(key, number)
    assert len(storage) == 200


@pytest.mark.parametrize("place", ["eq", "hash"])
def test_a_key_may_use_the_cache_while_it_is_asked(place: str) -> None:
    storage = Storage[Any](max_items=3)
    depth = 0

    def meddle() -> None:
        nonlocal depth
        if depth < 2:
            depth += 1
            for operation in operations(storage, Key(9)):
                operation()
            storage.clear()
            storage.set("plain", 1)
            list(storage.items())
            len(storage)
            storage.stats()
            depth -= 1

    for number in range(3):
        storage.set(Key(number), number)
    key = Key(1, at_eq=meddle) if place == "eq" else Key(1, at_hash=meddle)
    for operation in operations(storage, key):
        operation()
    key.at_eq = key.at_hash = None
    storage.set(key, "last")
    assert storage.get(key) == "last"
    assert len(storage) <= 3


def test_an_eq_that_writes_its_own_key_each_time_is_an_error_and_no_hang() -> None:
    storage = Storage[int]()
    busy = False

    def overwrite() -> None:
        nonlocal busy
        if not busy:
            busy = True
            storage.delete(Key(1))
            storage.set(Key(1, at_eq=overwrite), 2)
            busy = False

    storage.set(Key(1, at_eq=overwrite), 1)
    with pytest.raises(RuntimeError, match="the __eq__ of Key writes under the very key"):
        storage.get(Key(5, at_eq=overwrite))
    busy = True
    assert storage.get(Key(1)) == 2


def test_a_key_that_sleeps_holds_nobody_up() -> None:
    storage = Storage[int]()
    entered, leave = threading.Event(), threading.Event()

    def wait() -> None:
        entered.set()
        assert leave.wait(60)

    storage.set(Key(1, at_eq=wait), 1)
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(storage.get(Key(1))))
    thread.start()
    assert entered.wait(60)
    # Its comparison is under way, and everybody else goes on.
    storage.set("other", 2)
    assert storage.get("other") == 2
    assert len(storage) == 2
    gc.collect()
    leave.set()
    thread.join()
    assert found == [1]


def test_a_key_that_is_removed_while_it_is_compared_is_a_miss_or_found_anew() -> None:
    storage = Storage[int]()
    storage.set(Key(1, at_eq=lambda: storage.clear()), 1)
    assert storage.get(Key(1)) is CACHE_MISS
    storage.set(Key(1, at_eq=lambda: storage.clear()), 1)
    storage.set(Key(1), 2)
    assert len(storage) == 1


@pytest.mark.parametrize("kind", [lambda: Storage[Any](max_items=2), lambda: KvStore(2)])
def test_a_value_that_dies_may_use_the_cache(kind: Callable[[], Any]) -> None:
    store = kind()
    put = getattr(store, "put", None) or store.set
    deaths = []

    def last_words() -> None:
        deaths.append(store.get("key"))
        store.delete("other")
        put("grave", len(deaths))

    put("key", Dying(last_words))
    put("key", "alive")
    assert deaths == ["alive"]
    put("key", Dying(last_words))
    put("a", 1)
    put("b", 2)
    put("c", 3)
    put("d", 4)
    assert len(deaths) == 2
    put("key", Dying(last_words))
    store.delete("key")
    assert len(deaths) == 3
    if isinstance(store, Storage):
        store.set("key", Dying(last_words))
        store.clear()
        store.set("key", Dying(last_words))
        store.set("key", 1, ttl=0)
        assert len(deaths) == 5


def test_what_del_raises_does_not_become_an_error_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    unraisable: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", unraisable.append)
    storage = Storage[Any]()
    storage.set("key", Dying(boom))
    storage.set("key", 1)
    assert [entry.exc_type for entry in unraisable] == [ZeroDivisionError]
    assert storage.get("key") == 1


def test_a_value_that_dies_in_the_background_may_use_the_cache() -> None:
    storage = Storage[Any]()
    died = threading.Event()
    seen = []

    def last_words() -> None:
        seen.append((storage.get("other"), threading.current_thread() is threading.main_thread()))
        storage.set("grave", 1)
        died.set()

    storage.set("other", 1)
    storage.set("key", Dying(last_words), ttl=0.01)
    assert died.wait(60)
    assert seen == [(1, False)]
    assert storage.get("grave") == 1


def test_a_weigher_and_a_listener_may_use_the_cache() -> None:
    storage: Storage[Any]

    def weigh(key: Any, value: Any) -> int:
        storage.get(key)
        if value == 1:
            storage.set(key, 2)
        return 1

    def listen(key: Any, value: Any, cause: str) -> None:
        if cause == "replaced":
            storage.set("told", value)

    storage = Storage(max_weight=10, weigher=weigh, eviction_listener=listen)
    storage.set("key", 1)
    assert (storage.get("key"), storage.get("told")) == (1, 2)


def test_incr_is_one_step_whatever_add_does() -> None:
    storage = Storage[Any]()

    class Slow(int):
        def __add__(self, other: int) -> Slow:
            time.sleep(0)
            return Slow(int(self) + other)

    storage.set("count", Slow(0))

    def work() -> None:
        for _ in range(300):
            storage.incr("count")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert storage.get("count") == 1200


@pytest.mark.parametrize("kind", [Storage, Cache])
def test_what_makes_a_value_and_writes_under_its_key_each_time_is_an_error_and_no_hang(kind: type[Storage[Any]]) -> None:
    storage = kind()
    turn = 0

    class Meddling(int):
        def __add__(self, other: int) -> Meddling:
            nonlocal turn
            turn += 1
            storage.set("count", Meddling(turn))
            return Meddling(0)

        def __reduce__(self) -> Any:
            return (int, (int(self),))

    if kind is Cache:
        storage = Cache(serializer=lambda value: b"%d" % value, deserializer=lambda data: Meddling(data))
    storage.set("count", Meddling(0))
    with pytest.raises(RuntimeError, match="must not write there"):
        storage.incr("count")
    assert storage.get("count") == turn > 1000


def test_deep_recursion_in_eq_is_a_recursion_error() -> None:
    storage = Storage[int]()

    class Deep(Key):
        __hash__ = Key.__hash__

        def __eq__(self, other: object) -> bool:
            return bool(storage.get(Deep(self.number + 1)))

    storage.set(Deep(0), 1)
    with pytest.raises(RecursionError):
        storage.get(Deep(1))
    assert len(storage) == 1


def test_unhashable_and_odd_arguments_are_type_errors() -> None:
    storage = Storage[Any]()
    odd: list[Callable[[], Any]] = [
        lambda: storage.set([], 1),
        lambda: storage.get({}),
        lambda: storage.get(),
        lambda: storage.set("key"),
        lambda: storage.set("key", 1, 2, 3),
        lambda: storage.set("key", 1, lifetime=3),
        lambda: storage.set_many(7),
        lambda: storage.close(wait=[1]),
        lambda: Storage.get(7, "key"),
    ]
    for call in odd:
        with pytest.raises(TypeError):
            call()


# What takes the square of their number is done in a moment; what takes the cube is not done by then.
@pytest.mark.timeout(40)
@pytest.mark.parametrize("factor", [2**61 - 1, (2**61 - 1) * 2**70])
def test_integers_of_one_hash_are_told_apart_without_running_python_code(factor: int) -> None:
    # Beyond what a machine counts in; they can come from outside, by JSON for one.
    storage = Storage[int]()
    for number in range(1, 5000):
        storage.set(factor * number, number)
    assert len(storage) == 4999
    assert [storage.get(factor * number) for number in (1, 2, 777, 4999)] == [1, 2, 777, 4999]
    assert storage.get(factor * 5000) is CACHE_MISS


def test_a_key_is_asked_once_for_a_write() -> None:
    asked = 0

    def count() -> None:
        nonlocal asked
        asked += 1

    storage = Storage[int]()
    for number in range(200):
        storage.set(Key(number, at_eq=count), number)
    assert asked == 200 * 199 // 2
