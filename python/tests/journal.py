"""Directories as others may have written them: a journal, made by docs/persistence.md alone."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable
from pathlib import Path

_TABLE = []
for _byte in range(256):
    _crc = _byte
    for _ in range(8):
        _crc = _crc >> 1 ^ (0x82F63B78 if _crc & 1 else 0)
    _TABLE.append(_crc)


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _leb128(number: int) -> bytes:
    made = bytearray()
    while number >= 0x80:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)


def write(directory: Path, entries: Iterable[tuple[bytes, int, bytes]]) -> None:
    """Makes a directory with entries of a key, a tag and a value."""
    directory.mkdir(parents=True)
    generation = struct.pack("<Q", 1)
    header = b"\xf5RCJRNL\n" + struct.pack("<I", 1) + generation + struct.pack("<Q", int(time.time() * 1000))
    journal = bytearray(header + struct.pack("<I", crc32c(header)))
    previous = 0
    for sequence, (key, tag, value) in enumerate(entries):
        body = sequence.to_bytes(3, "little") + b"\x01" + struct.pack("<IB", previous, tag) + _leb128(len(key)) + key + value
        sealed = struct.pack("<I", len(body)) + body
        journal += struct.pack("<I", crc32c(generation + sealed)) + sealed
        previous = max(1, crc32c(key))
    (directory / f"journal-{1:020}").write_bytes(journal)
