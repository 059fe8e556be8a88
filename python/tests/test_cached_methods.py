"""What `cached` promises of methods: each instance has results of its own, and is not kept alive by them."""

from __future__ import annotations

import copy
import gc
import inspect
import pickle
import subprocess
import sys
import textwrap
import weakref
from dataclasses import dataclass
from typing import Any

import pytest

from rustcache import cached
from rustcache._cached import CachedFunction


class Thing:
    def __init__(self) -> None:
        self.calls = 0

    @cached
    def method(self, number: int = 0) -> tuple[int, int]:
        """Doc."""
        self.calls += 1
        return number, self.calls

    @cached
    def itself(self) -> Thing:
        return self

    @classmethod
    @cached
    def of_class(cls) -> list[type]:
        return [cls]

    @staticmethod
    @cached
    def of_nobody(number: int) -> list[int]:
        return [number]


class Child(Thing):
    @cached
    def method(self, number: int = 0) -> tuple[int, int]:
        number, calls = super().method(number)
        return number, -calls


def test_each_instance_has_results_of_its_own() -> None:
    one, other = Thing(), Thing()
    assert [one.method(1), one.method(1), other.method(1), one.method(2)] == [(1, 1), (1, 1), (1, 1), (2, 2)]
    assert one.method.cache_info() == (1, 2, 128, 2)
    assert other.method.cache_info() == (0, 1, 128, 1)


def test_an_instance_ends_with_its_last_reference() -> None:
    gc.disable()
    try:
        thing = Thing()
        thing.method(1)
        seen = weakref.ref(thing)
        del thing
        assert seen() is None
    finally:
        gc.enable()


def test_an_instance_that_is_its_own_result_ends_with_the_next_garbage_collection() -> None:
    thing = Thing()
    assert thing.itself() is thing
    seen = weakref.ref(thing)
    del thing
    gc.collect()
    assert seen() is None


def test_calls_through_the_class_are_those_of_the_instance_and_do_not_keep_it_either() -> None:
    thing = Thing()
    assert Thing.method(thing, 1) == thing.method(1) == (1, 1)
    seen = weakref.ref(thing)
    del thing
    gc.collect()
    assert seen() is None


def test_instances_need_not_be_hashable_and_equal_ones_are_not_the_same() -> None:
    @dataclass
    class Point:
        x: int

        @cached
        def double(self) -> int:
            return self.x * 2

    one, other = Point(1), Point(1)
    assert one.double() == 2
    one.x = 2
    assert [one.double(), other.double()] == [2, 2]
    assert one.double.invalidate() is True
    assert [one.double(), other.double()] == [4, 2]


def test_frozen_instances_work() -> None:
    @dataclass(frozen=True)
    class Point:
        x: int

        @cached
        def double(self) -> list[int]:
            return [self.x * 2]

    point = Point(2)
    assert point.double() is point.double()
    assert point == Point(2)


def test_a_bound_method_has_all_operations_of_the_instance() -> None:
    thing = Thing()
    method = thing.method
    assert method(1) == (1, 1)
    assert method.bypass(1) == (1, 2)
    assert method(1) == (1, 1)
    assert method.refresh(1) == (1, 3)
    assert method(1) == (1, 3)
    assert method.invalidate(1) is True
    assert method(1) == (1, 4)
    method.cache_clear()
    assert method.cache_info() == (0, 0, 128, 0)
    assert method.cache_parameters()["maxsize"] == 128


def test_clearing_through_the_class_clears_all_instances() -> None:
    one, other = Thing(), Thing()
    one.method(1)
    other.method(1)
    bound = one.method
    Thing.method.cache_clear()
    assert [bound(1), one.method(1), other.method(1)] == [(1, 2), (1, 2), (1, 2)]
    assert bound.cache_info() == one.method.cache_info() == (1, 1, 128, 1)


def test_a_copy_computes_for_itself() -> None:
    thing = Thing()
    thing.method(1)
    for make in (copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))):
        made = make(thing)
        assert made.method(1) == (1, 2)
        assert made.calls == 2
        assert thing.method(1) == (1, 1)
        # Also of a copy of the copy.
        assert make(made).method(1) == (1, 3)


def test_overridden_methods_have_results_of_their_own() -> None:
    child = Child()
    assert child.method(1) == child.method(1) == (1, -1)
    assert super(Child, child).method(1) == (1, 1)
    assert child.calls == 1
    assert child.method.cache_info().hits == 1


def test_class_and_static_methods_work() -> None:
    assert Thing.of_class() is Thing.of_class()
    assert Child.of_class() is not Thing.of_class()
    assert Thing().of_class() is Thing.of_class()
    assert Thing.of_nobody(1) is Thing().of_nobody(1)


def test_maxsize_is_that_of_each_instance() -> None:
    class Small:
        @cached(maxsize=1)
        def method(self, number: int) -> list[int]:
            return [number]

    one, other = Small(), Small()
    first = one.method(1)
    other.method(2)
    assert one.method(1) is first


def test_with_a_key_the_results_are_shared_by_it() -> None:
    class User:
        def __init__(self, number: int) -> None:
            self.number = number

        @cached(key=lambda self, what: (self.number, what))
        def load(self, what: str) -> list[str]:
            return [what]

    assert User(1).load("name") is User(1).load("name")
    assert User(2).load("name") is not User(1).load("name")
    assert User(1).load.invalidate("name") is True
    assert User.load.cache_info().currsize == 1
    user = User(3)
    user.load("name")
    seen = weakref.ref(user)
    del user
    gc.collect()
    assert seen() is None


def test_without_a_place_for_results_there_is_an_error_that_says_what_to_do() -> None:
    class Slots:
        __slots__ = ()

        @cached
        def method(self) -> int:
            return 1

        @cached(key=lambda self: 1)
        def with_key(self) -> int:
            return 1

    with pytest.raises(TypeError, match=r"an instance of Slots has no __dict__ .*Slots.method\(\).*add '__dict__'.*or give @cached a key="):
        Slots().method()
    assert Slots().with_key() == 1


def test_slots_with_a_dict_need_no_weak_references() -> None:
    class Slots:
        __slots__ = ("__dict__",)

        @cached
        def method(self) -> list[int]:
            return [1]

    slots = Slots()
    assert slots.method() is slots.method()
    assert copy.copy(slots).method() is not slots.method()


def test_a_bound_method_looks_like_one() -> None:
    thing = Thing()
    assert thing.method.__name__ == "method"
    assert thing.method.__doc__ == "Doc."
    assert thing.method.__self__ is thing
    assert thing.method.__func__ is Thing.method
    assert str(inspect.signature(thing.method)) == "(number: 'int' = 0) -> 'tuple[int, int]'"
    assert thing.method == thing.method
    assert thing.method != Thing().method
    assert len({thing.method, thing.method}) == 1
    assert pickle.loads(pickle.dumps(thing.method))(1) == (1, 1)
    assert "Thing.method()" in repr(thing.method)
    with pytest.raises(AttributeError, match=r"Thing.method\(\) has no attribute nothing"):
        thing.method.nothing  # noqa: B018


def test_what_an_instance_has_in_its_dict_is_pickled_as_nothing() -> None:
    thing = Thing()
    thing.method(1)
    state: dict[str, Any] = pickle.loads(pickle.dumps(vars(thing)))
    assert [value for name, value in state.items() if name.startswith("__")] == [None]


@pytest.mark.parametrize("results", [1, 20])
def test_to_clear_the_results_of_all_instances_lets_go_of_them(results: int) -> None:
    class Value:
        pass

    class Thing:
        @cached
        def method(self, number: int) -> Value:
            return Value()

    things = [Thing() for _ in range(300)]
    seen = [weakref.ref(thing.method(number)) for thing in things for number in range(results)]
    bound = things[0].method
    Thing.method.cache_clear()
    gc.collect()
    assert not any(reference() for reference in seen)
    assert bound.cache_info() == things[1].method.cache_info() == (0, 0, 128, 0)
    assert bound(1) is things[0].method(1)


def test_results_of_instances_that_are_gone_leave_nothing_with_the_function() -> None:
    class Thing:
        @cached
        def method(self) -> int:
            return 1

    def live(times: int) -> int:
        for _ in range(times):
            Thing().method()
        gc.collect()
        return sys.getallocatedblocks()

    before = live(2000)
    assert live(20_000) - before < 2000


@pytest.mark.skipif(sys.platform != "linux", reason="what a process takes is read as Linux tells it")
@pytest.mark.parametrize(("ttl", "results", "least", "most"), [("None", 8, 0.7, 1.3), ("None", 9, 16, 20), ("3600", 1, 16, 20)])
def test_the_results_of_an_instance_take_the_memory_that_the_documents_say(ttl: str, results: int, least: float, most: float) -> None:
    program = f"""
        import os
        from rustcache import cached

        def taken():
            with open("/proc/self/statm") as told:
                return int(told.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024

        class Thing:
            @cached(ttl={ttl})
            def method(self, number):
                return None

        def use(things):
            for thing in things:
                for number in range({results}):
                    thing.method(number)
            return things

        kept = use([Thing() for _ in range(100)])
        things = [Thing() for _ in range({3000 if least > 1 else 20000})]
        before = taken()
        use(things)
        print((taken() - before) / len(things))
    """
    told = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True)
    assert least < float(told.stdout) < most


class Lent:
    """Has `method` from elsewhere; `calls` as `Thing`."""

    calls = 0


def in_the_body() -> type:
    @cached
    def method(self: Any, number: int) -> tuple[int, int]:
        self.calls += 1
        return number, self.calls

    return type("Body", (Lent,), {"method": method})


def in_a_subclass() -> type:
    return type("Subclass", (in_the_body(),), {})


def put_there_later() -> type:
    @cached
    def method(self: Any, number: int) -> tuple[int, int]:
        self.calls += 1
        return number, self.calls

    class Later(Lent):
        pass

    Later.method = method  # type: ignore[attr-defined]
    return Later


def in_the_body_of_another() -> type:
    return type("Other", (Lent,), {"method": in_the_body().__dict__["method"]})


def put_into_another_later() -> type:
    class Later(Lent):
        pass

    Later.method = in_the_body().__dict__["method"]  # type: ignore[attr-defined]
    return type("Subclass", (Later,), {})


def made_anew() -> type:
    """As dataclass(slots=True) does."""
    old = in_the_body()
    return type(old.__name__, old.__bases__, {name: value for name, value in vars(old).items() if name not in ("__dict__", "__weakref__")})


@pytest.mark.parametrize("make", [in_the_body, in_a_subclass, put_there_later, in_the_body_of_another, put_into_another_later, made_anew])
def test_however_a_method_comes_into_a_class_its_results_are_the_instances(make: Any) -> None:
    kind = make()
    one, other = kind(), kind()
    # As a call of the method, and as one of what `one.method` is: CPython does these in different ways.
    bound = one.method
    assert [one.method(1), bound(1), one.method(number=2), bound(number=2)] == [(1, 1), (1, 1), (2, 2), (2, 2)]
    assert other.method(1) == (1, 1)
    assert one.method.cache_info() == (2, 2, 128, 2)
    assert one.method.invalidate(1) is True
    assert one.method(1) == (1, 3)
    assert kind.__mro__[0] is type(one)
    del bound
    seen = weakref.ref(one)
    del one
    gc.collect()
    assert seen() is None


def test_what_is_called_through_the_class_with_something_else_is_a_function() -> None:
    class Kind:
        @cached
        def double(self: Any) -> list[Any]:
            return [self, self]

    double: Any = Kind.double
    assert double(2) is double(2)
    assert double(Lent) is double(Lent)
    assert double.cache_info().currsize == 2
    kind = Kind()
    assert kind.double() is double(kind)
    assert double.cache_info().currsize == 2


def test_a_method_of_a_metaclass_keeps_its_results_by_the_class() -> None:
    class Meta(type):
        @cached
        def names(cls) -> list[str]:
            return sorted(vars(cls))

    class One(metaclass=Meta):
        field = 1

    class Two(metaclass=Meta):
        pass

    assert One.names() is One.names() is Meta.names(One)
    assert "field" in One.names()
    assert "field" not in Two.names()
    assert not [name for name in vars(One) if "rustcache" in name]


def test_a_method_of_a_class_is_an_instance_of_what_functions_are() -> None:
    assert isinstance(Thing.__dict__["method"], CachedFunction)
    assert repr(Thing.__dict__["method"]).startswith("<cached <function Thing.method")
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'self'"):
        Thing.method()  # type: ignore[call-arg]
    # In several classes that have nothing to do with each other.
    shared = cached(lambda self: self)
    for name in ("One", "Two"):
        type(name, (), {"method": shared})
    assert type(shared) is CachedFunction


def test_methods_are_called_by_calls_that_are_inspected_by_now() -> None:
    """CPython adapts the code of a call to what it has met there before."""

    class Kind(Lent):
        method = put_there_later().method  # type: ignore[attr-defined]

    class Another(Lent):
        method = put_there_later().method  # type: ignore[attr-defined]

    def call(thing: Any) -> Any:
        return thing.method(1)

    one, two = Kind(), Another()
    assert [call(one) for _ in range(100)] == [(1, 1)] * 100
    assert [call(two) for _ in range(100)] == [(1, 1)] * 100
    two.method = lambda number: ("its own", number)  # type: ignore[method-assign]
    assert [call(thing) for thing in (one, two)] == [(1, 1), ("its own", 1)]
    Kind.method = lambda self, number: ("replaced", number)
    assert call(Kind()) == ("replaced", 1)
