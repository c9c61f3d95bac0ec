"""Who gets the units: orders that need acceptance, in order of arrival, a whole order or nothing (C13, C14)."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec

from marketsync.domain.stock import Claim, Level, need

StockKey = tuple[str, str]
"""(SKU, location)"""


class Allocation(enum.Enum):
    ALLOCATED = "allocated"
    WAITING = "waiting"


class Wanted(msgspec.Struct, frozen=True):
    """An order that waits for its acceptance, and the units it wants, one entry for each stock key."""

    order_ref: str
    arrival_seq: int
    wants: tuple[tuple[StockKey, int], ...]


class Accept(msgspec.Struct, frozen=True):
    pass


class Refuse(msgspec.Struct, frozen=True):
    short: tuple[StockKey, ...]


class Wait(msgspec.Struct, frozen=True):
    """Read these SKUs by name, then decide again."""

    read_by_name: tuple[StockKey, ...]


class ParkAtDeadline(msgspec.Struct, frozen=True):
    """The stock is still not certain at the marketplace's deadline: a person decides, with an alarm."""

    uncertain: tuple[StockKey, ...]


Decision = Accept | Refuse | Wait | ParkAtDeadline
Levels = Mapping[StockKey, Level | None]


def allocate(waiting: Iterable[Wanted], levels: Levels) -> dict[str, Allocation]:
    """C13: who is allocated, on the low ends.

    `levels` are without the claims of all that wait: sales that need no acceptance and accepted orders are subtracted
    before, and an order that is not allocated subtracts nothing.
    """
    left = {key: level.low for key, level in levels.items() if level is not None}
    result: dict[str, Allocation] = {}
    for order in _by_arrival(waiting):
        fits = all(left.get(key, 0) >= units for key, units in order.wants)
        result[order.order_ref] = Allocation.ALLOCATED if fits else Allocation.WAITING
        if fits:
            for key, units in order.wants:
                left[key] = left.get(key, 0) - units
    return result


def decide_accept(order: Wanted, levels: Levels, deadline: datetime | None, now: datetime) -> Decision:
    """C14: accepted on low, refused only on high; decided in the transaction that marks the accept as sent.

    `levels` are without this order's claims, and less those that arrived earlier and are allocated (`levels_for`).
    """
    short: list[StockKey] = []
    uncertain: list[StockKey] = []
    for key, units in order.wants:
        level = levels.get(key)
        if level is not None and level.high < units:
            short.append(key)
        elif level is None or level.low < units:
            uncertain.append(key)
    if short:
        return Refuse(short=tuple(short))
    if not uncertain:
        return Accept()
    if deadline is not None and now >= deadline:
        return ParkAtDeadline(uncertain=tuple(uncertain))
    return Wait(read_by_name=tuple(uncertain))


def levels_for(order: Wanted, waiting: Iterable[Wanted], levels: Levels) -> dict[StockKey, Level | None]:
    """The levels that are left for one order: those of `allocate` less the allocated orders that arrived before it."""
    orders = _by_arrival(waiting)
    allocation = allocate(orders, levels)
    left = dict(levels)
    for earlier in orders:
        if earlier.order_ref == order.order_ref:
            break
        if allocation[earlier.order_ref] is Allocation.ALLOCATED:
            for key, units in earlier.wants:
                left[key] = _less(left.get(key), units)
    return left


def waiting_orders(claims: Iterable[Claim]) -> tuple[Wanted, ...]:
    """The orders among these claims that wait for their acceptance, in order of arrival. Orders that want nothing any
    more (cancelled before their acceptance) are left out."""
    wants: dict[str, dict[StockKey, int]] = {}
    arrived: dict[str, int] = {}
    for claim in claims:
        if not waits(claim):
            continue
        arrived[claim.order_ref] = min(claim.arrival_seq, arrived.get(claim.order_ref, claim.arrival_seq))
        units = wants.setdefault(claim.order_ref, {})
        key = (claim.sku, claim.location)
        units[key] = units.get(key, 0) + need(claim)
    orders = (
        Wanted(ref, arrived[ref], tuple((k, n) for k, n in wants[ref].items() if n > 0)) for ref in wants
    )
    return _by_arrival(order for order in orders if order.wants)


def waits(claim: Claim) -> bool:
    """Does the claim's order wait for its acceptance? The levels of `allocate` leave such claims out."""
    return claim.needs_acceptance and not claim.accepted


def _by_arrival(orders: Iterable[Wanted]) -> tuple[Wanted, ...]:
    return tuple(sorted(orders, key=lambda order: (order.arrival_seq, order.order_ref)))


def _less(level: Level | None, units: int) -> Level | None:
    return None if level is None else Level(low=level.low - units, high=level.high - units)
