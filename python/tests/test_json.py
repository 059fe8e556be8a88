"""What is stored as JSON is read as `json.loads` reads it, whoever wrote it: the same value, of the same types, or the same error."""

from __future__ import annotations

import gc
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import journal
from rustcache import Cache, DecodeError


def shape(value: Any) -> str:
    """The value with the types of all its parts, in their order; `nan` is the same as `nan`."""
    if isinstance(value, list):
        return f"[{','.join(map(shape, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{shape(key)}:{shape(item)}' for key, item in value.items())}}}"
    return f"{type(value).__name__} {value!r}"


def read(made: list[bytes]) -> list[Any]:
    """What a cache gives for each of these as JSON: a value, or a `DecodeError`."""
    found: list[Any] = []
    with tempfile.TemporaryDirectory() as scratch:
        journal.write(Path(scratch) / "cache", [(str(at).encode(), 2, one) for at, one in enumerate(made)])
        with Cache(dir=Path(scratch) / "cache", recover="strict", sync="never", last_snapshot_within=0) as cache:
            for at in range(len(made)):
                try:
                    found.append(cache.get(str(at)))
                except DecodeError as error:
                    found.append(error)
    return found


def check(made: list[bytes]) -> None:
    for one, found in zip(made, read(made), strict=True):
        expected = expect(one)
        if not isinstance(expected, Exception):
            assert shape(found) == shape(expected), one
            continue
        assert isinstance(found, DecodeError), (one, found)
        assert str(found) == "the value cannot be read: it is stored as JSON, and is none", one
        # Bytes that are no text have a cause in Rust's words.
        if not isinstance(expected, UnicodeDecodeError):
            cause = found.__cause__
            assert (type(cause), str(cause)) == (type(expected), str(expected)), one


def expect(made: bytes) -> Any:
    try:
        return json.loads(made.decode())
    except (ValueError, RecursionError) as error:
        return error


blanks = st.text(" \t\r\n", max_size=2)
numbers = (
    st.integers().map(str)
    | st.integers(2**53 - 2, 2**64 + 2).map(str)
    | st.integers(-(2**64), -(2**53)).map(str)
    | st.integers(-30, 4400).map(lambda digits: "-" * (digits % 2) + "1" + "7" * digits)
    | st.floats().map(json.dumps)
    | st.from_regex(r"\A-?[0-9]{1,25}(\.[0-9]{0,25})?([eE][+-]?[0-9]{0,3})?\Z")
    | st.builds(lambda digits, power: f"{digits}e{power}", st.integers(-(10**30), 10**30), st.integers(-400, 400))
)
escapes = st.sampled_from(
    [r"\"", r"\\", r"\/", r"\b", r"\f", r"\n", r"\r", r"\t", r"\u0000", r"\u00e9", r"\U0041", r"\x", "\\", "\x00", "\n"]
)
halves = st.builds(
    lambda digits, low: rf"\u{'d' if low % 2 else 'D'}{digits}{low:02x}", st.sampled_from("89abcdefABCD7"), st.integers(0, 255)
)
strings = (
    st.text(st.characters(exclude_categories=["Cs"])).map(lambda text: json.dumps(text, ensure_ascii=False))
    | st.text(st.characters()).map(json.dumps)
    | st.lists(escapes | halves | st.text("aé€😀", max_size=3), max_size=6).map(lambda parts: f'"{"".join(parts)}"')
)
# Some that are alike, and as long as those that are kept, or longer by one.
names = strings | st.text("a\0", max_size=3).map(json.dumps) | st.integers(22, 26).map(lambda count: json.dumps("n" * count))
words = st.sampled_from(
    ["null", "true", "false", "NaN", "Infinity", "-Infinity", "-NaN", "nul", "True", "-", "-0", "-0.0", "+1", "01", ".5", ""]
)


def spaced(begin: str, parts: list[str], end: str, blank: str) -> str:
    return f"{blank}{begin}{blank}{f'{blank},{blank}'.join(parts)}{blank}{end}{blank}"


texts = st.recursive(
    numbers | strings | words,
    lambda inner: (
        st.builds(spaced, st.just("["), st.lists(inner, max_size=5), st.just("]"), blanks)
        | st.builds(
            spaced, st.just("{"), st.lists(st.builds(lambda name, value: f"{name}:{value}", names, inner), max_size=5), st.just("}"), blanks
        )
    ),
    max_leaves=12,
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(made=st.lists(texts.map(str.encode), min_size=5, max_size=20))
def test_a_text_is_what_python_reads_it_as(made: list[bytes]) -> None:
    check(made)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    made=st.lists(
        st.builds(
            lambda text, at, byte: text[:at] + byte + text[at + 1 :], texts.map(str.encode), st.integers(0, 30), st.binary(max_size=2)
        ),
        min_size=5,
        max_size=20,
    )
)
def test_bytes_that_are_no_text_or_no_json_are_the_error_that_python_raises(made: list[bytes]) -> None:
    check(made)


@pytest.mark.parametrize(
    "text",
    [
        *["-0", "-0.0", "0e0", "-0e5", "1e400", "-1e400", "1e-400", "5e-324", "2.4703282292062328e-324", "1.7976931348623159e308"],
        *["9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "18446744073709551615"],
        *["18446744073709551616", "18446744073709551616.0", "9223372036854775808.0", "9007199254740993", "9007199254740993.0"],
        *["1" * 4300, "1" * 4301, "0." + "1" * 5000, "8.5e0000000000000000000000001", "123456789012345678901234567890e-30"],
        *[r'"\ud800"', r'"\ud83d\ude00"', r'"\ude00\ud83d"', r'"\ud800\ud83d\ude00"', r'{"\ud800": "\udfff"}', '"\x7f"', '"\u2028"'],
        *['{"a": 1, "b": 2, "a": 3}', '{"": {"": {}}}', '{"a\\u0000": 1, "a": 2}', "[NaN, Infinity, -Infinity]", "[1,]", '{"a":1,}'],
        *["", " ", "1 2", "[1]]", "\ufeff1", "[", '"', '"\t"', "\x0b1", "{1: 2}", "{'a': 1}", "[1, 2", '{"a" 1}', "nulll"],
        *["[" * depth + "]" * depth for depth in (100, 126, 127, 128, 129, 400)],
        '{"a":' * 200 + "1" + "}" * 200,
    ],
)
def test_what_readers_disagree_about_is_read_as_python_does(text: str) -> None:
    check([text.encode()])


def test_equal_names_are_one_object_so_that_many_dicts_take_little(tmp_path: Path) -> None:
    cache = Cache(dir=tmp_path)
    cache.set("key", [{"a name": number} for number in range(3)])
    found = cache.get("key")
    assert isinstance(found, list)
    assert len({id(name) for item in found for name in item}) == 1


@pytest.mark.parametrize(
    "names",
    [
        ["type", "quantity"],
        ["a name of thirty letters, or so"],
        ["имя из тринадцати букв", "\0", "\0\0", ""],
        [f"{number}" for number in range(3000)],
    ],
    ids=["that clash", "long", "other letters", "many"],
)
def test_each_name_is_one_object_within_one_document(tmp_path: Path, names: list[str]) -> None:
    cache = Cache(dir=tmp_path)
    value = [{name: at for at, name in enumerate(names)} for _ in range(3)]
    cache.set("key", [value, list(reversed(value))])
    cache.set("between", {name[::-1]: 1 for name in names})
    for _ in range(3):
        found = cache.get("key")
        assert found == [value, value]
        assert len({id(name) for part in found for item in part for name in item}) == len(names)
        cache.get("between")


def test_what_runs_while_json_is_read_may_read_json(tmp_path: Path) -> None:
    cache = Cache(dir=tmp_path)
    values = {key: [{f"{key} {number % 7}": number} for number in range(50)] for key in ("outer", "inner")}
    for key, value in values.items():
        cache.set(key, value)
    inner = []

    class ReadsAtItsEnd:
        def __init__(self) -> None:
            self.cycle = self

        def __del__(self) -> None:
            inner.append(cache.get("inner"))

    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(20):
            ReadsAtItsEnd()
            assert cache.get("outer") == values["outer"]
    finally:
        gc.set_threshold(*before)
    gc.collect()
    assert inner == [values["inner"]] * 20
