"""Runs what the originals publish as their tests against the faces of rustcache, and compares what fails with what differs on purpose
(`differences.json`).

    python compat/run.py [--scratch DIRECTORY] [--table] [NAME…]

Run it with a Python that has rustcache. The originals are fetched from the package index into the scratch directory (by default
target/python-compat), once. Ends with 0 if all is as it is listed, with 1 if it is not, and with 75 if the originals cannot be had from
here. `--table` prints the table of docs/python-faces.md, and runs nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
DIFFERENCES: dict[str, list[dict[str, Any]]] = json.loads((HERE / "differences.json").read_text(encoding="utf-8"))
UNREACHABLE = 75
# Longer than any of them takes.
LIMIT = 900


class Original(NamedTuple):
    package: str
    """What the package index calls it, with its version; "" for what the interpreter brings along."""
    needs_source: bool
    """Whether its tests are in its source distribution alone."""
    needs_package: bool
    """Whether our face is built upon it, so that it must be there as well."""
    at_least: int
    """Tests that must have run, so that none is taken for passed."""
    command: Callable[[Path], tuple[list[str], Path]]
    """What runs its tests, given its source, and where."""
    oldest_python: tuple[int, int] = (3, 10)


def pytest(plugin: str, *tests: str) -> list[str]:
    plugins = [part for name in ("report", plugin) if name for part in ("-p", name)]
    return [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "-p", "no:cacheprovider", *plugins, *tests]


def cachetools(source: Path) -> tuple[list[str], Path]:
    return pytest("shim_cachetools", "tests"), source


def functools(source: Path) -> tuple[list[str], Path]:
    import test

    (directory,) = test.__path__
    return pytest("shim_functools", str(Path(directory) / "test_functools.py"), "-k", "TestLRUC"), source


def dogpile(source: Path) -> tuple[list[str], Path]:
    return pytest("", str(HERE / "dogpile_suites.py")), source


def django(source: Path) -> tuple[list[str], Path]:
    classes = (
        "CacheHEADTest",
        "CacheHandlerTest",
        "CacheI18nTest",
        "CacheMiddlewareTest",
        "CacheUtils",
        "DefaultNonExpiringCacheKeyTests",
        "LocMemCacheTests",
        "PrefixedCacheUtils",
        "TestWithTemplateResponse",
    )
    runner = [sys.executable, "runtests.py", "--settings", "django_settings", "--parallel", "1", "-v", "0"]
    return runner + [f"cache.tests.{name}" for name in classes], source / "tests"


ORIGINALS = {
    "cachetools": Original("cachetools==8.0.0", True, False, 400, cachetools, (3, 11)),
    "functools": Original("", False, False, 20, functools),
    "dogpile": Original("dogpile.cache==1.5.0", False, True, 60, dogpile),
    "django": Original("Django==6.1.3", True, True, 120, django, (3, 12)),
}


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check", "--no-input"]
    done = subprocess.run(command, check=False, timeout=LIMIT, stderr=subprocess.PIPE, text=True)
    if done.returncode == 0:
        return
    print(done.stderr, file=sys.stderr)
    if "No matching distribution" in done.stderr and "(from versions: none)" not in done.stderr:
        # It is there, and does not have that version for this Python: that is for whoever wrote the version above.
        sys.exit(1)
    print("the package index does not give what is needed: is it reachable from here?", file=sys.stderr)
    sys.exit(UNREACHABLE)


def source_of(original: Original, scratch: Path) -> Path:
    """The directory of its source distribution."""
    place = scratch / "sources" / original.package
    if not place.exists():
        archives = scratch / "archives" / original.package
        pip("download", "--no-deps", "--no-binary", ":all:", "--dest", str(archives), original.package)
        (archive,) = archives.iterdir()
        begun = place.with_suffix(".begun")
        with tarfile.open(archive) as opened:
            if hasattr(tarfile, "data_filter"):
                opened.extractall(begun, filter="data")
            else:
                opened.extractall(begun)
        begun.rename(place)
    (root,) = place.iterdir()
    return root


def packages(names: list[str], scratch: Path) -> Path:
    """A directory to import them from, and what their tests need."""
    wanted = sorted(["pytest==9.2.0"] + [ORIGINALS[name].package for name in names if ORIGINALS[name].needs_package])
    place = scratch / "packages" / "{}.{}".format(*sys.version_info) / "+".join(wanted)
    if not place.exists():
        begun = place.with_suffix(".begun")
        pip("install", "--upgrade", "--target", str(begun), *wanted)
        begun.rename(place)
    return place


def run(name: str, scratch: Path, path: Path) -> bool:
    """Whether what fails is what is listed."""
    original = ORIGINALS[name]
    source = source_of(original, scratch) if original.needs_source else scratch
    command, where = original.command(source)
    report = scratch / f"{name}.json"
    report.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "COMPAT_REPORT": str(report),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join([str(HERE), str(path), str(where)]),
    }
    done = subprocess.run(command, cwd=where, env=environment, check=False, capture_output=True, text=True, timeout=LIMIT)
    if not report.exists():
        print(f"{name}: its tests did not run to their end\n{done.stdout}\n{done.stderr}")
        return False
    found = json.loads(report.read_text(encoding="utf-8"))
    listed = {test for difference in DIFFERENCES[name] if concerns_us(difference) for test in difference["tests"]}
    failed = set(found["failed"])
    print(f"{name}: {found['ran']} tests of {original.package or sys.version.split()[0]}, {len(failed)} differ")
    is_as_listed = True
    if new := sorted(failed - listed):
        is_as_listed = False
        print(f"{done.stdout}\n{done.stderr}\n{name}: these fail, and are not in differences.json: {', '.join(new)}")
    # Not all versions of the interpreter have all tests; where it is not known which passed, all that did not fail did.
    if old := sorted(listed & set(found.get("passed", listed - failed))):
        is_as_listed = False
        print(f"{name}: these do not fail any more: take them out of differences.json: {', '.join(old)}")
    if found["ran"] < original.at_least:
        is_as_listed = False
        print(f"{name}: only {found['ran']} tests ran, and there are {original.at_least} at least")
    return is_as_listed


def concerns_us(difference: dict[str, Any]) -> bool:
    """Whether a difference is one with this version of the interpreter, whose own tests change from version to version."""
    since = [int(part) for part in difference.get("since", "3.0").split(".")]
    return list(sys.version_info[:2]) >= since


def table() -> str:
    lines = ["| face | tests of the original that fail | why |", "|---|---|---|"]
    for name, differences in DIFFERENCES.items():
        for difference in differences:
            tests = ", ".join(f"`{test.removeprefix('cache.tests.')}`" for test in difference["tests"])
            lines.append(f"| `rustcache.{name}` | {tests} | {difference['reason']} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, default=HERE.parent.parent / "target" / "python-compat")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(ORIGINALS)}; all, if none is given")
    arguments = parser.parse_args()
    if arguments.table:
        print(table())
        return 0
    if unknown := set(arguments.names) - set(ORIGINALS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    is_documented = table() in (HERE.parent.parent / "docs" / "python-faces.md").read_text(encoding="utf-8")
    if not is_documented:
        print("docs/python-faces.md does not have the table that --table prints")
    names = []
    for name in arguments.names or ORIGINALS:
        if sys.version_info < ORIGINALS[name].oldest_python:
            print(f"{name}: not run, since {ORIGINALS[name].package} needs a newer Python than {sys.version.split()[0]}")
        else:
            names.append(name)
    scratch = arguments.scratch.resolve()
    scratch.mkdir(parents=True, exist_ok=True)
    path = packages(names, scratch)
    # All of them, also when one is not as listed.
    results = [run(name, scratch, path) for name in names]
    return 0 if all(results) and is_documented else 1


if __name__ == "__main__":
    sys.exit(main())
