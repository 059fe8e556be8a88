"""A cache in Rust: exact LRU, TTL and byte bounds, safe under threads."""

from rustcache._core import CACHE_MISS, DEFAULT_TTL, VERSION, CacheMissSentinel, DefaultTTLSentinel, Storage

__version__ = VERSION
__all__ = ["CACHE_MISS", "DEFAULT_TTL", "VERSION", "CacheMissSentinel", "DefaultTTLSentinel", "Storage"]
