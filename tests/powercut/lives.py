"""A life of the real store over the VFS, recorded; and what a store makes of what a power cut left."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import aiosqlite

from marketsync.store import Broken, Store, Unit, open_store, tokens
from tests.integration.store.conftest import CrashAt, FixedClock, FixedRandom
from tests.powercut.trace import MARK, Trace, put_image
from tests.powercut.vfs import NAME, Vfs
from tests.powercut.work import Piece, Planned, Work, contents

FULL = "FULL"
# The store's own, in bytes.
LOG_LIMIT = 67_108_864


class Setting(NamedTuple):
    """How a life goes. The first four can be other than the store's own: the first only to show that it matters, the
    others to make rare moments frequent. `failing_sync` is the sync that fails, 0 for none: the process is killed then.
    """

    synchronous: str = FULL
    checkpoint_pages: int = 1000
    cache_pages: int = 0
    log_limit: int = LOG_LIMIT
    batches: int = 4
    reader_from: int = -1
    reopened_at: int = -1
    failing_sync: int = 0


def setting(seed: int, synchronous: str = FULL) -> Setting:
    random = Random(f"setting {seed}")
    batches = random.randrange(6, 14)
    return Setting(
        synchronous=synchronous,
        checkpoint_pages=random.choice((1000, 1000, 1, 8, 40)),
        cache_pages=random.choice((0, 0, 0, 10)),
        log_limit=random.choice((LOG_LIMIT, LOG_LIMIT, 20_000)),
        batches=batches,
        reader_from=random.choice((-1, -1, random.randrange(batches))),
        reopened_at=random.choice((-1, -1, random.randrange(batches))),
        failing_sync=random.choice((0, 0, 0, 0, random.randrange(7, 16))),
    )


def connect(chosen: Setting) -> Any:
    """As the store's own, over the VFS."""

    class Changed(sqlite3.Connection):
        def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
            return super().execute(_changed(sql, chosen) if sql.startswith("PRAGMA") else sql, *args)

    def factory(*args: Any, **options: Any) -> sqlite3.Connection:
        raw = Changed(*args, **options)
        raw.execute(f"PRAGMA wal_autocheckpoint = {chosen.checkpoint_pages}")
        if chosen.cache_pages:
            raw.execute(f"PRAGMA cache_size = {chosen.cache_pages}")
        return raw

    def over_the_vfs(database: str, **options: Any) -> aiosqlite.Connection:
        return aiosqlite.connect(f"{database}&vfs={NAME}", factory=factory, **options)

    return over_the_vfs


def _changed(pragma: str, chosen: Setting) -> str:
    changed = pragma.replace("synchronous = FULL", f"synchronous = {chosen.synchronous}")
    return changed.replace(f"journal_size_limit = {LOG_LIMIT}", f"journal_size_limit = {chosen.log_limit}")


async def opened(directory: Path, chosen: Setting, *, read_only: bool = False) -> Store:
    return await open_store(
        str(directory),
        FixedClock(),
        FixedRandom(),
        CrashAt(),
        read_only=read_only,
        sqlite_connect=connect(chosen),
    )


async def record(vfs: Vfs, directory: Path, seed: int, chosen: Setting) -> Trace:
    """From an empty directory on."""
    put_image(directory, {})
    trace = Trace({}, directory)
    trace.failing_sync = chosen.failing_sync
    life = _Life(trace, directory, chosen, Work(f"work {seed}"))
    try:
        with vfs.tapped(trace, salt=seed + 1), trace.watching():
            await life.begin()
            await life.work()
            await life.end()
    except Broken:
        other = directory.with_name("other")
        put_image(other, {})
        trace.moves(other)
        await life.end()
        life = _Life(trace, other, chosen, Work(f"other work {seed}", orders_before=10_000))
        with vfs.tapped(trace, salt=seed + 2), trace.watching():
            await life.begin()
            await life.work()
            await life.end()
    return trace


class _Life:
    def __init__(self, trace: Trace, directory: Path, chosen: Setting, work: Work) -> None:
        self._trace = trace
        self._directory = directory
        self._chosen = chosen
        self._work = work
        self._store: Store | None = None
        self._beside: Store | None = None
        self._reader: asyncio.Task[str] | None = None
        self._release = asyncio.Event()

    async def begin(self) -> None:
        self._store = store = await opened(self._directory, self._chosen)
        state = await store.read(contents)
        if self._trace.states[-1:] != [state]:
            self._trace.committed()
            self._trace.holds(state)
        self._trace.opened_as(store.epoch)

    async def work(self) -> None:
        for number in range(self._chosen.batches):
            if number == self._chosen.reader_from:
                await self._hold()
            if number == self._chosen.reopened_at:
                await self.end()
                await self.begin()
            await self._batch()

    async def end(self) -> None:
        self._release.set()
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader
        beside, self._beside = self._beside, None
        if beside is not None:
            await beside.close()
        store, self._store = self._store, None
        if store is not None:
            await store.close()

    async def _batch(self) -> None:
        """One group: all of them wait before the writer wakes."""
        store = self._sure()

        async def one(piece: Piece) -> None:
            try:
                await store.write(piece)
            except Planned:
                return
            self._trace.committed()

        ended = await asyncio.gather(*(one(piece) for piece in self._work.batch()), return_exceptions=True)
        for error in ended:
            if isinstance(error, BaseException):
                raise error
        self._trace.holds(await store.read(contents))

    async def _hold(self) -> None:
        """Somebody else's snapshot, such as the command line's, so that no checkpoint gets past it."""
        beside = self._beside = await opened(self._directory, self._chosen, read_only=True)
        begun, self._release = asyncio.Event(), asyncio.Event()

        async def query(unit: Unit) -> str:
            seen = await contents(unit)
            begun.set()
            await self._release.wait()
            assert await contents(unit) == seen, "a snapshot that moves"
            return seen

        self._reader = asyncio.create_task(beside.read(query))
        await begun.wait()

    def _sure(self) -> Store:
        assert self._store is not None
        return self._store


class Found(NamedTuple):
    """What a store made of an image. `kind` is "" if all is well; `lost` counts acknowledged commits."""

    kind: str
    text: str
    lost: int
    trace: Trace


async def judge(
    vfs: Vfs, directory: Path, image: dict[str, bytes], mark: bytes, was: Trace, at: int, *, goes_on: bool
) -> Found:
    """Opens what is left as the daemon would, compares it with what was promised, and may go on working with it."""
    whole = image | ({MARK: mark} if mark else {})
    put_image(directory, whole)
    trace = Trace(whole, directory)
    with vfs.tapped(trace, salt=at + 1), trace.watching():
        try:
            store = await opened(directory, Setting())
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
            return Found("corrupt", f"it does not open: {error!r}", 0, trace)
        try:
            found = await _examined(store, trace, was, at)
            if goes_on and not found.kind:
                await _further(store, trace)
        except Exception as error:  # noqa: BLE001 - as above
            found = Found("corrupt", f"it can't be worked with: {error!r}", 0, trace)
        finally:
            await store.close()
    return found


async def _examined(store: Store, trace: Trace, was: Trace, at: int) -> Found:
    state = await store.read(contents)
    # What an image holds is on the disk already: a second cut loses nothing of it.
    trace.committed()
    trace.holds(state)
    trace.opened_as(store.epoch)
    checked = await store.database.writer.fetch("PRAGMA integrity_check")
    if checked != [("ok",)]:
        return Found("corrupt", f"integrity_check: {checked[:3]}", 0, trace)
    promised = was.promised(at)
    if state not in was.states[max(promised, 0) : promised + 2]:
        if state in was.states:
            lost = promised - was.states.index(state)
            return Found("lost", f"{lost} acknowledged commits are gone", lost, trace)
        return Found("torn", "it is as it was after no commit", 0, trace)
    if store.epoch <= was.epoch(at):
        return Found("lost", f"its epoch {store.epoch} was given out before", 1, trace)
    if store.restored:
        return Found("mark", "it takes itself for an older copy", 0, trace)
    return Found("", "", 0, trace)


async def _further(store: Store, trace: Trace) -> None:
    await store.write(lambda unit: tokens.save(unit, "after", "x"))
    trace.committed()
    trace.holds(await store.read(contents))
