"""A disk that is locked, full or broken: what SQLite says then, at statements that a seed chooses."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from typing import TypeVar

import msgspec

from marketsync.sandbox.chance import Chance

T = TypeVar("T")

LOCK_SECONDS = 30.0
FULL_SECONDS = (5.0, 90.0)
PAGES_MAX = 1_073_741_823


class DiskRates(msgspec.Struct, frozen=True):
    """The probability of each for one statement; 0 is off. After an I/O error the life is over."""

    locked: float = 0.0
    disk_full: float = 0.0
    io_error: float = 0.0


class Disk:
    """Of one life. `broken` says that an I/O error was met, after which the daemon is expected to end by itself."""

    def __init__(self, rates: DiskRates, chance: Chance, now: Callable[[], float]) -> None:
        self.injected: dict[str, int] = {}
        self.broken = False
        self.troubled: list[tuple[float, float]] = []
        self._rates = rates
        self._chance = chance
        self._now = now
        self._full_until: float | None = None

    def quiet(self) -> None:
        self._rates = DiskRates()
        if self._full_until is not None:
            self._full_until = self._now()

    async def run(self, raw: sqlite3.Connection, work: Callable[[], T], *, writes: bool) -> T:
        rates = self._rates
        if rates.locked and not raw.in_transaction and self._chance.happens(rates.locked):
            await self._wait_for_lock()
        if writes:
            self._fill(raw)
        if not (rates.io_error and self._chance.happens(rates.io_error)):
            return self._counted(work)
        self._note("io_error")
        self.broken = True
        if self._chance.happens(0.5):
            work()
        raise _error(sqlite3.SQLITE_IOERR, "disk I/O error")

    async def _wait_for_lock(self) -> None:
        """Another program has it: for a while, or for longer than anybody waits."""
        self._note("locked")
        given_up = not self._chance.happens(0.6)
        seconds = LOCK_SECONDS if given_up else self._chance.uniform(1.0, 25.0)
        self.troubled.append((self._now(), self._now() + seconds))
        await asyncio.sleep(seconds)
        if not given_up:
            return
        raise _error(sqlite3.SQLITE_BUSY, "database is locked")

    def _fill(self, raw: sqlite3.Connection) -> None:
        """By SQLite's own hand: the file may not grow."""
        if self._full_until is None:
            if self._rates.disk_full and self._chance.happens(self._rates.disk_full):
                self._full_until = self._now() + self._chance.uniform(*FULL_SECONDS)
                self.troubled.append((self._now(), self._full_until))
                raw.execute("PRAGMA max_page_count = 1")
        elif self._now() >= self._full_until:
            self._full_until = None
            raw.execute(f"PRAGMA max_page_count = {PAGES_MAX}")

    def _counted(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                self._note("disk_full")
            raise

    def _note(self, kind: str) -> None:
        self.injected[kind] = self.injected.get(kind, 0) + 1


def _error(code: int, text: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error
