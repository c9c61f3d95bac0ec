"""Opening, migrating, locking, backing up, pruning."""

# ruff: noqa: ASYNC240 - the files of a test are looked at while nothing else runs

from __future__ import annotations

import os
import sqlite3
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from msgspec.structs import replace

from marketsync.domain.coverage import Axis, Window
from marketsync.domain.deliveries import Kind, State
from marketsync.errors import StoreError, StoreLocked
from marketsync.store import (
    Store,
    coverage,
    deliveries,
    history,
    links,
    orders,
    private,
    schema,
    stock,
    tokens,
    upkeep,
)
from marketsync.store.lock import DirectoryLock, refuse_remote
from marketsync.store.rows import HistoryRow, Link
from tests.integration.store.conftest import Crash, CrashAt, Engine, Write
from tests.integration.store.examples import (
    MARKET,
    MERCHANT,
    NOW,
    SHOP,
    claim,
    delivery,
    done,
    held,
    in_doubt,
    ref,
    sent,
)
from tests.integration.store.examples import private as buyer

OLD = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.failure(65)
@pytest.mark.parametrize("number", [1, 2, 3])
async def test_a_killed_opening_restarts(engine: Engine, number: int) -> None:
    with pytest.raises(Crash):
        await engine.open(CrashAt("store.before_commit", number))
    store = await engine.open()
    assert await store.read(upkeep.schema_version) == len(schema.MIGRATIONS)
    assert store.epoch == 1


@pytest.mark.failure(65)
async def test_a_killed_migration_leaves_the_schema_before_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await engine.open()
    await store.write(lambda unit: tokens.save(unit, "a", "x"))
    await engine.close(store)
    more = (
        *schema.MIGRATIONS,
        ("CREATE TABLE extra (merchant TEXT NOT NULL)", "CREATE TABLE extra2 (x BLOB)"),
    )
    monkeypatch.setattr("marketsync.store.migrate.MIGRATIONS", more)
    with pytest.raises(Crash):
        await engine.open(CrashAt("store.before_commit", 2))
    store = await engine.open()
    assert await store.read(upkeep.schema_version) == len(more)
    assert await store.read(lambda unit: unit.fetch("SELECT * FROM extra")) == []
    assert await store.read(lambda unit: tokens.load(unit, "a")) == "x"


@pytest.mark.failure(65)
async def test_a_newer_schema_is_refused(engine: Engine) -> None:
    store = await engine.open()
    await store.write(lambda unit: unit.execute("INSERT INTO schema_version (version, at) VALUES (99, 0)"))
    await engine.close(store)
    for read_only in (False, True):
        with pytest.raises(StoreError, match="schema 99"):
            await engine.open(read_only=read_only)


@pytest.mark.failure(59)
async def test_a_second_opening_names_the_holder(sqlite_engine: Engine) -> None:
    store = await sqlite_engine.open()
    with pytest.raises(StoreLocked, match=f"pid {os.getpid()} on {os.uname().nodename}"):
        await sqlite_engine.open()
    assert store.epoch == 1
    await sqlite_engine.close(store)
    assert (await sqlite_engine.open()).epoch == 2


@pytest.mark.failure(59)
def test_who_fails_behind_the_lock_gives_it_up(tmp_path: Path) -> None:
    """The next try in this process must not be told that this very process has it."""
    (tmp_path / "mark").mkdir()
    with pytest.raises(StoreError, match="mark can't be written"):
        DirectoryLock(tmp_path)
    (tmp_path / "mark").rmdir()
    DirectoryLock(tmp_path).release()


@pytest.mark.failure(59)
async def test_a_second_daemon_on_one_server_is_refused(postgres_engine: Engine) -> None:
    store = await postgres_engine.open()
    with pytest.raises(StoreLocked, match=r"session of pid \d+"):
        await postgres_engine.open()
    await postgres_engine.close(store)
    await postgres_engine.open()


@pytest.mark.failure(59)
@pytest.mark.parametrize(("kind", "refused"), [("nfs4", True), ("cifs", True), ("ext4", False)])
def test_a_network_file_system_is_refused(tmp_path: Path, kind: str, refused: bool) -> None:
    mounts = f"/dev/sda1 / ext4 rw 0 0\nserver:/x {tmp_path} {kind} rw 0 0\nbroken\n"
    if refused:
        with pytest.raises(StoreError, match="local disk"):
            refuse_remote(tmp_path / "state", mounts)
    else:
        refuse_remote(tmp_path / "state", mounts)


async def test_a_reader_beside_the_daemon(engine: Engine) -> None:
    store = await engine.open()
    await store.write(lambda unit: tokens.save(unit, "a", "x"))
    reader = await engine.open(read_only=True)
    assert reader.installation == store.installation
    assert await reader.read(lambda unit: tokens.load(unit, "a")) == "x"
    with pytest.raises(StoreError, match="reading only"):
        await reader.write(lambda unit: tokens.save(unit, "b", "x"))


async def test_a_reader_finds_no_database(sqlite_engine: Engine) -> None:
    with pytest.raises(StoreError, match="start the daemon"):
        await sqlite_engine.open(read_only=True)
    assert not os.path.lexists(sqlite_engine.location)


@pytest.mark.failure(57)
async def test_a_file_that_is_no_database_is_refused(sqlite_engine: Engine) -> None:
    directory = Path(sqlite_engine.location)
    directory.mkdir()
    (directory / "marketsync.sqlite3").write_bytes(b"not a database, but long enough" * 100)
    with pytest.raises(StoreError, match="backup"):
        await sqlite_engine.open()


async def test_files_are_for_this_user_alone(sqlite_engine: Engine) -> None:
    store = await sqlite_engine.open()
    await store.write(lambda unit: tokens.save(unit, "a", "x"))
    directory = Path(sqlite_engine.location)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
    assert set(modes.values()) == {0o600}, modes
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


async def test_a_backup_is_whole_and_private(sqlite_engine: Engine, tmp_path: Path) -> None:
    store = await sqlite_engine.open()
    await store.write(lambda unit: private.put_parties(unit, [(held(n).key, buyer(n)) for n in range(200)]))
    to = tmp_path / "copy.sqlite3"
    await store.backup(to)
    assert stat.S_IMODE(to.stat().st_mode) == 0o600
    copy = sqlite3.connect(to)
    assert copy.execute("SELECT COUNT(*) FROM parties").fetchone() == (200,)
    assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    copy.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.sqlite3", "state"]
    with pytest.raises(StoreError, match="exists already"):
        await store.backup(to)
    await store.write(lambda unit: tokens.save(unit, "a", "x"))


async def test_a_backup_of_postgresql_is_its_own_tools_work(postgres_engine: Engine, tmp_path: Path) -> None:
    store = await postgres_engine.open()
    with pytest.raises(StoreError, match="pg_dump"):
        await store.backup(tmp_path / "copy")


async def test_check_and_sizes(store: Store) -> None:
    assert await upkeep.quick_check(store) == ""
    sizes = await upkeep.sizes(store)
    assert sizes["bytes"] > 0
    assert sizes["wal_bytes"] >= 0


@pytest.mark.rule("A21")
@pytest.mark.rule("A24")
async def test_only_what_is_over_and_marked_is_pruned(store: Store, write: Write, read: Write) -> None:
    over = {n: done(sent(delivery(n), second_probe_at=None)) for n in range(1, 9)}
    rows = [
        over[1],
        replace(over[2], second_probe_at=9e9),
        over[3],
        replace(over[4], last_departure_at=9e9),
        over[5],
        replace(over[6], state=State.CANCELLED),
        in_doubt(sent(delivery(7), second_probe_at=None)),
        replace(over[8], kind=Kind.STOCK, order_ref="sku:A"),
    ]
    await write(deliveries.insert, rows)
    await write(orders.put, [held(n, open=n == 5) for n in range(1, 8)])
    for row in rows:
        if row.id != 3:
            await write(links.add, Link(MERCHANT, SHOP, row.kind.value, row.subject, str(row.id)))
    await write(deliveries.put_items, 8, [("A", 1)])
    await write(stock.put_claims, SHOP, [claim(1)])
    await write(coverage.add, MERCHANT, MARKET, Window(Axis.UPDATED, OLD, OLD), OLD)

    gone = await upkeep.prune(store, NOW, slice_rows=2)

    left = await read(lambda unit: unit.fetch("SELECT id FROM deliveries ORDER BY id"))
    # 1, 6 and 8 are over; 2 awaits a look, 3 has no marker, 4 is recent, 5's order is open, 7 is in doubt.
    assert [row[0] for row in left] == [2, 3, 4, 5, 7]
    assert gone == 3
    assert await read(lambda unit: unit.fetch("SELECT COUNT(*) FROM batch_items")) == [(0,)]
    assert len(await read(links.of, MERCHANT, SHOP, ref(1))) == 1
    assert len(await read(stock.claims_of_orders, MERCHANT, [ref(1)])) == 1
    assert (await read(coverage.load, MERCHANT, MARKET, Axis.UPDATED)).covers(OLD)


async def test_old_history_goes_in_slices(store: Store, write: Write, read: Write) -> None:
    for n in range(7):
        at = OLD if n < 5 else NOW
        await write(history.add, HistoryRow(MERCHANT, "s", at, f"event.{n}"))
    assert await upkeep.prune(store, NOW - timedelta(days=1), slice_rows=2) == 5
    assert [row.event for row in await read(history.of, MERCHANT, "s", 9)] == ["event.5", "event.6"]


class Counting(aiosqlite.Connection):
    hops = 0

    async def _execute(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        Counting.hops += 1
        return await super()._execute(fn, *args, **kwargs)  # type: ignore[no-untyped-call]


def _counting(database: str, **options: Any) -> aiosqlite.Connection:
    return Counting(lambda: sqlite3.connect(database, **options), 64)


async def test_a_page_of_orders_costs_a_few_trips(sqlite_engine: Engine) -> None:
    store = await sqlite_engine.open(sqlite_connect=_counting)
    rows = [held(n) for n in range(100)]

    async def page(unit: Any) -> None:
        await orders.held(unit, MERCHANT, MARKET, [row.key.order_id for row in rows])
        await orders.put(unit, rows)
        await private.put_parties(unit, [(row.key, buyer(row.arrival_seq)) for row in rows])
        await stock.put_claims(unit, SHOP, [claim(n) for n in range(100)])
        await deliveries.insert(unit, [delivery(n + 1) for n in range(100)])
        for row in rows:
            history.add(unit, HistoryRow(MERCHANT, row.ref, NOW, "order.was_imported"))
        await coverage.add(unit, MERCHANT, MARKET, Window(Axis.UPDATED, OLD, NOW), NOW)

    before = Counting.hops
    await store.write(page)
    # One look and one write for each of five tables, a look at the coverage, history, the commit.
    assert Counting.hops - before <= 10


async def test_a_single_move_costs_five_trips(sqlite_engine: Engine) -> None:
    store = await sqlite_engine.open(sqlite_connect=_counting)
    await store.write(lambda unit: deliveries.insert(unit, [delivery()]))
    before = Counting.hops
    await store.write(
        lambda unit: deliveries.move(unit, delivery(), sent(delivery()), "delivery.was_sent", NOW)
    )
    # BEGIN and whose store it is, UPDATE, the payload, history, COMMIT.
    assert Counting.hops - before == 5
