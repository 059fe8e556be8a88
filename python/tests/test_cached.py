"""What `cached` promises of functions: results, counts, keys, limits, TTLs. Flights are in test_cached_flights.py, coroutines in
test_cached_async.py, methods in test_cached_methods.py."""

from __future__ import annotations

import copy
import functools
import gc
import inspect
import logging
import pickle
import threading
import weakref
from datetime import timedelta
from random import Random
from typing import Any

import pytest

import rustcache
from rustcache import CacheInfo, cached


class Counted:
    """A function that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, *args: Any, **kwargs: Any) -> int:
        self.calls += 1
        return self.calls


@cached
def at_module_level(number: int) -> int:
    """Doc."""
    return number * 2


def test_a_result_is_computed_once_and_then_given() -> None:
    function = cached(Counted())
    assert [function(1), function(1), function(2), function(1)] == [1, 1, 2, 1]
    assert function.cache_info() == CacheInfo(hits=2, misses=2, maxsize=128, currsize=2)


def test_what_is_given_is_the_very_object() -> None:
    function = cached(lambda _: [])
    assert function(1) is function(1)
    assert function(1) is not function(2)


@pytest.mark.parametrize("result", [None, False, 0, (), rustcache.CACHE_MISS, NotImplemented])
def test_any_result_is_kept(result: object) -> None:
    counted = Counted()

    def give(_: int) -> object:
        counted()
        return result

    function = cached(give)
    assert function(1) is result
    assert function(1) is result
    assert counted.calls == 1


def test_the_decorator_takes_options_or_the_function() -> None:
    for decorate in (cached, cached(), cached(maxsize=1, ttl=60)):
        function = decorate(lambda n: n + 1)
        assert function(1) == function(1) == 2


def test_arguments_by_position_and_by_name_are_told_apart_and_names_have_no_order() -> None:
    function = cached(Counted())
    assert function(1, 2) == 1
    assert function(1, b=2) == 2
    assert function(a=1, b=2) == 3
    assert function(b=2, a=1) == 3
    assert function((1, 2)) == 4
    assert function(1, ("b", 2)) == 5
    assert function() == 6


def test_equal_arguments_are_one_key_unless_typed() -> None:
    function, typed = cached(Counted()), cached(typed=True)(Counted())
    assert function(1) == function(1.0) == function(True) == 1
    assert [typed(1), typed(1.0), typed(True), typed(1)] == [1, 2, 3, 1]
    assert [typed(x=1), typed(x=1.0), typed(x=1)] == [4, 5, 4]


def test_the_least_recently_used_result_goes_first() -> None:
    function = cached(maxsize=2)(Counted())
    for argument in (1, 2, 1, 3):
        function(argument)
    assert [function(1), function(2)] == [1, 4]
    assert function.cache_info().currsize == 2


def test_maxsize_none_keeps_all_and_zero_keeps_nothing() -> None:
    everything, nothing = cached(maxsize=None)(Counted()), cached(maxsize=0)(Counted())
    for number in range(1000):
        everything(number)
    assert everything.cache_info() == (0, 1000, None, 1000)
    assert [nothing(1), nothing(1)] == [1, 2]
    assert nothing.cache_info() == (0, 2, 0, 0)
    nothing.cache_clear()
    assert nothing.cache_info() == (0, 0, 0, 0)


class Same:
    """Keys of one hash, which only == tells apart."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.number == other.number


@pytest.mark.parametrize("maxsize", [1, 2, 7, 8, 9, 10, 30, None])
@pytest.mark.parametrize("make", [int, Same])
def test_the_same_is_kept_and_counted_as_by_functools_however_many_there_are(maxsize: int | None, make: Any) -> None:
    random = Random(5)
    ours, theirs = cached(maxsize=maxsize)(Counted()), functools.lru_cache(maxsize)(Counted())
    for most in (1, 6, 20, 4, 40):
        for _ in range(300):
            number = random.randrange(most)
            assert ours(make(number)) == theirs(make(number))
        assert ours.cache_info() == theirs.cache_info()
        if random.random() < 0.5:
            ours.cache_clear()
            theirs.cache_clear()


@pytest.mark.parametrize("others", [0, 7, 20])
def test_what_expires_and_what_does_not_are_forgotten_alike(others: int) -> None:
    function = cached(ttl=lambda result: None if result % 2 else 3600)(Counted())
    first = [function(number) for number in range(others + 2)]
    assert [function(number) for number in range(others + 2)] == first
    assert function.invalidate(0) is True
    assert function.invalidate(1) is True
    assert [function(0), function(1)] == [others + 3, others + 4]
    function.cache_clear()
    assert function.cache_info().currsize == 0
    assert function(0) == others + 5


def test_clear_forgets_and_counts_anew() -> None:
    function = cached(Counted())
    function(1)
    function(1)
    function.cache_clear()
    assert function.cache_info() == (0, 0, 128, 0)
    assert function(1) == 2
    assert function.cache_info() == (0, 1, 128, 1)


def test_invalidate_forgets_one_result_and_says_whether_there_was_one() -> None:
    function = cached(Counted())
    function(1)
    function(2, x=3)
    assert function.invalidate(2, x=3) is True
    assert function.invalidate(2, x=3) is False
    assert [function(1), function(2, x=3)] == [1, 3]


def test_bypass_runs_the_function_and_leaves_the_cache_as_it_is() -> None:
    function = cached(Counted())
    function(1)
    assert function.bypass(1) == 2
    assert function(1) == 1
    assert function.cache_info() == (1, 1, 128, 1)


def test_refresh_replaces_the_result() -> None:
    function = cached(Counted())
    function(1)
    assert function.refresh(1) == 2
    assert function(1) == 2
    assert function.refresh(7) == 3
    assert function(7) == 3


def test_a_refresh_that_fails_leaves_the_old_result() -> None:
    answers = iter([1, ValueError("no")])

    @cached
    def function() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    function()
    with pytest.raises(ValueError, match="no"):
        function.refresh()
    assert function() == 1


def test_key_says_what_a_result_is_kept_by() -> None:
    function = cached(key=lambda user, **_: user["id"])(Counted())
    assert function({"id": 1}, verbose=True) == function({"id": 1, "name": "Ada"}) == 1
    assert function({"id": 2}) == 2
    assert function.invalidate({"id": 1}) is True


def test_what_cannot_be_a_key_is_an_error_that_says_what_to_do() -> None:
    function = cached(Counted())
    with pytest.raises(TypeError, match=r"unhashable type: 'list'.*give @cached a key="):
        function([])
    with pytest.raises(TypeError, match="must return something hashable"):
        cached(key=lambda _: [])(Counted())(1)


def test_a_result_is_gone_after_its_ttl() -> None:
    function = cached(ttl=0)(Counted())
    assert [function(1), function(1)] == [1, 2]
    for ttl in (3600, 3600.5, timedelta(hours=1), float("inf"), 1e300):
        function = cached(ttl=ttl)(Counted())
        assert [function(1), function(1)] == [1, 1]


def test_a_short_ttl_passes() -> None:
    function = cached(ttl=0.01)(Counted())
    assert function(1) == 1
    # Ends when the promise is kept; the time limit of the test is what fails.
    while function(1) == 1:
        threading.Event().wait(0.001)
    assert function(1) >= 2


def test_ttl_may_depend_on_the_result() -> None:
    function = cached(ttl=lambda result: 0 if result == 1 else None if result == 2 else timedelta(hours=1))(Counted())
    assert [function(1), function(1), function(1)] == [1, 2, 2]
    assert function(2) == function(2) == 3


def test_a_ttl_that_makes_no_sense_is_an_error_of_the_call() -> None:
    function = cached(ttl=lambda _: -1)(Counted())
    with pytest.raises(ValueError, match=r"what ttl\(\) returned cannot be negative or NaN: -1"):
        function(1)
    assert function.cache_info().currsize == 0


def test_an_exception_is_raised_and_not_kept() -> None:
    counted = Counted()

    @cached
    def function(_: int) -> int:
        if counted() == 1:
            raise LookupError("first")
        return counted.calls

    with pytest.raises(LookupError, match="first"):
        function(1)
    assert function(1) == 2


def test_an_exception_keeps_nothing_alive() -> None:
    class FailureError(Exception):
        pass

    @cached
    def function() -> None:
        raise FailureError

    def provoke() -> weakref.ref[FailureError]:
        try:
            function()
        except FailureError as error:
            return weakref.ref(error)
        raise AssertionError

    gc.disable()
    try:
        assert provoke()() is None
    finally:
        gc.enable()


def test_a_stale_result_is_given_while_one_thread_computes_another() -> None:
    started, go_on = threading.Event(), threading.Event()
    threads = []

    @cached(ttl=0, stale_while_revalidate=3600)
    def function() -> int:
        threads.append(threading.current_thread())
        if len(threads) == 2:
            started.set()
            go_on.wait()
        return len(threads)

    assert function() == 1
    assert [function() for _ in range(100)] == [1] * 100
    assert started.wait(30)
    assert len(threads) == 2
    assert threads[1] is not threads[0]
    assert threads[1].daemon
    go_on.set()
    while function() == 1:
        pass


def test_a_refresh_in_the_background_that_fails_is_logged_and_the_result_stays(caplog: pytest.LogCaptureFixture) -> None:
    class IgnoredError(Exception):
        pass

    errors: list[Exception] = [IgnoredError("quiet"), OSError("the database is down")]

    @cached(ttl=0, stale_while_revalidate=3600, ignore=IgnoredError)
    def function() -> int:
        if function.cache_info().currsize == 0:
            return 1
        if errors:
            raise errors.pop(0)
        return 2

    with caplog.at_level(logging.WARNING, "rustcache.cached"):
        assert function() == 1
        while function() == 1:
            pass
        # The thread tells of it after it has let others go on.
        while not caplog.records:
            threading.Event().wait(0.001)
    [record] = caplog.records
    assert "function() could not be refreshed" in record.getMessage()
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "the database is down"


def test_it_looks_like_the_function() -> None:
    assert at_module_level.__name__ == "at_module_level"
    assert at_module_level.__doc__ == "Doc."
    assert at_module_level.__wrapped__(3) == 6
    assert str(inspect.signature(at_module_level)) == "(number: 'int') -> 'int'"
    assert repr(at_module_level).startswith("<cached <function at_module_level")
    assert not inspect.iscoroutinefunction(at_module_level)


def test_it_is_pickled_by_name_and_copied_as_itself() -> None:
    assert pickle.loads(pickle.dumps(at_module_level)) is at_module_level
    assert copy.copy(at_module_level) is at_module_level
    assert copy.deepcopy(at_module_level) is at_module_level


def test_the_parameters_can_be_asked_for() -> None:
    assert cached(Counted()).cache_parameters() == {"maxsize": 128, "typed": False, "ttl": None, "stale_while_revalidate": None}
    function = cached(maxsize=None, typed=True, ttl=timedelta(minutes=1), stale_while_revalidate=5)(Counted())
    assert function.cache_parameters() == {"maxsize": None, "typed": True, "ttl": 60.0, "stale_while_revalidate": 5.0}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"maxsize": -1}, ValueError, "maxsize cannot be negative: -1"),
        ({"maxsize": "1"}, TypeError, "maxsize must be an int or None, not '1'"),
        ({"maxsize": True}, TypeError, "maxsize must be an int or None, not True"),
        ({"ttl": -0.5}, ValueError, "ttl cannot be negative or NaN: -0.5"),
        ({"ttl": float("nan")}, ValueError, "ttl cannot be negative or NaN: nan"),
        ({"ttl": "1"}, TypeError, "ttl must be a number of seconds or a timedelta, not '1'"),
        ({"ttl": 1, "stale_while_revalidate": -1}, ValueError, "stale_while_revalidate cannot be negative or NaN: -1"),
        ({"stale_while_revalidate": 1}, ValueError, "no meaning without ttl"),
        ({"key": 1}, TypeError, "key must be callable, not 1"),
        ({"ignore": KeyboardInterrupt}, TypeError, "ignore must be exceptions"),
    ],
)
def test_options_that_make_no_sense_are_errors_with_the_value(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        cached(**options)


def test_what_cannot_be_cached_is_an_error() -> None:
    def generate() -> Any:
        yield 1

    async def generate_later() -> Any:
        yield 1

    for function in (generate, generate_later):
        with pytest.raises(TypeError, match="can be used only once"):
            cached(function)
    with pytest.raises(TypeError, match="put @staticmethod above @cached"):
        cached(staticmethod(generate))
    with pytest.raises(TypeError, match="needs a function, not 3"):
        cached(3)  # type: ignore[call-overload]


def test_a_coroutine_from_a_plain_function_is_an_error() -> None:
    async def later() -> int:
        return 1

    @cached
    def function() -> Any:
        return later()

    with pytest.raises(TypeError, match="declare it with async def"):
        function()
    assert function.cache_info().currsize == 0


def test_results_and_function_are_collected_with_the_last_reference() -> None:
    class Big:
        function: Any

    def make() -> tuple[weakref.ref[Any], weakref.ref[Any]]:
        @cached
        def function(_: int) -> Any:
            big = Big()
            # A cycle through the cache itself.
            big.function = function
            return big

        return weakref.ref(function(1)), weakref.ref(function)

    result, function = make()
    gc.collect()
    assert result() is None
    assert function() is None
