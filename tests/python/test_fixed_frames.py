"""Version 1 of the protocol (fixed frames of 128 bytes), checked from outside in plain Python.

Written from docs/protocol.md alone: it shares no line with the Rust or TypeScript code, so that a misreading of the page
cannot be on both sides of a test. It drives the daemon through pipes, as a shell script would. Run it with
`python3 -m unittest discover tests/python`; RUSTCACHE_BINARY names another daemon than target/release/rustcache.
"""

import os
import random
import select
import signal
import subprocess
import threading
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0  # Seconds until a test gives up waiting: far above what anything here takes, even on a busy machine.

# Written by hand from the table in docs/protocol.md: command, key (63), value (56), time 0x67b9fc18, TTL 10.
GOLDEN_INSERT = bytes.fromhex(
    "49 75736572 3a31" + "00" * 57 + "68656c6c6f" + "00" * 51 + "0000 67b9fc18" + "000a"
)
GOLDEN_GET = bytes.fromhex("47 75736572 3a31" + "00" * 57 + "00" * 56 + "0000 67b9fc18" + "000a")
GOLDEN_REMOVE = bytes.fromhex("52 75736572 3a31" + "00" * 57 + "00" * 56 + "0000 67b9fc18" + "000a")
GOLDEN_SNAPSHOT = bytes.fromhex("48" + "00" * 63 + "00" * 56 + "0000 67b9fc18" + "0000")
GOLDEN_VALUE = bytes.fromhex("68656c6c6f" + "00" * 51)


def find_binary():
    """The daemon under test. Missing is a failure, never a skip: nothing tested is not a success."""
    named = os.environ.get("RUSTCACHE_BINARY")
    places = [Path(named)] if named else [ROOT / "target" / kind / "rustcache" for kind in ("release", "debug")]
    for place in places:
        if place.is_file():
            return str(place)
    looked = ", ".join(str(place) for place in places)
    raise FileNotFoundError(f"no rustcache binary at {looked}: run `cargo build --release --features daemon` first")


def frame(command, key=b"", value=b"", ttl=0, created=0):
    """One request. Fields that are too long are a mistake of the test, not something to cut."""
    assert len(command) == 1 and len(key) <= 63 and len(value) <= 56, (command, key, value)
    return (
        command + key.ljust(63, b"\0") + value.ljust(56, b"\0") + created.to_bytes(6, "big") + ttl.to_bytes(2, "big")
    )


def insert(key, value, ttl=0, created=0):
    return frame(b"I", key, value, ttl, created)


def get(key):
    return frame(b"G", key)


def remove(key):
    return frame(b"R", key)


def is_hit(reply):
    """The rule of docs/protocol.md that tells a hit from a short reply."""
    return len(reply) >= 65 and reply[64:65] == b"\n" and 10**9 <= int.from_bytes(reply[56:62], "big") < 2**33


def split_replies(stream):
    """All replies in a complete stream, by the same rule."""
    replies = []
    while stream:
        length = 65 if is_hit(stream) else 2
        replies.append(stream[:length])
        stream = stream[length:]
    return replies


class Hit:
    """A reply to `G` that carries a value."""

    def __init__(self, reply):
        assert len(reply) == 65 and reply[64:] == b"\n", reply
        self.value = reply[:56]
        self.time = int.from_bytes(reply[56:62], "big")
        self.ttl = int.from_bytes(reply[62:64], "big")


class Daemon:
    """One daemon behind pipes, watched: whatever hangs is killed, so that reads end and the test fails with what it has."""

    def __init__(self, *args, env=None):
        # Nothing of the caller's configuration may leak in.
        clean = {name: text for name, text in os.environ.items() if not name.startswith("RUSTCACHE_")}
        self.process = subprocess.Popen(
            [find_binary(), *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env={**clean, **(env or {})},
        )
        self.timed_out = False
        self.stderr = b""
        # stderr has a reader of its own: a daemon that blocks on a full log pipe would look like a protocol fault.
        self._stderr_reader = threading.Thread(target=self._read_stderr, daemon=True)
        self._stderr_reader.start()
        self._watchdog = threading.Timer(PATIENCE, self._give_up)
        self._watchdog.daemon = True
        self._watchdog.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._watchdog.cancel()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except OSError:
                pass
        self._stderr_reader.join()
        self.process.stderr.close()

    def _give_up(self):
        self.timed_out = True
        self.process.kill()

    def _read_stderr(self):
        while chunk := self.process.stderr.read(65536):
            self.stderr += chunk

    def send(self, data):
        view = memoryview(data)
        while view:
            view = view[self.process.stdin.write(view) :]

    def receive(self, length):
        """Exactly `length` bytes. Fewer when the daemon ended first: the comparison in the test then says what came."""
        data = b""
        while len(data) < length:
            chunk = self.process.stdout.read(length - len(data))
            if not chunk:
                break
            data += chunk
        assert not self.timed_out, f"no complete reply within {PATIENCE} s: {data!r} of {length} bytes; log: {self.stderr!r}"
        return data

    def ask(self, request, length=2):
        self.send(request)
        return self.receive(length)

    def silent(self, seconds=0.05):
        """Whether nothing is there to read. Only ever makes a test stricter: a slow daemon passes."""
        return not select.select([self.process.stdout], [], [], seconds)[0]

    def finish(self):
        """Ends the input; returns what was still to read, and the exit code."""
        self.process.stdin.close()
        rest = b""
        while chunk := self.process.stdout.read(65536):
            rest += chunk
        code = self.process.wait(PATIENCE)
        self._stderr_reader.join()
        assert not self.timed_out, f"the daemon did not end within {PATIENCE} s of the end of its input"
        return rest, code


def run(data, *args, env=None):
    """A whole conversation: (stdout, exit code, stderr)."""
    with Daemon(*args, env=env) as daemon:
        writer = threading.Thread(target=daemon.send, args=(data,))
        writer.start()
        out = b""
        # Read while writing; close the input only when all is written.
        while writer.is_alive() or select.select([daemon.process.stdout], [], [], 0)[0]:
            if select.select([daemon.process.stdout], [], [], 0.01)[0]:
                chunk = daemon.process.stdout.read(65536)
                if not chunk:
                    break
                out += chunk
        writer.join()
        rest, code = daemon.finish()
        return out + rest, code, daemon.stderr


class Golden(unittest.TestCase):
    def test_the_golden_frames_are_128_bytes_as_written_in_the_table(self):
        for golden in (GOLDEN_INSERT, GOLDEN_GET, GOLDEN_REMOVE, GOLDEN_SNAPSHOT):
            self.assertEqual(len(golden), 128)
        self.assertEqual(frame(b"I", b"user:1", b"hello", 10, 0x67B9FC18), GOLDEN_INSERT)

    def test_the_worked_example(self):
        with Daemon() as daemon:
            self.assertEqual(daemon.ask(GOLDEN_GET), b"G\n")
            self.assertEqual(daemon.ask(GOLDEN_INSERT), b"I\n")
            hit = Hit(daemon.ask(GOLDEN_GET, 65))
            self.assertEqual(hit.value, GOLDEN_VALUE)
            self.assertEqual(hit.ttl, 10)
            self.assertLess(abs(hit.time - time.time()), 3)
            self.assertEqual(daemon.ask(GOLDEN_REMOVE), b"R\n")
            self.assertEqual(daemon.ask(GOLDEN_GET), b"G\n")
            self.assertEqual(daemon.ask(GOLDEN_REMOVE), b"R\n", "removing what is not there is answered the same")
            self.assertEqual(daemon.ask(GOLDEN_SNAPSHOT), b"E\n", "no directory, no snapshot")
            self.assertEqual(daemon.finish(), (b"", 0))


class Table(unittest.TestCase):
    """The rows of the table of replies, and the sentences below it.

    One row is out of reach from here: a value that came in by version 2 needs a second connection to the same cache, and a
    daemon on stdin has one. src/session/tests/fixed.rs has it.
    """

    def setUp(self):
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)

    def hit(self, key):
        return Hit(self.daemon.ask(get(key), 65))

    def test_keys_and_values_at_their_full_length(self):
        key, value = b"k" * 63, b"v" * 56
        self.assertEqual(self.daemon.ask(insert(key, value)), b"I\n")
        self.assertEqual(self.hit(key).value, value)
        self.assertEqual(self.daemon.ask(get(b"k" * 62)), b"G\n", "one byte less is another key")

    def test_an_overwrite_replaces_value_and_ttl(self):
        self.daemon.ask(insert(b"k", b"a long first value", 1000))
        self.assertEqual(self.daemon.ask(insert(b"k", b"short")), b"I\n")
        hit = self.hit(b"k")
        self.assertEqual((hit.value, hit.ttl), (b"short".ljust(56, b"\0"), 0))

    def test_an_empty_value_is_a_hit(self):
        self.assertEqual(self.daemon.ask(insert(b"k", b"")), b"I\n")
        self.assertEqual(self.hit(b"k").value, b"\0" * 56)

    def test_a_value_that_looks_like_a_short_reply_is_a_hit(self):
        for value in (b"G", b"E", b"G\n", b"E\n", b"I\n", b"R\n", b"H\n", b"\n", b"G\nG\nG\n", b"\n" * 56, b"G\n" * 28):
            with self.subTest(value=value):
                self.daemon.ask(insert(b"k", value))
                reply = self.daemon.ask(get(b"k"), 65)
                self.assertTrue(is_hit(reply))
                self.assertEqual(Hit(reply).value, value.ljust(56, b"\0"))

    def test_nul_inside_key_and_value_is_kept(self):
        self.daemon.ask(insert(b"a\0b", b"\0x\0y"))
        self.assertEqual(self.hit(b"a\0b").value, b"\0x\0y".ljust(56, b"\0"))
        self.assertEqual(self.daemon.ask(get(b"a")), b"G\n")
        self.assertEqual(self.daemon.ask(get(b"ab")), b"G\n")

    def test_unicode_of_every_plane_that_has_characters(self):
        for text in ("ä", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\uffff", "😀", "\U00020000", "\U000e0001", "\U0010ffff"):
            with self.subTest(text=text):
                raw = text.encode()
                self.assertEqual(self.daemon.ask(insert(raw, raw * 2)), b"I\n")
                self.assertEqual(self.hit(raw).value, (raw * 2).ljust(56, b"\0"))

    def test_an_all_zero_key_is_an_error_on_insert_and_get(self):
        self.assertEqual(self.daemon.ask(insert(b"", b"value")), b"E\n")
        self.assertEqual(self.daemon.ask(get(b"")), b"E\n")
        self.assertEqual(self.daemon.ask(remove(b"")), b"R\n", "R is answered the same, found or not")

    def test_what_is_not_utf8_is_an_error_and_stores_nothing(self):
        broken = (b"\xff", b"\x80", b"\xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"ok\xf0\x9f\x98")
        for raw in broken:
            with self.subTest(raw=raw):
                self.assertEqual(self.daemon.ask(insert(raw, b"value")), b"E\n")
                self.assertEqual(self.daemon.ask(insert(b"k", raw)), b"E\n")
                self.assertEqual(self.daemon.ask(get(raw)), b"E\n")
                self.assertEqual(self.daemon.ask(get(b"k")), b"G\n")

    def test_the_unused_fields_of_a_get_may_hold_anything(self):
        self.daemon.ask(insert(b"k", b"v"))
        request = b"G" + b"k".ljust(63, b"\0") + b"\xff" * 64
        self.assertEqual(Hit(self.daemon.ask(request, 65)).value, b"v".ljust(56, b"\0"))

    def test_an_unknown_command_after_a_known_one_is_answered_and_the_next_frame_is_read(self):
        for command in (b"X", b"\0", b"\xff", b"i", b"\xf5", b"\n"):
            with self.subTest(command=command):
                self.daemon.ask(insert(b"k", b"v"))
                self.assertEqual(self.daemon.ask(frame(command, b"k", b"w")), b"E\n")
                self.assertEqual(self.hit(b"k").value, b"v".ljust(56, b"\0"))

    def test_a_snapshot_without_a_directory_is_an_error_and_nothing_else(self):
        self.daemon.ask(insert(b"k", b"v"))
        self.assertEqual(self.daemon.ask(frame(b"H")), b"E\n")
        self.assertEqual(self.hit(b"k").value, b"v".ljust(56, b"\0"))

    def test_removed_is_gone_and_can_come_back(self):
        self.daemon.ask(insert(b"k", b"v"))
        self.assertEqual(self.daemon.ask(remove(b"k")), b"R\n")
        self.assertEqual(self.daemon.ask(get(b"k")), b"G\n")
        self.daemon.ask(insert(b"k", b"w"))
        self.assertEqual(self.hit(b"k").value, b"w".ljust(56, b"\0"))


class TooLarge(unittest.TestCase):
    def test_a_key_or_value_above_the_daemons_own_limit_is_an_error_and_the_next_frame_is_read(self):
        with Daemon("--max-key", "8", "--max-value", "16") as daemon:
            self.assertEqual(daemon.ask(insert(b"12345678", b"x" * 16)), b"I\n")
            self.assertEqual(daemon.ask(insert(b"123456789", b"x")), b"E\n")
            self.assertEqual(daemon.ask(insert(b"k", b"x" * 17)), b"E\n")
            self.assertEqual(daemon.ask(get(b"k")), b"G\n")
            self.assertEqual(Hit(daemon.ask(get(b"12345678"), 65)).value, (b"x" * 16).ljust(56, b"\0"))


class Ttl(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)

    def poll(self, key, until):
        """Asks again and again until `until(reply)`; the reply is None for a miss. Ends by the watchdog if it never holds."""
        while True:
            self.daemon.send(get(key))
            head = self.daemon.receive(2)
            reply = None if head == b"G\n" else Hit(head + self.daemon.receive(63))
            if until(reply):
                return reply
            time.sleep(0.005)  # Time itself is what is waited for.

    def test_zero_never_expires(self):
        self.daemon.ask(insert(b"k", b"v", 0))
        self.assertEqual(Hit(self.daemon.ask(get(b"k"), 65)).ttl, 0)

    def test_time_plus_ttl_is_the_deadline_whatever_the_clients_clock_says(self):
        for created in (0, 1, 0x67B9FC18, 2**33, 2**48 - 1):
            with self.subTest(created=created):
                before = time.time()
                self.daemon.ask(insert(b"k", b"v", 600, created))
                after = time.time()
                hit = Hit(self.daemon.ask(get(b"k"), 65))
                self.assertGreaterEqual(hit.time, int(before))
                # Whole seconds on both sides of the sum: it may be one off, not two.
                self.assertGreaterEqual(hit.time + hit.ttl, before + 600 - 1)
                self.assertLessEqual(hit.time + hit.ttl, after + 600 + 1)

    def test_seconds_left_are_rounded_up(self):
        began = time.monotonic()
        self.daemon.ask(insert(b"k", b"v", 3))
        first = Hit(self.daemon.ask(get(b"k"), 65))
        if time.monotonic() - began < 1:
            self.assertEqual(first.ttl, 3, "2.99 seconds left are 3")
        changed = self.poll(b"k", lambda reply: reply is None or reply.ttl != 3)
        elapsed = time.monotonic() - began
        self.assertIsNotNone(changed)
        self.assertEqual(changed.ttl, 2)
        self.assertGreater(elapsed, 0.9, "3 is told for the whole first second")

    def test_the_last_reply_before_expiry_says_one_never_zero(self):
        began = time.monotonic()
        self.daemon.ask(insert(b"k", b"v", 1))
        seen = []
        self.poll(b"k", lambda reply: seen.append(reply and reply.ttl) or reply is None)
        elapsed = time.monotonic() - began
        self.assertEqual(set(seen), {1, None}, "0 would mean that it never expires")
        self.assertGreater(elapsed, 0.9)
        self.assertLess(elapsed, 10)
        self.assertEqual(self.daemon.ask(get(b"k")), b"G\n", "and it does not come back")

    def test_the_longest_ttl(self):
        self.daemon.ask(insert(b"k", b"v", 65535))
        self.assertIn(Hit(self.daemon.ask(get(b"k"), 65)).ttl, (65534, 65535))


class Stream(unittest.TestCase):
    """Frames and chunks have nothing to do with each other."""

    def test_a_frame_split_at_every_position(self):
        with Daemon() as daemon:
            for at in range(1, 128):
                value = b"v%d" % at
                request = insert(b"key", value)
                daemon.send(request[:at])
                if at % 16 == 0:
                    self.assertTrue(daemon.silent(), "half a frame is not answered")
                daemon.send(request[at:])
                self.assertEqual(daemon.receive(2), b"I\n", f"split at {at}")
                daemon.send(get(b"key")[:at])
                daemon.send(get(b"key")[at:])
                self.assertEqual(Hit(daemon.receive(65)).value, value.ljust(56, b"\0"), f"split at {at}")
            self.assertEqual(daemon.finish(), (b"", 0))

    def test_two_frames_split_at_every_position(self):
        both = GOLDEN_INSERT + GOLDEN_GET
        with Daemon() as daemon:
            for at in range(1, 256):
                daemon.send(both[:at])
                daemon.send(both[at:])
                self.assertEqual(daemon.receive(2), b"I\n", f"split at {at}")
                self.assertEqual(Hit(daemon.receive(65)).value, GOLDEN_VALUE, f"split at {at}")

    def test_one_byte_per_write(self):
        with Daemon() as daemon:
            for request, length in ((GOLDEN_INSERT, 2), (GOLDEN_GET, 65), (GOLDEN_REMOVE, 2), (GOLDEN_GET, 2)):
                for byte in request:
                    daemon.send(bytes([byte]))
                reply = daemon.receive(length)
                self.assertEqual(len(reply), length)
            self.assertEqual(reply, b"G\n")
            self.assertEqual(daemon.finish(), (b"", 0))

    def test_replies_read_one_byte_at_a_time(self):
        with Daemon() as daemon:
            daemon.send(GOLDEN_INSERT + GOLDEN_GET + GOLDEN_REMOVE + GOLDEN_GET)
            stream = b"".join(daemon.receive(1) for _ in range(2 + 65 + 2 + 2))
            self.assertEqual([reply[:1] for reply in split_replies(stream)], [b"I", b"h", b"R", b"G"])

    def test_ten_thousand_frames_in_one_write(self):
        keys = [b"key:%d" % number for number in range(5000)]
        requests = b"".join(insert(key, b"value of " + key) + get(key) for key in keys)
        out, code, _ = run(requests)
        expected_length = len(keys) * (2 + 65)
        self.assertEqual((len(out), code), (expected_length, 0))
        replies = split_replies(out)
        self.assertEqual(len(replies), 10_000)
        for key, stored, hit in zip(keys, replies[0::2], replies[1::2]):
            self.assertEqual(stored, b"I\n")
            self.assertEqual(Hit(hit).value, (b"value of " + key).ljust(56, b"\0"))

    def test_the_daemon_reads_on_while_nobody_reads_its_replies(self):
        # 20,000 hits are 1.3 MB of replies, far more than a pipe holds: a daemon that stopped reading would block us for ever.
        with Daemon() as daemon:
            daemon.send(GOLDEN_INSERT + GOLDEN_GET * 20_000)
            self.assertEqual(daemon.receive(2), b"I\n")
            replies = split_replies(daemon.receive(65 * 20_000))
            self.assertEqual(len(replies), 20_000)
            self.assertEqual({reply[:56] for reply in replies}, {GOLDEN_VALUE})
            self.assertEqual(daemon.finish(), (b"", 0))

    def test_random_conversations_in_random_pieces_agree_with_a_dict(self):
        seed = int(os.environ.get("RUSTCACHE_TEST_SEED", random.randrange(2**32)))
        chance = random.Random(seed)
        alphabet = (b"a", b"b", b"G\n", b"E", b"I", "é".encode(), b"\0x", b"\n")
        model, requests, expected = {}, [], []
        for _ in range(3000):
            key = b"k" + b"".join(chance.choices(alphabet, k=2))
            command = chance.choice(b"IIGGGR")
            if command == ord("I"):
                model[key] = b"".join(chance.choices(alphabet, k=chance.randrange(8)))
                requests.append(insert(key, model[key]))
                expected.append(b"I\n")
            elif command == ord("R"):
                model.pop(key, None)
                requests.append(remove(key))
                expected.append(b"R\n")
            else:
                requests.append(get(key))
                expected.append(model[key].ljust(56, b"\0") if key in model else b"G\n")
        stream = b"".join(requests)
        with Daemon() as daemon:

            def send_in_pieces():
                at = 0
                while at < len(stream):
                    length = chance.choice((1, 7, 127, 128, 129, 1000, 5000))
                    daemon.send(stream[at : at + length])
                    at += length

            writer = threading.Thread(target=send_in_pieces)
            writer.start()
            for number, reply in enumerate(expected):
                got = daemon.receive(2 if len(reply) == 2 else 65)
                self.assertEqual(got if len(reply) == 2 else got[:56], reply, f"request {number}, seed {seed}")
            writer.join()
            self.assertEqual(daemon.finish(), (b"", 0))


class Endings(unittest.TestCase):
    def test_the_end_of_input_is_exit_code_0(self):
        self.assertEqual(run(b"")[:2], (b"", 0))
        self.assertEqual(run(GOLDEN_INSERT)[:2], (b"I\n", 0))

    def test_everything_read_before_the_end_of_input_is_answered(self):
        out, code, _ = run(GOLDEN_INSERT * 1000 + GOLDEN_REMOVE * 1000)
        self.assertEqual((out, code), (b"I\n" * 1000 + b"R\n" * 1000, 0))

    def test_a_truncated_frame_at_the_end_of_input_is_dropped_and_exit_code_0(self):
        for length in (1, 2, 63, 64, 65, 120, 127):
            with self.subTest(length=length):
                self.assertEqual(run(GOLDEN_INSERT + GOLDEN_REMOVE[:length])[:2], (b"I\n", 0))
                self.assertEqual(run(GOLDEN_INSERT[:length])[:2], (b"", 0))

    def test_an_unknown_first_byte_is_one_error_and_the_end_of_the_connection(self):
        for first in (b"X", b"\0", b"g", b"{", b"\n", b"\xff"):
            with self.subTest(first=first), Daemon() as daemon:
                # The input stays open: it is the daemon that ends the connection.
                self.assertEqual(daemon.ask(first), b"E\n")
                self.assertEqual(daemon.receive(1), b"", "nothing may follow")
                daemon.process.wait(PATIENCE)
                daemon._stderr_reader.join()
                self.assertNotEqual(daemon.stderr, b"", "the log says what was seen")

    def test_an_unknown_first_byte_with_more_behind_it_is_still_one_error(self):
        with Daemon() as daemon:
            self.assertEqual(daemon.ask(b"GET".lower() + b" / HTTP/1.1\r\n\r\n", 3), b"E\n")

    def test_the_end_of_the_reader_ends_the_daemon(self):
        with Daemon() as daemon:
            daemon.process.stdout.close()
            try:
                for _ in range(1000):
                    daemon.send(GOLDEN_SNAPSHOT * 100)
            except (BrokenPipeError, ConnectionResetError):
                pass
            daemon.process.stdin.close()
            code = daemon.process.wait(PATIENCE)
            self.assertFalse(daemon.timed_out)
            self.assertNotEqual(code, -signal.SIGSEGV)

    def test_the_log_is_never_on_stdout(self):
        conversation = GOLDEN_GET + GOLDEN_INSERT + GOLDEN_REMOVE + GOLDEN_SNAPSHOT + insert(b"", b"x") + get(b"\xff") + frame(b"?")
        for log_format in ("text", "json"):
            with self.subTest(log_format=log_format):
                env = {"RUSTCACHE_LOG_LEVEL": "trace", "RUSTCACHE_LOG_FORMAT": log_format}
                out, code, stderr = run(conversation, env=env)
                self.assertEqual((out, code), (b"G\nI\nR\nE\nE\nE\nE\n", 0))
                self.assertNotEqual(stderr, b"", "at trace level there is something to tell")


if __name__ == "__main__":
    unittest.main()
