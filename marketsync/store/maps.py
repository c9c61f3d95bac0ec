"""Maps of a connection (SKU, carrier, tax, shipping method, status): data that a person edits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from marketsync.store.unit import Unit


async def get(
    unit: Unit, merchant: str, connection: str, kind: str, sources: Sequence[str]
) -> dict[str, str]:
    rows = await unit.fetch(
        "SELECT source, value FROM maps WHERE merchant = ? AND connection = ? AND kind = ? AND source = ANY(?)",
        merchant, connection, kind, list(sources),
    )  # fmt: skip
    return dict(rows)


async def sources(
    unit: Unit, merchant: str, connection: str, kind: str, values: Sequence[str]
) -> dict[str, list[str]]:
    """What is mapped to these values; a value that nothing is mapped to is left out."""
    rows = await unit.fetch(
        """SELECT value, source FROM maps WHERE merchant = ? AND connection = ? AND kind = ? AND value = ANY(?)
            ORDER BY value, source""",
        merchant, connection, kind, list(values),
    )  # fmt: skip
    found: dict[str, list[str]] = {}
    for value, source in rows:
        found.setdefault(value, []).append(source)
    return found


async def put(unit: Unit, merchant: str, connection: str, kind: str, values: Mapping[str, str]) -> None:
    await unit.execute_many(
        """INSERT INTO maps (merchant, connection, kind, source, value) VALUES (?, ?, ?, ?, ?)
            ON CONFLICT (merchant, connection, kind, source) DO UPDATE SET value = excluded.value""",
        [(merchant, connection, kind, source, value) for source, value in values.items()],
    )


async def drop(unit: Unit, merchant: str, connection: str, kind: str, source: str) -> bool:
    """Whether there was one."""
    return bool(
        await unit.execute(
            "DELETE FROM maps WHERE merchant = ? AND connection = ? AND kind = ? AND source = ?",
            merchant, connection, kind, source,
        )
    )  # fmt: skip


async def page(
    unit: Unit, merchant: str, limit: int, after: tuple[str, str, str] = ("", "", "")
) -> list[tuple[str, str, str, str]]:
    """(connection, kind, source, value) in this order, those after `after`."""
    rows = await unit.fetch(
        """SELECT connection, kind, source, value FROM maps
            WHERE merchant = ? AND (connection, kind, source) > (?, ?, ?)
            ORDER BY connection, kind, source LIMIT ?""",
        merchant, *after, limit,
    )  # fmt: skip
    return [(connection, kind, source, value) for connection, kind, source, value in rows]
