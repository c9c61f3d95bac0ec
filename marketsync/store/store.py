"""The one door to the database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from marketsync.domain.gap import Gap
from marketsync.errors import StoreError
from marketsync.ports import Clock, CrashPoints, Random
from marketsync.store import gaps, migrate
from marketsync.store.mark import Reached
from marketsync.store.unit import Database, Session, Unit
from marketsync.store.writer import Work, Writer

if TYPE_CHECKING:
    from marketsync.store.sqlite import Connect

T = TypeVar("T")


class Store:
    """`epoch` is this holder's; `installation` was made once, with the database.

    `gap` is what this database can't know, None if it knows all; `restored` says that this opening found it.
    """

    def __init__(
        self, database: Database, life: migrate.Life, writer: Callable[[Store], Writer] | None
    ) -> None:
        self.database = database
        self.epoch = life.epoch
        self.installation = life.installation
        self.last_seq = life.seq
        self.gap = life.gap
        self.restored = life.restored
        self._writer = None if writer is None else writer(self)

    def next_seq(self) -> int:
        """The next number of the one global sequence (C1). Durable with the first commit after it."""
        self.last_seq += 1
        return self.last_seq

    def committed(self, seq: int) -> None:
        """This number is on disk: an older copy of the database is noticed by it at its opening."""
        if self.database.mark is not None:
            self.database.mark.put(Reached(self.installation, self.epoch, seq))

    async def widen_gap(self, found: Gap) -> Gap:
        """A person knows of a restore that could not be noticed here."""
        self.gap = await self.write(lambda unit: gaps.widen(unit, found))
        return self.gap

    async def write(self, unit: Callable[[Unit], Awaitable[T]]) -> T:
        """Run the unit in a transaction and return after its COMMIT is on disk; it is rolled back alone if it raises.

        It may be run again from its beginning where the database was locked. StoreError if nothing could be written.
        """
        if self._writer is None:
            raise StoreError("the database was opened for reading only")
        return await self._writer.write(unit)

    async def read(self, query: Callable[[Unit], Awaitable[T]]) -> T:
        """Run the query on a consistent snapshot of what was committed before."""

        async def on_session(session: Session) -> T:
            return await query(Work(session, self))

        return await self.database.snapshot(on_session)

    async def backup(self, path: Path | str) -> None:
        """A verified copy in a new file. StoreError on PostgreSQL, whose own tools do it."""
        await self.database.backup(Path(path))

    async def close(self) -> None:
        """Finish the units that wait, then close."""
        try:
            if self._writer is not None:
                await self._writer.close()
        finally:
            await self.database.close()

    def abandon(self) -> None:
        """Drop everything as a kill would: what was not committed is gone."""
        if self._writer is not None:
            self._writer.abandon()
        self.database.abandon()


async def open_store(
    location: str,
    clock: Clock,
    random: Random,
    crash: CrashPoints,
    *,
    read_only: bool = False,
    sqlite_connect: Connect | None = None,
) -> Store:
    """`location` is a state directory, or a postgresql:// URL. Creates and migrates the database where needed.

    StoreLocked if another daemon holds it, StoreError if it can't be used.
    """
    database = await _database(location, sqlite_connect, read_only=read_only)
    try:
        if read_only:
            await database.start_reader()
            return Store(database, await migrate.look(database), None)
        await migrate.migrate(database.writer, clock, crash)
        life = await migrate.begin_life(database.writer, random, crash, clock, database.mark)
        await database.start_reader()
    except BaseException:
        await database.close()
        raise
    return Store(database, life, lambda store: Writer(database.writer, store, crash))


async def _database(location: str, sqlite_connect: Connect | None, *, read_only: bool) -> Database:
    if location.startswith(("postgresql://", "postgres://")):
        from marketsync.store.postgres import open_postgres

        return await open_postgres(location, read_only=read_only)
    from marketsync.store.sqlite import open_sqlite

    return await open_sqlite(Path(location), sqlite_connect, read_only=read_only)
