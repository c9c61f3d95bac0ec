"""What waits for a person or for its causes to go away; causes and items are many to many (design D7)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from marketsync.domain.ids import ConnectionId, MerchantId
from marketsync.store.columns import instant, micros
from marketsync.store.rows import Parked
from marketsync.store.unit import Row, Unit

_PARK = """INSERT INTO parked (merchant, kind, item, connection, reason, at) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (merchant, kind, item) DO UPDATE SET connection = excluded.connection, reason = excluded.reason"""
_DROP_CAUSES = "DELETE FROM parked_causes WHERE merchant = ? AND kind = ? AND item = ?"


async def park(unit: Unit, item: Parked) -> None:
    """Replaces reason and causes of an item that is parked already; it stays parked since when it was."""
    await unit.execute(
        _PARK, item.merchant, item.kind, item.item, item.connection, item.reason, micros(item.at)
    )
    await unit.execute(_DROP_CAUSES, item.merchant, item.kind, item.item)
    await unit.execute_many(
        "INSERT INTO parked_causes (merchant, cause, kind, item) VALUES (?, ?, ?, ?)",
        [(item.merchant, cause, item.kind, item.item) for cause in dict.fromkeys(item.causes)],
    )


async def release(unit: Unit, merchant: str, kind: str, item: str) -> None:
    await unit.execute(
        "DELETE FROM parked WHERE merchant = ? AND kind = ? AND item = ?", merchant, kind, item
    )
    await unit.execute(_DROP_CAUSES, merchant, kind, item)


async def release_many(unit: Unit, merchant: str, items: Sequence[tuple[str, str]]) -> None:
    """(kind, item); most of them are usually not parked at all, so one look comes first."""
    rows = await unit.fetch(
        "SELECT kind, item FROM parked WHERE merchant = ? AND item = ANY(?)",
        merchant,
        [item for _, item in items],
    )
    wanted = frozenset(items)
    for kind, item in sorted(row for row in rows if row in wanted):
        await release(unit, merchant, kind, item)


async def get(unit: Unit, merchant: str, kind: str, item: str) -> Parked | None:
    rows = await unit.fetch(
        """SELECT merchant, kind, item, connection, reason, at FROM parked
            WHERE merchant = ? AND kind = ? AND item = ?""",
        merchant, kind, item,
    )  # fmt: skip
    return next(iter(await _with_causes(unit, merchant, rows)), None)


async def by_cause(unit: Unit, merchant: str, cause: str) -> list[Parked]:
    rows = await unit.fetch(
        """SELECT p.merchant, p.kind, p.item, p.connection, p.reason, p.at
            FROM parked_causes c JOIN parked p ON p.merchant = c.merchant AND p.kind = c.kind AND p.item = c.item
            WHERE c.merchant = ? AND c.cause = ? ORDER BY p.at, p.kind, p.item""",
        merchant, cause,
    )  # fmt: skip
    return await _with_causes(unit, merchant, rows)


async def drop_cause(unit: Unit, merchant: str, cause: str) -> list[Parked]:
    """The items that this was the last cause of: they wake. They stay parked until `release`."""
    held = await by_cause(unit, merchant, cause)
    await unit.execute("DELETE FROM parked_causes WHERE merchant = ? AND cause = ?", merchant, cause)
    return [_without_causes(item) for item in held if item.causes == (cause,)]


async def causes_with(unit: Unit, merchant: str, prefix: str, suffix: str) -> list[str]:
    """The causes of this form that hold anything, each once."""
    rows = await unit.fetch(
        "SELECT DISTINCT cause FROM parked_causes WHERE merchant = ? AND cause >= ? ORDER BY cause",
        merchant,
        prefix,
    )
    # Where the prefix ends is not asked of the database: PostgreSQL may sort by the rules of a language.
    return [cause for (cause,) in rows if cause.startswith(prefix) and cause.endswith(suffix)]


async def page(unit: Unit, merchant: str, limit: int, after: Parked | None = None) -> list[Parked]:
    """The newest first; `after` is the last row of the page before."""
    mark = (2**62, "", "") if after is None else (micros(after.at), after.kind, after.item)
    rows = await unit.fetch(
        """SELECT merchant, kind, item, connection, reason, at FROM parked
            WHERE merchant = ? AND (at < ? OR (at = ? AND (kind, item) > (?, ?)))
            ORDER BY at DESC, kind, item LIMIT ?""",
        merchant, mark[0], *mark, limit,
    )  # fmt: skip
    return await _with_causes(unit, merchant, rows)


async def counts(unit: Unit, merchant: str) -> dict[str, int]:
    rows = await unit.fetch(
        "SELECT kind, COUNT(*) FROM parked WHERE merchant = ? GROUP BY kind ORDER BY kind", merchant
    )
    return dict(rows)


async def _with_causes(unit: Unit, merchant: str, rows: Sequence[Row]) -> list[Parked]:
    if not rows:
        return []
    causes = await unit.fetch(
        "SELECT kind, item, cause FROM parked_causes WHERE merchant = ? AND item = ANY(?) ORDER BY cause",
        merchant, [row[2] for row in rows],
    )  # fmt: skip
    of: dict[tuple[str, str], list[str]] = {}
    for kind, item, cause in causes:
        of.setdefault((kind, item), []).append(cause)
    return [_parked(row, of.get((row[1], row[2]), ())) for row in rows]


def _parked(row: Row, causes: Iterable[str]) -> Parked:
    merchant, kind, item, connection, reason, at = row
    return Parked(
        MerchantId(merchant), kind, item, ConnectionId(connection), reason, tuple(causes), instant(at)
    )


def _without_causes(item: Parked) -> Parked:
    return Parked(item.merchant, item.kind, item.item, item.connection, item.reason, (), item.at)
