"""How far the database of a state directory had come, kept beside it: by that an older copy of it is noticed."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

import msgspec

from marketsync.errors import StoreError

FILE_NAME = "mark"
_FORM = re.compile(rb"([a-z0-9]{1,8}) (\d{12}) (\d{20})\n")


class Reached(msgspec.Struct, frozen=True):
    """The newest life and number of the sequence that were committed under this installation's name."""

    installation: str
    epoch: int
    seq: int

    def is_ahead_of(self, epoch: int, seq: int) -> bool:
        return self.epoch > epoch or self.seq > seq


class Mark:
    """Written after each commit, in place and without a sync: after a power cut it may be behind, never ahead."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        try:
            self._fd = os.open(directory / FILE_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"{directory / FILE_NAME} can't be written: {error.strerror}") from error
        found = _FORM.fullmatch(os.pread(self._fd, 100, 0))
        self.found = None if found is None else Reached(found[1].decode(), int(found[2]), int(found[3]))

    def begin(self, installation: str) -> None:
        """On disk before a new database is: one whose mark a power cut took would be taken for a copy."""
        self.put(Reached(installation, 0, 0))
        with contextlib.suppress(OSError):
            os.fsync(self._fd)
            fd = os.open(self._directory, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def put(self, reached: Reached) -> None:
        """A mark that can't be written stays behind: then it notices less, and nothing is wrong with the database."""
        text = f"{reached.installation} {reached.epoch:012d} {reached.seq:020d}\n"
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.pwrite(self._fd, text.encode(), 0)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
