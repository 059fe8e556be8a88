"""The test suites that dogpile.cache publishes for those who write backends (`dogpile.testing.fixtures`), run against the backends of
`rustcache.dogpile`."""

from dogpile.cache import register_backend
from dogpile.testing.fixtures import _GenericBackendTestSuite, _GenericSerializerTestSuite

# As the entry points of the installed package do.
register_backend("rustcache", "rustcache.dogpile", "RustCacheBackend")
register_backend("rustcache.pickle", "rustcache.dogpile", "RustCachePickleBackend")

LIMITS = {"arguments": {"max_items": 10_000}}
SIZED = {"arguments": {"max_items": 10_000, "size_limit_in_bytes": 1 << 24}}


class TestByReference(_GenericBackendTestSuite):
    backend = "rustcache"
    config_args = LIMITS


class TestByReferenceWithSerializer(_GenericSerializerTestSuite, _GenericBackendTestSuite):
    backend = "rustcache"
    config_args = LIMITS


class TestPickled(_GenericBackendTestSuite):
    backend = "rustcache.pickle"
    config_args = SIZED
