"""What `cached` promises of coroutine functions: one flight for all tasks, of all event loops, whatever is cancelled."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import threading
import weakref
from collections.abc import Coroutine
from typing import Any

import pytest

from rustcache import cached

TIMEOUT = 60


def run(main: Coroutine[Any, Any, Any]) -> Any:
    async def limited() -> Any:
        return await asyncio.wait_for(main, TIMEOUT)

    return asyncio.run(limited())


async def all_wait(tasks: list[asyncio.Task[Any]]) -> None:
    """Until no task can go on by itself."""
    for _ in range(3 * len(tasks) + 10):
        await asyncio.sleep(0)


def test_one_task_computes_and_all_get_its_result() -> None:
    calls = []

    async def main() -> None:
        go_on = asyncio.Event()

        @cached
        async def function(_: int) -> object:
            calls.append(1)
            await go_on.wait()
            return object()

        tasks = [asyncio.create_task(function(1)) for _ in range(10)]
        await all_wait(tasks)
        go_on.set()
        results = await asyncio.gather(*tasks)
        assert len(calls) == 1
        assert all(result is results[0] for result in results)
        assert await function(1) is results[0]
        assert function.cache_info() == (1, 10, 128, 1)

    run(main())


def test_a_hit_is_a_coroutine_for_all_that_takes_one() -> None:
    @cached
    async def function(number: int) -> tuple[int]:
        return (number,)

    async def main() -> None:
        first = await function(1)
        assert await function(1) is first
        assert inspect.isawaitable(function(1))
        assert asyncio.iscoroutine(function(1))
        assert await asyncio.create_task(function(1)) is first
        assert await asyncio.gather(function(1), function(1)) == [first, first]
        assert await asyncio.wait_for(function(1), 1) is first
        once = function(1)
        await once
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            await once
        function(1).close()
        with pytest.raises(LookupError, match="thrown"):
            function(1).throw(LookupError("thrown"))

    run(main())
    assert asyncio.run(function(1)) == (1,)


def test_it_is_known_to_be_a_coroutine_function() -> None:
    @cached
    async def function() -> None: ...

    assert asyncio.iscoroutinefunction(function)
    if hasattr(inspect, "markcoroutinefunction"):
        assert inspect.iscoroutinefunction(function)


def test_an_exception_goes_to_all_who_waited_and_the_next_call_runs_the_function() -> None:
    calls = []

    async def main() -> None:
        go_on = asyncio.Event()

        @cached
        async def function() -> int:
            calls.append(1)
            await go_on.wait()
            if len(calls) == 1:
                raise LookupError("gone")
            return len(calls)

        tasks = [asyncio.create_task(function()) for _ in range(5)]
        await all_wait(tasks)
        go_on.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [LookupError] * 5
        assert len(calls) == 1
        assert await function() == 2

    run(main())


def test_when_the_one_who_computes_is_cancelled_the_next_takes_over() -> None:
    calls = []

    async def main() -> None:
        go_on = asyncio.Event()

        @cached
        async def function() -> int:
            calls.append(1)
            await go_on.wait()
            return len(calls)

        tasks = [asyncio.create_task(function()) for _ in range(4)]
        await all_wait(tasks)
        for number in range(2):
            tasks[number].cancel()
            await all_wait(tasks)
            assert tasks[number].cancelled()
            assert len(calls) == number + 2
        go_on.set()
        assert await asyncio.gather(*tasks[2:]) == [3, 3]

    run(main())


def test_one_who_waits_can_be_cancelled_and_the_others_are_not() -> None:
    async def main() -> None:
        go_on = asyncio.Event()

        @cached
        async def function() -> int:
            await go_on.wait()
            return 1

        tasks = [asyncio.create_task(function()) for _ in range(3)]
        await all_wait(tasks)
        tasks[1].cancel()
        await all_wait(tasks)
        assert tasks[1].cancelled()
        go_on.set()
        assert await tasks[0] == await tasks[2] == 1

    run(main())


def test_a_coroutine_that_is_dropped_leaves_nobody_waiting() -> None:
    async def main() -> None:
        @cached
        async def function() -> int:
            await asyncio.sleep(0)
            return 1

        dropped = function()
        contextvars.copy_context().run(dropped.send, None)
        waiting = asyncio.create_task(function())
        await all_wait([waiting])
        assert not waiting.done()
        dropped.close()
        assert await waiting == 1

    run(main())


def test_recursion_on_the_same_key_is_called_through() -> None:
    depth = []

    @cached
    async def function(number: int) -> int:
        depth.append(1)
        return await function(number) + 1 if len(depth) < 4 else 1

    assert run(function(7)) == 4
    assert run(function(7)) == 4
    assert len(depth) == 4


def test_recursion_by_way_of_a_task_is_called_through() -> None:
    depth = []

    @cached
    async def function(number: int) -> int:
        depth.append(1)
        if len(depth) == 4:
            return 1
        return sum(await asyncio.gather(asyncio.create_task(function(number)), asyncio.sleep(0, 1)))

    assert run(function(7)) == 4


def test_two_tasks_that_would_wait_for_each_other_do_not() -> None:
    async def main() -> None:
        entered: list[int] = []
        both = asyncio.Event()

        @cached
        async def function(number: int) -> str:
            if len(entered) == 2:
                return "called through"
            entered.append(number)
            if len(entered) == 2:
                both.set()
            await both.wait()
            return f"{number}: {await function(3 - number)}"

        results = await asyncio.gather(function(1), function(2))
        assert sum("called through" in result for result in results) == 2
        assert any(result.count(":") == 2 for result in results)

    run(main())


def test_loops_of_several_threads_share_a_flight() -> None:
    calls = []
    started, go_on = threading.Event(), threading.Event()

    @cached
    async def function() -> object:
        calls.append(1)
        started.set()
        while not go_on.is_set():
            await asyncio.sleep(0.001)
        return object()

    results = []
    threads = [threading.Thread(target=lambda: results.append(run(function())), daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert started.wait(TIMEOUT)
    while len(next(iter(function._store.pending.values())).waiting) < 3:
        threading.Event().wait(0.001)
    go_on.set()
    for thread in threads:
        thread.join(TIMEOUT)
    assert len(calls) == 1
    assert len(results) == 4
    assert len(set(map(id, results))) == 1


def test_a_loop_that_ends_leaves_those_of_others_to_compute() -> None:
    calls = []

    @cached
    async def function() -> int:
        calls.append(1)
        if len(calls) == 1:
            await asyncio.Event().wait()
        return len(calls)

    async def give_up() -> None:
        task = asyncio.create_task(function())
        await all_wait([task])

    run(give_up())
    assert run(function()) == 2

    # And one that is closed with the task in it.
    function.cache_clear()
    calls.clear()
    loop = asyncio.new_event_loop()
    task = loop.create_task(function())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert run(function()) == 2
    task.get_coro().close()  # type: ignore[union-attr]
    task._log_destroy_pending = False  # type: ignore[attr-defined]


def test_a_stale_result_is_given_while_one_task_computes_another() -> None:
    calls = []

    async def main() -> None:
        go_on = asyncio.Event()

        @cached(ttl=0, stale_while_revalidate=3600)
        async def function() -> int:
            calls.append(1)
            if len(calls) == 2:
                await go_on.wait()
            return len(calls)

        assert await function() == 1
        assert [await function() for _ in range(20)] == [1] * 20
        await asyncio.sleep(0)
        assert len(calls) == 2
        go_on.set()
        while await function() == 1:
            await asyncio.sleep(0)

    run(main())


def test_a_refresh_that_is_cancelled_before_it_began_leaves_nobody_waiting() -> None:
    @cached(ttl=0, stale_while_revalidate=3600)
    async def function() -> int:
        return 1

    async def main() -> None:
        await function()
        await function()
        [refresh] = [task for task in asyncio.all_tasks() if task.get_name() == "rustcache-refresh"]
        refresh.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not function._store.pending

    run(main())


def test_what_is_invalidated_while_it_is_computed_is_not_kept() -> None:
    async def main() -> None:
        go_on = asyncio.Event()
        calls = []

        @cached
        async def function() -> int:
            calls.append(1)
            number = len(calls)
            if number == 1:
                await go_on.wait()
            return number

        task = asyncio.create_task(function())
        await all_wait([task])
        assert function.invalidate() is True
        assert await function() == 2
        go_on.set()
        assert await task == 1
        assert await function() == 2
        assert await function.refresh() == 3
        assert await function.bypass() == 4
        assert await function() == 3

    run(main())


def test_methods_that_are_coroutine_functions_work() -> None:
    class Client:
        def __init__(self) -> None:
            self.calls = 0

        @cached
        async def get(self, path: str) -> int:
            self.calls += 1
            calls = self.calls
            await asyncio.sleep(0)
            return calls

    async def main() -> None:
        client, other = Client(), Client()
        assert await asyncio.gather(client.get("a"), client.get("a"), other.get("a"), client.get("b")) == [1, 1, 1, 2]
        assert await client.get("a") == 1
        assert await client.get.refresh("a") == 3
        seen = weakref.ref(client)
        del client
        gc.collect()
        assert seen() is None

    run(main())


def test_a_task_whose_result_was_computed_in_a_loop_that_is_closed_computes_it_itself() -> None:
    calls: list[int] = []
    started, waits = threading.Event(), threading.Event()
    left: list[object] = []

    @cached
    async def function() -> int:
        calls.append(1)
        if len(calls) == 1:
            await asyncio.sleep(3600)
        return len(calls)

    def lead() -> None:
        loop = asyncio.new_event_loop()
        # It is still referred to when the loop is closed, so that it never ends.
        left.append(loop.create_task(function()))  # type: ignore[arg-type]
        loop.run_until_complete(asyncio.sleep(0))
        started.set()
        assert waits.wait(60)
        loop.close()

    thread = threading.Thread(target=lead)
    thread.start()
    assert started.wait(60)

    async def main() -> int:
        waiting = asyncio.ensure_future(function())
        while not function._store.pending[()].waiting:
            await asyncio.sleep(0)
        waits.set()
        return await asyncio.wait_for(waiting, 60)

    assert asyncio.run(main()) == 2
    thread.join()
    function.cache_clear()
    task: Any = left.pop()
    task._log_destroy_pending = False
