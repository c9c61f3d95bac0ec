"""Orders as we hold them, without their buyers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from marketsync.domain.ids import ConnectionId, MerchantId, OrderId, OrderKey, Reference
from marketsync.domain.orders import Order, without_private
from marketsync.store.columns import encode, instant, instant_or_none, micros, micros_or_null
from marketsync.store.rows import HeldOrder
from marketsync.store.unit import Row, Unit

_order = msgspec.json.Decoder(Order)

# What was decided at first sight stays: reference, arrival, import time, whether it is external (B18).
_PUT = """INSERT INTO orders (merchant, connection, order_id, ref, back_office, document, content_hash, read_begin_seq,
    read_end_seq, arrival_seq, revision, external, open, imported_at, pushed_at, read_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (merchant, connection, order_id) DO UPDATE SET back_office = excluded.back_office,
    document = excluded.document, content_hash = excluded.content_hash, read_begin_seq = excluded.read_begin_seq,
    read_end_seq = excluded.read_end_seq, revision = excluded.revision, open = excluded.open,
    pushed_at = COALESCE(excluded.pushed_at, orders.pushed_at),
    read_at = CASE WHEN excluded.read_at > orders.read_at THEN excluded.read_at ELSE orders.read_at END"""


async def held(
    unit: Unit, merchant: str, connection: str, order_ids: Sequence[str]
) -> dict[OrderId, HeldOrder]:
    rows = await unit.fetch(
        "SELECT * FROM orders WHERE merchant = ? AND connection = ? AND order_id = ANY(?)",
        merchant, connection, list(order_ids),
    )  # fmt: skip
    return {OrderId(row[2]): _held(row) for row in rows}


async def put(unit: Unit, rows: Sequence[HeldOrder]) -> None:
    """New ones and new revisions. A buyer's data in `order` is left out: it goes to `private.put_parties`."""
    await unit.execute_many(_PUT, [_columns(row) for row in rows])


async def by_ref(unit: Unit, merchant: str, ref: str) -> HeldOrder | None:
    return (await by_refs(unit, merchant, [ref])).get(Reference(ref))


async def by_refs(unit: Unit, merchant: str, refs: Sequence[str]) -> dict[Reference, HeldOrder]:
    rows = await unit.fetch("SELECT * FROM orders WHERE merchant = ? AND ref = ANY(?)", merchant, list(refs))
    return {Reference(row[3]): _held(row) for row in rows}


async def find(unit: Unit, text: str) -> list[HeldOrder]:
    """By reference, by order id, or by `<connection>/<order id>`, of whatever merchant."""
    found: dict[OrderKey, HeldOrder] = {}
    for merchant, connection in await _accounts(unit):
        ids = [text]
        if text.startswith(f"{connection}/"):
            ids.append(text[len(connection) + 1 :])
        rows = await unit.fetch(
            """SELECT * FROM orders WHERE merchant = ? AND ((connection = ? AND order_id = ANY(?)) OR ref = ?)
                ORDER BY arrival_seq""",
            merchant, connection, ids, text,
        )  # fmt: skip
        found.update((order.key, order) for order in map(_held, rows))
    return list(found.values())


async def open_orders(
    unit: Unit, merchant: str, back_office: str, after_ref: str, limit: int
) -> list[HeldOrder]:
    """Open and pushed, by reference: whose parcels are to be read."""
    rows = await unit.fetch(
        """SELECT * FROM orders WHERE merchant = ? AND back_office = ? AND open = 1 AND pushed_at IS NOT NULL
            AND ref > ? ORDER BY ref LIMIT ?""",
        merchant, back_office, after_ref, limit,
    )  # fmt: skip
    return [_held(row) for row in rows]


async def open_on(
    unit: Unit, merchant: str, connection: str, read_before: datetime, limit: int
) -> list[HeldOrder]:
    """B16: open orders that were not read since, the longest unread first."""
    rows = await unit.fetch(
        """SELECT * FROM orders WHERE merchant = ? AND connection = ? AND open = 1 AND read_at < ?
            ORDER BY read_at, order_id LIMIT ?""",
        merchant, connection, micros(read_before), limit,
    )  # fmt: skip
    return [_held(row) for row in rows]


async def mark_pushed(unit: Unit, merchant: str, refs: Sequence[str], at: datetime) -> None:
    await unit.execute(
        "UPDATE orders SET pushed_at = COALESCE(pushed_at, ?) WHERE merchant = ? AND ref = ANY(?)",
        micros(at),
        merchant,
        list(refs),
    )


async def set_open(unit: Unit, merchant: str, refs: Sequence[str], is_open: bool) -> None:
    await unit.execute(
        "UPDATE orders SET open = ? WHERE merchant = ? AND ref = ANY(?)", int(is_open), merchant, list(refs)
    )


async def confirm_read(
    unit: Unit, merchant: str, connection: str, ids: Sequence[str], begin_seq: int, end_seq: int
) -> None:
    """B13: the same content was read later, so it is known to be true later."""
    await unit.execute(
        """UPDATE orders SET read_begin_seq = ?, read_end_seq = ? WHERE merchant = ? AND connection = ?
            AND order_id = ANY(?) AND read_begin_seq < ?""",
        begin_seq, end_seq, merchant, connection, list(ids), begin_seq,
    )  # fmt: skip


async def touch_read(unit: Unit, merchant: str, connection: str, ids: Sequence[str], at: datetime) -> None:
    """They were read and nothing was new."""
    await unit.execute(
        """UPDATE orders SET read_at = ? WHERE merchant = ? AND connection = ? AND order_id = ANY(?)
            AND read_at < ?""",
        micros(at), merchant, connection, list(ids), micros(at),
    )  # fmt: skip


async def page(
    unit: Unit, merchant: str, *, connection: str | None = None, open_only: bool = False,
    before_arrival: int | None = None, limit: int,
) -> list[HeldOrder]:  # fmt: skip
    """The newest first; `before_arrival` is the `arrival_seq` of the last row of the page before."""
    rows = await unit.fetch(
        """SELECT * FROM orders WHERE merchant = ? AND arrival_seq < ?
            AND (CAST(? AS TEXT) IS NULL OR connection = ?) AND open >= ? ORDER BY arrival_seq DESC LIMIT ?""",
        merchant, 2**62 if before_arrival is None else before_arrival, connection, connection, int(open_only), limit,
    )  # fmt: skip
    return [_held(row) for row in rows]


async def _accounts(unit: Unit) -> list[tuple[str, str]]:
    """(merchant, connection) of which there are orders, found by skipping through the key."""
    accounts: list[tuple[str, str]] = []
    last = ("", "")
    while rows := await unit.fetch(
        """SELECT merchant, connection FROM orders WHERE (merchant, connection) > (?, ?)
            ORDER BY merchant, connection LIMIT 1""",
        *last,
    ):
        last = (rows[0][0], rows[0][1])
        accounts.append(last)
    return accounts


def _columns(row: HeldOrder) -> Row:
    key = row.key
    return (
        key.merchant, key.connection, key.order_id, row.ref, row.back_office, encode(without_private(row.order)),
        row.content_hash, row.read_begin_seq, row.read_end_seq, row.arrival_seq, row.revision, int(row.external),
        int(row.open), micros(row.imported_at), micros_or_null(row.pushed_at),
        0 if row.read_at is None else micros(row.read_at),
    )  # fmt: skip


def _held(row: Row) -> HeldOrder:
    merchant, connection, order_id, ref, back_office, document, content_hash, *rest = row
    begin, end, arrival, revision, external, is_open, imported, pushed, read = rest
    return HeldOrder(
        key=OrderKey(MerchantId(merchant), ConnectionId(connection), OrderId(order_id)),
        ref=Reference(ref),
        back_office=ConnectionId(back_office),
        order=_order.decode(document),
        content_hash=content_hash,
        read_begin_seq=begin,
        read_end_seq=end,
        arrival_seq=arrival,
        revision=revision,
        external=bool(external),
        open=bool(is_open),
        imported_at=instant(imported),
        pushed_at=instant_or_none(pushed),
        read_at=instant(read) if read else None,
    )
