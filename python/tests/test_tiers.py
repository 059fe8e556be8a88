"""Listeners and `__del__` of what expires in the background may use any cache, also such as have listeners of their own: each in a process
of its own, since what goes wrong there can hold the interpreter for ever."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

PROGRAM = """
    import threading
    from rustcache import Cache, Storage

    told = []
    done = threading.Event()

    def below(key, value, cause):
        told.append((key, cause))
        done.set()

    lower = {lower}(max_items=2, eviction_listener=below)

    class Dying:
        def __init__(self, key):
            self.key = key

        def __del__(self):
            lower.set(self.key, 1)
            lower.delete(self.key)

    if {by_listener}:
        upper = {upper}(eviction_listener=lambda key, value, cause: lower.set(key, value))
    else:
        upper = {upper}()
    for number in range(5):
        upper.set(f"key{{number}}", number if {by_listener} else Dying(f"key{{number}}"), ttl=0.05)
    assert done.wait(60), "the listener below was not called"
    done.clear()
    for number in range(5):
        upper.set(f"late{{number}}", number if {by_listener} else Dying(f"late{{number}}"), ttl=0.05)
    assert done.wait(60), "the background thread has come to an end"
    print("end")
"""


@pytest.mark.parametrize(
    ("upper", "lower", "by_listener"),
    [
        ("Storage", "Cache", True),
        ("Storage", "Storage", True),
        ("Cache", "Cache", True),
        ("Cache", "Storage", True),
        ("Storage", "Cache", False),
        ("Storage", "Storage", False),
    ],
)
def test_what_expires_in_the_background_may_move_to_another_cache(upper: str, lower: str, by_listener: bool) -> None:
    program = textwrap.dedent(PROGRAM).format(upper=upper, lower=lower, by_listener=by_listener)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")
