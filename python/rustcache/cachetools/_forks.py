"""Locks that work in the child of a fork, too: there, the threads that may have held them are gone, and would never let go of them."""

from __future__ import annotations

import os
import threading
from typing import Any
from weakref import WeakValueDictionary

# By their addresses, since mappings have no hash.
_owners: WeakValueDictionary[int, Any] = WeakValueDictionary()


def new_lock(owner: Any) -> threading.RLock:
    """A lock that its owner keeps as `_lock`: in the child of a fork it gets another one."""
    _owners[id(owner)] = owner
    return threading.RLock()


def _forked() -> None:
    for owner in list(_owners.values()):
        owner._lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
