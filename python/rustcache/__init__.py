"""A cache in Rust: exact LRU, TTL and byte bounds, safe under threads."""

from rustcache._cached import CachedFunction, CacheInfo, cached
from rustcache._core import (
    CACHE_MISS,
    DEFAULT_TTL,
    VERSION,
    Cache,
    CacheMissSentinel,
    DefaultTTLSentinel,
    DirectoryStats,
    EntryIterator,
    KvStore,
    Stats,
    Storage,
)
from rustcache._errors import DecodeError, DirectoryError, DirectoryInUseError, DiskError, ForkedError
from rustcache._memoize import Memoized, memoize
from rustcache._types import Deserializer, EvictionListener, RemovalCause, Serializer, Weigher

__version__ = VERSION
__all__ = [
    "CACHE_MISS",
    "DEFAULT_TTL",
    "VERSION",
    "Cache",
    "CacheInfo",
    "CacheMissSentinel",
    "CachedFunction",
    "DecodeError",
    "DefaultTTLSentinel",
    "Deserializer",
    "DirectoryError",
    "DirectoryInUseError",
    "DirectoryStats",
    "DiskError",
    "EntryIterator",
    "EvictionListener",
    "ForkedError",
    "KvStore",
    "Memoized",
    "RemovalCause",
    "Serializer",
    "Stats",
    "Storage",
    "Weigher",
    "cached",
    "memoize",
]
