"""What each marketplace is presumed to list of each SKU (C15 to C18)."""

from __future__ import annotations

from collections.abc import Sequence

from marketsync.domain.ids import ConnectionId, MerchantId
from marketsync.domain.publishing import Listing, WriteState
from marketsync.store.columns import instant_or_none, micros_or_null
from marketsync.store.rows import ListingRow
from marketsync.store.unit import Row, Unit


async def get(unit: Unit, merchant: str, connection: str, skus: Sequence[str]) -> dict[str, ListingRow]:
    rows = await unit.fetch(
        """SELECT merchant, connection, sku, value, compute_seq, done_at, presumed, state, event_seq, delivery, dirty,
            error FROM listings WHERE merchant = ? AND connection = ? AND sku = ANY(?)""",
        merchant, connection, list(skus),
    )  # fmt: skip
    return {row[2]: _listing(row) for row in rows}


async def put(unit: Unit, rows: Sequence[ListingRow]) -> None:
    await unit.execute_many(
        """INSERT INTO listings (merchant, connection, sku, value, compute_seq, done_at, presumed, state, event_seq,
            delivery, dirty, error) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (merchant, connection, sku) DO UPDATE SET value = excluded.value,
            compute_seq = excluded.compute_seq, done_at = excluded.done_at, presumed = excluded.presumed,
            state = excluded.state, event_seq = excluded.event_seq, delivery = excluded.delivery,
            dirty = excluded.dirty, error = excluded.error""",
        [_columns(row) for row in rows],
    )


async def ensure(unit: Unit, merchant: str, connection: str, skus: Sequence[str]) -> None:
    """Rows for the SKUs that have none yet: unknown, and dirty."""
    await unit.execute_many(
        """INSERT INTO listings (merchant, connection, sku, value, compute_seq, done_at, presumed, state, event_seq,
            delivery, dirty, error) VALUES (?, ?, ?, NULL, 0, NULL, NULL, 'none', 0, 0, 1, '')
            ON CONFLICT (merchant, connection, sku) DO NOTHING""",
        [(merchant, connection, sku) for sku in dict.fromkeys(skus)],
    )


async def of_skus(unit: Unit, merchant: str, skus: Sequence[str]) -> list[ListingRow]:
    """On all marketplaces, by SKU and connection."""
    rows = await unit.fetch(
        """SELECT merchant, connection, sku, value, compute_seq, done_at, presumed, state, event_seq, delivery, dirty,
            error FROM listings WHERE merchant = ? AND sku = ANY(?) ORDER BY sku, connection""",
        merchant, list(skus),
    )  # fmt: skip
    return [_listing(row) for row in rows]


async def dirty(
    unit: Unit, merchant: str, connection: str, limit: int, after_sku: str = ""
) -> list[ListingRow]:
    """What the publisher must look at, by SKU."""
    rows = await unit.fetch(
        """SELECT merchant, connection, sku, value, compute_seq, done_at, presumed, state, event_seq, delivery, dirty,
            error FROM listings WHERE merchant = ? AND connection = ? AND dirty = 1 AND sku > ?
            ORDER BY sku LIMIT ?""",
        merchant, connection, after_sku, limit,
    )  # fmt: skip
    return [_listing(row) for row in rows]


async def mark_dirty(unit: Unit, merchant: str, skus: Sequence[str]) -> None:
    """On every marketplace of the merchant that lists them."""
    await unit.execute(
        "UPDATE listings SET dirty = 1 WHERE merchant = ? AND sku = ANY(?) AND dirty = 0",
        merchant,
        list(skus),
    )


async def in_flight(unit: Unit, merchant: str, connection: str) -> list[ListingRow]:
    """Those of which a write of ours may still land, by SKU."""
    rows = await unit.fetch(
        """SELECT merchant, connection, sku, value, compute_seq, done_at, presumed, state, event_seq, delivery, dirty,
            error FROM listings WHERE merchant = ? AND connection = ? AND state IN ('in_flight', 'in_doubt')
            ORDER BY sku""",
        merchant, connection,
    )  # fmt: skip
    return [_listing(row) for row in rows]


def _columns(row: ListingRow) -> Row:
    listing = row.listing
    return (
        row.merchant, row.connection, row.sku, listing.value, listing.compute_seq, micros_or_null(listing.done_at),
        listing.presumed, listing.state.value, listing.event_seq, row.delivery, int(row.dirty), row.error,
    )  # fmt: skip


def _listing(row: Row) -> ListingRow:
    (
        merchant,
        connection,
        sku,
        value,
        compute_seq,
        done_at,
        presumed,
        state,
        event_seq,
        delivery,
        is_dirty,
        error,
    ) = row
    return ListingRow(
        merchant=MerchantId(merchant),
        connection=ConnectionId(connection),
        sku=sku,
        listing=Listing(value, compute_seq, instant_or_none(done_at), presumed, WriteState(state), event_seq),
        delivery=delivery,
        dirty=bool(is_dirty),
        error=error,
    )


async def writes_of(
    unit: Unit, merchant: str, connection: str, day: str, skus: Sequence[str]
) -> dict[str, int]:
    """How often each was written on this day of the marketplace's."""
    rows = await unit.fetch(
        """SELECT sku, writes FROM listing_writes
            WHERE merchant = ? AND connection = ? AND day = ? AND sku = ANY(?)""",
        merchant, connection, day, list(skus),
    )  # fmt: skip
    return dict(rows)


async def count_writes(unit: Unit, merchant: str, connection: str, day: str, skus: Sequence[str]) -> None:
    await unit.execute_many(
        """INSERT INTO listing_writes (merchant, connection, sku, day, writes) VALUES (?, ?, ?, ?, 1)
            ON CONFLICT (merchant, connection, sku) DO UPDATE SET
            writes = CASE WHEN listing_writes.day = excluded.day THEN listing_writes.writes + 1 ELSE 1 END,
            day = excluded.day""",
        [(merchant, connection, sku, day) for sku in skus],
    )
