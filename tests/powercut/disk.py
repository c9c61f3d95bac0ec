"""What a disk may hold after a power cut: all that was synced, and of the rest any sector in any of its versions."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import NamedTuple

SECTOR = 512


class Write(NamedTuple):
    file: int
    offset: int
    data: bytes


class Truncate(NamedTuple):
    file: int
    size: int


class Sync(NamedTuple):
    file: int


class Forget(NamedTuple):
    """A sync failed. As Linux does: what was not synced is never written any more, and is still read as if it were."""

    file: int


class Entry(NamedTuple):
    """The name leads to this file from now on; to none if None."""

    name: str
    file: int | None


class SyncDirectory(NamedTuple):
    """All names are as they are now."""


Op = Write | Truncate | Sync | Forget | Entry | SyncDirectory


class _File:
    def __init__(self, data: bytes = b"") -> None:
        self.durable = bytearray(data)
        self.pending: list[Write | Truncate] = []

    def sync(self) -> None:
        for op in self.pending:
            _apply(self.durable, op)
        self.pending.clear()

    def after_cut(self, random: Random) -> bytes:
        return bytes(self.durable) if not self.pending else _Remains(self, random).bytes()


class Disk:
    """Takes what was done in order; `cut` may be asked at any moment, and changes nothing."""

    def __init__(self, image: Mapping[str, bytes]) -> None:
        self._files = {number: _File(data) for number, data in enumerate(image.values())}
        self._names: dict[str, int] = {name: number for number, name in enumerate(image)}
        self._entries: list[Entry] = []

    def take(self, op: Op) -> None:
        match op:
            case Write() | Truncate():
                self._file(op.file).pending.append(op)
            case Sync():
                self._file(op.file).sync()
            case Forget():
                self._file(op.file).pending.clear()
            case Entry():
                self._entries.append(op)
            case SyncDirectory():
                self._names = _named(self._names, self._entries)
                self._entries.clear()

    def cut(self, random: Random) -> dict[str, bytes]:
        names = dict(self._names)
        for name in sorted({entry.name for entry in self._entries}):
            mine = [entry for entry in self._entries if entry.name == name]
            names = _named(names, mine[: random.randrange(len(mine) + 1)])
        return {name: self._file(number).after_cut(random) for name, number in sorted(names.items())}

    def _file(self, number: int) -> _File:
        return self._files.setdefault(number, _File())


class _Remains:
    """One file's content. Every sector has its own past: it holds the writes up to a moment of its own."""

    def __init__(self, file: _File, random: Random) -> None:
        self._file = file
        self._random = random
        self._style = random.choice(("nothing", "everything", "until", "coin", "coin", "any", "any"))
        self._moment = random.randrange(len(file.pending) + 1)
        self._share = random.choice((0.05, 0.3, 0.5, 0.7, 0.95))
        self._until: dict[int, int] = {}

    def bytes(self) -> bytes:
        content = bytearray(self._file.durable)
        if self._random.random() < 0.3:
            self._grow(content)
        for number, op in enumerate(self._file.pending):
            if isinstance(op, Truncate):
                if number < self._until_of(-1):
                    _apply(content, op)
                continue
            for sector, piece in _pieces(op):
                if number < self._until_of(sector):
                    _apply(content, piece)
        return bytes(content)

    def _grow(self, content: bytearray) -> None:
        """The new length is on disk before its content is: zeros, or what was there before."""
        ends = [op.offset + len(op.data) for op in self._file.pending if isinstance(op, Write)]
        more = max(ends, default=0) - len(content)
        if more > 0:
            content.extend(self._random.randbytes(more) if self._random.random() < 0.5 else bytes(more))

    def _until_of(self, sector: int) -> int:
        if sector in self._until:
            return self._until[sector]
        every = len(self._file.pending)
        match self._style:
            case "nothing":
                return 0
            case "everything":
                return every
            case "until":
                return self._moment
            case "coin":
                drawn = every if self._random.random() < self._share else 0
            case _:
                drawn = self._random.randrange(every + 1)
        self._until[sector] = drawn
        return drawn


def _pieces(op: Write) -> list[tuple[int, Write]]:
    pieces = []
    at, end = op.offset, op.offset + len(op.data)
    while at < end:
        upto = min(end, (at // SECTOR + 1) * SECTOR)
        pieces.append((at // SECTOR, Write(op.file, at, op.data[at - op.offset : upto - op.offset])))
        at = upto
    return pieces


def _apply(content: bytearray, op: Write | Truncate) -> None:
    if isinstance(op, Truncate):
        del content[op.size :]
        return
    if op.offset > len(content):
        content.extend(bytes(op.offset - len(content)))
    content[op.offset : op.offset + len(op.data)] = op.data


def _named(names: Mapping[str, int], entries: list[Entry]) -> dict[str, int]:
    now = dict(names)
    for name, file in entries:
        if file is None:
            now.pop(name, None)
        else:
            now[name] = file
    return now
