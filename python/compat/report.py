"""A pytest plugin: writes which tests ran, and which of them failed, to the file that `COMPAT_REPORT` names."""

import json
import os

_ran: dict[str, bool] = {}


def pytest_runtest_logreport(report):
    if report.when == "call" or report.failed:
        name = report.nodeid.split("::", 1)[-1]
        _ran[name] = _ran.get(name, True) and not report.failed


def pytest_sessionfinish():
    passed = sorted(name for name, passed in _ran.items() if passed)
    failed = sorted(_ran.keys() - set(passed))
    with open(os.environ["COMPAT_REPORT"], "w", encoding="utf-8") as file:
        json.dump({"ran": len(_ran), "failed": failed, "passed": passed}, file)
