"""The classes and decorators of the package `cachetools`, over the engine of rustcache: change the import, and each operation by itself
is safe under threads.

What differs on purpose is listed in docs/python-faces.md.
"""

from __future__ import annotations

from ._caches import Cache, FIFOCache, LRUCache
from ._decorators import CacheInfo, cached, cachedmethod
from ._frequency import LFUCache, RRCache
from ._timed import TLRUCache, TTLCache

__all__ = ("Cache", "CacheInfo", "FIFOCache", "LFUCache", "LRUCache", "RRCache", "TLRUCache", "TTLCache", "cached", "cachedmethod")
