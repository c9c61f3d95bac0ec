"""Group commit, the sequence, and what a failing unit or a failing commit leaves."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import aiosqlite
import pytest

from marketsync.errors import StoreError
from marketsync.store import Broken, Store, Unit, Violated, tokens
from marketsync.store.schema import MIGRATIONS
from tests.integration.store.conftest import Crash, CrashAt, Engine


async def _tokens(store: Store) -> list[str]:
    async def query(unit: Unit) -> list[str]:
        return [name for (name,) in await unit.fetch("SELECT credential FROM tokens ORDER BY credential")]

    return await store.read(query)


def _saving(name: str) -> Any:
    return lambda unit: tokens.save(unit, name, "x")


async def test_units_that_wait_together_share_a_commit(engine: Engine) -> None:
    crash = CrashAt()
    store = await engine.open(crash)
    before = crash.passed["store.before_commit"]
    await asyncio.gather(*(store.write(_saving(f"t{n:02d}")) for n in range(40)))
    assert len(await _tokens(store)) == 40
    assert crash.passed["store.before_commit"] - before <= 2


async def test_a_failing_unit_is_rolled_back_alone(engine: Engine) -> None:
    store = await engine.open()

    async def failing(unit: Unit) -> None:
        await tokens.save(unit, "bad", "x")
        unit.later("INSERT INTO tokens (credential, token) VALUES (?, ?)", ("bad-later", "x"))
        raise RuntimeError("planned")

    units = (_saving("a"), failing, _saving("b"), failing, _saving("c"))
    results = await asyncio.gather(*(store.write(unit) for unit in units), return_exceptions=True)
    assert [isinstance(result, RuntimeError) for result in results] == [False, True, False, True, False]
    assert await _tokens(store) == ["a", "b", "c"]


async def test_a_failing_unit_that_is_alone_leaves_nothing(engine: Engine) -> None:
    store = await engine.open()

    async def failing(unit: Unit) -> None:
        await tokens.save(unit, "bad", "x")
        raise RuntimeError("planned")

    with pytest.raises(RuntimeError, match="planned"):
        await store.write(failing)
    await store.write(_saving("good"))
    assert await _tokens(store) == ["good"]


async def test_later_rows_are_written_with_the_group(engine: Engine) -> None:
    store = await engine.open()

    async def unit(work: Unit) -> int:
        work.later("INSERT INTO tokens (credential, token) VALUES (?, ?)", ("later", "x"))
        return len(await work.fetch("SELECT 1 FROM tokens"))

    assert await store.write(unit) == 0
    assert await _tokens(store) == ["later"]


async def test_a_refused_later_row_fails_its_own_unit_only(engine: Engine) -> None:
    store = await engine.open()
    await store.write(_saving("there"))

    async def clashing(unit: Unit) -> None:
        unit.later("INSERT INTO tokens (credential, token) VALUES (?, ?)", ("there", "x"))

    results = await asyncio.gather(
        *(store.write(unit) for unit in (_saving("a"), clashing, _saving("b"))), return_exceptions=True
    )
    assert [isinstance(result, Violated) for result in results] == [False, True, False]
    assert await _tokens(store) == ["a", "b", "there"]


async def test_a_cancelled_caller_changes_nothing_for_the_group(engine: Engine) -> None:
    store = await engine.open()
    waiting = [asyncio.create_task(store.write(_saving(f"t{n}"))) for n in range(5)]
    await asyncio.sleep(0)
    waiting[2].cancel()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(results[2], asyncio.CancelledError)
    await store.write(_saving("t9"))
    assert await _tokens(store) == ["t0", "t1", "t2", "t3", "t4", "t9"]


@pytest.mark.rule("C1")
async def test_the_sequence_never_goes_back(engine: Engine) -> None:
    store = await engine.open()

    async def unit(work: Unit) -> int:
        await tokens.save(work, "a", "x")
        return work.seq()

    taken = [store.next_seq(), await store.write(unit), await store.write(unit)]
    assert taken == sorted(set(taken))
    engine.kill(store)
    again = await engine.open()
    assert again.next_seq() > taken[-1]


@pytest.mark.rule("A7")
async def test_the_epoch_rises_and_the_installation_stays(engine: Engine) -> None:
    first = await engine.open()
    await engine.close(first)
    second = await engine.open()
    assert second.epoch == first.epoch + 1
    assert (first.installation, second.installation) == ("abcdef", "abcdef")


@pytest.mark.rule("A7")
async def test_whose_store_was_taken_over_writes_nothing_more(engine: Engine) -> None:
    store = await engine.open()
    begun: list[int] = []

    async def taken(work: Unit) -> None:
        await work.execute("UPDATE lease SET epoch = epoch + 1")

    async def late(work: Unit) -> None:
        begun.append(work.seq())
        await tokens.save(work, "a", "x")

    await store.write(taken)
    for _ in range(2):
        with pytest.raises(Broken, match="another daemon"):
            await store.write(late)
    assert not begun
    assert await store.read(lambda unit: tokens.load(unit, "a")) is None


@pytest.mark.parametrize(("point", "kept"), [("store.before_commit", False), ("store.after_commit", True)])
@pytest.mark.failure(51)
async def test_a_kill_at_the_commit_leaves_all_or_nothing(engine: Engine, point: str, kept: bool) -> None:
    # The commits of opening: version table, the migrations, the new life.
    crash = CrashAt(point, number=len(MIGRATIONS) + 3)
    store = await engine.open(crash)

    async def unit(work: Unit) -> None:
        await tokens.save(work, "a", "x")
        work.later("INSERT INTO tokens (credential, token) VALUES (?, ?)", ("b", "x"))

    with pytest.raises((Broken, Crash)):
        await store.write(unit)
    with pytest.raises(Crash):
        await store._writer._task  # type: ignore[union-attr]
    engine.kill(store)
    assert await _tokens(await engine.open()) == (["a", "b"] if kept else [])


async def test_a_read_sees_one_moment(engine: Engine) -> None:
    store = await engine.open()

    async def query(unit: Unit) -> tuple[int, int]:
        first = len(await unit.fetch("SELECT 1 FROM tokens"))
        await store.write(_saving("meanwhile"))
        return first, len(await unit.fetch("SELECT 1 FROM tokens"))

    assert await store.read(query) == (0, 0)
    assert await _tokens(store) == ["meanwhile"]


async def test_a_read_writes_nothing(engine: Engine) -> None:
    store = await engine.open()
    with pytest.raises(Exception, match="read"):
        await store.read(lambda unit: unit.execute("DELETE FROM tokens"))
    assert await store.read(lambda unit: unit.fetch("SELECT 1")) == [(1,)]


async def test_what_waits_is_written_before_the_store_closes(engine: Engine) -> None:
    store = await engine.open()
    task = asyncio.create_task(store.write(_saving("last")))
    await asyncio.sleep(0)
    await engine.close(store)
    await task
    assert await _tokens(await engine.open()) == ["last"]
    with pytest.raises(StoreError, match="closed"):
        await store.write(_saving("late"))


async def test_synchronous_is_full(sqlite_engine: Engine) -> None:
    store = await sqlite_engine.open()
    assert await store.write(lambda unit: unit.fetch("PRAGMA synchronous")) == [(2,)]
    assert await store.write(lambda unit: unit.fetch("PRAGMA journal_mode")) == [("wal",)]


class Failing(aiosqlite.Connection):
    """A connection whose COMMIT, or whatever begins with `on`, meets an error of the disk."""

    errors: dict[str, tuple[int, str]]

    async def _execute(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        def run() -> Any:
            raw = self._connection
            self._connection = _Raw(raw, self.errors)  # type: ignore[assignment]
            try:
                return fn(*args, **kwargs)
            finally:
                if self._connection is not None:
                    self._connection = raw

        return await super()._execute(run)  # type: ignore[no-untyped-call]


class _Raw:
    def __init__(self, raw: Any, errors: dict[str, tuple[int, str]]) -> None:
        self._raw = raw
        self._errors = errors

    def execute(self, sql: str, *args: Any) -> Any:
        code, text = self._errors.get(sql.partition(" ")[0], (0, ""))
        if code:
            error = sqlite3.OperationalError(text)
            error.sqlite_errorcode = code
            raise error
        return self._raw.execute(sql, *args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)


def _failing(errors: dict[str, tuple[int, str]]) -> Any:
    def connect(database: str, **options: Any) -> aiosqlite.Connection:
        made = Failing(lambda: sqlite3.connect(database, **options), 64)
        made.errors = errors
        return made

    return connect


@pytest.mark.failure(55)
@pytest.mark.parametrize(
    "code",
    [sqlite3.SQLITE_IOERR, sqlite3.SQLITE_IOERR | 4 << 8, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CORRUPT],
)
async def test_nothing_is_written_after_a_failed_commit(sqlite_engine: Engine, code: int) -> None:
    errors: dict[str, tuple[int, str]] = {}
    store = await sqlite_engine.open(sqlite_connect=_failing(errors))
    errors["COMMIT"] = (code, "disk I/O error")
    with pytest.raises(StoreError, match=r"check|restore"):
        await store.write(_saving("a"))
    errors.clear()
    with pytest.raises(Broken, match="stopped after an error"):
        await store.write(_saving("b"))


@pytest.mark.failure(54)
@pytest.mark.parametrize("statement", ["COMMIT", "INSERT"])
async def test_a_full_disk_rolls_back_and_is_got_over(sqlite_engine: Engine, statement: str) -> None:
    errors: dict[str, tuple[int, str]] = {}
    store = await sqlite_engine.open(sqlite_connect=_failing(errors))
    errors[statement] = (sqlite3.SQLITE_FULL, "database or disk is full")
    results = await asyncio.gather(*(store.write(_saving(f"t{n}")) for n in range(3)), return_exceptions=True)
    assert all(isinstance(result, StoreError) and "free some space" in str(result) for result in results)
    errors.clear()
    await store.write(_saving("after"))
    assert await _tokens(store) == ["after"]


class Once(dict[str, tuple[int, str]]):
    """Each error is met once."""

    def get(self, key: str, default: Any = None) -> Any:
        return self.pop(key, default)


@pytest.mark.failure(56)
@pytest.mark.parametrize(("statement", "runs"), [("BEGIN", 1), ("INSERT", 2)])
async def test_a_locked_database_is_tried_again(sqlite_engine: Engine, statement: str, runs: int) -> None:
    errors = Once()
    store = await sqlite_engine.open(sqlite_connect=_failing(errors))
    errors[statement] = (sqlite3.SQLITE_BUSY, "database is locked")
    begun: list[int] = []

    async def unit(work: Unit) -> None:
        begun.append(work.seq())
        await tokens.save(work, "a", "x")

    await store.write(unit)
    assert len(begun) == runs
    assert not errors
    assert await _tokens(store) == ["a"]


@pytest.mark.failure(56)
async def test_a_database_that_stays_locked_is_given_up(sqlite_engine: Engine) -> None:
    errors: dict[str, tuple[int, str]] = {}
    store = await sqlite_engine.open(sqlite_connect=_failing(errors))
    errors["BEGIN"] = (sqlite3.SQLITE_BUSY, "database is locked")
    with pytest.raises(StoreError, match="locked"):
        await store.write(_saving("b"))
    errors.clear()
    await store.write(_saving("c"))
    assert await _tokens(store) == ["c"]


@pytest.mark.failure(56)
async def test_a_foreign_writer_is_waited_for(sqlite_engine: Engine) -> None:
    store = await sqlite_engine.open()
    foreign = sqlite3.connect(Path(sqlite_engine.location) / "marketsync.sqlite3", isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    waiting = asyncio.create_task(store.write(_saving("a")))
    await asyncio.wait([waiting], timeout=0.2)
    assert not waiting.done()
    foreign.execute("ROLLBACK")
    foreign.close()
    await waiting
    assert await _tokens(store) == ["a"]
