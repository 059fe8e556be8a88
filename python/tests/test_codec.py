"""Values come back from a directory as what they were, or are refused: of the same type, and never by running code."""

from __future__ import annotations

import contextlib
import datetime
import decimal
import enum
import json
import pickle
import re
import struct
import tempfile
import uuid
from collections import OrderedDict, namedtuple
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import journal
from rustcache import CACHE_MISS, Cache, DecodeError

UTC = datetime.timezone.utc


def shape(value: Any) -> str:
    """The value with the types of all its parts. `nan` is the same as `nan`, 0.0 not as -0.0, and the order of a set does not matter."""
    name = type(value).__name__
    if isinstance(value, (set, frozenset)):
        return f"{name}{sorted(map(shape, value))}"
    if isinstance(value, (list, tuple)):
        return f"{name}{list(map(shape, value))}"
    if isinstance(value, dict):
        return f"{name}{[(shape(key), shape(item)) for key, item in value.items()]}"
    return f"{name} {value!r}"


def same(one: Any, other: Any) -> bool:
    return shape(one) == shape(other)


def unfolded(time: Any) -> Any:
    """Not the second time that a clock shows it, which ISO 8601 has no word for: that is refused, see below."""
    return time.replace(fold=0)


texts = st.text(st.characters(), max_size=20)
json_leaves = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False) | texts
json_values = st.recursive(
    json_leaves, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5), max_leaves=30
)
hashable = (
    json_leaves
    | st.integers()
    | st.floats()
    | st.binary(max_size=20)
    | st.decimals().filter(lambda number: not number.is_snan())  # Which has no hash.
    | st.uuids()
    | st.complex_numbers()
    | st.dates()
    | st.times().map(unfolded)
    | st.datetimes().map(unfolded)
    | st.datetimes(timezones=st.just(UTC)).map(unfolded)
    | st.timedeltas()
)
keys = st.recursive(hashable, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=5)
values = st.recursive(
    hashable | st.builds(bytearray, st.binary(max_size=10)),
    lambda inner: (
        st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(keys, inner, max_size=4) | st.sets(keys, max_size=4)
    ),
    max_leaves=20,
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("codec")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(value=values)
def test_plain_data_comes_back_as_what_it_was(directory: Path, value: Any) -> None:
    with Cache(dir=directory / "auto", sync="never") as cache:
        cache.set("key", value)
        assert same(cache.get("key"), value), cache.get("key")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(entries=st.dictionaries(texts.filter(lambda text: not has_surrogates(text)) | st.binary(max_size=10), values, max_size=10))
@pytest.mark.parametrize("codec", ["auto", "msgpack"])
def test_plain_data_comes_back_after_a_restart(directory: Path, codec: Any, entries: dict[Any, Any]) -> None:
    # Text is the same key as its UTF-8.
    entries = {key.encode() if isinstance(key, str) else key: value for key, value in entries.items()}
    with Cache(dir=directory / codec, codec=codec, sync="never") as cache:
        cache.clear()
        cache.set_many(entries)
    with Cache(dir=directory / codec, codec=codec, sync="never", recover="strict") as cache:
        assert len(cache) == len(entries)
        for key, value in entries.items():
            assert same(cache.get(key), value), (key, value, cache.get(key))


def has_surrogates(text: str) -> bool:
    return any(0xD800 <= ord(character) < 0xE000 for character in text)


def joins_surrogates(value: Any) -> bool:
    return re.search("[\ud800-\udbff][\udc00-\udfff]", json.dumps(value, ensure_ascii=False)) is not None


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(value=json_values)
def test_what_json_can_hold_is_json(directory: Path, value: Any) -> None:
    with Cache(dir=directory / "json", codec="json", sync="never") as cache:
        if joins_surrogates(value):
            with pytest.raises(TypeError, match="two surrogates that JSON would join"):
                cache.set("key", value)
            return
        cache.set("key", value)
        assert same(cache.get("key"), value), cache.get("key")


class Color(enum.IntEnum):
    RED = 1


class Text(str):
    pass


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ({"a": [1, object()]}, r"value\['a'\]\[1\] is of the type object"),
        ([Color.RED], r"value\[0\] is of the type .*Color"),
        (Text("a"), r"value is of the type .*Text"),
        (Point(1, 2), r"value is of the type .*Point"),
        (OrderedDict(a=1), r"value is of the type collections.OrderedDict"),
        ({(1, Text("a")): 1}, r"value's key \[\(1, 'a'\)\]\[1\] is of the type .*Text"),
        (datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=1), "Here")), "more than its text says"),
        (datetime.datetime(2020, 1, 1, fold=1), "more than its text says"),
        (print, "of the type builtin_function_or_method"),
    ],
)
def test_what_is_no_plain_data_is_refused_by_path_and_type(tmp_path: Path, value: Any, complaint: str) -> None:
    cache = Cache(dir=tmp_path)
    cache.set("key", "before")
    with pytest.raises(TypeError, match=complaint):
        cache.set("key", value)
    assert cache.get("key") == "before"


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ({"a": (1, 2)}, r"value\['a'\] is of the type tuple"),
        ([b"a"], r"value\[0\] is of the type bytes"),
        ({1: 2}, r"value is a dict with a key of the type int \(1\)"),
        ([2**53], r"value\[0\] is an int beyond 2\*\*53 - 1"),
        (-(2**63), r"value is an int beyond"),
        ([float("nan")], r"value\[0\] is the float NaN"),
        (["\ud83d\ude00"], r"two surrogates that JSON would join"),
    ],
)
def test_json_alone_refuses_what_others_would_read_as_something_else(tmp_path: Path, value: Any, complaint: str) -> None:
    with pytest.raises(TypeError, match=complaint):
        Cache(dir=tmp_path / "json", codec="json").set("key", value)
    cache = Cache(dir=tmp_path / "auto")
    cache.set("key", value)
    assert same(cache.get("key"), value)


@pytest.mark.parametrize("codec", ["auto", "json", "msgpack"])
def test_what_is_cyclic_or_too_deep_is_refused(tmp_path: Path, codec: Any) -> None:
    cache = Cache(dir=tmp_path, codec=codec)
    cyclic: list[Any] = []
    cyclic.append(cyclic)
    named: dict[str, Any] = {}
    named["again"] = named
    for value in (cyclic, named):
        with pytest.raises(TypeError, match="nested more than 100 deep"):
            cache.set("key", value)
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    cache.set("key", deep)
    assert cache.get("key") == deep


class Exploding:
    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('it was unpickled')",))


def test_what_is_pickled_is_never_unpickled_unless_that_is_asked_for_by_name(tmp_path: Path) -> None:
    with Cache(dir=tmp_path, codec="pickle") as cache:
        cache.set("bad", Exploding())
        cache.set("set", Color.RED)
        assert cache.get("set") is Color.RED
    for options in ({}, {"codec": "json"}, {"codec": "msgpack"}, {"serializer": bytes, "deserializer": bytes}):
        with Cache(dir=tmp_path, **options) as cache:  # type: ignore[arg-type]
            for key in ("bad", "set"):
                with pytest.raises(DecodeError, match='open the directory with codec="pickle"'):
                    cache.get(key)
                with pytest.raises(DecodeError):
                    cache.incr(key)
    with Cache(dir=tmp_path, codec="pickle") as cache, pytest.raises(SystemExit):
        cache.get("bad")


def test_callables_of_the_users_write_what_only_they_read(tmp_path: Path) -> None:
    with Cache(dir=tmp_path, serializer=lambda value: str(value).encode(), deserializer=lambda made: int(made)) as cache:
        cache.set("number", 42)
        assert cache.get("number") == 42
        assert cache.incr("number") == 43
    with Cache(dir=tmp_path) as cache:
        cache.set("bytes", b"not theirs")
        with pytest.raises(DecodeError, match="tag 128.*deserializer"):
            cache.get("number")
    with Cache(dir=tmp_path, serializer=lambda value: str(value).encode(), deserializer=lambda made: int(made)) as cache:
        assert cache.get("number") == 43
        assert cache.get("bytes") == b"not theirs"


def test_every_codec_reads_what_the_others_have_written_but_for_pickle(tmp_path: Path) -> None:
    written = {"auto": (1, 2), "json": [1, 2], "msgpack": [1, 2], "text": "a", "bytes": b"a"}
    for codec in ("auto", "json", "msgpack"):
        with Cache(dir=tmp_path, codec=codec) as cache:  # type: ignore[arg-type]
            cache.set(codec, written[codec])
            cache.set_many({"text": "a", "bytes": b"a"})
    for codec in ("auto", "json", "msgpack", "pickle"):
        with Cache(dir=tmp_path, codec=codec) as cache:  # type: ignore[arg-type]
            assert dict(cache.items()) == written


def test_a_codec_can_be_had_without_a_directory() -> None:
    cache = Cache(codec="json")
    with pytest.raises(TypeError, match="of the type tuple"):
        cache.set("key", (1,))
    cache.set("key", [1])
    assert cache.get("key") == [1]
    assert pickle.loads(pickle.dumps(cache)).get("key") is CACHE_MISS
    with pytest.raises(TypeError, match="of the type tuple"):
        pickle.loads(pickle.dumps(cache)).set("key", (1,))


@settings(max_examples=60, deadline=None)
@given(garbage=st.lists(st.tuples(st.just(5) | st.integers(0, 255), st.binary(max_size=40)), max_size=20))
def test_garbage_under_any_tag_is_a_value_or_an_error_and_never_harms(garbage: list[tuple[int, bytes]]) -> None:
    for tag, made in garbage:
        with contextlib.suppress(DecodeError):
            read(tag, made)


def read(tag: int, made: bytes) -> Any:
    with tempfile.TemporaryDirectory() as scratch:
        journal.write(Path(scratch) / "cache", [(b"key", tag, made)])
        with Cache(dir=Path(scratch) / "cache", recover="strict", sync="never", last_snapshot_within=0) as cache:
            assert len(cache) == 1
            return cache.get("key")


@pytest.mark.parametrize(
    ("tag", "made", "expected"),
    [
        # A timestamp of 32 bits, which is none of ours; arrays that claim more than there is; text that is none; what follows a value.
        (5, b"\xd6\xff\x00\x00\x00\x00", "extension -1"),
        (5, b"\xdd\xff\xff\xff\xff", "ends too early"),
        (5, b"\xa1\xff", "a text in it is none"),
        (5, b"\x01\x01", "1 bytes follow it"),
        (5, b"\xc1", "the byte c1"),
        (5, b"\x91" * 1000, "nested more than 200 deep"),
        (5, b"\x81\x90\x01", "nothing can be made of it"),
        (5, b"\xd4\x01\x01", "the extension 1 in it is no array"),
        (2, b"{", "stored as JSON, and is none"),
        (2, b"\xff", "stored as JSON, and is none"),
        (2, b"[" * 100_000, "stored as JSON, and is none"),
        (3, b"\xff\x0f", "a structured clone, which only Node can read"),
        (6, b"\x05a", "no media type in front of it"),
        (7, b"", "the tag 7, which this version of rustcache does not know"),
        (127, b"", "the tag 127"),
        (200, b"", "the tag 200, for which whoever wrote it had a codec of his own"),
        (64, b"", "the tag 64, which this version"),
        (65, b"\x01", "ends within what is wrapped around it"),
        (66, b"\x01", "compressed with brotli"),
        (69, b"\x01", "compressed with zstd"),
        (70, b"\x01", "compressed in a way"),
        (65, b"\x01" + bytes(16) + b"\x01", "carries tags to invalidate it by"),
        (65, b"\x41" + bytes(17), "wrapped as well"),
    ],
)
def test_what_others_have_written_and_cannot_be_read_is_named(tag: int, made: bytes, expected: str) -> None:
    with pytest.raises(DecodeError, match=expected):
        read(tag, made)


def test_what_others_have_written_is_read_by_its_tag() -> None:
    now_to_ever = bytes(8) + struct.pack("<Q", 2**53 - 1) + b"\x00"
    assert read(0, b"\xff") == b"\xff"
    assert read(1, "ü".encode()) == "ü"
    assert read(1, b"\xff") == b"\xff"
    assert read(2, b'{"a":[1,2.5,null]}') == {"a": [1, 2.5, None]}
    assert read(6, b"\x09image/png\x89PNG") == b"\x89PNG"
    assert read(65, b"\x01" + now_to_ever + b"v") == "v"
    # Stale: a miss.
    assert read(65, b"\x01" + bytes(17) + b"v") is CACHE_MISS


def test_decimals_and_uuids_keep_every_digit(tmp_path: Path) -> None:
    cache = Cache(dir=tmp_path)
    for value in (decimal.Decimal("1.10"), decimal.Decimal("-0"), decimal.Decimal("sNaN123"), uuid.UUID(int=0), 10**400):
        cache.set("key", [value])
        assert repr(cache.get("key")) == repr([value])


@pytest.mark.parametrize("codec", ["auto", "json", "msgpack"])
def test_an_error_says_where_a_value_is_refused_and_does_not_repeat_all_of_it(codec: Any) -> None:
    nested: Any = object()
    for _ in range(90):
        nested = frozenset([nested])
    cache = Cache(codec=codec)
    for value in (
        nested,
        {("secret " * 100_000,): object()},
        {"ü" * 1000: object()},
        {(1,) * 1000: 1, "x": object()},
        {"k": {"short": object()}},
    ):
        with pytest.raises(TypeError, match="cannot be stored so that it comes back the same") as caught:
            cache.set("key", value)
        assert len(str(caught.value)) < 10_000
    assert "value['k']['short'] is" in str(caught.value)
