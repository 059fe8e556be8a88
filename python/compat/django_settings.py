"""Settings for Django's own test runner: what its tests take for `LocMemCache` is the backend of `rustcache.django`, and what
failed is written to the file that `COMPAT_REPORT` names."""

import json
import os

import django.core.cache.backends.locmem
from django.test.runner import DiscoverRunner
from test_sqlite import *  # noqa: F403

import rustcache.django

TEST_RUNNER = "django_settings.Runner"


class _LocMemCache(rustcache.django.RustCache):
    # Their set-up shares what caches hold by way of attributes, this one among them.
    _expire_info = None


django.core.cache.backends.locmem.LocMemCache = _LocMemCache


class Runner(DiscoverRunner):
    def suite_result(self, suite, result, **kwargs):
        failed = sorted(test.id() for test, _ in result.failures + result.errors)
        with open(os.environ["COMPAT_REPORT"], "w", encoding="utf-8") as file:
            json.dump({"ran": result.testsRun, "failed": failed}, file)
        return super().suite_result(suite, result, **kwargs)
