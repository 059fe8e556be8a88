"""A pytest plugin: the copy of functools that the interpreter's tests import as "the one in C" has rustcache's `lru_cache` and `cache`."""

from test.support import import_helper

import rustcache.functools

_import_fresh = import_helper.import_fresh_module


def import_fresh_module(name, fresh=(), blocked=(), **rest):
    module = _import_fresh(name, fresh, blocked, **rest)
    if name == "functools" and "_functools" in fresh:
        module.lru_cache = rustcache.functools.lru_cache
        module.cache = rustcache.functools.cache
    return module


import_helper.import_fresh_module = import_fresh_module
