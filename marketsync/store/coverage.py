"""What was read of each list, what could not be, and what a person asked to have read again (rules B)."""

from __future__ import annotations

from datetime import datetime

from marketsync.domain.coverage import Axis, Coverage, Interval, Window
from marketsync.domain.ids import ConnectionId, MerchantId
from marketsync.store.columns import instant, instant_or_none, micros, micros_or_null
from marketsync.store.rows import Hole, Resync
from marketsync.store.unit import Row, Unit


async def load(unit: Unit, merchant: str, connection: str, axis: Axis) -> Coverage:
    rows = await unit.fetch(
        "SELECT lo, hi, read_at FROM coverage WHERE merchant = ? AND connection = ? AND axis = ? ORDER BY lo, hi",
        merchant, connection, axis.value,
    )  # fmt: skip
    return Coverage(axis, tuple(_interval(*row) for row in rows))


async def add(unit: Unit, merchant: str, connection: str, window: Window, read_at: datetime) -> Coverage:
    """B4, B14: the union with a window that was proved. Returns what is covered now."""
    held = await load(unit, merchant, connection, window.axis)
    joined = held.add(window, read_at)
    await _rewrite(unit, merchant, connection, held, joined)
    return joined


async def replace(unit: Unit, merchant: str, connection: str, coverage: Coverage) -> None:
    """For what `cut_after` and `compacted` leave."""
    held = await load(unit, merchant, connection, coverage.axis)
    await _rewrite(unit, merchant, connection, held, coverage)


async def all_coverage(unit: Unit, merchant: str) -> dict[tuple[ConnectionId, Axis], Coverage]:
    rows = await unit.fetch(
        """SELECT connection, axis, lo, hi, read_at FROM coverage WHERE merchant = ?
            ORDER BY connection, axis, lo, hi""",
        merchant,
    )  # fmt: skip
    found: dict[tuple[ConnectionId, Axis], list[Interval]] = {}
    for connection, axis, *interval in rows:
        found.setdefault((ConnectionId(connection), Axis(axis)), []).append(_interval(*interval))
    return {key: Coverage(key[1], tuple(intervals)) for key, intervals in found.items()}


async def holes(unit: Unit, merchant: str, connection: str | None = None) -> list[Hole]:
    rows = await unit.fetch(
        """SELECT merchant, connection, axis, lo, hi, cause FROM holes
            WHERE merchant = ? AND (CAST(? AS TEXT) IS NULL OR connection = ?) ORDER BY connection, axis, lo, hi""",
        merchant, connection, connection,
    )  # fmt: skip
    return [
        Hole(MerchantId(merchant), ConnectionId(name), axis, instant(lo), instant(hi), cause)
        for _, name, axis, lo, hi, cause in rows
    ]


async def put_hole(unit: Unit, hole: Hole) -> None:
    await unit.execute(
        """INSERT INTO holes (merchant, connection, axis, lo, hi, cause) VALUES (?, ?, ?, ?, ?, ?)
            ON CONFLICT (merchant, connection, axis, lo, hi) DO UPDATE SET cause = excluded.cause""",
        hole.merchant, hole.connection, hole.axis, micros(hole.lo), micros(hole.hi), hole.cause,
    )  # fmt: skip


async def drop_holes(unit: Unit, merchant: str, connection: str, window: Window) -> int:
    """Those that lie wholly within a window that was read; how many there were."""
    return await unit.execute(
        "DELETE FROM holes WHERE merchant = ? AND connection = ? AND axis = ? AND lo >= ? AND hi <= ?",
        merchant, connection, window.axis.value, micros(window.lo), micros(window.hi),
    )  # fmt: skip


async def add_resync(unit: Unit, resync: Resync) -> None:
    await unit.execute(
        """INSERT INTO resyncs (merchant, connection, id, axis, lo, hi, done_to, finished_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
        resync.merchant, resync.connection, resync.id, resync.axis, micros(resync.lo), micros(resync.hi),
        micros_or_null(resync.done_to), micros_or_null(resync.finished_at),
    )  # fmt: skip


async def open_resyncs(unit: Unit, merchant: str, connection: str) -> list[Resync]:
    """Not finished, the oldest first."""
    rows = await unit.fetch(
        """SELECT id, merchant, connection, axis, lo, hi, done_to, finished_at FROM resyncs
            WHERE merchant = ? AND connection = ? AND finished_at IS NULL ORDER BY id""",
        merchant, connection,
    )  # fmt: skip
    return [_resync(row) for row in rows]


async def resync(unit: Unit, resync_id: int) -> Resync | None:
    rows = await unit.fetch(
        "SELECT id, merchant, connection, axis, lo, hi, done_to, finished_at FROM resyncs WHERE id = ?",
        resync_id,
    )
    return _resync(rows[0]) if rows else None


async def move_resync(
    unit: Unit, resync_id: int, done_to: datetime | None, finished_at: datetime | None
) -> None:
    await unit.execute(
        "UPDATE resyncs SET done_to = ?, finished_at = ? WHERE id = ?",
        micros_or_null(done_to), micros_or_null(finished_at), resync_id,
    )  # fmt: skip


async def _rewrite(unit: Unit, merchant: str, connection: str, held: Coverage, wanted: Coverage) -> None:
    gone = [interval for interval in held.intervals if interval not in wanted.intervals]
    fresh = [interval for interval in wanted.intervals if interval not in held.intervals]
    await unit.execute_many(
        "DELETE FROM coverage WHERE merchant = ? AND connection = ? AND axis = ? AND lo = ? AND hi = ?",
        [(merchant, connection, wanted.axis.value, micros(i.lo), micros(i.hi)) for i in gone],
    )
    await unit.execute_many(
        "INSERT INTO coverage (merchant, connection, axis, lo, hi, read_at) VALUES (?, ?, ?, ?, ?, ?)",
        [
            (merchant, connection, wanted.axis.value, micros(i.lo), micros(i.hi), micros(i.read_at))
            for i in fresh
        ],
    )


def _interval(lo: int, hi: int, read_at: int) -> Interval:
    return Interval(instant(lo), instant(hi), instant(read_at))


def _resync(row: Row) -> Resync:
    resync_id, merchant, connection, axis, lo, hi, done_to, finished_at = row
    return Resync(
        resync_id, MerchantId(merchant), ConnectionId(connection), axis, instant(lo), instant(hi),
        instant_or_none(done_to), instant_or_none(finished_at),
    )  # fmt: skip
