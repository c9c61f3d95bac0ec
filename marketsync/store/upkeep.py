"""What keeps the database small and known to be sound. Everything goes in slices: no long lock (design D10)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from marketsync.store.columns import micros
from marketsync.store.store import Store
from marketsync.store.unit import Unit

SLICE_ROWS = 500

# A21, A24: settled, looked at once more, with its never-pruned marker, and its order is over. What never left, and an
# absolute stock write, which is made anew and not repeated, need no marker.
_PRUNE_DELIVERIES = """DELETE FROM deliveries WHERE merchant = ? AND id > ? AND id <= ?
    AND state IN ('done', 'cancelled') AND second_probe_at IS NULL AND COALESCE(last_departure_at, due_at) < ?
    AND (attempt = 0 OR kind = 'stock' OR EXISTS (SELECT 1 FROM links l WHERE l.merchant = deliveries.merchant
        AND l.target = deliveries.target AND l.subject = deliveries.subject AND l.kind = deliveries.kind))
    AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.merchant = deliveries.merchant AND o.ref = deliveries.order_ref
        AND o.open = 1)
    AND NOT EXISTS (SELECT 1 FROM claim_steps s WHERE s.merchant = deliveries.merchant AND s.delivery = deliveries.id
        AND s.mature_seq IS NULL)
    RETURNING id"""


async def prune(store: Store, older_than: datetime, slice_rows: int = SLICE_ROWS) -> int:
    """Finished deliveries and history from before `older_than`; never links, claims or coverage. How many rows went."""
    gone = 0
    for merchant in await store.read(_merchants):
        gone += await _sliced(store, _delivery_slice(merchant, older_than.timestamp(), slice_rows))
        gone += await _sliced(store, _history_slice(merchant, micros(older_than), slice_rows))
    return gone


async def schema_version(unit: Unit) -> int:
    return int((await unit.fetch("SELECT MAX(version) FROM schema_version"))[0][0])


async def quick_check(store: Store) -> str:
    """What is wrong with the file, "" if nothing. It reads the whole file: not on the way up."""
    return await store.database.quick_check()


async def sizes(store: Store) -> dict[str, int]:
    """Bytes of the database, and of its write-ahead log where there is one (failure 58)."""
    return await store.database.sizes()


_Slice = Callable[[Unit, int], Awaitable[tuple[int, int | None]]]
"""(unit, last id) -> (rows gone, last id looked at, None at the end)."""


async def _sliced(store: Store, of: _Slice) -> int:
    gone, last = 0, 0
    while True:

        async def unit(work: Unit, last: int = last) -> tuple[int, int | None]:
            return await of(work, last)

        rows, upper = await store.write(unit)
        gone += rows
        if upper is None:
            return gone
        last = upper


def _delivery_slice(merchant: str, before: float, slice_rows: int) -> _Slice:
    async def run(unit: Unit, last: int) -> tuple[int, int | None]:
        upper = (
            await unit.fetch(
                """SELECT MAX(id) FROM (SELECT id FROM deliveries WHERE merchant = ? AND id > ?
                    ORDER BY id LIMIT ?) slice""",
                merchant, last, slice_rows,
            )
        )[0][0]  # fmt: skip
        if upper is None:
            return 0, None
        ids = [row[0] for row in await unit.fetch(_PRUNE_DELIVERIES, merchant, last, upper, before)]
        if ids:
            await unit.execute(
                "DELETE FROM batch_items WHERE merchant = ? AND delivery = ANY(?)", merchant, ids
            )
            await unit.execute("DELETE FROM payloads WHERE merchant = ? AND delivery = ANY(?)", merchant, ids)
        return len(ids), upper

    return run


def _history_slice(merchant: str, before: int, slice_rows: int) -> _Slice:
    async def run(unit: Unit, last: int) -> tuple[int, int | None]:
        rows = await unit.fetch(
            "SELECT id, at FROM history WHERE merchant = ? AND id > ? ORDER BY id LIMIT ?",
            merchant,
            last,
            slice_rows,
        )
        old = [row for row, at in rows if at < before]
        if old:
            await unit.execute("DELETE FROM history WHERE merchant = ? AND id = ANY(?)", merchant, old)
        # Ids rise with time: the first slice that is not old throughout is the last one worth a look.
        return len(old), rows[-1][0] if len(old) == slice_rows else None

    return run


async def _merchants(unit: Unit) -> list[str]:
    """Found by skipping through the keys: no table is read whole."""
    found: list[str] = []
    while rows := await unit.fetch(
        """SELECT MIN(merchant) FROM (SELECT MIN(merchant) AS merchant FROM deliveries WHERE merchant > ?
            UNION ALL SELECT MIN(merchant) AS merchant FROM history WHERE merchant > ?) both_tables""",
        *((found[-1],) * 2 if found else ("", "")),
    ):
        if rows[0][0] is None:
            break
        found.append(rows[0][0])
    return found
