"""From whatever schema is there to ours, and what begins with each opening of the database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from marketsync.errors import StoreError
from marketsync.ports import Clock, CrashPoints, Random
from marketsync.store.columns import micros
from marketsync.store.schema import MIGRATIONS, VERSIONS
from marketsync.store.unit import Busy, Database, Session, WriteSession

T = TypeVar("T")

INSTALLATION_LENGTH = 6
_ATTEMPTS_MAX = 3


class Life(msgspec.Struct, frozen=True):
    """`seq` is the last number that was given out and kept."""

    epoch: int
    installation: str
    seq: int


async def migrate(session: WriteSession, clock: Clock, crash: CrashPoints) -> None:
    """Each step in one transaction with its version row: a killed one restarts from its beginning (failure 65)."""
    await _in_transaction(session, crash, lambda: session.execute(VERSIONS))
    found = await _version(session)
    refuse_newer(found)
    for number, statements in enumerate(MIGRATIONS[found:], start=found + 1):

        async def step(number: int = number, statements: tuple[str, ...] = statements) -> None:
            for sql in statements:
                await session.execute(sql)
            await session.execute(
                "INSERT INTO schema_version (version, at) VALUES (?, ?)", number, micros(clock.now())
            )

        await _in_transaction(session, crash, step)


async def begin_life(session: WriteSession, random: Random, crash: CrashPoints) -> Life:
    """The epoch rises at each opening, so that a holder that should be gone changes nothing any more (A7)."""
    token = random.token(INSTALLATION_LENGTH)

    async def begin() -> Life:
        await session.execute(
            "INSERT INTO meta (key, value) VALUES ('installation', ?) ON CONFLICT (key) DO NOTHING", token
        )
        await session.execute(
            "INSERT INTO sequence (name, value) VALUES ('global', 0) ON CONFLICT (name) DO NOTHING"
        )
        await session.execute(
            "INSERT INTO lease (merchant, epoch) VALUES ('*', 0) ON CONFLICT (merchant) DO NOTHING"
        )
        await session.execute("UPDATE lease SET epoch = epoch + 1 WHERE merchant = '*'")
        return await _life(session)

    return await _in_transaction(session, crash, begin)


async def look(database: Database) -> Life:
    """For a reader beside the daemon: nothing is changed."""

    async def query(session: Session) -> Life:
        try:
            found = await _version(session)
        except (StoreError, Busy):
            raise
        except Exception as error:
            # Whatever the driver calls it: the first opening was cut off before its first commit (failure 65).
            raise StoreError("the database was never finished: start the daemon there first") from error
        refuse_newer(found)
        if found < len(MIGRATIONS):
            raise StoreError(
                "the database is of an older version of marketsync: start the daemon once to migrate it"
            )
        return await _life(session)

    return await database.snapshot(query)


def refuse_newer(version: int) -> None:
    if version > len(MIGRATIONS):
        raise StoreError(
            f"the database has schema {version} and this marketsync knows {len(MIGRATIONS)}: install the version that "
            "wrote it, or restore the backup made before the upgrade"
        )


async def _version(session: Session) -> int:
    return int((await session.fetch("SELECT COALESCE(MAX(version), 0) FROM schema_version"))[0][0])


async def _life(session: Session) -> Life:
    rows = await session.fetch(
        """SELECT (SELECT epoch FROM lease WHERE merchant = '*'), (SELECT value FROM meta WHERE key = 'installation'),
            (SELECT value FROM sequence WHERE name = 'global')"""
    )
    epoch, installation, seq = rows[0]
    if epoch is None:
        raise StoreError("the database was never used: start the daemon there first")
    return Life(epoch, installation, seq)


async def _in_transaction(session: WriteSession, crash: CrashPoints, work: Callable[[], Awaitable[T]]) -> T:
    for _ in range(_ATTEMPTS_MAX):
        await session.begin()
        try:
            result = await work()
            crash.reach("store.before_commit")
            await session.commit([])
        except Busy:
            await session.rollback()
            continue
        except BaseException:
            await session.rollback()
            raise
        crash.reach("store.after_commit")
        return result
    raise StoreError(
        "another program keeps the database locked: find it (a backup tool, a shell) and stop it"
    )
