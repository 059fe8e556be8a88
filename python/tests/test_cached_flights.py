"""One flight for each key: who waits for whom, and that nobody ever waits for itself. What makes other caches hang is in here as tests."""

from __future__ import annotations

import contextvars
import os
import signal
import subprocess
import sys
import textwrap
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from rustcache import cached

TIMEOUT = 60


class Waiting:
    """Threads that call a function whose first caller is held back until all others wait."""

    def __init__(self, function: Callable[[], Any], threads: int) -> None:
        self.results: list[Any] = []
        self.threads = [threading.Thread(target=self.call, args=[function], daemon=True) for _ in range(threads)]

    def call(self, function: Callable[[], Any]) -> None:
        try:
            self.results.append(function())
        except BaseException as error:
            self.results.append(error)

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def join(self) -> list[Any]:
        for thread in self.threads:
            thread.join(TIMEOUT)
            assert not thread.is_alive(), "a thread waits for ever"
        return self.results


def until_waiting(threads: int) -> None:
    """So many threads wait for the flight of another."""
    while sum(frame.f_code.co_name == "_pass" for frame in sys._current_frames().values()) < threads:
        threading.Event().wait(0.001)


def test_one_thread_computes_and_all_get_its_result() -> None:
    go_on = threading.Event()
    calls = []

    @cached
    def function(_: int) -> object:
        calls.append(1)
        assert go_on.wait(TIMEOUT)
        return object()

    waiting = Waiting(lambda: function(1), 8)
    waiting.start()
    until_waiting(7)
    go_on.set()
    results = waiting.join()
    assert len(calls) == 1
    assert len(results) == 8
    assert all(result is results[0] for result in results)


def test_other_keys_are_no_matter() -> None:
    started, go_on = threading.Event(), threading.Event()

    @cached
    def function(number: int) -> int:
        if number == 1:
            started.set()
            assert go_on.wait(TIMEOUT)
        return number

    waiting = Waiting(lambda: function(1), 1)
    waiting.start()
    assert started.wait(TIMEOUT)
    assert function(2) == 2
    go_on.set()
    assert waiting.join() == [1]


def test_an_exception_goes_to_all_who_waited_and_the_next_call_runs_the_function() -> None:
    go_on = threading.Event()
    calls = []

    @cached
    def function() -> int:
        calls.append(1)
        assert go_on.wait(TIMEOUT)
        if len(calls) == 1:
            raise LookupError("gone")
        return len(calls)

    waiting = Waiting(function, 5)
    waiting.start()
    until_waiting(4)
    go_on.set()
    results = waiting.join()
    assert [type(result) for result in results] == [LookupError] * 5
    assert len(calls) == 1
    # Where others wait for ever after an exception.
    assert function() == 2


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_meant_for_one_caller_goes_to_that_one_and_another_takes_over(interruption: type[BaseException]) -> None:
    go_on = threading.Event()
    calls = []

    @cached
    def function() -> str:
        calls.append(1)
        assert go_on.wait(TIMEOUT)
        if len(calls) == 1:
            raise interruption
        return "computed"

    waiting = Waiting(function, 4)
    waiting.start()
    until_waiting(3)
    go_on.set()
    results = waiting.join()
    assert len([result for result in results if isinstance(result, interruption)]) == 1
    assert results.count("computed") == 3
    assert len(calls) == 2


def test_recursion_over_other_keys_works() -> None:
    @cached(maxsize=None)
    def fibonacci(n: int) -> int:
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    assert fibonacci(80) == 23416728348467685
    assert fibonacci.cache_info().misses == 81


def test_recursion_goes_to_a_third_of_what_it_may_without_a_cache() -> None:
    @cached(maxsize=None)
    def depth(n: int) -> int:
        return n and 1 + depth(n - 1)

    # In a thread of its own, whose stack is empty.
    with ThreadPoolExecutor(1) as pool:
        levels = 3 * sys.getrecursionlimit() // 10
        assert pool.submit(depth, levels).result(TIMEOUT) == levels


def test_recursion_on_the_same_key_is_called_through() -> None:
    depth = []

    @cached
    def function(number: int) -> int:
        depth.append(1)
        return function(number) + 1 if len(depth) < 4 else 1

    assert function(7) == 4
    assert function(7) == 4
    assert len(depth) == 4


def test_endless_recursion_ends_as_ever() -> None:
    @cached
    def function(number: int) -> int:
        return function(number)

    with pytest.raises(RecursionError):
        function(1)
    with pytest.raises(RecursionError):
        function(1)


def test_two_functions_that_ask_for_each_other_are_called_through() -> None:
    asked = []

    @cached
    def first(n: int) -> int:
        asked.append("first")
        return second(n) + 1 if len(asked) < 5 else 0

    @cached
    def second(n: int) -> int:
        asked.append("second")
        return first(n) + 1

    assert first(1) == 4


def test_two_threads_that_would_wait_for_each_other_do_not() -> None:
    both = threading.Barrier(2, timeout=TIMEOUT)
    entered: list[int] = []

    @cached
    def function(number: int) -> str:
        if len(entered) >= 2:
            return "called through"
        entered.append(number)
        both.wait()
        return f"{number}: {function(3 - number)}"

    waiting = Waiting(lambda: function(1), 1), Waiting(lambda: function(2), 1)
    for one in waiting:
        one.start()
    results = [one.join()[0] for one in waiting]
    assert sum("called through" in result for result in results) == 2
    # One of them did wait for the other.
    assert any(result.count(":") == 2 for result in results)


def test_a_loader_that_has_other_threads_ask_is_noticed_where_its_context_goes_along() -> None:
    depth = []

    with ThreadPoolExecutor(1) as pool:

        @cached
        def function(number: int) -> str:
            depth.append(1)
            if len(depth) > 1:
                return "called through"
            return pool.submit(contextvars.copy_context().run, function, number).result(TIMEOUT)

        assert function(1) == "called through"


def test_what_is_invalidated_while_it_is_computed_is_not_kept() -> None:
    for forget in ("invalidate", "cache_clear"):
        started, go_on = threading.Event(), threading.Event()
        calls = []

        @cached
        def function(*args: Any, started: Any = started, go_on: Any = go_on, calls: Any = calls) -> int:
            calls.append(1)
            started.set()
            if len(calls) == 1:
                assert go_on.wait(TIMEOUT)
            return len(calls)

        waiting = Waiting(function, 1)
        waiting.start()
        assert started.wait(TIMEOUT)
        getattr(function, forget)()
        # Who asks after that gets what is computed after that.
        assert function() == 2
        go_on.set()
        waiting.join()
        assert function() == 2


def test_a_refresh_is_not_overwritten_by_what_began_before_it() -> None:
    started, go_on = threading.Event(), threading.Event()
    calls = []

    @cached
    def function() -> int:
        calls.append(1)
        number = len(calls)
        if number == 1:
            started.set()
            assert go_on.wait(TIMEOUT)
        return number

    waiting = Waiting(function, 1)
    waiting.start()
    assert started.wait(TIMEOUT)
    assert function.refresh() == 2
    go_on.set()
    assert waiting.join() == [1]
    assert function() == 2


def test_a_key_whose_eq_calls_the_function_does_not_hang() -> None:
    class Key:
        def __init__(self, recursive: bool) -> None:
            self.recursive = recursive

        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            if self.recursive:
                self.recursive = False
                function(self)
            return self is other

    @cached
    def function(key: Key) -> Key:
        return key

    plain, recursive = Key(False), Key(True)
    assert function(plain) is plain
    assert function(recursive) is recursive
    recursive.recursive = True
    other = Key(False)
    assert function(other) is other


def test_a_key_whose_eq_raises_raises_that_and_leaves_nobody_waiting() -> None:
    class Key:
        broken = True

        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            if Key.broken:
                raise ArithmeticError("eq")
            return self is other

    function = cached(lambda key: 1)
    function(Key())
    key = Key()
    with pytest.raises(ArithmeticError, match="eq"):
        function(key)
    Key.broken = False
    assert function(key) == 1


def test_a_result_whose_del_calls_the_function_does_not_hang() -> None:
    class Result:
        def __del__(self) -> None:
            if len(called) < 20:
                called.append(1)
                function(-len(called))

    called: list[int] = []

    @cached(maxsize=1)
    def function(_: int) -> Result:
        return Result()

    for number in range(10):
        function(number)
    assert len(called) == 20


def test_a_thread_that_waits_can_be_interrupted() -> None:
    program = """
import threading
import traceback
from rustcache import cached
go_on, started = threading.Event(), threading.Event()

@cached
def function():
    started.set()
    go_on.wait()
    return 1

thread = threading.Thread(target=function)
thread.start()
started.wait()
try:
    print("waiting", flush=True)
    function()
except KeyboardInterrupt:
    print("interrupted", flush=True)
go_on.set()
thread.join()
print(function())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        assert process.stdout.readline() == "1\n"
        assert process.wait(TIMEOUT) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_child_of_a_fork_does_not_wait_for_a_thread_of_the_parent() -> None:
    started, go_on = threading.Event(), threading.Event()
    calls = []

    @cached
    def function() -> int:
        calls.append(1)
        if len(calls) == 1:
            started.set()
            assert go_on.wait(TIMEOUT)
        return len(calls)

    waiting = Waiting(function, 1)
    waiting.start()
    assert started.wait(TIMEOUT)
    child = os.fork()
    if child == 0:
        signal.alarm(TIMEOUT)
        os._exit(0 if function() == 2 and function() == 2 else 1)
    assert os.waitpid(child, 0)[1] == 0
    go_on.set()
    assert waiting.join() == [1]


def test_many_threads_and_keys_compute_each_key_once() -> None:
    calls: list[int] = []

    @cached(maxsize=None)
    def function(number: int) -> int:
        calls.append(number)
        return number * number

    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(function, number % 100) for number in range(5000)]
        assert [future.result(TIMEOUT) for future in futures] == [(number % 100) ** 2 for number in range(5000)]
    assert sorted(calls) == list(range(100))


BUSY_POOL = """
    import threading, time
    from rustcache import _background, cached

    threads = _background._MOST_THREADS
    nested, busy, go_on = False, threading.Semaphore(0), threading.Event()

    @cached(ttl=0.01, stale_while_revalidate=0.2)
    def inner(number):
        return number

    @cached(ttl=0.01, stale_while_revalidate=100)
    def outer(number):
        if nested:
            busy.release()
            assert go_on.wait(60)
            return inner(number)
        return number

    for number in range(threads):
        outer(number)
        inner(number)
    nested = True
    time.sleep(0.05)
    for number in range(threads):
        outer(number)
    for number in range(threads):
        assert busy.acquire(timeout=60)
    # All threads are at work, and these refreshes wait for one of them.
    for number in range(threads):
        inner(number)
    time.sleep(0.3)
"""


def ends_well(program: str) -> None:
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


def test_refreshes_that_call_what_waits_to_be_refreshed_run_it_themselves() -> None:
    ends_well(
        BUSY_POOL
        + """
    go_on.set()
    waiting = [threading.Thread(target=inner, args=[number], daemon=True) for number in range(threads)]
    for thread in waiting:
        thread.start()
    for thread in waiting:
        thread.join(30)
    assert not any(thread.is_alive() for thread in waiting)
    print("end", flush=True)
"""
    )


def test_nobody_waits_for_a_refresh_that_no_thread_has_begun() -> None:
    ends_well(
        BUSY_POOL
        + """
    caller = threading.Thread(target=inner, args=[0], daemon=True)
    caller.start()
    caller.join(30)
    assert not caller.is_alive()
    go_on.set()
    print("end", flush=True)
"""
    )


def test_the_traceback_of_each_who_waited_is_as_long_as_that_of_one() -> None:
    go_on = threading.Event()
    lengths = []

    @cached
    def function() -> None:
        assert go_on.wait(TIMEOUT)
        raise LookupError("gone")

    def call() -> None:
        try:
            function()
        except LookupError as error:
            lengths.append(len(traceback.extract_tb(error.__traceback__)))

    waiting = Waiting(call, 30)
    waiting.start()
    until_waiting(29)
    go_on.set()
    waiting.join()
    assert max(lengths) <= 8, lengths
