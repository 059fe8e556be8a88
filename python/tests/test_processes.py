"""What becomes of caches when the interpreter ends, and in a child after a fork. Each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest


def run(program: str) -> str:
    """The output of a program, which has to end well."""
    command = [sys.executable, "-X", "dev", "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_process_ends_while_entries_expire_in_the_background() -> None:
    program = """
        from rustcache import Cache, Storage
        storages = [Storage(default_ttl=0.2), Storage(default_ttl=0.25, eviction_listener=lambda *entry: None)]
        storages.append(Cache(default_ttl=0.25, eviction_listener=lambda *entry: None))
        for storage in storages:
            for number in range(3000):
                storage.set(str(number), [number])
        import time
        time.sleep(0.24)
        print("end")
    """
    for _ in range(5):
        assert run(program) == "end\n"


def test_values_that_use_the_cache_while_the_interpreter_ends_do_no_harm() -> None:
    program = """
        import atexit
        from rustcache import Storage, Cache, CACHE_MISS

        class Dying:
            def __del__(self):
                storage.set("grave", 1)
                storage.get("key")
                len(storage)

        storage = Storage(default_ttl=100)
        storage.set("key", Dying())
        storage.set(Dying(), storage)
        cache = Cache(eviction_listener=lambda *entry: None)
        cache.set("key", 1)
        atexit.register(lambda: storage.set("late", Dying(), ttl=0.001))
        globals()["keep"] = [storage, cache, iter(storage.items())]
        print("end")
    """
    assert run(program).startswith("end\n")


def test_daemon_threads_in_the_middle_of_it_do_no_harm() -> None:
    program = """
        import threading, time
        from rustcache import Storage, Cache
        storage, cache = Storage(max_items=100), Cache(max_items=100)

        def work():
            number = 0
            while True:
                number += 1
                storage.set(number, [number], ttl=0.01)
                cache.set(str(number), number, ttl=0.01)
                storage.get(number - 3)

        for _ in range(3):
            threading.Thread(target=work, daemon=True).start()
        time.sleep(0.3)
        print("end")
    """
    assert run(program) == "end\n"


def test_an_exit_in_a_listener_of_the_background_thread_hangs_nothing() -> None:
    program = """
        import sys, threading
        from rustcache import Storage
        told = threading.Event()
        sys.unraisablehook = lambda entry: None

        def listener(key, value, cause):
            told.set()
            raise SystemExit(3)

        storage = Storage(eviction_listener=listener)
        storage.set("key", 1, ttl=0.01)
        assert told.wait(60)
        print("end")
    """
    assert run(program) == "end\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("turn", range(3))
def test_entries_expire_in_a_child_and_are_told_of_there(turn: int) -> None:
    program = """
        import os, threading, time
        from rustcache import Cache, Storage
        told = threading.Event()
        parent = os.getpid()

        def listener(key, value, cause):
            if key == "key":
                told.set()

        caches = [kind(eviction_listener=listener) for kind in (Storage, Cache)]
        # The thread runs, and is busy.
        for cache in caches:
            for number in range(3000):
                cache.set(f"early:{number}", number, ttl=0.001 * (number % 400))
            cache.set("key", 1, ttl=0.5)
            cache.set("stays", 2)
        children = []
        for _ in range(5):
            child = os.fork()
            if child == 0:
                assert told.wait(60), "nobody looks after it"
                assert all(cache.get("stays") == 2 for cache in caches)
                told.clear()
                caches[0].set("key", 2, ttl=0.01)
                assert told.wait(60), "nobody looks after what is new"
                os._exit(0)
            children.append(child)
        for child in children:
            assert os.waitpid(child, 0)[1] == 0
        assert told.wait(60)
        print("end")
    """
    assert run(program) == "end\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_forks_of_several_threads_while_caches_are_in_use_hang_nobody() -> None:
    program = """
        import os, threading, warnings
        from rustcache import Storage
        storage = Storage(max_items=1000)
        stop = threading.Event()

        def work():
            number = 0
            while not stop.is_set():
                number += 1
                storage.set(number % 2000, number, ttl=0.01)

        def fork():
            for _ in range(10):
                child = os.fork()
                if child == 0:
                    storage.set("child", 1, ttl=0.01)
                    storage.get("child")
                    os._exit(0)
                assert os.waitpid(child, 0)[1] == 0

        workers = [threading.Thread(target=work) for _ in range(2)]
        forkers = [threading.Thread(target=fork) for _ in range(2)]
        for thread in workers + forkers:
            thread.start()
        for thread in forkers:
            thread.join()
        stop.set()
        print("end")
    """
    assert run(program) == "end\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_threads_that_fork_at_once_beside_one_that_uses_caches_hang_nobody() -> None:
    program = """
        import os, threading
        # Whose own hooks take locks: they have to come after what waits below.
        import concurrent.futures.thread, logging

        def use_a_cache():
            cache = Cache(default_ttl=3600)
            cache.set("key", 1)

        def wait_and_use():
            # Each fork stays here until the other one has come as far.
            both.wait()
            thread = threading.Thread(target=use_a_cache)
            thread.start()
            thread.join()

        both = threading.Barrier(2)
        # Before rustcache asks to be told of forks, so that this runs between its own hook and the fork.
        os.register_at_fork(before=wait_and_use)
        from rustcache import Cache
        statuses = []

        def fork():
            pid = os.fork()
            if pid == 0:
                told = threading.Event()
                soon = Cache(eviction_listener=lambda *entry: told.set())
                soon.set("key", 1, ttl=0.01)
                os._exit(0 if told.wait(60) else 1)
            statuses.append(os.waitpid(pid, 0)[1])

        threads = [threading.Thread(target=fork) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(statuses)
    """
    assert run(program) == "[0, 0]\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_package_that_is_imported_twice_asks_once_to_be_told_of_forks_and_of_the_end() -> None:
    program = """
        import atexit, os, sys
        import rustcache as first
        asked = []
        atexit.register = lambda hook: asked.append(hook.__name__)
        os.register_at_fork = lambda **hooks: asked.extend(hook.__name__ for hook in hooks.values())
        for name in [name for name in sys.modules if name.startswith("rustcache")]:
            del sys.modules[name]
        import rustcache
        assert rustcache._core is not first._core
        # Of the module that starts threads, which is another one as well.
        assert asked == ["_forked"], asked
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        print(os.waitpid(pid, 0)[1])
    """
    assert run(program) == "0\n"


def test_the_end_waits_for_one_call_of_a_listener_and_not_for_those_that_would_follow() -> None:
    program = """
        import atexit, sys, threading, time
        told, inside, ends, main = [], threading.Event(), threading.Event(), threading.get_ident()
        # Hooks run in the order contrary to that of their registration: this one after those of rustcache.
        atexit.register(lambda: print(len(told)))
        from rustcache import Storage
        atexit.register(ends.set)

        def gone(*entry):
            told.append(entry)
            inside.set()
            ends.wait()
            # It has no frame any more when it waits for this thread.
            while main in sys._current_frames():
                time.sleep(0.001)

        storage = Storage(eviction_listener=gone)
        storage.set_many(((number, number) for number in range(50)), ttl=0.001)
        assert inside.wait(60)
    """
    assert run(program) == "1\n"


@pytest.mark.parametrize(
    "program",
    [
        """
        from rustcache import cached

        @cached
        def work(_):
            while True:
                python()
        """,
        """
        from rustcache import cached

        class Thing:
            @cached
            def __call__(self, _):
                while True:
                    python()

        work = Thing()
        """,
        """
        from rustcache.functools import cache

        @cache
        def work(_):
            while True:
                python()
        """,
        """
        from rustcache import Cache

        class Value:
            def __init__(self):
                python()

            def __reduce__(self):
                python()
                return Value, ()

        cache = Cache(eviction_listener=lambda *entry: python())

        def work(_):
            while True:
                cache.set("key", Value())
                cache.get("key")
        """,
        """
        from rustcache import Storage

        class Key:
            def __hash__(self):
                python()
                return 1

            def __eq__(self, other):
                python()
                return True

        storage = Storage(weigher=lambda key, value: python() or 1, max_weight=100)

        def work(_):
            while True:
                storage.set(Key(), 1)
                storage.get(Key())
        """,
        """
        from rustcache import cached

        @cached
        def inner(_):
            while loops:
                python()

        @cached(ttl=0, stale_while_revalidate=3600)
        def work(_):
            inner(loops)

        # By a thread of the package.
        loops = False
        work(1)
        loops = True
        """,
    ],
    ids=["cached", "method", "functools", "cache", "storage", "refresh"],
)
def test_a_daemon_thread_that_runs_python_code_below_a_cache_does_not_keep_a_process_from_ending(program: str) -> None:
    begin = """
        import threading, time

        def python():
            time.sleep(0.0005)
    """
    end = """
        threading.Thread(target=work, args=(1,), daemon=True).start()
        time.sleep(0.1)
        print("end")
    """
    for _ in range(3):
        assert run("\n".join(map(textwrap.dedent, (begin, program, end)))) == "end\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_does_not_wait_for_a_listener_that_waits_for_the_thread_that_forks() -> None:
    program = """
        import os, sys, threading
        from rustcache import CACHE_MISS, Storage, Cache
        lock, inside, left, told = threading.Lock(), threading.Event(), threading.Event(), []

        def gone(key, *_):
            if key == "later":
                told.append(key)
                left.set()
                return
            inside.set()
            with lock:
                left.set()

        for make in (Storage, Cache):
            inside.clear(), left.clear(), told.clear()
            cache = make(eviction_listener=gone)
            cache.set("stays", 1)
            with lock:
                cache.set("a", 1, ttl=0.001)
                assert inside.wait(60)
                pid = os.fork()
                if pid == 0:
                    # All goes on in the child, and it ends as it should.
                    cache.set("later", 2, ttl=0.001)
                    assert left.wait(60) and told == ["later"] and cache.get("stays") == 1
                    sys.exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
            assert left.wait(60)
            left.clear()
            cache.set("later", 2, ttl=0.001)
            assert left.wait(60) and told == ["later"] and cache.get("stays") == 1
        print("end")
    """
    assert run(program) == "end\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_hooks_of_other_packages_may_wait_at_a_fork_for_threads_that_use_caches() -> None:
    program = """
        import os, threading

        def use_a_cache():
            def use():
                caches.append(Cache(default_ttl=3600))
                caches[-1].set("key", 1)

            thread = threading.Thread(target=use)
            thread.start()
            thread.join()

        caches = []
        # Before rustcache asks to be told of forks, so that these run between its own hooks and the fork.
        os.register_at_fork(before=use_a_cache, after_in_parent=use_a_cache, after_in_child=use_a_cache)
        from rustcache import Cache

        pid = os.fork()
        if pid == 0:
            told = threading.Event()
            soon = Cache(eviction_listener=lambda *entry: told.set())
            soon.set("key", 1, ttl=0.01)
            os._exit(0 if told.wait(60) and len(caches) == 2 else 1)
        assert os.waitpid(pid, 0)[1] == 0
        assert len(caches) == 2
        print("end")
    """
    assert run(program) == "end\n"
