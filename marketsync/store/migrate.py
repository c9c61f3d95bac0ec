"""From whatever schema is there to ours, and what begins with each opening of the database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from marketsync.domain.gap import Gap
from marketsync.errors import StoreError
from marketsync.ports import Clock, CrashPoints, Random
from marketsync.store import gaps
from marketsync.store.columns import instant, micros
from marketsync.store.mark import Mark, Reached
from marketsync.store.schema import MIGRATIONS, VERSIONS
from marketsync.store.unit import Busy, Database, Session, WriteSession

T = TypeVar("T")

INSTALLATION_LENGTH = 6
_ATTEMPTS_MAX = 3


class Life(msgspec.Struct, frozen=True):
    """`seq` is the last number that was given out and kept. `restored`: this opening found an older copy."""

    epoch: int
    installation: str
    seq: int
    gap: Gap | None = None
    restored: bool = False


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


async def begin_life(
    session: WriteSession, random: Random, crash: CrashPoints, clock: Clock, mark: Mark | None
) -> Life:
    """The epoch rises at each opening, so that a holder that should be gone changes nothing any more (A7).

    A database that is behind its mark, or that comes without it, is a copy: what was done since is a gap (failure 64).
    A lost one takes its installation's name from the mark, so that its references are recognised (failure 57).
    """
    reached = None if mark is None else mark.found
    token = random.token(INSTALLATION_LENGTH)
    if reached is not None:
        token = reached.installation

    async def begin() -> Life:
        fresh = not await session.fetch("SELECT 1 FROM meta WHERE key = 'installation'")
        if fresh and reached is None and mark is not None:
            mark.begin(token)
        await session.execute(
            "INSERT INTO meta (key, value) VALUES ('installation', ?) ON CONFLICT (key) DO NOTHING", token
        )
        await session.execute(
            "INSERT INTO sequence (name, value) VALUES ('global', 0) ON CONFLICT (name) DO NOTHING"
        )
        await session.execute(
            "INSERT INTO lease (merchant, epoch) VALUES ('*', 0) ON CONFLICT (merchant) DO NOTHING"
        )
        before = await _life(session)
        copied = reached is None and mark is not None and not fresh
        restored = copied or (reached is not None and reached.is_ahead_of(before.epoch, before.seq))
        if restored or fresh:
            since = instant(0) if fresh else await gaps.newest_commit(session)
            await gaps.widen(session, Gap(since, clock.now(), lived=restored))
        epoch = max(before.epoch, 0 if reached is None else reached.epoch) + 1
        await session.execute("UPDATE lease SET epoch = ? WHERE merchant = '*'", epoch)
        return msgspec.structs.replace(await _life(session), restored=restored)

    life = await _in_transaction(session, crash, begin)
    if mark is not None:
        mark.put(Reached(life.installation, life.epoch, life.seq))
    return life


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
    return Life(epoch, installation, seq, await gaps.load(session))


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
