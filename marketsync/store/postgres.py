"""PostgreSQL by asyncpg, imported only where it is used. The server keeps `synchronous_commit` on (A2)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import asyncpg

from marketsync.errors import StoreError, StoreLocked
from marketsync.store.dialect import counting_for_postgres, for_postgres
from marketsync.store.unit import Broken, Busy, NoSpace, Row, Session, Violated

T = TypeVar("T")

READERS_MAX = 4
LOCK_KEY = 0x6D61726B
STATEMENT_SECONDS = 30.0


class PostgresSession:
    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._nested = False

    async def fetch(self, sql: str, *args: Any) -> list[Row]:
        return [
            tuple(record) for record in await self._call(self._connection.fetch, for_postgres(sql), *args)
        ]

    async def execute(self, sql: str, *args: Any) -> int:
        tag = await self._call(self._connection.execute, for_postgres(sql), *args)
        count = tag.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    async def execute_many(self, sql: str, rows: Sequence[Row]) -> int:
        if not rows:
            return 0
        return len(await self._call(self._connection.fetchmany, counting_for_postgres(sql), rows))

    async def begin(self) -> None:
        self._nested = False
        await self._call(self._connection.execute, "BEGIN")

    async def savepoint(self) -> None:
        if self._nested:
            await self._call(self._connection.execute, "RELEASE SAVEPOINT unit")
        self._nested = True
        await self._call(self._connection.execute, "SAVEPOINT unit")

    async def undo(self) -> None:
        await self._call(self._connection.execute, "ROLLBACK TO SAVEPOINT unit")

    async def rollback(self) -> None:
        if self._connection.is_in_transaction():
            await self._call(self._connection.execute, "ROLLBACK")

    async def commit(self, later: Sequence[tuple[str, Sequence[Row]]]) -> None:
        if not self._connection.is_in_transaction():
            await self.begin()
        for sql, rows in later:
            await self._call(self._connection.executemany, for_postgres(sql), rows)
        await self._call(self._connection.execute, "COMMIT")

    async def _call(self, method: Callable[..., Awaitable[T]], *args: Any) -> T:
        try:
            return await method(*args)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise translated(error) from error


class PostgresDatabase:
    mark = None
    """A server's data may be restored without a word to us: a person says so (`marketsync restored`)."""

    def __init__(self, url: str, connection: Any) -> None:
        self.writer = PostgresSession(connection)
        self._url = url
        self._connection = connection
        self._readers: Any = None

    async def start_reader(self) -> None:
        self._readers = await asyncpg.create_pool(
            self._url, min_size=1, max_size=READERS_MAX, command_timeout=STATEMENT_SECONDS
        )

    async def snapshot(self, query: Callable[[Session], Awaitable[T]]) -> T:
        try:
            async with (
                self._readers.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                return await query(PostgresSession(connection))
        except Busy as error:
            raise StoreError("PostgreSQL asks to run the query again") from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise translated(error) from error

    async def backup(self, to: Path) -> None:
        raise StoreError(
            f"a PostgreSQL database is backed up by its own tools: pg_dump --format=custom --file={to}"
        )

    async def sizes(self) -> dict[str, int]:
        rows = await self.snapshot(
            lambda session: session.fetch("SELECT pg_database_size(current_database())")
        )
        return {"bytes": rows[0][0], "wal_bytes": 0}

    async def quick_check(self) -> str:
        """PostgreSQL checks its pages as it reads them."""
        return ""

    async def close(self) -> None:
        if self._readers is not None:
            await self._readers.close()
        await self._connection.close()

    def abandon(self) -> None:
        if self._readers is not None:
            self._readers.terminate()
        self._connection.terminate()


async def open_postgres(url: str, *, read_only: bool) -> PostgresDatabase:
    try:
        connection = await asyncpg.connect(url, command_timeout=STATEMENT_SECONDS)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise StoreError(
            f"PostgreSQL can't be reached: {type(error).__name__}: check the URL and the server"
        ) from error
    database = PostgresDatabase(url, connection)
    try:
        await _demand_durability(database.writer)
        if not read_only:
            await _lock(database.writer)
    except BaseException:
        await database.close()
        raise
    return database


async def _demand_durability(session: PostgresSession) -> None:
    """A2: a claim must be on disk before its request leaves."""
    for name in ("fsync", "synchronous_commit"):
        rows = await session.fetch("SELECT current_setting(?)", name)
        if rows[0][0] == "off":
            raise StoreError(
                f"PostgreSQL runs with {name} = off: set it to on, or a power cut repeats what was sent"
            )


async def _lock(session: PostgresSession) -> None:
    if (await session.fetch("SELECT pg_try_advisory_lock(?)", LOCK_KEY))[0][0]:
        return
    rows = await session.fetch(
        """SELECT a.pid, COALESCE(host(a.client_addr), 'this host') FROM pg_locks l
            JOIN pg_stat_activity a ON a.pid = l.pid WHERE l.locktype = 'advisory' AND l.objid = ?
            AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND l.granted""",
        LOCK_KEY,
    )
    holder = f"the session of pid {rows[0][0]} from {rows[0][1]}" if rows else "another session"
    raise StoreLocked(
        f"the database is in use by {holder}: stop that daemon first, or run this where it runs"
    )


def translated(error: Exception) -> Exception:
    """What the writer does next about an error of PostgreSQL; a mistake in a statement stays what it is."""
    match error:
        case asyncpg.SerializationError() | asyncpg.DeadlockDetectedError() | asyncpg.LockNotAvailableError():
            return Busy(type(error).__name__)
        case asyncpg.DiskFullError():
            return NoSpace("the disk of PostgreSQL is full: free some space; nothing was written by halves")
        case asyncpg.IntegrityConstraintViolationError():
            # The detail of the message holds values of the row, and so perhaps a buyer's.
            return Violated(f"{type(error).__name__}: {error.table_name}.{error.constraint_name}")
        case asyncpg.PostgresConnectionError() | asyncpg.InterfaceError() | OSError():
            return Broken(
                f"the connection to PostgreSQL was lost ({type(error).__name__}): restart once it is back"
            )
        case asyncpg.OperatorInterventionError() | asyncpg.PostgresIOError() | asyncpg.InternalServerError():
            return Broken(f"PostgreSQL failed ({type(error).__name__}): see its log, then restart")
        case _:
            return error
