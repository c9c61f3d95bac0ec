"""What must hold when everything is over: asked of the world first, and of our own file only for what the world can't know."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from marketsync.sandbox.audit import Oversale
from marketsync.sandbox.world import World
from marketsync.store.sqlite import FILE_NAME
from tests.simulation.scenario import STOCK_LANDS_WITHIN, Scenario

POLL_SECONDS = 60.0
BLOCKED_SECONDS_MAX = 200.0


def at_rest(world: World, directory: Path) -> bool:
    """Nothing is on its way, and every listing says what the shop has."""
    return not world.unfinished() and not list(_unlike_listings(world)) and not list(_unfinished(directory))


def broken(scenario: Scenario, world: World, directory: Path) -> list[str]:
    return [
        *_unexcused(world),
        *_unexplained(scenario, world),
        *_unlike_listings(world),
        *_unfinished(directory),
        *_unseen(world, directory),
        *_wrong_claims(world, directory),
        *_parked_unplanted(world, directory),
    ]


def _unexcused(world: World) -> Iterator[str]:
    yield from world.audit().problems


def _unexplained(scenario: Scenario, world: World) -> Iterator[str]:
    """C20, loosely: who sold too much did so while another sale of that SKU was still under way to its listing."""
    faultless = scenario.rates.steady
    slack = 0.0 if faultless else STOCK_LANDS_WITHIN + 4 * BLOCKED_SECONDS_MAX
    window = timedelta(seconds=6 * POLL_SECONDS + slack)
    for sale in world.books.oversales:
        if not _in_flight(sale, window):
            yield f"oversold without a reason: {sale.units} of {sale.sku} by {sale.seller} at {sale.at:%H:%M:%S}"


def _in_flight(sale: Oversale, window: timedelta) -> bool:
    return sale.other_at is not None and sale.at - sale.other_at <= window


def _unlike_listings(world: World) -> Iterator[str]:
    """Every marketplace lists what is left, once all is quiet (policy: all of it)."""
    stock: dict[str, int] = {}
    for shop in world.shops.values():
        for sku, quantity in shop.stock().items():
            stock[sku] = stock.get(sku, 0) + quantity
    for name, side in world.marketplaces.items():
        listed = side.listed(world.now)
        for sku, quantity in stock.items():
            if listed.get(sku) != max(0, quantity):
                yield f"{name} lists {listed.get(sku)} of {sku} and the shop has {quantity}"


def _unfinished(directory: Path) -> Iterator[str]:
    # What waits behind a parked delivery of its order waits with it (A1); what is parked is judged by itself.
    sql = """SELECT d.kind, d.target, d.subject, d.state, d.error FROM deliveries d
        WHERE d.state NOT IN ('done', 'cancelled', 'parked') AND NOT EXISTS (SELECT 1 FROM deliveries p
            WHERE p.target = d.target AND p.order_ref = d.order_ref AND p.state = 'parked')"""
    for kind, target, subject, state, error in _rows(directory, sql):
        yield f"a delivery is not over: {kind} {target} {subject} {state} {error}"


def _unseen(world: World, directory: Path) -> Iterator[str]:
    held = {(row[0], row[1]) for row in _rows(directory, "SELECT connection, order_id FROM orders")}
    for name, side in world.marketplaces.items():
        for sale in side.sales(world.now):
            if (name, sale.order_id) not in held:
                yield f"never imported: {name}/{sale.order_id}"
    for row in _rows(directory, "SELECT * FROM holes"):
        yield f"a hole in the coverage: {row}"


def _wrong_claims(world: World, directory: Path) -> Iterator[str]:
    """Each live order line claims its units once."""
    sql = """SELECT o.connection, o.order_id, c.sku, SUM(c.target) FROM claims c
        JOIN orders o ON o.merchant = c.merchant AND o.ref = c.ref GROUP BY o.connection, o.order_id, c.sku"""
    claimed = {(row[0], row[1], row[2]): row[3] for row in _rows(directory, sql)}
    for name, side in world.marketplaces.items():
        for sale in side.sales(world.now):
            wanted: dict[str, int] = {}
            for sku, quantity in sale.lines:
                wanted[sku] = wanted.get(sku, 0) + quantity
            for sku, quantity in wanted.items():
                found = claimed.get((name, sale.order_id, sku), 0)
                if found != (quantity if sale.live else 0):
                    yield f"{name}/{sale.order_id} claims {found} of {sku}"


def _parked_unplanted(world: World, directory: Path) -> Iterator[str]:
    """Only where a buyer changed his mind may something wait for a person."""
    cancelled = set(world.books.cancelled)
    sql = """SELECT p.kind, p.item, p.reason, o.connection, o.order_id FROM parked p
        LEFT JOIN deliveries d ON d.merchant = p.merchant AND CAST(d.id AS TEXT) = p.item
        LEFT JOIN orders o ON o.merchant = p.merchant AND o.ref IN (p.item, d.order_ref)"""
    for kind, item, reason, connection, order_id in _rows(directory, sql):
        if (connection, order_id) not in cancelled:
            yield f"parked without a plan: {kind} {item} {connection}/{order_id} {reason}"


def _rows(directory: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(f"file:{directory / FILE_NAME}?mode=ro", uri=True)) as raw:
        return raw.execute(sql).fetchall()
