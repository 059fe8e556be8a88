"""What a cache in a directory raises. The extension makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class DirectoryError(OSError):
    """The directory of a cache cannot be used: it cannot be read or written, or it is damaged and `recover="strict"` was asked for. `errno`
    is what the system said, if that is known."""

    directory: Path | None
    """Which one."""

    def __init__(self, text: str, *, directory: Path | None = None, errno: int | None = None) -> None:
        super().__init__(text)
        self.directory = directory
        self.errno = errno


class DirectoryInUseError(DirectoryError):
    """Another cache has the directory: of another process, or of this one."""

    pid: int | None
    """The process that has it, if that is known."""

    def __init__(self, text: str, *, directory: Path | None = None, errno: int | None = None, pid: int | None = None) -> None:
        super().__init__(text, directory=directory, errno=errno)
        self.pid = pid


class DiskError(DirectoryError):
    """The disk has failed, and since then nothing pretends to be kept. Reads go on. It ends when a snapshot succeeds: one is tried every 30
    seconds, and by `snapshot()`."""

    maybe_applied: bool
    """`False`: the write was refused, and nothing has changed. `True`: it was done in memory, and may be gone after a restart."""

    def __init__(self, text: str, *, directory: Path | None = None, errno: int | None = None, maybe_applied: bool = False) -> None:
        super().__init__(text, directory=directory, errno=errno)
        self.maybe_applied = maybe_applied


class ForkedError(RuntimeError):
    """The cache is the parent process's: a child that was forked has a copy of it, and neither its directory nor its threads."""


class DecodeError(ValueError):
    """What is stored is no value for this cache: whoever wrote it did so in a way that this one does not read, or does not trust."""
