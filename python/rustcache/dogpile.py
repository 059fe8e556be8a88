"""A backend for `dogpile.cache`, which knows it as `rustcache`: results in this process, within limits.

```python
from dogpile.cache import make_region

region = make_region().configure("rustcache", expiration_time=3600, arguments={"max_items": 10_000})
```
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dogpile.cache.api import NO_VALUE, CacheBackend, DefaultSerialization

from . import Storage

__all__ = ("RustCacheBackend", "RustCachePickleBackend")

_OPTIONS = {"size_limit_in_bytes", "max_items", "default_ttl", "policy", "time_to_idle", "max_weight", "weigher", "eviction_listener"}


class RustCacheBackend(CacheBackend):
    """Keeps values by reference. Arguments: those of `Storage` (`max_items`, `size_limit_in_bytes`, `default_ttl`, …), or `storage`, one
    that is there already. A `size_limit_in_bytes` needs bytes: use
    `rustcache.pickle`, or a serializer of the region."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        storage = arguments.get("storage")
        # Others are no matter, as with all backends: one set of arguments may be meant for several.
        self._storage: Storage[Any] = (
            Storage(**{name: arguments[name] for name in _OPTIONS & arguments.keys()}) if storage is None else storage
        )

    def get(self, key: str) -> Any:
        return self._storage.get(key, NO_VALUE)

    def get_multi(self, keys: Iterable[str]) -> Sequence[Any]:
        return [self._storage.get(key, NO_VALUE) for key in keys]

    def set(self, key: str, value: Any) -> None:
        self._storage.set(key, value)

    def set_multi(self, mapping: Mapping[str, Any]) -> None:
        for key, value in mapping.items():
            self._storage.set(key, value)

    def delete(self, key: str) -> None:
        self._storage.delete(key)

    def delete_multi(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._storage.delete(key)


class RustCachePickleBackend(DefaultSerialization, RustCacheBackend):
    """Keeps values pickled, so that a value that was changed after it was stored is unchanged in the cache."""
