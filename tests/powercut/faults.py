"""A disk that is full, or that fails: at the n-th call, for every n of a fixed piece of work."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from marketsync.domain.coverage import Axis, Window
from marketsync.errors import StoreError
from marketsync.store import Broken, Store, Unit, coverage, deliveries, history, orders, tokens
from marketsync.store.rows import HistoryRow
from marketsync.store.unit import NoSpace
from tests.integration.store import examples
from tests.powercut.lives import Setting, opened
from tests.powercut.trace import put_image
from tests.powercut.vfs import Vfs

UNITS = 4
FOR_GOOD = 1_000_000
NO_INDEX = "ENOSPC for the index"
SETTING = Setting(checkpoint_pages=12)
ADVICE = ("check the disk", "check that the state directory", "free some space", "restore the newest")

_IOERR = {
    "read": sqlite3.SQLITE_IOERR_READ, "write": sqlite3.SQLITE_IOERR_WRITE, "sync": sqlite3.SQLITE_IOERR_FSYNC,
    "truncate": sqlite3.SQLITE_IOERR_TRUNCATE, "size": sqlite3.SQLITE_IOERR_FSTAT, "shm": sqlite3.SQLITE_IOERR_SHMMAP,
    "access": sqlite3.SQLITE_IOERR_ACCESS, "delete": sqlite3.SQLITE_IOERR_DELETE, "open": sqlite3.SQLITE_CANTOPEN,
}  # fmt: skip
# What SQLite makes of ENOSPC: only a write says so. A log that can't be made, and its index, fail otherwise.
_FULL = {
    "write": sqlite3.SQLITE_FULL, "open": sqlite3.SQLITE_CANTOPEN, "shm": sqlite3.SQLITE_IOERR_SHMSIZE,
}  # fmt: skip
KINDS = {"EIO": _IOERR, "ENOSPC": _FULL, NO_INDEX: {"shm": sqlite3.SQLITE_IOERR_SHMSIZE}}


class Failing:
    """A tap: from the n-th call of its kinds on, so many fail; then the disk is sound again. 0 is a sound one."""

    def __init__(self, kind: str, number: int, times: int) -> None:
        self.codes = KINDS[kind]
        self.number = number
        self.left = times
        self.calls = 0
        self.refused: Counter[str] = Counter()

    def before(self, call: str, name: str) -> int:
        if call not in self.codes:
            return 0
        self.calls += 1
        if self.number == 0 or self.calls < self.number or self.left <= 0:
            return 0
        self.left -= 1
        self.refused[call] += 1
        return self.codes[call]

    def mend(self) -> None:
        self.left = 0

    def opened(self, name: str) -> None: ...
    def wrote(self, name: str, offset: int, data: bytes) -> None: ...
    def truncated(self, name: str, size: int) -> None: ...
    def synced(self, name: str, *, directory: bool) -> None: ...
    def deleted(self, name: str, *, directory: bool) -> None: ...


class Ending(NamedTuple):
    """`ended` is how the work ended; `problem` is what broke a promise, "" if none did."""

    number: int
    ended: str
    call: str
    problem: str


async def calls(vfs: Vfs, directory: Path, kind: str) -> int:
    """How many there are to fail at."""
    tap = Failing(kind, 0, 0)
    life = _Life(directory, tap)
    put_image(directory, {})
    with vfs.tapped(tap, deep=True):
        await life.begin()
        await life.work()
        await life.end()
    return tap.calls


async def every(vfs: Vfs, directory: Path, kind: str, times: int, step: int = 1) -> AsyncIterator[Ending]:
    for number in range(1, await calls(vfs, directory, kind) + 1, step):
        yield await fail(vfs, directory, kind, number, times)


async def fail(vfs: Vfs, directory: Path, kind: str, number: int, times: int) -> Ending:
    put_image(directory, {})
    tap = Failing(kind, number, times)
    life = _Life(directory, tap)
    with vfs.tapped(tap, deep=True):
        try:
            await life.through()
            await life.look_back()
        except Kept as problem:
            return Ending(number, "", ",".join(sorted(tap.refused)), str(problem))
        finally:
            tap.mend()
            await life.end()
    return Ending(number, life.ended, ",".join(sorted(tap.refused)), "")


class Kept(Exception):
    """A promise that was not kept; the text says which."""


class _Life:
    """The fixed piece of work: open, migrate, write some units over some checkpoints, close."""

    def __init__(self, directory: Path, tap: Failing) -> None:
        self.ended = "nothing was noticed"
        self._directory = directory
        self._tap = tap
        self._store: Store | None = None
        self._acknowledged = 0

    async def begin(self) -> None:
        self._store = await opened(self._directory, SETTING)

    async def work(self) -> None:
        while self._acknowledged < UNITS:
            await self._sure().write(lambda unit: _put(unit, self._acknowledged + 1))
            self._acknowledged += 1

    async def end(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            await store.close()

    async def through(self) -> None:
        try:
            await self.begin()
            await self.work()
        except NoSpace as error:
            await self._space_again(error)
        except StoreError as error:
            await self._broken(error)
        except Exception as error:
            raise Kept(f"raised {error!r}") from error
        try:
            await self.end()
        except Exception as error:
            raise Kept(f"closing raised {error!r}") from error

    async def _space_again(self, error: NoSpace) -> None:
        """The same store goes on, or opens where it did not."""
        self._said(error, "full")
        self._tap.mend()
        try:
            if self._store is None:
                await self.begin()
            await self.work()
        except Exception as another:
            raise Kept(f"there is space again, and it raised {another!r}") from another

    async def _broken(self, error: StoreError) -> None:
        """Nothing is written any more, even where the disk seems to be well again."""
        self._said(error, "broken")
        if self._store is None:
            return
        self._tap.mend()
        try:
            await self.work()
        except Broken:
            return
        raise Kept("it was broken, and went on")

    def _said(self, error: StoreError, ended: str) -> None:
        self.ended = f"{ended}{' at its opening' if self._store is None else ''}"
        if not any(advice in str(error) for advice in ADVICE):
            raise Kept(f"no word of what to do: {error}")

    async def look_back(self) -> None:
        """On a sound disk: all that was acknowledged, whole; at most the one that was under way besides."""
        self._tap.mend()
        try:
            await self.begin()
            store = self._sure()
            checked = await store.database.writer.fetch("PRAGMA integrity_check")
            present = await store.read(_present)
            await self.work_on()
        except Exception as error:
            raise Kept(f"it does not come back: {error!r}") from error
        if checked != [("ok",)]:
            raise Kept(f"integrity_check: {checked[:3]}")
        if not self._whole(present):
            raise Kept(f"{self._acknowledged} units were acknowledged, there are {present}")
        if store.restored:
            raise Kept("it takes itself for an older copy")

    async def work_on(self) -> None:
        await self._sure().write(lambda unit: _put(unit, UNITS + 1))

    def _whole(self, present: list[tuple[int, ...]]) -> bool:
        """Of each unit its order, delivery, coverage, history and token."""
        return any(present == [(n,) * 5] for n in (self._acknowledged, self._acknowledged + 1))

    def _sure(self) -> Store:
        assert self._store is not None
        return self._store


async def _put(unit: Unit, number: int) -> None:
    numbers = range(number * 10, number * 10 + 10)
    await orders.put(unit, [examples.held(n) for n in numbers])
    await deliveries.insert(unit, [examples.delivery(n) for n in numbers])
    lo = examples.NOW + timedelta(hours=number)
    await coverage.add(
        unit, examples.MERCHANT, examples.MARKET, Window(Axis.UPDATED, lo, lo + timedelta(minutes=1)), lo
    )
    history.add(unit, HistoryRow(examples.MERCHANT, f"unit-{number}", examples.NOW, "unit.was_put", ""))
    await tokens.save(unit, f"unit-{number}", "x")


async def _present(unit: Unit) -> list[tuple[int, ...]]:
    return await unit.fetch(
        """SELECT (SELECT COUNT(*) FROM orders) / 10.0, (SELECT COUNT(*) FROM deliveries) / 10.0,
            (SELECT COUNT(*) FROM coverage), (SELECT COUNT(*) FROM history), (SELECT COUNT(*) FROM tokens)"""
    )
