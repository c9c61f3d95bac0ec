"""Which cuts are made, and how one is made again: a cut is named `life.operation`, or `life.operation.operation` where
the store that opens what the first cut left is cut off in its turn."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.powercut.disk import Disk, Entry, Sync, Write
from tests.powercut.lives import FULL, Found, judge, record, setting
from tests.powercut.trace import MARK, Trace
from tests.powercut.vfs import Vfs

IN_A_LIFE = 75
SECOND_SHARE = 0.25
MEMORY = Path("/dev/shm")


class Cut(NamedTuple):
    life: int
    at: int
    again: int | None = None

    def __str__(self) -> str:
        return ".".join(str(part) for part in self if part is not None)


class Outcome(NamedTuple):
    cut: Cut
    found: Found
    phase: str


def parsed(text: str) -> Cut:
    life, at, *again = (int(part) for part in text.split("."))
    return Cut(life, at, again[0] if again else None)


@contextmanager
def workplace() -> Iterator[Path]:
    """In memory where there is such a place: what counts as synced is the harness's own book, not this disk's."""
    made = Path(tempfile.mkdtemp(prefix="powercut-", dir=MEMORY if MEMORY.is_dir() else None))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


async def run(
    vfs: Vfs, place: Path, first_life: int, cuts: int, synchronous: str = FULL
) -> AsyncIterator[Outcome]:
    """The first life is cut before every operation, the others at some."""
    life, left = first_life, cuts
    while left > 0:
        trace = await record(vfs, place / "life", life, setting(life, synchronous))
        every = range(len(trace.ops) + 1)
        some = every if life == first_life and cuts > len(every) else _some(life, every)
        async for outcome in of_life(vfs, place, trace, life, some[:left] if some is not every else some):
            left -= 1
            yield outcome
        life += 1


async def again(vfs: Vfs, place: Path, cut: Cut, synchronous: str = FULL) -> list[Outcome]:
    trace = await record(vfs, place / "life", cut.life, setting(cut.life, synchronous))
    made = [outcome async for outcome in of_life(vfs, place, trace, cut.life, [cut.at], cut.again)]
    return made if cut.again is None else made[1:]


async def of_life(
    vfs: Vfs, place: Path, trace: Trace, life: int, positions: Sequence[int], second: int | None = None
) -> AsyncIterator[Outcome]:
    disk, done = trace.disk(), 0
    for at in positions:
        done = _forward(disk, trace, done, at)
        cut = Cut(life, at)
        drawn = Random(f"second {cut}")
        goes_on = second is not None or drawn.random() < SECOND_SHARE
        found = await _made(vfs, place / "cut", disk, trace, at, str(cut), goes_on=goes_on)
        yield Outcome(cut, found, phase(trace, at))
        if found.kind == "" and goes_on:
            cut = Cut(life, at, drawn.randrange(len(found.trace.ops) + 1) if second is None else second)
            other = found.trace.disk()
            _forward(other, found.trace, 0, cut.again or 0)
            yield Outcome(
                cut,
                await _made(
                    vfs, place / "again", other, found.trace, cut.again or 0, str(cut), goes_on=False
                ),
                "a second opening",
            )


async def _made(
    vfs: Vfs, directory: Path, disk: Disk, trace: Trace, at: int, name: str, *, goes_on: bool
) -> Found:
    random = Random(name)
    image = {name: data for name, data in disk.cut(random).items() if name != MARK}
    if random.random() < 0.25:
        # The index of the log is memory: after a cut it is whatever it is.
        image["marketsync.sqlite3-shm"] = random.randbytes(32768)
    return await judge(vfs, directory, image, trace.mark(at, random), trace, at, goes_on=goes_on)


def phase(trace: Trace, at: int) -> str:
    """Of the life, for the count of what was cut."""
    if trace.promised(at) < 0:
        return "the first opening"
    before = trace.ops[at - 1] if at else None
    following = trace.ops[at] if at < len(trace.ops) else None
    main = {op.file for op in trace.ops[:3] if isinstance(op, Entry)}
    if any(isinstance(op, Write | Sync) and op.file in main for op in (before, following)):
        return "a checkpoint"
    return "a commit"


def _forward(disk: Disk, trace: Trace, done: int, upto: int) -> int:
    for op in trace.ops[done:upto]:
        disk.take(op)
    return upto


def _some(life: int, every: range) -> list[int]:
    random = Random(f"cuts {life}")
    return sorted(random.sample(every, min(IN_A_LIFE, len(every))))
