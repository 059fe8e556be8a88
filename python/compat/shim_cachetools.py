"""A pytest plugin: `import cachetools` gives rustcache's."""

import sys

import rustcache.cachetools
import rustcache.cachetools.func
import rustcache.cachetools.keys

sys.modules["cachetools"] = rustcache.cachetools
sys.modules["cachetools.func"] = rustcache.cachetools.func
sys.modules["cachetools.keys"] = rustcache.cachetools.keys
