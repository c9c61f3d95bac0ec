"""Buyers' data, in tables of its own that everything else only refers to (design D10)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from marketsync.domain.ids import ConnectionId, MerchantId, OrderId, OrderKey
from marketsync.store.columns import encode
from marketsync.store.rows import Private
from marketsync.store.unit import Unit

PUT_PAYLOAD = """INSERT INTO payloads (merchant, delivery, body) VALUES (?, ?, ?)
    ON CONFLICT (merchant, delivery) DO UPDATE SET body = excluded.body"""
DROP_PAYLOAD = "DELETE FROM payloads WHERE merchant = ? AND delivery = ?"

_private = msgspec.json.Decoder(Private)


async def put_parties(unit: Unit, rows: Sequence[tuple[OrderKey, Private]]) -> None:
    await unit.execute_many(
        """INSERT INTO parties (merchant, connection, order_id, document) VALUES (?, ?, ?, ?)
            ON CONFLICT (merchant, connection, order_id) DO UPDATE SET document = excluded.document""",
        [(key.merchant, key.connection, key.order_id, encode(party)) for key, party in rows],
    )


async def party(unit: Unit, key: OrderKey) -> Private | None:
    return (await parties(unit, [key])).get(key)


async def parties(unit: Unit, keys: Sequence[OrderKey]) -> dict[OrderKey, Private]:
    found: dict[OrderKey, Private] = {}
    for merchant, connection in dict.fromkeys((key.merchant, key.connection) for key in keys):
        ids = [key.order_id for key in keys if (key.merchant, key.connection) == (merchant, connection)]
        rows = await unit.fetch(
            "SELECT order_id, document FROM parties WHERE merchant = ? AND connection = ? AND order_id = ANY(?)",
            merchant, connection, ids,
        )  # fmt: skip
        found.update((_key(merchant, connection, row[0]), _private.decode(row[1])) for row in rows)
    return found


async def put_raws(unit: Unit, merchant: str, connection: str, rows: Sequence[tuple[str, bytes]]) -> None:
    """Orders as they came, of which something could not be read."""
    await unit.execute_many(
        """INSERT INTO raws (merchant, connection, order_id, body) VALUES (?, ?, ?, ?)
            ON CONFLICT (merchant, connection, order_id) DO UPDATE SET body = excluded.body""",
        [(merchant, connection, order_id, body) for order_id, body in rows],
    )


async def raw(unit: Unit, merchant: str, connection: str, order_id: str) -> bytes | None:
    rows = await unit.fetch(
        "SELECT body FROM raws WHERE merchant = ? AND connection = ? AND order_id = ?",
        merchant,
        connection,
        order_id,
    )
    return rows[0][0] if rows else None


async def payload(unit: Unit, delivery_id: int) -> bytes | None:
    return (await payloads(unit, [delivery_id])).get(delivery_id)


async def payloads(unit: Unit, delivery_ids: Sequence[int]) -> dict[int, bytes]:
    if not delivery_ids:
        return {}
    rows = await unit.fetch(
        """SELECT d.id, p.body FROM deliveries d JOIN payloads p ON p.merchant = d.merchant AND p.delivery = d.id
            WHERE d.id = ANY(?)""",
        list(delivery_ids),
    )  # fmt: skip
    return dict(rows)


def _key(merchant: str, connection: str, order_id: str) -> OrderKey:
    return OrderKey(MerchantId(merchant), ConnectionId(connection), OrderId(order_id))
