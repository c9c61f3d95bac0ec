"""Five short scenes without chance faults, to be cut at every point: each I/O boundary, and each turn of the first one's loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial

from msgspec.structs import replace

from adapters.mirakl.rehearsal import MiraklSide
from adapters.woocommerce.rehearsal import WooSide
from marketsync.ports import Request, Response
from marketsync.sandbox.faults import Rates
from marketsync.sandbox.roles import Side, Ware
from marketsync.sandbox.world import Habits, World
from tests.simulation.scenario import SHOP, START, Scenario, small

Basket = tuple[tuple[str, int], ...]
Handle = Callable[[Request, datetime], Response]
BY_NAME_SECONDS = 20.0
LOOK_SECONDS = 20.0


def scene(name: str, *, boundary: int = 0, step: int = 0) -> Scenario:
    """KeyError where there is none of that name."""
    return replace(SCENES[name], boundary=boundary, step=step)


def _edit_and_cancel(world: World) -> None:
    """Three orders, and something happens to each while its create is under way: the first loses a unit when it was made
    and the answer was lost; the second is cancelled when the request was lost; the third while the shop still answers.

    The shop packs later than a doubt may last: an edit that loses that race is a person's business, and rightly parked.
    """
    for seconds, basket in ((2.0, (("SKU-1", 2),)), (3.0, (("SKU-2", 1),)), (4.0, (("SKU-2", 1),))):
        _at(world, seconds, partial(_buy, world, "alpha", basket))
    seen: set[bytes] = set()

    def front(handle: Handle, request: Request, now: datetime) -> Response:
        order_id = next((x for x in (b"SBX-00001", b"SBX-00002", b"SBX-00003") if x in request.body), b"")
        if request.operation != "orders.create" or order_id in seen:
            return handle(request, now)
        seen.add(order_id)
        soon = now + timedelta(seconds=5)
        if order_id == b"SBX-00001":
            world._at(soon, partial(_take_off_one, world, "SBX-00001-A"))
            handle(request, now)
            return _unavailable(504)
        if order_id == b"SBX-00002":
            world._at(soon, partial(_cancel, world, "SBX-00002-A"))
            return _unavailable(504)
        _cancel(world, "SBX-00003-A", now)
        return handle(request, now)

    _put_before(world.shops[SHOP], front)


def _three_parcels(world: World) -> None:
    """The label of the second is printed long after it has left."""
    _at(world, 2.0, partial(_buy, world, "alpha", (("SKU-1", 3),)))
    shop = world.shops[SHOP]
    assert isinstance(shop, WooSide)
    ship, sent = shop.ship, 0

    def late(now: datetime, remote_id: str, lines: list[tuple[str, int]], tracking: str) -> None:
        nonlocal sent
        sent += 1
        ship(now, remote_id, lines, "" if sent == 2 else tracking)
        if sent == 2:
            parcel = shop.shop.orders[int(remote_id)].fulfillments[-1]
            world._at(now + timedelta(seconds=100), lambda at: shop.shop.set_tracking(parcel, tracking, at))

    setattr(shop, "ship", late)  # noqa: B010 - mypy has no other way to say it


def _stock_storm(world: World) -> None:
    """A dozen sales and deliveries of goods of two articles within seconds, on every side, before anybody has read of one."""
    shop = world.shops[SHOP]
    for number, seconds in enumerate((40.0, 40.5, 41.0, 42.0, 44.0, 46.0)):
        market, sku = ("alpha", "beta")[number % 2], ("SKU-1", "SKU-2")[number // 2 % 2]
        _at(world, seconds, partial(_buy, world, market, ((sku, 1),)))
    for sku, seconds in (("SKU-1", 40.2), ("SKU-2", 43.0), ("SKU-1", 45.0)):
        _at(world, seconds, partial(world.sell_on_web, shop, sku))
    for sku, seconds in (("SKU-2", 42.5), ("SKU-1", 47.0)):
        _at(world, seconds, partial(_restock, world, sku))


def _outage(world: World) -> None:
    """The shop is down while three orders become ready, the marketplace when it is back."""
    for seconds, sku in ((2.0, "SKU-1"), (3.0, "SKU-2"), (70.0, "SKU-1")):
        _at(world, seconds, partial(_buy, world, "alpha", ((sku, 1),)))
    _down(world.shops[SHOP], 55.0, 270.0)
    _down(world.marketplaces["alpha"], 285.0, 380.0)


def _down(side: Side, begin_seconds: float, end_seconds: float) -> None:
    begin, end = START + timedelta(seconds=begin_seconds), START + timedelta(seconds=end_seconds)

    def front(handle: Handle, request: Request, now: datetime) -> Response:
        return _unavailable(503) if begin <= now < end else handle(request, now)

    _put_before(side, front)


def _put_before(side: Side, front: Callable[[Handle, Request, datetime], Response]) -> None:
    setattr(side, "handle", partial(front, side.handle))  # noqa: B010 - as above


def _unavailable(status: int) -> Response:
    return Response(status, {"content-type": "text/html"}, b"<html>", 0.0)


def _at(world: World, seconds: float, act: Callable[[datetime], object]) -> None:
    def happen(now: datetime) -> None:
        act(now)

    world._at(START + timedelta(seconds=seconds), happen)


def _buy(world: World, name: str, basket: Basket, now: datetime) -> None:
    world.buy(name, basket, now)


def _cancel(world: World, order_id: str, now: datetime) -> None:
    world._cancel("alpha", order_id, now)


def _take_off_one(world: World, order_id: str, now: datetime) -> None:
    side = world.marketplaces["alpha"]
    assert isinstance(side, MiraklSide)
    side.sandbox.cancel_units(now, order_id, f"{order_id}-1", 1)


def _restock(world: World, sku: str, now: datetime) -> None:
    world.shops[SHOP].restock(now, sku, 3)
    world.books.restocked[sku] = world.books.restocked.get(sku, 0) + 3


def _staged(
    plot: Callable[[World], None],
    active_seconds: float,
    marketplaces: tuple[str, ...] = ("alpha",),
    ship_after: tuple[float, float] = (5.0, 20.0),
) -> Scenario:
    """Nobody acts by chance; what is sold is shipped in up to three parcels, `ship_after` seconds apart."""
    habits = Habits(
        orders_max=0,
        web_sales_max=0,
        two_parcels=1.0,
        parcels_max=3,
        ship_after_seconds=ship_after,
    )
    return replace(
        small(),
        habits=habits,
        rates=Rates(steady=True),
        wares=(Ware("SKU-1", 6), Ware("SKU-2", 5)),
        marketplaces=marketplaces,
        active_seconds=active_seconds,
        plot=plot,
    )


def _cut(scenario: Scenario) -> Scenario:
    """Quiet polls are far apart: they are all alike, and each would be cut."""
    return replace(
        scenario,
        statements=True,
        look_seconds=LOOK_SECONDS,
        core={SHOP: {"stock_by_name_seconds": BY_NAME_SECONDS}},
    )


_SCARCE = (Ware("SKU-1", 4), Ware("SKU-2", 2))
SCENES: Mapping[str, Scenario] = {
    "import": _cut(small()),
    "edit": _cut(_staged(_edit_and_cancel, 260.0, ship_after=(210.0, 220.0))),
    "parcels": _cut(_staged(_three_parcels, 60.0)),
    "storm": _cut(replace(_staged(_stock_storm, 60.0, ("alpha", "beta")), wares=_SCARCE)),
    "outage": _cut(_staged(_outage, 390.0)),
}
