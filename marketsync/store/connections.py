"""What is remembered of a connection between lives."""

from __future__ import annotations

from marketsync.domain.ids import ConnectionId, MerchantId
from marketsync.store.rows import ConnectionRow
from marketsync.store.unit import Row, Unit


async def put(unit: Unit, row: ConnectionRow) -> None:
    """A connection that is known already keeps its pause and its traits: only its role is taken over."""
    await unit.execute(
        """INSERT INTO connections (merchant, connection, role, paused, paused_by, traits) VALUES (?, ?, ?, ?, ?, ?)
            ON CONFLICT (merchant, connection) DO UPDATE SET role = excluded.role""",
        row.merchant, row.connection, row.role, row.paused, row.paused_by, row.traits,
    )  # fmt: skip


async def get(unit: Unit, merchant: str, connection: str) -> ConnectionRow | None:
    rows = await unit.fetch(
        """SELECT merchant, connection, role, paused, paused_by, traits FROM connections
            WHERE merchant = ? AND connection = ?""",
        merchant, connection,
    )  # fmt: skip
    return _connection(rows[0]) if rows else None


async def all(unit: Unit, merchant: str) -> list[ConnectionRow]:  # noqa: A001 - read as connections.all
    rows = await unit.fetch(
        """SELECT merchant, connection, role, paused, paused_by, traits FROM connections
            WHERE merchant = ? ORDER BY connection""",
        merchant,
    )  # fmt: skip
    return [_connection(row) for row in rows]


async def merchants(unit: Unit) -> list[str]:
    """Whose connections there are."""
    rows = await unit.fetch("SELECT DISTINCT merchant FROM connections ORDER BY merchant")
    return [merchant for (merchant,) in rows]


async def open_work(unit: Unit, merchant: str) -> dict[str, tuple[int, int]]:
    """By connection: how many writes to it are not over, and how many of its orders are open."""
    rows = await unit.fetch(
        """SELECT target, COUNT(*), 0 FROM deliveries WHERE merchant = ?
                AND state IN ('queued', 'sent', 'waiting', 'in_doubt', 'parked') GROUP BY target
            UNION ALL SELECT connection, 0, COUNT(*) FROM orders WHERE merchant = ? AND open = 1 GROUP BY connection""",
        merchant, merchant,
    )  # fmt: skip
    found: dict[str, tuple[int, int]] = {}
    for name, writes, orders in sorted(rows):
        before = found.get(name, (0, 0))
        found[name] = (before[0] + writes, before[1] + orders)
    return found


async def pause(unit: Unit, merchant: str, connection: str, reason: str, by: str) -> bool:
    """False if it was paused already: the first reason stays."""
    return bool(
        await unit.execute(
            "UPDATE connections SET paused = ?, paused_by = ? WHERE merchant = ? AND connection = ? AND paused = ''",
            reason, by, merchant, connection,
        )
    )  # fmt: skip


async def resume(unit: Unit, merchant: str, connection: str) -> bool:
    """Whether it was paused."""
    return bool(
        await unit.execute(
            """UPDATE connections SET paused = '', paused_by = '' WHERE merchant = ? AND connection = ?
                AND paused <> ''""",
            merchant, connection,
        )
    )  # fmt: skip


async def set_traits(unit: Unit, merchant: str, connection: str, traits: str) -> None:
    await unit.execute(
        "UPDATE connections SET traits = ? WHERE merchant = ? AND connection = ?",
        traits,
        merchant,
        connection,
    )


def _connection(row: Row) -> ConnectionRow:
    merchant, connection, role, paused, paused_by, traits = row
    return ConnectionRow(MerchantId(merchant), ConnectionId(connection), role, paused, paused_by, traits)
