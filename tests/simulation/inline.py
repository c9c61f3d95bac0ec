"""aiosqlite without its thread: a statement runs in the loop's own turn, with a turn for others before and after."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Generator
from typing import Any

import aiosqlite


class Inline:
    """Opens connections that end together: `cut` is what SQLite sees of a kill, and nothing gets through after it."""

    def __init__(self) -> None:
        self.alive = True
        self.statements = 0
        self._raw: list[sqlite3.Connection] = []

    def connect(self, database: str, **options: Any) -> aiosqlite.Connection:
        def connector() -> sqlite3.Connection:
            raw: sqlite3.Connection = sqlite3.connect(database, **options)
            self._raw.append(raw)
            return raw

        return InlineConnection(self, connector)

    def cut(self) -> None:
        self.alive = False
        while self._raw:
            self._raw.pop().close()


class InlineConnection(aiosqlite.Connection):
    def __init__(self, owner: Inline, connector: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connector, 64)
        self._owner = owner

    async def _execute(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(0)
        if not self._owner.alive or self._connection is None:
            raise ValueError("this life is over")
        self._owner.statements += 1
        try:
            return fn(*args, **kwargs)
        finally:
            await asyncio.sleep(0)

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
