"""The parcels that the shop showed us, each with the hash of what was seen."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from marketsync.domain.ids import Reference
from marketsync.domain.shipments import Shipment
from marketsync.store.columns import encode
from marketsync.store.unit import Unit

_shipment = msgspec.json.Decoder(Shipment)


async def seen(unit: Unit, merchant: str, refs: Sequence[str]) -> dict[tuple[Reference, str], str]:
    """(reference, shipment id) -> content hash."""
    rows = await unit.fetch(
        "SELECT ref, shipment_id, content_hash FROM shipments WHERE merchant = ? AND ref = ANY(?)",
        merchant,
        list(refs),
    )
    return {(Reference(ref), shipment_id): content_hash for ref, shipment_id, content_hash in rows}


async def put(unit: Unit, merchant: str, rows: Sequence[tuple[Shipment, str]]) -> None:
    """(shipment, content hash)."""
    await unit.execute_many(
        """INSERT INTO shipments (merchant, ref, shipment_id, content_hash, document) VALUES (?, ?, ?, ?, ?)
            ON CONFLICT (merchant, ref, shipment_id) DO UPDATE SET content_hash = excluded.content_hash,
            document = excluded.document""",
        [(merchant, s.ref, s.shipment_id, content_hash, encode(s)) for s, content_hash in rows],
    )


async def of_order(unit: Unit, merchant: str, ref: str) -> list[Shipment]:
    rows = await unit.fetch(
        "SELECT document FROM shipments WHERE merchant = ? AND ref = ? ORDER BY shipment_id", merchant, ref
    )
    return [_shipment.decode(document) for (document,) in rows]
