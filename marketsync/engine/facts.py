"""What the planning of order revisions is given: the revisions, the scene, and what the store holds about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from marketsync.domain.deliveries import Delivery, Kind
from marketsync.domain.gap import Gap
from marketsync.domain.ids import ConnectionId, MerchantId, Sku
from marketsync.domain.lifecycle import Switches
from marketsync.domain.shipments import Shipment
from marketsync.domain.stock import Claim
from marketsync.ports import Article
from marketsync.store import Unit, deliveries, links, listings, maps, shipments, stock
from marketsync.store.rows import HeldOrder, Link, ListingRow, Private


class Change(msgspec.Struct, frozen=True):
    """One revision to plan: `before` is what was held (None: first sight), `private` the buyer's data of both."""

    held: HeldOrder
    before: HeldOrder | None
    private: Private | None
    private_before: Private | None


class Scene(msgspec.Struct, frozen=True):
    """Where and when the planning happens. `answers`: whether we accept and refuse here, or a person does in the
    marketplace's own screens. `coverage_until` is the marketplace's, from before this commit (C17)."""

    merchant: MerchantId
    connection: ConnectionId
    back_office: ConnectionId
    switches: Switches
    answers: bool
    now: datetime
    mono: float
    boot: str
    coverage_until: datetime | None
    gap: Gap | None = None


class Facts(msgspec.Struct, frozen=True):
    """What the store holds about the orders of a batch, read in one round."""

    shop_rows: Mapping[str, Sequence[Delivery]]
    own_rows: Mapping[str, Sequence[Delivery]]
    links: Mapping[str, Sequence[Link]]
    claims: Mapping[str, Sequence[Claim]]
    articles: Mapping[Sku, Article]
    skus: Mapping[str, str]
    listings: Mapping[str, ListingRow]
    parcels: Mapping[str, Sequence[Shipment]]


async def read(unit: Unit, scene: Scene, changes: Sequence[Change]) -> Facts:
    stated = list(dict.fromkeys(line.sku for c in changes for line in c.held.order.lines))
    skus = await maps.get(unit, scene.merchant, scene.connection, "sku", stated)
    shop_skus = [Sku(skus.get(sku, sku)) for sku in stated]
    known = [c.held.ref for c in changes if c.before is not None]
    refs = [c.held.ref for c in changes]
    claims: dict[str, list[Claim]] = {}
    for claim in await stock.claims_of_orders(unit, scene.merchant, known) if known else ():
        claims.setdefault(claim.order_ref, []).append(claim)
    own_rows = await deliveries.queues_of(unit, scene.merchant, scene.connection, known) if known else {}
    told = [ref for ref, rows in own_rows.items() if any(row.kind is Kind.CONFIRM for row in rows)]
    return Facts(
        shop_rows=await deliveries.queues_of(unit, scene.merchant, scene.back_office, known) if known else {},
        own_rows=own_rows,
        links=await links.of_many(unit, scene.merchant, scene.back_office, refs),
        claims=claims,
        articles=await stock.articles(unit, scene.merchant, scene.back_office, shop_skus),
        skus=skus,
        listings=await listings.get(unit, scene.merchant, scene.connection, shop_skus),
        parcels={ref: await shipments.of_order(unit, scene.merchant, ref) for ref in told},
    )
