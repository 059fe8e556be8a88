# Django has no types.
# pyright: basic
"""A cache backend for Django: in this process, within limits, without Django's own lock around each call.

```python
CACHES = {
    "default": {
        "BACKEND": "rustcache.django.RustCache",
        "LOCATION": "default",  # caches of one name and the same limits share their entries
        "TIMEOUT": 300,
        "OPTIONS": {"MAX_ENTRIES": 100_000, "MAX_BYTES": 256 * 1024 * 1024},
    }
}
```

Values are kept pickled, as Django's `LocMemCache` keeps them, so that what a program changes after it stored it is unchanged in the
cache. When `MAX_ENTRIES` (300 if it is not given) or `MAX_BYTES` is
reached, the least recently used entries go, one for each that comes; `CULL_FREQUENCY` has no meaning.
"""

from __future__ import annotations

import math
import pickle
import threading
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache  # type: ignore[import-untyped]
from django.core.exceptions import ImproperlyConfigured  # type: ignore[import-untyped]

from . import CACHE_MISS, Storage

__all__ = ("RustCache",)

# Names with their limits, and what is kept: each thread has backends of its own for the same entries.
_storages: dict[tuple[str, int, int | None], Storage[bytes]] = {}
_lock = threading.Lock()


_OPTIONS = ("MAX_ENTRIES", "MAX_BYTES", "CULL_FREQUENCY")


def _max_bytes(options: dict[str, Any]) -> int | None:
    unknown = [name for name in options if name not in _OPTIONS]
    if unknown:
        raise ImproperlyConfigured(f"OPTIONS of a RustCache are {', '.join(_OPTIONS)}, and not {unknown[0]!r}")
    given = options.get("MAX_BYTES")
    try:
        return None if given is None else int(given)
    except (TypeError, ValueError):
        raise ImproperlyConfigured(f"MAX_BYTES has to be an integer, and is {given!r}") from None


class RustCache(BaseCache):  # type: ignore[misc]
    """See the module."""

    pickle_protocol = pickle.HIGHEST_PROTOCOL

    def __init__(self, name: str, params: dict[str, Any]) -> None:
        super().__init__(params)
        max_bytes = _max_bytes(params.get("OPTIONS", {}))
        with _lock:
            which = (name, self._max_entries, max_bytes)
            storage = _storages.get(which)
            if storage is None:
                storage = _storages[which] = Storage(size_limit_in_bytes=max_bytes, max_items=max(1, self._max_entries))
        self._cache = storage

    def _dump(self, value: Any) -> bytes:
        return pickle.dumps(value, self.pickle_protocol)

    def _ttl(self, timeout: Any) -> float | None:
        if timeout is DEFAULT_TIMEOUT:
            timeout = self.default_timeout
        # Negative ones have passed already.
        return None if timeout is None or timeout == math.inf else max(0.0, timeout)

    def add(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        key = self.make_and_validate_key(key, version=version)
        return self._cache.add(key, self._dump(value), ttl=self._ttl(timeout))

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        found = self._cache.get(self.make_and_validate_key(key, version=version))
        return pickle.loads(found) if isinstance(found, bytes) else default

    def set(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        key = self.make_and_validate_key(key, version=version)
        self._cache.set(key, self._dump(value), ttl=self._ttl(timeout))

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return self._cache.touch(self.make_and_validate_key(key, version=version), ttl=self._ttl(timeout))

    def delete(self, key: Any, version: int | None = None) -> bool:
        return self._cache.delete(self.make_and_validate_key(key, version=version))

    def incr(self, key: Any, delta: Any = 1, version: int | None = None) -> Any:
        full_key = self.make_and_validate_key(key, version=version)
        sums = []

        def add(found: Any) -> bytes:
            if found is CACHE_MISS:
                raise ValueError(f"Key '{full_key}' not found")
            sums.append(pickle.loads(found) + delta)
            return self._dump(sums[-1])

        # In one step, and its timeout stays.
        self._cache._update(full_key, add)
        return sums[-1]

    def has_key(self, key: Any, version: int | None = None) -> bool:
        return self.make_and_validate_key(key, version=version) in self._cache

    def clear(self) -> None:
        self._cache.clear()
