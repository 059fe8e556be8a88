"""One directory, used in turns by Python, Node and a shell: each reads what the others wrote. Needs the Node packages and the
daemon, as `npm run setup` makes them; without them this fails."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rustcache import Cache, DecodeError

ROOT = Path(__file__).parents[2]


def daemon() -> str:
    named = os.environ.get("RUSTCACHE_BINARY")
    built = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    candidates = [named] if named else [str(built / profile / "rustcache") for profile in ("release", "debug")]
    for candidate in candidates:
        if os.access(candidate, os.X_OK):
            return candidate
    raise AssertionError(f"none of {candidates} is there: build the daemon by `npm run setup`, or name it by the variable RUSTCACHE_BINARY")


def node(directory: Path, program: str) -> Any:
    """What an async function of this body returns, with `cache` on the directory."""
    command = shutil.which("node")
    assert command, "there is no node in PATH"
    assert (ROOT / "node_modules/tsx").is_dir(), "the Node packages are not there: `npm run setup` installs them"
    module = (ROOT / "node/index.ts").as_uri()
    done = subprocess.run(
        [command, "--import", "tsx", str(Path(__file__).with_name("interop.mjs")), module, str(directory)],
        input=program,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=ROOT,
        env={**os.environ, "RUSTCACHE_BINARY": daemon()},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def shell(directory: Path, *requests: list[str]) -> str:
    frames = b"".join(subprocess.run([daemon(), "encode", *request], capture_output=True, check=True).stdout for request in requests)
    replies = subprocess.run([daemon(), "--dir", str(directory)], input=frames, capture_output=True, check=True).stdout
    return subprocess.run([daemon(), "decode"], input=replies, capture_output=True, check=True).stdout.decode()


def test_node_reads_what_python_wrote(tmp_path: Path) -> None:
    with Cache(dir=tmp_path) as cache:
        cache.set("text", 'Grüße, 🔑 and "\u2028')
        cache.set("bytes", b"\x00\xff")
        cache.set("json", {"a": [1, 2.5, -0.0, None, True, {"ü": "\n\x01\ud800"}], "large": 2**53 - 1, "exponent": 1e300})
        cache.set("number", 7)
        cache.set("nothing", None)
        cache.set("tuple", (1, 2))
        cache.set("soon", "gone", ttl=3600)
        cache.set("ended", "gone", ttl=0.001)
    found = node(
        tmp_path,
        """
        const json = await cache.get("json");
        const bytes = await cache.get("bytes");
        return {
          text: await cache.get("text"),
          bytes: [Buffer.isBuffer(bytes), bytes.toString("hex")],
          json,
          isMinusZero: Object.is(json.a[2], -0),
          number: await cache.get("number"),
          nothing: (await cache.get("nothing")) === null,
          tuple: Buffer.isBuffer(await cache.get("tuple")),
          soon: (await cache.ttl("soon")) > 3000000,
          ended: (await cache.get("ended")) === undefined,
          count: await cache.increment("number", 5),
          then: await cache.get("number"),
        };
        """,
    )
    assert found == {
        "text": 'Grüße, 🔑 and "\u2028',
        "bytes": [True, "00ff"],
        "json": {"a": [1, 2.5, 0, None, True, {"ü": "\n\x01\ud800"}], "large": 2**53 - 1, "exponent": 1e300},
        "isMinusZero": True,
        "number": 7,
        "nothing": True,
        "tuple": True,
        "soon": True,
        "ended": True,
        "count": 12,
        "then": 12,
    }
    with Cache(dir=tmp_path, recover="strict") as cache:
        assert cache.get("tuple") == (1, 2)
        assert cache.incr("number") == 13


def test_python_reads_what_node_wrote(tmp_path: Path) -> None:
    node(
        tmp_path,
        """
        await cache.set("text", 'Grüße, 🔑 and "\\u2028');
        await cache.set("half", "\\ud800");
        await cache.set("bytes", Buffer.from([0, 255]));
        await cache.set("json", { a: [1, 2.5, null, true, { ü: "\\n\\u0001" }], n: 2 ** 53 - 1, huge: 1e21 });
        await cache.set("number", 7);
        await cache.increment("count", 41);
        await cache.set("clone", new Map([[1, 2]]));
        await cache.set("soon", "v", { ttl: 3600000 });
        await cache.set("tagged", "v", { tags: ["t"] });
        """,
    )
    with Cache(dir=tmp_path, recover="strict") as cache:
        assert cache.get("text") == 'Grüße, 🔑 and "\u2028'
        assert cache.get("half") == "\ud800"
        assert cache.get("bytes") == b"\x00\xff"
        assert cache.get("json") == {"a": [1, 2.5, None, True, {"ü": "\n\x01"}], "n": 2**53 - 1, "huge": 1e21}
        number = cache.get("number")
        assert (number, type(number)) == (7, int)
        # A counter of Node's is text, and stays one that Node can go on with.
        assert cache.incr("count") == 42
        assert cache.get("count") == "42"
        left = cache.ttl("soon")
        assert isinstance(left, float)
        assert 3000 < left <= 3600
        with pytest.raises(DecodeError, match="structured clone, which only Node can read"):
            cache.get("clone")
        with pytest.raises(DecodeError, match="tags to invalidate it by"):
            cache.get("tagged")
        cache.set("text", "from Python")
    assert node(tmp_path, 'return [await cache.get("text"), await cache.increment("count", 1), (await cache.get("clone")).get(1)];') == [
        "from Python",
        43,
        2,
    ]


def test_json_of_python_is_what_node_writes(tmp_path: Path) -> None:
    values = [[], {}, "a", ['\x00\x1f"\\/\b\f\n\r\t\x7f\u2028é🔑\ud800'], {"b": 1, "a": [True, False, None, -5]}, 2**53 - 1, None, True]
    with Cache(dir=tmp_path / "python") as cache:
        for number, value in enumerate(values):
            cache.set(str(number), value)
    program = "for (const [number, value] of VALUES.entries()) await cache.set(String(number), value);"
    node(tmp_path / "node", program.replace("VALUES", json.dumps(values)))
    listed = [
        subprocess.run([daemon(), "inspect", str(tmp_path / name), "--keys"], capture_output=True, check=True).stdout
        for name in ("python", "node")
    ]
    # Keys, tags and lengths; then the bytes themselves.
    assert listed[0] == listed[1]
    keys = [str(number) for number in range(len(values))]
    requests = [["--protocol", "2", "get", key] for key in keys]
    assert shell(tmp_path / "python", *requests) == shell(tmp_path / "node", *requests)


def test_a_shell_reads_and_writes_beside_python(tmp_path: Path) -> None:
    with Cache(dir=tmp_path) as cache:
        cache.set("from-python", "hello")
    told = shell(tmp_path, ["get", "from-python"], ["insert", "from-shell", "hi"])
    assert "hello" in told
    with Cache(dir=tmp_path, recover="strict") as cache:
        assert cache.get("from-shell") == "hi"
        assert dict(cache.items()) == {"from-python": "hello", "from-shell": "hi"}
