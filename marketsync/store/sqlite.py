"""SQLite by aiosqlite: the one place that opens it. A hop to the connection's thread costs several times what a statement
costs, so only what may wait goes there: the write lock while somebody else has it, the fsync of a commit, a copy or a
check of the file. All other statements run where they are asked for; none of them can wait for anybody."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import aiosqlite
import msgspec

from marketsync.errors import StoreError
from marketsync.store.dialect import for_sqlite
from marketsync.store.lock import DirectoryLock
from marketsync.store.statistics import state_statistics
from marketsync.store.unit import Broken, Busy, NoSpace, Row, Session, Violated

T = TypeVar("T")

_json = msgspec.json.Encoder()
FILE_NAME = "marketsync.sqlite3"
# Stands in _begin_now too, in milliseconds.
BUSY_SECONDS = 30.0
_BACKUP_PAGES = 1024
_DEADLY = {
    sqlite3.SQLITE_IOERR: "its disk reports errors: check the disk and the system log",
    sqlite3.SQLITE_CORRUPT: "it is damaged: stop, and restore the newest verified backup",
    sqlite3.SQLITE_NOTADB: "it is not a database: stop, and restore the newest verified backup",
    sqlite3.SQLITE_READONLY: "it cannot be written: check the owner of the files and whether the disk is read-only",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: check that the state directory exists, belongs to this user and has space",
    sqlite3.SQLITE_PERM: "access is denied: check the owner of the files",
}


class Connect(Protocol):
    """As aiosqlite.connect; the simulator passes one whose connections run inline."""

    def __call__(self, database: str, **options: Any) -> aiosqlite.Connection: ...


class Execute(Protocol):
    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]: ...


class SqliteSession:
    """One connection. `begin`, `savepoint` and the ways back only note what the next hop runs first."""

    def __init__(self, connection: aiosqlite.Connection, begin: str) -> None:
        self._connection = connection
        # aiosqlite has no public way to run several statements in one trip to its thread.
        self._execute: Execute = connection._execute  # noqa: SLF001 - see the line before
        self._begin = begin
        # The simulator's connections run inline by themselves, with a boundary at each statement.
        self._waits = begin == "BEGIN IMMEDIATE"
        self._threaded = type(connection) is aiosqlite.Connection
        self._first: list[str] = []
        self._begun = False
        self._nested = False

    async def hop(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """One trip to the connection's thread."""
        try:
            return await self._execute(self._run(work))
        except sqlite3.Error as error:
            raise translated(error) from error

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> Callable[[], T]:
        """The work with what must come before it: the beginning of a transaction rides along."""
        first, self._first = self._first, []
        self._begun = self._begun or bool(first)

        def run() -> T:
            raw = self._connection._conn  # noqa: SLF001 - as in __init__
            for sql in first:
                raw.execute(sql)
            return work(raw)

        return run

    async def _statement(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """At once, unless it may have to wait for the write lock."""
        if not self._threaded or (self._waits and not self._begun and not self._begin_now()):
            return await self.hop(work)
        try:
            return self._run(work)()
        except sqlite3.Error as error:
            raise translated(error) from error

    def _begin_now(self) -> bool:
        """Whether the write lock was free, as it nearly always is; it is ours then."""
        if not self._first:
            return False
        raw = self._connection._conn  # noqa: SLF001 - as in __init__
        try:
            raw.execute("PRAGMA busy_timeout = 0")
            raw.execute("BEGIN IMMEDIATE")
        except sqlite3.Error:
            # The hop that waits for it says what is wrong, if it is more than that.
            return False
        finally:
            raw.execute("PRAGMA busy_timeout = 30000")
        self._first.remove(self._begin)
        self._begun = True
        return True

    async def fetch(self, sql: str, *args: Any) -> list[Row]:
        text, values = for_sqlite(sql), _bound(sql, args)
        return await self._statement(lambda raw: raw.execute(text, values).fetchall())

    async def execute(self, sql: str, *args: Any) -> int:
        text, values = for_sqlite(sql), _bound(sql, args)
        return await self._statement(lambda raw: raw.execute(text, values).rowcount)

    async def execute_many(self, sql: str, rows: Sequence[Row]) -> int:
        if not rows:
            return 0
        text = for_sqlite(sql)
        return await self._statement(lambda raw: raw.executemany(text, rows).rowcount)

    async def begin(self) -> None:
        self._first, self._begun, self._nested = [self._begin], False, False

    async def savepoint(self) -> None:
        self._first += ["RELEASE unit", "SAVEPOINT unit"] if self._nested else ["SAVEPOINT unit"]
        self._nested = True

    async def undo(self) -> None:
        if "SAVEPOINT unit" not in self._first:
            self._first.append("ROLLBACK TO unit")

    async def rollback(self) -> None:
        self._first = []
        if self._begun:
            self._begun = False
            await self._statement(lambda raw: raw.in_transaction and raw.execute("ROLLBACK"))

    def end_read(self) -> None:
        """At once, so that whoever is cancelled while it reads leaves no transaction behind."""
        self._first = []
        if self._begun:
            self._begun = False
            raw = self._connection._conn  # noqa: SLF001 - as in __init__
            try:
                if raw.in_transaction:
                    raw.execute("ROLLBACK")
            except sqlite3.Error as error:
                raise translated(error) from error

    async def commit(self, later: Sequence[tuple[str, Sequence[Row]]]) -> None:
        if not self._begun and not later:
            self._first = []
            return

        def write(raw: sqlite3.Connection) -> None:
            for sql, rows in later:
                raw.executemany(for_sqlite(sql), rows)

        await self._statement(write)
        await self.hop(lambda raw: raw.execute("COMMIT"))
        self._begun = False

    async def close(self) -> None:
        await self._connection.close()

    def drop(self) -> None:
        self._connection.stop()


class SqliteDatabase:
    """The writer's connection, the reader's and the lock on the state directory. One reader: nothing that it is asked for
    waits for anybody, so two would never read at once."""

    def __init__(self, path: Path, connect: Connect, lock: DirectoryLock | None) -> None:
        self.writer: SqliteSession
        self._path = path
        self._connect = connect
        self._lock = lock
        self.mark = None if lock is None else lock.mark
        self._sessions: list[SqliteSession] = []
        self._reader: SqliteSession
        self._reading = asyncio.Lock()

    async def start(self) -> None:
        writing = self._lock is not None
        self.writer = await self._open(self._path, "rwc" if writing else "ro", "BEGIN IMMEDIATE")
        if writing:
            await self.writer.fetch("PRAGMA journal_mode = WAL")
            await self.writer.fetch("PRAGMA synchronous = FULL")
            await self.writer.fetch("PRAGMA journal_size_limit = 67108864")
            # After a failed sync Linux reads back what it will never write, and so does the log of a killed process: what
            # is read from it goes to the disk anew, before anything is appended to it (failure 55).
            await self.writer.fetch("PRAGMA wal_checkpoint(TRUNCATE)")

    async def start_reader(self) -> None:
        if self._lock is not None:
            await self.writer.hop(state_statistics)
        self._reader = await self._open_to_read()

    async def snapshot(self, query: Callable[[Session], Awaitable[T]]) -> T:
        async with self._reading:
            try:
                await self._reader.begin()
                return await query(self._reader)
            except Busy as error:
                raise StoreError(f"the database stayed locked for {BUSY_SECONDS:.0f} s") from error
            finally:
                self._reader.end_read()

    async def backup(self, to: Path) -> None:
        """A verified copy at `to`, which must not exist yet. The work goes on meanwhile."""
        if _exists(to):
            raise StoreError(f"{to} exists already: name a new file for the backup")
        part = to.with_name(f"{to.name}.part")
        _touch(part, anew=True)
        source = await self._open(self._path, "rw", "BEGIN")
        try:
            await self._copy(source, part)
        finally:
            await source.close()
            self._sessions.remove(source)
        _into_place(part, to)

    async def _copy(self, source: SqliteSession, part: Path) -> None:
        target = await self._open(part, "rw", "BEGIN")
        try:
            # Inside a read transaction the copy is of one moment and is not begun anew at every commit of ours.
            await source.begin()
            await source.fetch("SELECT version FROM schema_version")
            with _errors_translated():
                await source._connection.backup(target._connection, pages=_BACKUP_PAGES)  # noqa: SLF001 - of this module
            await source.rollback()
            found = await target.hop(lambda raw: raw.execute("PRAGMA quick_check(1)").fetchall())
            await target.fetch("PRAGMA journal_mode = DELETE")
        finally:
            await target.close()
            self._sessions.remove(target)
        if found != [("ok",)]:
            raise StoreError(
                f"the copy {part} failed its check: {found[0][0]}; the database itself may be damaged"
            )

    async def sizes(self) -> dict[str, int]:
        page_count = (await self.snapshot(lambda session: session.fetch("PRAGMA page_count")))[0][0]
        page_size = (await self.snapshot(lambda session: session.fetch("PRAGMA page_size")))[0][0]
        wal = self._path.with_name(f"{self._path.name}-wal")
        return {"page_count": page_count, "bytes": page_count * page_size, "wal_bytes": _size(wal)}

    async def quick_check(self) -> str:
        """On a connection of its own: it takes its time, in that connection's thread."""
        session = await self._open_to_read()
        try:
            found = await session.hop(lambda raw: raw.execute("PRAGMA quick_check(1)").fetchall())
        finally:
            await session.close()
            self._sessions.remove(session)
        return "" if found == [("ok",)] else str(found[0][0])

    async def close(self) -> None:
        try:
            while self._sessions:
                await self._sessions.pop().close()
        finally:
            if self._lock is not None:
                self._lock.release()

    def abandon(self) -> None:
        while self._sessions:
            self._sessions.pop().drop()
        if self._lock is not None:
            self._lock.release()

    async def _open_to_read(self) -> SqliteSession:
        session = await self._open(self._path, "ro" if self._lock is None else "rw", "BEGIN")
        await session.fetch("PRAGMA query_only = ON")
        return session

    async def _open(self, path: Path, mode: str, begin: str) -> SqliteSession:
        connection = self._connect(
            f"file:{quote(str(path))}?mode={mode}",
            uri=True,
            isolation_level=None,
            timeout=BUSY_SECONDS,
            check_same_thread=False,
        )
        try:
            await connection
        except sqlite3.Error as error:
            raise translated(error) from error
        session = SqliteSession(connection, begin)
        self._sessions.append(session)
        return session


async def open_sqlite(directory: Path, connect: Connect | None, *, read_only: bool) -> SqliteDatabase:
    path = directory / FILE_NAME
    lock = None
    if read_only:
        if not _exists(path):
            raise StoreError(f"there is no database in {directory}: start the daemon there first")
    else:
        try:
            lock = _claim(directory)
        except OSError as error:
            raise StoreError(f"the state directory {directory} can't be used: {error.strerror}") from error
    database = SqliteDatabase(path, connect or aiosqlite.connect, lock)
    try:
        await database.start()
    except BaseException:
        await database.close()
        raise
    return database


def translated(error: sqlite3.Error) -> Exception:
    """What the writer does next about an error of SQLite; a mistake in a statement stays what it is."""
    extended = getattr(error, "sqlite_errorcode", 0)
    code = extended & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Busy(str(error))
    # The log's index could not grow: SQLite has no other word for a full disk there.
    if code == sqlite3.SQLITE_FULL or extended == sqlite3.SQLITE_IOERR_SHMSIZE:
        return NoSpace(
            "the disk of the state directory is full: free some space; nothing was written by halves"
        )
    if code == sqlite3.SQLITE_CONSTRAINT:
        return Violated(str(error))
    if code in _DEADLY:
        return Broken(f"the database can't be used ({error}): {_DEADLY[code]}")
    return error


class _errors_translated:  # noqa: N801 - used as a with statement's verb
    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sqlite3.Error):
            raise translated(error) from error


def _bound(sql: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    if "ANY(?)" not in sql:
        return args
    return tuple([_json.encode(value).decode() if isinstance(value, list) else value for value in args])


def _touch(path: Path, *, anew: bool = False) -> None:
    """Buyers' data is inside: created for this user alone, and SQLite's side files take over the mode."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | (os.O_TRUNC if anew else 0), 0o600))
    except OSError as error:
        raise StoreError(f"{path} can't be written: {error.strerror}") from error


def _claim(directory: Path) -> DirectoryLock:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = DirectoryLock(directory)
    _touch(directory / FILE_NAME)
    return lock


def _into_place(part: Path, to: Path) -> None:
    part.rename(to)
    _sync(to)


def _exists(path: Path) -> bool:
    return path.exists()


def _sync(path: Path) -> None:
    for name in (path, path.parent):
        fd = os.open(name, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
