"""What one life of the store did to the disk, in order, and what it had promised at each moment."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random
from unittest import mock

from tests.powercut.disk import Disk, Entry, Forget, Op, Sync, SyncDirectory, Truncate, Write

MARK = "mark"
NEVER = 1 << 60


class Trace:
    """A tap. A cut at `n` comes before the n-th operation, so that this one and what was not synced before may be torn.

    `states` holds what the database contained after each commit; those that were acknowledged are promised.
    """

    def __init__(self, image: Mapping[str, bytes], directory: Path) -> None:
        self.image = dict(image)
        self.ops: list[Op] = []
        self.marks: list[bytes] = []
        self.states: list[str] = []
        self.failing_sync = 0
        self._syncs = 0
        self._mark_from = 0 if MARK in image else NEVER
        self._mark_path = str(directory / MARK)
        self._files = {name: number for number, name in enumerate(image)}
        self._count = len(image)
        self._acknowledged: list[int] = []
        self._epochs: list[tuple[int, int]] = []

    def committed(self) -> None:
        """The caller was told that the next state is on disk."""
        if len(self._acknowledged) == len(self.states):
            self._acknowledged.append(len(self.ops))

    def moves(self, directory: Path) -> None:
        """The files are copied as programs see them: what was to be written is to be written still."""
        for name in (*self._files, MARK):
            shutil.copy(Path(self._mark_path).with_name(name), directory / name)
        self._mark_path = str(directory / MARK)

    def holds(self, state: str) -> None:
        self.states.append(state)

    def opened_as(self, epoch: int) -> None:
        self._epochs.append((len(self.ops), epoch))

    def promised(self, at: int) -> int:
        """The index of the newest state that was acknowledged before the cut; -1 if nothing was."""
        return bisect_right(self._acknowledged, at) - 1

    def epoch(self, at: int) -> int:
        return max((epoch for op, epoch in self._epochs if op <= at), default=0)

    def mark(self, at: int, random: Random) -> bytes:
        """What is left of the mark is as old as you like, but not older than its last sync."""
        newest = min(at, len(self.marks) - 1)
        if newest < 0 or newest < self._mark_from:
            return b""
        return self.marks[newest if random.random() < 0.7 else random.randrange(self._mark_from, newest + 1)]

    @contextmanager
    def watching(self) -> Iterator[None]:
        """The store syncs its mark by itself, beside SQLite."""
        with mock.patch("os.fsync", self._fsynced):
            yield

    def _fsynced(self, fd: int) -> None:
        mark = Path(self._mark_path)
        if mark.exists() and os.path.samestat(os.fstat(fd), mark.stat()):
            self._mark_from = min(self._mark_from, len(self.ops))

    def disk(self) -> Disk:
        return Disk(self.image)

    def digest(self) -> str:
        return hashlib.blake2b(repr((self.ops, self._acknowledged)).encode(), digest_size=8).hexdigest()

    def before(self, call: str, name: str) -> int:
        if call != "sync" or name not in self._files:
            return 0
        self._syncs += 1
        if self._syncs != self.failing_sync:
            return 0
        self._add(Forget(self._files[name]))
        return sqlite3.SQLITE_IOERR_FSYNC

    def opened(self, name: str) -> None:
        if name not in self._files:
            self._files[name] = self._count
            self._count += 1
            self._add(Entry(name, self._files[name]))

    def wrote(self, name: str, offset: int, data: bytes) -> None:
        self._add(Write(self._files[name], offset, data))

    def truncated(self, name: str, size: int) -> None:
        self._add(Truncate(self._files[name], size))

    def synced(self, name: str, *, directory: bool) -> None:
        self._add(Sync(self._files[name]))
        if directory:
            self._add(SyncDirectory())

    def deleted(self, name: str, *, directory: bool) -> None:
        if self._files.pop(name, None) is not None:
            self._add(Entry(name, None))
        if directory:
            self._add(SyncDirectory())

    def _add(self, op: Op) -> None:
        self.ops.append(op)
        self.marks.append(self._mark())

    def _mark(self) -> bytes:
        try:
            fd = os.open(self._mark_path, os.O_RDONLY)
        except FileNotFoundError:
            return b""
        try:
            return os.read(fd, 100)
        finally:
            os.close(fd)


def put_image(directory: Path, image: Mapping[str, bytes]) -> None:
    """Nothing else is in the directory then."""
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.iterdir():
        old.unlink()
    for name, data in image.items():
        (directory / name).write_bytes(data)
