"""What becomes of a cache in a directory when its process ends, in whatever way, and in a child after a fork. Each in a process of its
own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from rustcache import Cache

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


IS_OPEN_TWICE = """
        import os, sys, threading, time

        def times_it_is_open():
            there = os.stat(sys.argv[1] + "/lock").st_ino
            found = 0
            for name in os.listdir("/dev/fd"):
                try:
                    found += os.fstat(int(name)).st_ino == there
                except OSError:
                    pass
            return found

        def until_it_is_open_twice():
            # By who holds the lock, and by who waits for it.
            while times_it_is_open() < 2:
                time.sleep(0.001)
"""


def command(program: str, *arguments: object) -> list[str]:
    return [sys.executable, "-X", "dev", "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(program), *map(str, arguments)]


def run(program: str, *arguments: object) -> str:
    """The output of a program, which has to end well."""
    done = subprocess.run(command(program, *arguments), capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("sync", ["always", "everysec", "never"])
def test_what_a_killed_process_was_told_is_there(tmp_path: Path, sync: str) -> None:
    program = """
        import sys
        from rustcache import Cache
        cache = Cache(dir=sys.argv[1], sync=sys.argv[2])
        number = 0
        while True:
            cache.set(f"key:{number}", [number, "v" * (number % 3000)])
            if number % 3 == 0:
                cache.delete(f"key:{number - 3}")
            print(number, flush=True)
            number += 1
    """
    told = 0
    with subprocess.Popen(command(program, tmp_path, sync), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            # One that was cut off was not told.
            told = int(line) if line.endswith("\n") else told
            if told == 100:
                process.send_signal(signal.SIGKILL)
    assert told >= 100
    with Cache(dir=tmp_path, recover="strict") as cache:
        for number in range(told + 1):
            expected = number % 3 != 0 or number > told - 3
            if number > told - 3 and number % 3 == 0:
                # The one that may have been deleted by a write that nobody was told of.
                continue
            assert (cache.get(f"key:{number}", None) == [number, "v" * (number % 3000)]) is expected, number


def test_a_process_that_ends_without_closing_leaves_a_snapshot(tmp_path: Path) -> None:
    program = """
        import sys
        from rustcache import Cache
        cache = Cache(dir=sys.argv[1])
        cache.set("key", (1, 2))
        keep = [cache, iter(cache.items())]
        print("end")
    """
    assert run(program, tmp_path) == "end\n"
    with Cache(dir=tmp_path) as cache:
        assert cache.get("key") == (1, 2)
        stats = cache.stats().directory
        assert stats is not None
        assert stats.last_snapshot_bytes > 0


def test_daemon_threads_that_write_while_the_interpreter_ends_do_no_harm(tmp_path: Path) -> None:
    program = """
        import sys, threading, time
        from rustcache import Cache
        cache = Cache(dir=sys.argv[1], max_items=100, eviction_listener=lambda *entry: None)

        def work(name):
            number = 0
            while True:
                number += 1
                try:
                    cache.set(f"{name}:{number}", number, ttl=0.01)
                except RuntimeError as error:
                    assert str(error) == "Storage is closed"
                    return

        for name in range(3):
            threading.Thread(target=work, args=(name,), daemon=True).start()
        time.sleep(0.3)
        print("end")
    """
    for _ in range(3):
        assert run(program, tmp_path) == "end\n"
    Cache(dir=tmp_path, recover="strict").close()


def test_who_exits_by_os_exit_has_what_was_written(tmp_path: Path) -> None:
    program = """
        import os, sys
        from rustcache import Cache
        cache = Cache(dir=sys.argv[1])
        cache.set("key", 1)
        os._exit(0)
    """
    run(program, tmp_path)
    assert Cache(dir=tmp_path).get("key") == 1


@forks
def test_a_child_is_told_that_the_directory_is_its_parents_and_harms_nothing(tmp_path: Path) -> None:
    program = """
        import copy, gc, os, sys, traceback
        from rustcache import Cache, DirectoryInUseError, ForkedError, Storage

        cache = Cache(dir=sys.argv[1], default_ttl=3600)
        cache.set("key", 1)
        walk = iter(cache)
        parent = os.getpid()

        def child():
            global cache, walk
            calls = [
                lambda: cache.get("key"), lambda: cache.set("key", 2), lambda: cache.set_many({"key": 2}), lambda: cache.delete("key"),
                lambda: cache.incr("key"), lambda: cache.pop("key"), lambda: cache.touch("key"), lambda: cache.ttl("key"),
                lambda: cache.clear(), lambda: cache.clear_prefix(""), lambda: cache.flush(), lambda: cache.snapshot(),
                lambda: len(cache), lambda: "key" in cache, lambda: list(cache), lambda: next(walk), lambda: cache.stats(),
                lambda: cache.size_in_bytes, lambda: cache.add("other", 1), lambda: cache.setdefault("other", 1),
                lambda: cache.get_many(["key"]), lambda: cache.delete_many(["key"]),
            ]
            for number, call in enumerate(calls):
                try:
                    call()
                except ForkedError as error:
                    assert f"of process {parent}" in str(error) and sys.argv[1] in str(error), error
                else:
                    raise AssertionError(f"call {number}")
            repr(cache)
            with cache:
                pass
            try:
                Cache(dir=sys.argv[1])
            except DirectoryInUseError as error:
                assert error.pid == parent, error
            else:
                raise AssertionError("it is taken")
            del walk
            cache = None
            gc.collect()
            own = Cache(dir=sys.argv[1] + "-child")
            own.set("own", 1)
            own.close()

        for _ in range(3):
            pid = os.fork()
            if pid == 0:
                try:
                    child()
                except BaseException:
                    traceback.print_exc()
                    os._exit(1)
                # With all that an interpreter does at its end, the first time; and with none of it.
                if _ == 0:
                    sys.exit(0)
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
        assert cache.get("key") == 1
        cache.set("after", 2)
        cache.close()
        print("end")
    """
    assert run(program, tmp_path / "cache") == "end\n"
    with Cache(dir=tmp_path / "cache", recover="strict") as cache:
        assert dict(cache.items()) == {"key": 1, "after": 2}
    with Cache(dir=tmp_path / "cache-child") as cache:
        assert dict(cache.items()) == {"own": 1}


def opens_though_a_child_lives_on(tmp_path: Path, program: str) -> Cache:
    """What a program has written that told the pid of its child, which waits for the end of its input, and killed itself."""
    with subprocess.Popen(command(program, tmp_path), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.wait()
        os.kill(child, 0)
        return Cache(dir=tmp_path)


@forks
@pytest.mark.parametrize("fork", ["os.fork()", "ctypes.PyDLL(None).fork()"])
def test_a_directory_is_free_when_its_process_has_ended_though_a_child_lives_on(tmp_path: Path, fork: str) -> None:
    program = """
        import ctypes, os, sys
        from rustcache import Cache
        cache = Cache(dir=sys.argv[1])
        cache.set("key", 1)
        child = FORK
        if child == 0:
            sys.stdin.read()
            os._exit(0)
        print(child, flush=True)
        os.kill(os.getpid(), 9)
    """
    assert opens_though_a_child_lives_on(tmp_path, program.replace("FORK", fork)).get("key") == 1


@forks
def test_a_directory_that_a_thread_was_opening_at_the_fork_is_free_as_well(tmp_path: Path) -> None:
    program = (
        IS_OPEN_TWICE
        + """
        import fcntl
        from rustcache import Cache

        cache = None

        def open_it():
            global cache
            cache = Cache(dir=sys.argv[1], lock_patience=60)
            cache.set("key", 1)

        # Somebody who is about to give it up.
        held = open(sys.argv[1] + "/lock", "w")
        held.write(f"{os.getpid()} ending\\n")
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)
        thread = threading.Thread(target=open_it)
        thread.start()
        until_it_is_open_twice()
        child = os.fork()
        if child == 0:
            held.close()
            sys.stdin.read()
            os._exit(0)
        fcntl.flock(held, fcntl.LOCK_UN)
        thread.join()
        print(child, flush=True)
        os.kill(os.getpid(), 9)
    """
    )
    assert opens_though_a_child_lives_on(tmp_path, program).get("key") == 1


@forks
def test_multiprocessing_by_fork_leaves_the_parent_its_directory(tmp_path: Path) -> None:
    program = """
        import multiprocessing, sys, threading
        from rustcache import Cache, ForkedError

        context = multiprocessing.get_context("fork")
        cache = Cache(dir=sys.argv[1])
        memory = Cache(default_ttl=0.01)

        def work(number):
            memory.set("child", number)
            try:
                cache.set("child", number)
            except ForkedError:
                return number
            return None

        stop = threading.Event()

        def write():
            number = 0
            while not stop.is_set():
                number += 1
                # With deadlines, so that the background thread of each child finds the cache among those that it is to look after.
                cache.set(f"parent:{number % 100}", "v" * 20_000, ttl=3600)

        writers = [threading.Thread(target=write) for _ in range(2)]
        for writer in writers:
            writer.start()
        for _ in range(5):
            with context.Pool(2) as pool:
                assert pool.map(work, range(10)) == list(range(10))
        stop.set()
        for writer in writers:
            writer.join()
        cache.close()
        print("end")
    """
    assert run(program, tmp_path) == "end\n"
    with Cache(dir=tmp_path, recover="strict") as cache:
        assert "child" not in cache
        assert len(cache) <= 100


@forks
def test_memory_caches_expire_in_a_child_whose_parent_was_writing_to_a_directory(tmp_path: Path) -> None:
    program = """
        import os, sys, threading, time
        from rustcache import Cache

        told = threading.Event()
        memory = Cache(eviction_listener=lambda *entry: told.set())
        memory.set("soon", 1, ttl=3600)
        disk = Cache(dir=sys.argv[1])
        stop = threading.Event()

        def write():
            number = 0
            while not stop.is_set():
                number += 1
                disk.set_many({f"{n}": "v" * 1000 for n in range(200)}, ttl=3600)
                if number % 5 == 0:
                    disk.snapshot()

        writer = threading.Thread(target=write)
        writer.start()
        for _ in range(10):
            child = os.fork()
            if child == 0:
                memory.set("soon", 1, ttl=0.01)
                told.clear()
                os._exit(0 if told.wait(60) else 1)
            assert os.waitpid(child, 0)[1] == 0
        stop.set()
        writer.join()
        print("end")
    """
    assert run(program, tmp_path) == "end\n"


def test_another_process_is_told_the_pid_of_the_one_that_has_it(tmp_path: Path) -> None:
    program = """
        import sys
        from rustcache import Cache, DirectoryInUseError
        try:
            Cache(dir=sys.argv[1])
        except DirectoryInUseError as error:
            print(error.pid, error)
    """
    with Cache(dir=tmp_path):
        told = run(program, tmp_path)
    assert told == f"{os.getpid()} the directory {tmp_path} is in use by process {os.getpid()}: end that, or use another directory\n"


@forks
def test_a_child_that_other_code_has_forked_is_told_as_well(tmp_path: Path) -> None:
    program = """
        import ctypes, os, sys
        from rustcache import Cache, ForkedError

        cache = Cache(dir=sys.argv[1])
        cache.set("key", 1)
        pid = ctypes.PyDLL(None).fork()
        if pid == 0:
            try:
                cache.get("key")
            except ForkedError:
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        assert cache.get("key") == 1
        print("end")
    """
    assert run(program, tmp_path) == "end\n"


@forks
def test_waiting_for_a_directory_sees_to_signals(tmp_path: Path) -> None:
    program = (
        IS_OPEN_TWICE
        + """
        import fcntl, signal
        from rustcache import Cache

        # Somebody who is about to give it up.
        held = open(sys.argv[1] + "/lock", "w")
        held.write(f"{os.getpid()} ending\\n")
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)

        def open_it(number):
            def send():
                until_it_is_open_twice()
                os.kill(os.getpid(), number)

            thread = threading.Thread(target=send)
            thread.start()
            try:
                with Cache(dir=sys.argv[1], lock_patience=3600) as cache:
                    cache.set("key", 1)
            finally:
                thread.join()

        try:
            open_it(signal.SIGINT)
        except KeyboardInterrupt:
            print("interrupted")
        # What a handler does that raises nothing does not end the wait.
        signal.signal(signal.SIGUSR1, lambda *_: fcntl.flock(held, fcntl.LOCK_UN))
        open_it(signal.SIGUSR1)
        held.close()
        print("opened")
    """
    )
    assert run(program, tmp_path) == "interrupted\nopened\n"
