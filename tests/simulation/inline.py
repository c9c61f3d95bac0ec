"""aiosqlite without its thread: a statement runs in the loop's own turn.

Others get a turn before each transaction of the writer, in the midst of it, and after its commit; and once in each of a reader,
when its snapshot is taken: what it reads is of that moment anyway.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Generator
from typing import Any

import aiosqlite

from tests.simulation.disk import Disk


class Inline:
    """Opens connections that end together: `cut` is what SQLite sees of a kill, and nothing gets through after it."""

    def __init__(self, reach: Callable[[str], None] | None = None) -> None:
        """`reach` is told before and after each statement: a crash point."""
        self.alive = True
        self.disk: Disk | None = None
        self.reach = reach
        self.statements = 0
        self._raw: list[sqlite3.Connection] = []

    def connect(self, database: str, **options: Any) -> aiosqlite.Connection:
        def connector() -> sqlite3.Connection:
            raw: sqlite3.Connection = sqlite3.connect(database, **options)
            self._raw.append(raw)
            return raw

        return InlineConnection(self, connector, writes="mode=rwc" in database)

    def cut(self) -> None:
        self.alive = False
        while self._raw:
            self._raw.pop().close()


class _Turn:
    """What `asyncio.sleep(0)` does, for less."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        yield


_TURN = _Turn()


# In the midst of a transaction others get a turn at each statement whose number this divides: it falls anywhere in time.
STATEMENTS_A_TURN = 4


class InlineConnection(aiosqlite.Connection):
    def __init__(
        self, owner: Inline, connector: Callable[[], sqlite3.Connection], *, writes: bool = False
    ) -> None:
        super().__init__(connector, 64)
        self._writes = writes
        self._owner = owner
        self._changes = 0

    async def _execute(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        owner, raw = self._owner, self._connection
        owner.statements += 1
        if self._writes and (
            raw is None or not raw.in_transaction or owner.statements % STATEMENTS_A_TURN == 0
        ):
            await _TURN
            raw = self._connection
        if not owner.alive or raw is None:
            raise ValueError("this life is over")
        reading = raw.in_transaction
        if owner.reach is not None:
            owner.reach("sql.before")
        if owner.disk is None:
            result = fn(*args, **kwargs)
        else:
            result = await owner.disk.run(raw, lambda: fn(*args, **kwargs), writes=self._writes)
        if owner.reach is not None:
            owner.reach("sql.after")
        if self._writes:
            if raw.total_changes != self._changes and not raw.in_transaction:
                self._changes = raw.total_changes
                await _TURN
        elif not reading:
            await _TURN
        return result

    async def _connect(self) -> aiosqlite.Connection:
        if self._connection is None:
            await asyncio.sleep(0)
            if not self._owner.alive:
                raise ValueError("this life is over")
            self._connection = self._connector()
        return self

    def __await__(self) -> Generator[Any, None, aiosqlite.Connection]:
        return self._connect().__await__()

    async def close(self) -> None:
        self.stop()

    def stop(self) -> None:
        """A connection is closed by its own hand only while it lives."""
        self._running = False
        if self._connection is not None and self._owner.alive:
            self._connection.close()
        self._connection = None

    def __del__(self) -> None:
        """There is no thread to stop."""
