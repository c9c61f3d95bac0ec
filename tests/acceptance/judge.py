"""What must hold when everything is over: counted from the far sides' books, then from the store, on either engine."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec

from marketsync.domain.ids import ConnectionId
from marketsync.sandbox.world import World
from marketsync.store import Store, Unit

Rows = list[tuple[Any, ...]]


class Limits(msgspec.Struct, frozen=True):
    """`oversell_seconds`: a sale of more than there was is explained by another one at most so long before it."""

    oversell_seconds: float


class Ledger(msgspec.Struct, frozen=True):
    """What our own store says at one moment."""

    unfinished: Rows
    parked: Rows
    held: Rows
    holes: Rows
    claims: Rows
    resyncs: Rows


async def ledger(store: Store) -> Ledger:
    async def look(unit: Unit) -> Ledger:
        return Ledger(
            unfinished=await unit.fetch(
                """SELECT d.kind, d.target, d.subject, d.state, d.error FROM deliveries d
                    WHERE d.state NOT IN ('done', 'cancelled', 'parked')
                    AND NOT EXISTS (SELECT 1 FROM deliveries p WHERE p.merchant = d.merchant
                        AND p.target = d.target AND p.order_ref = d.order_ref AND p.state = 'parked')"""
            ),
            parked=await unit.fetch(
                """SELECT p.kind, p.item, p.reason, o.connection, o.order_id FROM parked p
                    LEFT JOIN deliveries d ON d.merchant = p.merchant AND CAST(d.id AS TEXT) = p.item
                    LEFT JOIN orders o ON o.merchant = p.merchant AND (o.ref = p.item OR o.ref = d.order_ref)"""
            ),
            held=await unit.fetch("SELECT connection, order_id FROM orders"),
            holes=await unit.fetch("SELECT * FROM holes"),
            claims=await unit.fetch(
                """SELECT o.connection, o.order_id, c.sku, SUM(c.target) FROM claims c
                    JOIN orders o ON o.merchant = c.merchant AND o.ref = c.ref
                    GROUP BY o.connection, o.order_id, c.sku"""
            ),
            resyncs=await unit.fetch("SELECT id, connection, lo, hi FROM resyncs WHERE finished_at IS NULL"),
        )

    return await store.read(look)


def unfinished(world: World, held: Ledger) -> list[str]:
    """What is still on its way; nothing of it may be left at the end (0 lost, 0 stuck).

    What waits behind a parked delivery of its order waits with it (A1): whether that may be parked is judged by itself.
    """
    return [
        *(f"stuck: {' '.join(map(str, row))}" for row in held.unfinished),
        *(f"stuck: the resync {row[0]} of {row[1]}" for row in held.resyncs),
        *_unlike_listings(world),
        *(["not at rest: the far sides still wait for something"] if world.unfinished() else []),
    ]


def at_rest(world: World, held: Ledger) -> bool:
    """Nothing is left to do, and what the far sides know at the end was read."""
    return not [*unfinished(world, held), *_unseen(world, held), *_wrong_claims(world, held)]


def broken(world: World, held: Ledger, limits: Limits) -> list[str]:
    return [
        *world.audit().problems,
        *unfinished(world, held),
        *_unexplained(world, limits),
        *_unseen(world, held),
        *_wrong_claims(world, held),
        *_parked_unplanted(world, held),
    ]


def unplanted(world: World, held: Ledger) -> int:
    return len(list(_parked_unplanted(world, held)))


def _unlike_listings(world: World) -> Iterator[str]:
    stock: dict[str, int] = {}
    for shop in world.shops.values():
        for sku, quantity in shop.stock().items():
            stock[sku] = stock.get(sku, 0) + quantity
    for name, side in world.marketplaces.items():
        listed = side.listed(world.now)
        for sku, quantity in stock.items():
            if listed.get(sku) != max(0, quantity):
                yield f"stuck: {name} lists {listed.get(sku)} of {sku} and the shop has {quantity}"


def _unexplained(world: World, limits: Limits) -> Iterator[str]:
    window = timedelta(seconds=limits.oversell_seconds)
    for sale in world.books.oversales:
        if sale.other_at is None or sale.at - sale.other_at > window:
            yield f"oversold without a reason: {sale.units} of {sale.sku} by {sale.seller} at {sale.at:%H:%M:%S}"


def _unseen(world: World, held: Ledger) -> Iterator[str]:
    known = set(held.held)
    for name, side in world.marketplaces.items():
        for sale in side.sales(world.now):
            if (name, sale.order_id) not in known:
                yield f"lost: {name}/{sale.order_id} was never imported"
    for row in held.holes:
        yield f"lost: a hole in the coverage: {row}"


def _wrong_claims(world: World, held: Ledger) -> Iterator[str]:
    """Each line of a live order claims its units once."""
    claimed = {(connection, order_id, sku): units for connection, order_id, sku, units in held.claims}
    for name, side in world.marketplaces.items():
        for sale in side.sales(world.now):
            wanted: dict[str, int] = {}
            for sku, quantity in sale.lines:
                wanted[sku] = wanted.get(sku, 0) + quantity
            for sku, quantity in wanted.items():
                found = claimed.get((ConnectionId(name), sale.order_id, sku), 0)
                if found != (quantity if sale.live else 0):
                    yield f"claims: {name}/{sale.order_id} claims {found} of {sku}"


def _parked_unplanted(world: World, held: Ledger) -> Iterator[str]:
    """Only where a buyer changed his mind may something wait for a person."""
    cancelled = set(world.books.cancelled)
    for kind, item, reason, connection, order_id in held.parked:
        if (connection, order_id) not in cancelled:
            yield f"parked: {kind} {item} {connection}/{order_id} {reason}"
