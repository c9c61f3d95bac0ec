"""What the focused scenarios look for beyond the invariants of every seed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from marketsync.sandbox.audit import _tail
from marketsync.sandbox.world import World
from tests.simulation.hostile import Noted, market_of, shop_of
from tests.simulation.ledger import rows

READ_SECONDS = 75.0


def edits_lost(world: World, directory: Path) -> Iterator[str]:
    """The shop holds of each order what its buyer still wants."""
    held = {_tail(order.ref): order for order in shop_of(world).orders()}
    for order in market_of(world).sandbox.world.orders.values():
        record = held.get(world.books.key_of("alpha", order.order_id))
        if record is None or record.cancelled:
            continue
        wanted = sorted((line.sku, line.wanted) for line in order.lines if line.wanted)
        found = sorted((line.sku, line.quantity) for line in record.lines if line.quantity)
        if wanted != found:
            yield f"an edit was lost: {order.order_id} wants {wanted} and the shop has {found}"


def twins_hidden(world: World, directory: Path) -> Iterator[str]:
    """Several records of an order, or one of a cancelled order, stand in a conflict with all their ids."""
    shown = [str(row[0]) for row in rows(directory, "SELECT reason FROM parked WHERE kind = 'conflict'")]
    live = {
        world.books.key_of(name, sale.order_id): sale.live
        for name, side in world.marketplaces.items()
        for sale in side.sales(world.now)
    }
    records: dict[str, list[str]] = {}
    for order in shop_of(world).orders():
        if not order.cancelled:
            records.setdefault(_tail(order.ref), []).append(order.remote_id)
    for key, ids in records.items():
        wrong = len(ids) > 1 or not live.get(key)
        if wrong and not any(all(remote_id in text for remote_id in ids) for text in shown):
            yield f"a second record is hidden: {key} is {', '.join(ids)} in the shop"


def written_again(world: World, directory: Path) -> Iterator[str]:
    """Nothing leaves once more after it was settled, whatever is read again (A24)."""
    for what in Noted.again.get(world, ()):
        yield f"written again: {what}"


def not_pruned(directory: Path) -> bool:
    """Whether there is still a write that is to be forgotten, and then repeated by nobody."""
    return bool(
        rows(directory, "SELECT 1 FROM deliveries WHERE kind <> 'stock' AND state <> 'parked' LIMIT 1")
    )


def second_looks_due(directory: Path) -> bool:
    sql = "SELECT 1 FROM deliveries WHERE second_probe_at IS NOT NULL AND kind = 'create' LIMIT 1"
    return bool(rows(directory, sql))


def tracking_lost(world: World, directory: Path) -> Iterator[str]:
    """What was corrected while the order was still open is told: parcels of open orders are read once a minute."""
    books = market_of(world, "beta").sandbox
    shipped = {event.subject: event.at for event in books.log if event.what == "shipped"}
    held = {_tail(order.ref): order for order in shop_of(world).orders()}
    for order in books.world.orders.values():
        record = held.get(world.books.key_of("beta", order.order_id))
        parcels = shop_of(world).shop.orders[int(record.remote_id)].fulfillments if record else []
        if record is None or not parcels or order.order_id not in shipped:
            continue
        in_time = (shipped[order.order_id] - parcels[-1].updated).total_seconds() > READ_SECONDS
        if in_time and order.tracking_number != record.parcels[-1]:
            yield f"a number was lost: {order.order_id} was told {order.tracking_number}, it is {record.parcels[-1]}"


def refused_needlessly(world: World, directory: Path) -> Iterator[str]:
    """Nobody is sent away whose articles are still there when all is over."""
    left = shop_of(world).stock()
    for sale in market_of(world).sales(world.now):
        if sale.refused and all(left.get(sku, 0) >= quantity for sku, quantity in sale.lines):
            yield f"refused without need: {sale.order_id} wanted {sale.lines}"


def half_built(world: World, directory: Path) -> Iterator[str]:
    """What was begun for an order that is cancelled does not stay there."""
    live = {world.books.key_of("alpha", x.order_id): x.live for x in market_of(world).sales(world.now)}
    for order in shop_of(world).orders():
        if not order.cancelled and not order.parcels and not live.get(_tail(order.ref), False):
            yield f"left over: order {order.remote_id} of a cancelled sale"
