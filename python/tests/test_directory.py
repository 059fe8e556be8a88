"""What a `Cache` in a directory promises."""

from __future__ import annotations

import copy
import errno
import gc
import logging
import os
import pickle
import threading
from pathlib import Path

import pytest

from rustcache import (
    CACHE_MISS,
    Cache,
    DecodeError,
    DirectoryError,
    DirectoryInUseError,
    DiskError,
    Storage,
)
from waiting import until


def journal_of(directory: Path) -> Path:
    return max(directory.glob("journal-*"))


def test_what_was_written_is_there_when_the_directory_is_opened_again(tmp_path: Path) -> None:
    with Cache(dir=tmp_path) as cache:
        cache.set("text", "Ada")
        cache.set(b"\xff", b"\x00")
        cache.set_many({f"key:{number}": number for number in range(1000)})
        cache.delete("key:7")
        assert cache.incr("count", 41) == 41
        assert cache.add("text", "Grace") is False
        assert cache.pop("key:8") == 8
        assert cache.touch("key:9", ttl=0)
        cache.set("soon", 1, ttl=3600)
    with Cache(dir=str(tmp_path)) as cache:
        assert cache.get("text") == "Ada"
        assert cache.get(b"\xff") == b"\x00"
        assert cache.incr("count") == 42
        assert [key for key in ("key:6", "key:7", "key:8", "key:9", "key:10") if key in cache] == ["key:6", "key:10"]
        assert len(cache) == 1001
        left = cache.ttl("soon")
        assert isinstance(left, float)
        assert 3000 < left <= 3600
        stats = cache.stats().directory
        assert stats is not None
        assert (stats.recovered, stats.dropped_records, stats.damaged_files, stats.report, stats.failure) == (1001, 0, [], "", None)


def test_a_cache_that_is_dropped_gives_its_directory_up(tmp_path: Path) -> None:
    cache = Cache(dir=tmp_path)
    cache.set("a", 1)
    del cache
    gc.collect()
    assert Cache(dir=tmp_path, lock_patience=0).get("a") == 1


def test_one_cache_has_a_directory_and_the_second_is_told_who(tmp_path: Path) -> None:
    with Cache(dir=tmp_path), pytest.raises(DirectoryInUseError, match=f"{tmp_path} is in use by another cache of this process") as caught:
        Cache(dir=tmp_path)
    assert isinstance(caught.value, OSError)
    assert (caught.value.pid, caught.value.directory) == (os.getpid(), tmp_path)
    assert pickle.loads(pickle.dumps(caught.value)).pid == os.getpid()
    Cache(dir=tmp_path).close()


def test_what_cannot_be_a_directory_is_an_oserror_that_names_it(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(DirectoryError, match=str(file)) as caught:
        Cache(dir=file)
    assert isinstance(caught.value, OSError)
    assert caught.value.directory == file
    assert caught.value.errno == errno.EEXIST


def test_closed_means_no_writes_and_reads_from_memory(tmp_path: Path) -> None:
    cache = Cache(dir=tmp_path)
    cache.set("a", 1)
    cache.close()
    cache.close()
    assert cache.closed
    assert cache.get("a") == 1
    stats = cache.stats().directory
    assert stats is not None
    assert stats.failure is None
    for write in (
        lambda: cache.set("a", 2),
        lambda: cache.delete("a"),
        lambda: cache.incr("a"),
        cache.clear,
        lambda: cache.clear_prefix("a"),
    ):
        with pytest.raises(RuntimeError, match="Storage is closed"):
            write()
    assert Cache(dir=tmp_path).get("a") == 1


def test_limits_hold_in_a_directory_too(tmp_path: Path) -> None:
    cache = Cache(dir=tmp_path, max_items=10)
    for number in range(100):
        cache.set(str(number), number)
    cache.close()
    cache = Cache(dir=tmp_path, max_items=5)
    assert sorted(cache.keys()) == ["95", "96", "97", "98", "99"]


@pytest.mark.parametrize("sync", ["always", "everysec", "never"])
def test_a_copy_of_the_files_has_what_calls_have_returned_from(tmp_path: Path, sync: str) -> None:
    # As the death of the process would leave them.
    original, dead = tmp_path / "original", tmp_path / "dead"
    cache = Cache(dir=original, sync=sync)  # type: ignore[arg-type]
    cache.set("a", 1)
    cache.set_many({"b": 2, "c": 3})
    cache.delete("b")
    dead.mkdir()
    for file in original.iterdir():
        (dead / file.name).write_bytes(file.read_bytes())
    with Cache(dir=dead) as copied:
        assert dict(copied.items()) == {"a": 1, "c": 3}


def test_flush_and_snapshot_write_and_sync(tmp_path: Path) -> None:
    cache = Cache(dir=tmp_path, sync="never")
    cache.set("a", 1)

    def directory() -> tuple[int, int, int]:
        stats = cache.stats().directory
        assert stats is not None
        return stats.journal_syncs, stats.snapshots, stats.journal_bytes_since_snapshot

    assert directory()[0] == 0
    cache.flush()
    assert directory()[0] == 1
    assert directory()[2] > 0
    cache.snapshot()
    assert directory()[1:] == (1, 0)


def test_without_a_directory_flush_and_snapshot_have_nothing_to_do() -> None:
    cache = Cache()
    cache.flush()
    cache.snapshot()
    assert cache.dir is None
    assert cache.stats().directory is None


@pytest.mark.parametrize("is_in_directory", [True, False])
def test_after_close_there_is_nothing_to_flush_as_there_is_nothing_to_write(tmp_path: Path, is_in_directory: bool) -> None:
    cache = Cache(dir=tmp_path if is_in_directory else None)
    cache.close()
    for operation in (cache.flush, cache.snapshot, cache.clear):
        with pytest.raises(RuntimeError, match="^Storage is closed$"):
            operation()


def test_the_path_is_absolute_whatever_the_program_changes_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Cache(dir="here").dir == tmp_path / "here"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"sync": "sometimes"}, 'sync is "sometimes", and has to be always, everysec or never'),
        ({"recover": "all"}, 'recover is "all", and has to be valid or strict'),
        ({"on_disk_error": "exit"}, 'on_disk_error is "exit", and has to be refuse or memory'),
        ({"snapshot_after": -1}, "snapshot_after cannot be negative, and is -1"),
        ({"snapshot_every": 0}, "snapshot_every must be positive"),
        ({"last_snapshot_within": -1}, "last_snapshot_within cannot be negative"),
        ({"lock_patience": float("nan")}, "lock_patience has to be a finite number"),
        ({"codec": "yaml"}, 'there is no codec "yaml"'),
        ({"codec": "json", "serializer": str}, "codec and serializer exclude each other"),
        ({"serializer": pickle.dumps}, "serializer and deserializer need each other"),
        ({"deserializer": pickle.loads}, "serializer and deserializer need each other"),
    ],
)
def test_options_are_checked_and_nothing_is_made(tmp_path: Path, options: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Cache(dir=tmp_path / "new", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["sync", "recover", "on_disk_error"])
def test_options_of_a_directory_need_one(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is about a directory"):
        Cache(**{name: "always"})  # type: ignore[arg-type]


def test_objects_by_reference_have_no_directory(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"objects by reference.*Cache\(dir"):
        Storage(dir=tmp_path)  # type: ignore[arg-type]


def test_a_cache_in_a_directory_cannot_be_copied(tmp_path: Path) -> None:
    cache = Cache(dir=tmp_path)
    for make in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="neither copied nor pickled"):
            make(cache)


def test_a_torn_end_is_cut_off_and_a_damaged_record_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torn = tmp_path / "torn"
    cache = Cache(dir=torn, last_snapshot_within=0)
    cache.set_many({f"key:{number}": "v" * 100 for number in range(50)})
    cache.close()
    whole = journal_of(torn).read_bytes()
    journal_of(torn).write_bytes(whole + b"\x01\x02\x03")
    with Cache(dir=torn) as cache:
        assert len(cache) == 50
        stats = cache.stats().directory
        assert stats is not None
        assert (stats.dropped_records, stats.damaged_files) == (0, [])

    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    journal = damaged / f"journal-{1:020}"
    journal.write_bytes(flipped)
    before = journal.read_bytes()
    with pytest.raises(DirectoryError, match=r'there is damage: .*recover="valid"'):
        Cache(dir=damaged, recover="strict")
    assert journal.read_bytes() == before
    assert {file.name for file in damaged.iterdir()} <= {journal.name, "lock"}
    with caplog.at_level(logging.WARNING, logger="rustcache"), Cache(dir=damaged) as cache:
        assert 40 <= len(cache) < 50
        assert all(value == "v" * 100 for value in cache.values())
        stats = cache.stats().directory
        assert stats is not None
        assert stats.dropped_records >= 1
        assert [file.name for file in stats.damaged_files] == [journal.name]
        assert stats.report
    assert journal.name in caplog.text


def test_files_that_do_not_belong_there_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "journal-1").write_bytes(b"\x00garbage")
    (tmp_path / "snapshot-x").write_bytes(os.urandom(100))
    with Cache(dir=tmp_path) as cache:
        cache.set("a", 1)
        cache.snapshot()
    with Cache(dir=tmp_path) as cache:
        assert dict(cache.items()) == {"a": 1}
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / "journal-1").read_bytes() == b"\x00garbage"


def test_garbage_under_the_names_of_files_is_tolerated_and_set_aside(tmp_path: Path) -> None:
    (tmp_path / f"journal-{7:020}").write_bytes(os.urandom(1000))
    (tmp_path / f"snapshot-{7:020}").write_bytes(os.urandom(1000))
    with Cache(dir=tmp_path) as cache:
        assert len(cache) == 0
        cache.set("a", 1)
    with Cache(dir=tmp_path) as cache:
        assert dict(cache.items()) == {"a": 1}


def test_a_listener_is_told_of_what_is_evicted_while_others_write(tmp_path: Path) -> None:
    told: list[tuple[object, object, str]] = []
    cache = Cache(dir=tmp_path, max_items=100, eviction_listener=lambda *entry: told.append(entry))
    threads = [threading.Thread(target=lambda begin=begin: [cache.set(f"{begin}:{n}", n) for n in range(500)]) for begin in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 4 * 500 - 100
    assert {cause for _, _, cause in told} == {"max_items"}
    assert all(str(key).endswith(f":{value}") for key, value, _ in told)


def test_other_threads_go_on_while_one_waits_for_the_disk(tmp_path: Path) -> None:
    cache = Cache(dir=tmp_path, sync="always")
    written = 0
    stop = threading.Event()

    def write() -> None:
        nonlocal written
        while not stop.is_set():
            cache.set("key", "v" * 10_000)
            written += 1

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    # The interpreter is not held by those that sync: this thread comes to its turn, and so do all of them.
    until(lambda: written > 30)
    assert cache.get("key") == "v" * 10_000
    stop.set()
    for writer in writers:
        writer.join()


def test_what_expires_in_a_directory_is_gone_and_does_not_come_back(tmp_path: Path) -> None:
    with Cache(dir=tmp_path) as cache:
        cache.set("soon", 1, ttl=0.05)
        cache.set("later", 2, ttl=3600)
        until(lambda: "soon" not in cache)
    with Cache(dir=tmp_path) as cache:
        assert cache.get("soon") is CACHE_MISS
        assert cache.get("later") == 2


def test_a_disk_that_has_failed_refuses_writes_serves_reads_and_heals_by_a_snapshot(tmp_path: Path) -> None:
    cache = Cache(dir=tmp_path)
    cache.set("a", 1)
    # A directory that is gone cannot have a new generation, and a journal that was closed under it cannot be written: the descriptor of the
    # journal now leads to a device without room.
    journal = journal_of(tmp_path)
    descriptor = next(int(name) for name in os.listdir("/proc/self/fd") if os.path.realpath(f"/proc/self/fd/{name}") == str(journal))
    healthy = os.dup(descriptor)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, descriptor)
    os.close(full)
    with pytest.raises(DiskError, match="No space left on device") as caught:
        cache.set("a", 2)
    assert (caught.value.maybe_applied, caught.value.errno) == (True, errno.ENOSPC)
    assert caught.value.directory == tmp_path
    with pytest.raises(DiskError, match="writes are refused") as caught:
        cache.set("a", 3)
    assert caught.value.maybe_applied is False
    with pytest.raises(DiskError):
        cache.set_many({"b": 1})
    with pytest.raises(DiskError):
        cache.flush()
    with pytest.raises(DiskError):
        cache.delete("a")
    stats = cache.stats().directory
    assert stats is not None
    assert "No space left" in str(stats.failure)
    os.close(healthy)
    cache.snapshot()
    cache.set("a", 4)
    cache.close()
    assert Cache(dir=tmp_path).get("a") == 4


def test_memory_goes_on_without_the_disk_if_that_is_asked_for(tmp_path: Path) -> None:
    cache = Cache(dir=tmp_path, on_disk_error="memory")
    journal = journal_of(tmp_path)
    descriptor = next(int(name) for name in os.listdir("/proc/self/fd") if os.path.realpath(f"/proc/self/fd/{name}") == str(journal))
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, descriptor)
    os.close(full)
    cache.set("a", 1)
    cache.set("b", 1)
    assert cache.delete("b")
    assert cache.get("a") == 1
    stats = cache.stats().directory
    assert stats is not None
    assert stats.failure


def test_a_prefix_is_cleared_on_disk_too(tmp_path: Path) -> None:
    with Cache(dir=tmp_path) as cache:
        cache.set_many({"page:1": 1, "page:2": 2, "user:1": 3})
        assert cache.clear_prefix("page:") == 2
        with pytest.raises(TypeError, match="has to be str or bytes"):
            cache.clear_prefix(1)  # type: ignore[arg-type]
    assert list(Cache(dir=tmp_path).keys()) == ["user:1"]


def test_what_cannot_be_read_is_one_error_on_a_walk_and_stays(tmp_path: Path) -> None:
    with Cache(dir=tmp_path, codec="pickle") as cache:
        cache.set("pickled", {1, 2})
        cache.set("plain", "text")
    cache = Cache(dir=tmp_path)
    for read in (lambda: cache.get("pickled"), lambda: cache.pop("pickled")):
        with pytest.raises(DecodeError, match='pickled.*codec="pickle"'):
            read()
    found = []
    failed = 0
    walk = iter(cache.items())
    while True:
        try:
            found.append(next(walk))
        except StopIteration:
            break
        except DecodeError:
            failed += 1
    assert (found, failed) == ([("plain", "text")], 1)
    assert sorted(cache.keys()) == ["pickled", "plain"]
