"""`Cache(capacity)`: text under text, for programs that were written for a module of this name. Everything else is in `rustcache`."""

from rustcache._core import StringCache as Cache

__all__ = ["Cache"]
