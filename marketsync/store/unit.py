"""What a unit of work may do inside its transaction, and what the store raises from there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from marketsync.errors import StoreError
from marketsync.store.mark import Mark

T = TypeVar("T")

Row = tuple[Any, ...]


class Unit(Protocol):
    """One unit of work inside a transaction, or a read snapshot. SQL has `?`, and `= ANY(?)` takes a list.

    `epoch` is the holder's: guarded updates compare it with the lease. `later` takes unguarded inserts, which are
    written just before the COMMIT of the whole group: the unit itself does not see them.
    """

    @property
    def epoch(self) -> int: ...
    async def fetch(self, sql: str, *args: Any) -> list[Row]: ...
    async def execute(self, sql: str, *args: Any) -> int: ...
    async def execute_many(self, sql: str, rows: Sequence[Row]) -> int: ...
    def later(self, sql: str, row: Row) -> None: ...
    def seq(self) -> int: ...


class Violated(StoreError):
    """A CHECK or a unique index refused the row: a rule was about to be broken. The unit is rolled back."""


class Busy(Exception):
    """Another program held the database, or PostgreSQL asks to run again: the writer repeats the whole group."""


class Broken(StoreError):
    """The database failed under us: after a failed fsync nothing that it says is to be believed (failure 55)."""


class NoSpace(StoreError):
    """The disk is full: the whole group was rolled back, and a later one may succeed (failure 54)."""


class Session(Protocol):
    """Statements on one connection."""

    async def fetch(self, sql: str, *args: Any) -> list[Row]: ...
    async def execute(self, sql: str, *args: Any) -> int: ...
    async def execute_many(self, sql: str, rows: Sequence[Row]) -> int: ...


class WriteSession(Session, Protocol):
    """The writer's connection: one transaction for a group, a savepoint for each unit of several."""

    async def begin(self) -> None: ...
    async def savepoint(self) -> None: ...
    async def undo(self) -> None: ...
    async def rollback(self) -> None: ...
    async def commit(self, later: Sequence[tuple[str, Sequence[Row]]]) -> None: ...


class Database(Protocol):
    """One engine. `mark` is kept beside what is opened for writing, where it is files. `abandon` drops everything as a kill would, without a word to the database."""

    @property
    def writer(self) -> WriteSession: ...
    @property
    def mark(self) -> Mark | None: ...
    async def snapshot(self, query: Callable[[Session], Awaitable[T]]) -> T: ...
    async def start_reader(self) -> None: ...
    async def backup(self, to: Path) -> None: ...
    async def sizes(self) -> dict[str, int]: ...
    async def quick_check(self) -> str: ...
    async def close(self) -> None: ...
    def abandon(self) -> None: ...
