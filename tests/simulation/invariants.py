"""What must hold when everything is over: asked of the world first, and of our own file only for what the world can't know."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from marketsync.sandbox.mischief import Planted
from marketsync.sandbox.world import World
from marketsync.store.columns import instant
from tests.simulation.clerk import Excused
from tests.simulation.ledger import kept_open, rows
from tests.simulation.oversell import HANDLING_SECONDS, Log, beyond
from tests.simulation.scenario import Scenario
from tests.simulation.witness import Witness

Moments = Callable[[datetime], Sequence[datetime]]
COVERED_WITHIN = timedelta(minutes=15)
"""The longest way that what is covered may be behind, once all is quiet: a few rounds and the list's lag."""


def at_rest(world: World, directory: Path) -> bool:
    """Nothing is on its way, every listing says what the shop has, and what buyers did was read: where a list may be read once
    in minutes, that comes last."""
    if any(_unlike_listings(world)) or world.unfinished():
        return False
    late = (_wrong_claims, _unseen, _uncovered)
    with kept_open(directory):
        return not _pending(directory) and not any(any(judge(world, directory)) for judge in late)


def broken(scenario: Scenario, world: World, directory: Path, excused: Excused | None = None) -> list[str]:
    return [
        *_unexcused(world),
        *_unlike_listings(world),
        *_unfinished(directory, excused),
        *_unseen(world, directory),
        *_uncovered(world, directory),
        *_wrong_claims(world, directory),
        *_parked_unplanted(world, directory, excused),
    ]


def _unexcused(world: World) -> Iterator[str]:
    yield from world.audit().problems


def oversold(
    world: World,
    directory: Path,
    witness: Witness,
    moments: Moments = lambda at: [at],
    planted: Planted | None = None,
) -> list[str]:
    """C19 and C20. `moments` says when it was, or may have been, that our own clock showed a time."""
    return list(beyond(oversell_log(world, directory, witness, moments, planted)))


def oversell_log(
    world: World,
    directory: Path,
    witness: Witness,
    moments: Moments = lambda at: [at],
    planted: Planted | None = None,
) -> Log:
    """The world's own account; of ours only when each order was first committed."""
    held = rows(directory, "SELECT connection, order_id, imported_at FROM orders")
    return Log(
        computations=witness.computations(),
        readings=witness.readings,
        tellings=witness.tellings,
        troubles=witness.troubles,
        unreadable=planted.poisoned if planted else (),
        by_hand={(name, subject) for name, kind, subject in planted.swallowed if kind == "accept"}
        if planted
        else (),
        placed=world.books.placed,
        committed={
            (str(name), str(order)): _committed_at(
                moments(instant(int(str(at)))),
                [x.at for x in witness.tellings if (x.marketplace, x.order_id) == (name, order)],
            )
            for name, order, at in held
        },
        oversales=world.books.oversales,
    )


def _committed_at(moments: Sequence[datetime], tellings: Sequence[datetime]) -> datetime:
    """Where a clock that was set back leaves two: the one that follows a telling at once."""
    soon = timedelta(seconds=HANDLING_SECONDS)
    prompt = [at for at in moments if any(told <= at <= told + soon for told in tellings)]
    return min(prompt) if prompt else max(moments)


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


# What waits behind a parked delivery of its order waits with it (A1); what is parked is judged by itself.
UNFINISHED = """SELECT d.kind, d.target, d.subject, d.state, d.error, COALESCE(d.order_ref, d.subject)
    FROM deliveries d
    WHERE d.state NOT IN ('done', 'cancelled', 'parked') AND NOT EXISTS (SELECT 1 FROM deliveries p
        WHERE p.target = d.target AND p.order_ref = d.order_ref AND p.state = 'parked')"""


def _pending(directory: Path) -> list[tuple[object, ...]]:
    """Deliveries that are not over, and windows that are holes until they are tried again."""
    return rows(directory, UNFINISHED) or rows(directory, "SELECT 1 FROM holes")


def _unfinished(directory: Path, excused: Excused | None = None) -> Iterator[str]:
    found = rows(directory, UNFINISHED)
    # What the clerk let go on in the last moment, and what waits behind it.
    tried = {
        (target, order)
        for _, target, _, state, error, order in found
        if state in ("queued", "in_doubt") and excused and excused.may_be_tried(str(error))
    }
    for kind, target, subject, state, error, order in found:
        if not (state in ("queued", "in_doubt") and (target, order) in tried):
            yield f"a delivery is not over: {kind} {target} {subject} {state} {error}"


def _unseen(world: World, directory: Path) -> Iterator[str]:
    held = {(row[0], row[1]) for row in rows(directory, "SELECT connection, order_id FROM orders")}
    for name, side in world.marketplaces.items():
        for sale in side.sales(world.now):
            if (name, sale.order_id) not in held:
                yield f"never imported: {name}/{sale.order_id}"
    for row in rows(directory, "SELECT * FROM holes"):
        yield f"a hole in the coverage: {row}"


def _uncovered(world: World, directory: Path) -> Iterator[str]:
    """Who reads all and claims nothing has it all, and would read it all for ever."""
    sql = "SELECT connection, MAX(hi) FROM coverage GROUP BY connection"
    ends = {str(name): instant(int(str(hi))) for name, hi in rows(directory, sql)}
    for name in world.marketplaces:
        if name not in ends or ends[name] < world.now - COVERED_WITHIN:
            yield f"the coverage of {name} stands still at {ends.get(name)}"


def _wrong_claims(world: World, directory: Path) -> Iterator[str]:
    """Each live order line claims its units once."""
    sql = """SELECT o.connection, o.order_id, c.sku, SUM(c.target) FROM claims c
        JOIN orders o ON o.merchant = c.merchant AND o.ref = c.ref GROUP BY o.connection, o.order_id, c.sku"""
    claimed = {(row[0], row[1], row[2]): row[3] for row in rows(directory, sql)}
    for name, side in world.marketplaces.items():
        for sale in side.sales(world.now):
            wanted: dict[str, int] = {}
            for sku, quantity in sale.lines:
                wanted[sku] = wanted.get(sku, 0) + quantity
            for sku, quantity in wanted.items():
                found = claimed.get((name, sale.order_id, sku), 0)
                if found != (quantity if sale.live else 0):
                    yield f"{name}/{sale.order_id} claims {found} of {sku}"


def _parked_unplanted(world: World, directory: Path, excused: Excused | None) -> Iterator[str]:
    """Only where a buyer changed his mind, or the seed planted it, may something wait for a person."""
    cancelled = set(world.books.cancelled)
    sql = """SELECT p.kind, p.item, p.reason, o.connection, o.order_id FROM parked p
        LEFT JOIN deliveries d ON d.merchant = p.merchant AND CAST(d.id AS TEXT) = p.item
        LEFT JOIN orders o ON o.merchant = p.merchant AND o.ref IN (p.item, d.order_ref)"""
    for kind, item, reason, connection, order_id in rows(directory, sql):
        if (connection, order_id) not in cancelled and not (
            excused and excused.may_wait(str(reason), str(connection), str(order_id))
        ):
            yield f"parked without a plan: {kind} {item} {connection}/{order_id} {reason}"
