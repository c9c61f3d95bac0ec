"""The judge is judged: each thing that must never happen is done on purpose, and the audit must say so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from adapters.mirakl import ADAPTER as MIRAKL
from adapters.mirakl.rehearsal import MiraklSide
from adapters.mirakl.sandbox_world import Parcel
from adapters.woocommerce import ADAPTER as WOOCOMMERCE
from adapters.woocommerce.rehearsal import WooSide
from adapters.woocommerce.sandbox_shop import Item, Meta, Order
from marketsync.domain.ids import ConnectionId, MerchantId, OrderId, OrderKey, reference
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.rehearsal import Stage, new_world
from marketsync.sandbox.roles import SidePlan, Ware
from marketsync.sandbox.world import Habits, World

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
WARES = (Ware("A", 5, Decimal(10)), Ware("B", 2))
STILL = Habits(orders_max=0, web_sales_max=0)


def a_world(habits: Habits = STILL, *, parcels: bool = True, seed: int = 1) -> World:
    sides = (
        ("mirakl", SidePlan("alpha", WARES, NOW, parcels=parcels)),
        ("woocommerce", SidePlan("shop", WARES, NOW)),
    )
    adapters = {"mirakl": MIRAKL, "woocommerce": WOOCOMMERCE}
    return new_world(Stage(sides, WARES, habits, NOW), adapters, Chance(seed))


def market(world: World) -> MiraklSide:
    side = world.marketplaces["alpha"]
    assert isinstance(side, MiraklSide)
    return side


def shop(world: World) -> WooSide:
    side = world.shops["shop"]
    assert isinstance(side, WooSide)
    return side


def sell(world: World, *, accept: bool = True) -> str:
    order_id = market(world).place_order(NOW, [("A", 1)])
    assert order_id is not None
    if accept:
        mirakl = market(world).sandbox.world
        order = mirakl.orders[order_id]
        mirakl.decide(order, [line.line_id for line in order.lines], NOW)
    return order_id


def push(world: World, order_id: str, *, status: str = "processing") -> Order:
    """What the daemon does, by hand."""
    woo = shop(world).shop
    key = OrderKey(MerchantId("main"), ConnectionId("alpha"), OrderId(order_id))
    product = woo.product_of("A")
    order = Order(id=woo.next_id(), created=NOW, modified=NOW)
    order.meta.append(Meta(1, "_marketsync_ref", reference("abc123", key)))
    order.items.append(Item(id=woo.next_id(), kind="line", product_id=product.id, quantity=1))
    woo.orders[order.id] = order
    woo.set_status(order.id, status, NOW)
    return order


def tell(world: World, order_id: str, number: str) -> None:
    mirakl = market(world).sandbox.world
    order = mirakl.orders[order_id]
    parcel = Parcel(
        f"P{len(mirakl.parcels)}",
        order_id,
        NOW,
        ((order.lines[0].line_id, 1, ""),),
        True,
        {"tracking_number": number},
    )
    mirakl.add_parcel(parcel, order)


def kinds(world: World) -> set[str]:
    return {problem.partition(":")[0] for problem in world.audit().problems}


def test_an_order_that_went_its_way_is_sound() -> None:
    world = a_world()
    order_id = sell(world)
    held = push(world, order_id)
    shop(world).ship(NOW, str(held.id), [(str(held.items[0].id), 1)], "T1")
    tell(world, order_id, "T1")
    audit = world.audit()
    assert audit.problems == ()
    assert (audit.created, audit.pushed, audit.parcels, audit.confirmed) == (1, 1, 1, 1)


def test_an_order_on_its_way_is_unfinished_at_each_station() -> None:
    world = a_world()
    order_id = sell(world, accept=False)
    assert kinds(world) == {"undecided"}
    mirakl = market(world).sandbox.world
    mirakl.decide(mirakl.orders[order_id], [mirakl.orders[order_id].lines[0].line_id], NOW)
    assert kinds(world) == {"unpushed"}
    held = push(world, order_id, status="pending")
    assert kinds(world) == {"unpushed"}
    shop(world).shop.set_status(held.id, "processing", NOW)
    assert kinds(world) == {"unshipped"}
    shop(world).ship(NOW, str(held.id), [(str(held.items[0].id), 1)], "T1")
    assert kinds(world) == {"unconfirmed"}


def test_a_parcel_whose_buyer_cancelled_before_it_could_be_told_is_withdrawn() -> None:
    world = a_world()
    order_id = sell(world)
    held = push(world, order_id)
    shop(world).ship(NOW, str(held.id), [(str(held.items[0].id), 1)], "T1")
    assert world.audit().withdrawn == 0
    assert market(world).cancel_order(NOW, order_id)
    audit = world.audit()
    assert audit.problems == ()
    assert (audit.parcels, audit.confirmed, audit.withdrawn) == (1, 0, 1)


def test_a_second_order_in_the_shop_is_a_duplicate() -> None:
    world = a_world()
    order_id = sell(world)
    push(world, order_id)
    push(world, order_id)
    assert "duplicated" in kinds(world)


def test_an_order_of_no_sale_is_a_phantom_and_so_is_one_of_a_cancelled_sale() -> None:
    world = a_world()
    push(world, "SBX-99999-A")
    assert kinds(world) == {"phantom"}
    cancelled = a_world()
    order_id = sell(cancelled)
    push(cancelled, order_id)
    assert market(cancelled).cancel_order(NOW, order_id)
    assert kinds(cancelled) == {"phantom"}


@pytest.mark.parametrize(
    ("told", "found"), [(("T1", "T1"), "doubled_parcels"), (("T1", "T2"), "false_parcels")]
)
def test_a_parcel_told_twice_or_never_sent(told: tuple[str, ...], found: str) -> None:
    world = a_world()
    order_id = sell(world)
    held = push(world, order_id)
    shop(world).ship(NOW, str(held.id), [(str(held.items[0].id), 1)], "T1")
    for number in told:
        tell(world, order_id, number)
    assert found in kinds(world)


def test_a_figure_that_no_sale_explains_is_seen() -> None:
    world = a_world()
    shop(world).shop.plugin_adjusts("A", -1, NOW)
    assert kinds(world) == {"off_stock"}


def test_more_sold_than_there_is_counts_with_the_sale_that_was_in_the_way() -> None:
    world = a_world(
        Habits(orders_max=1, order_every_seconds=10.0, web_sales_max=0, units_max=1, two_skus=0.0)
    )
    for sku, stock in (("A", 5), ("B", 2)):
        for _ in range(stock):
            shop(world).web_sale(NOW, sku, 1)
    world.advance(NOW + timedelta(seconds=30))
    assert world.audit().created == 1
    assert world.audit().oversold == 1


def test_people_buy_only_what_is_listed_and_the_same_seed_is_the_same_people() -> None:
    habits = Habits(order_every_seconds=5.0, web_sales_max=0)

    def sold(seed: int) -> list[tuple[str, tuple[tuple[str, int], ...]]]:
        world = a_world(habits, seed=seed)
        world.advance(NOW + timedelta(seconds=600))
        return [(sale.order_id, sale.lines) for sale in market(world).sales(world.now)]

    assert sold(1) == sold(1)
    assert sold(1) != sold(2)
    units = [(sku, quantity) for _, lines in sold(1) for sku, quantity in lines]
    for ware in WARES:
        assert sum(quantity for sku, quantity in units if sku == ware.sku) <= ware.stock


def test_a_request_that_lands_late_takes_effect_in_its_place_in_time() -> None:
    world = a_world()
    seen: list[datetime] = []
    world._at(NOW + timedelta(seconds=5), seen.append)
    world._at(NOW + timedelta(seconds=2), seen.append)
    world.advance(NOW + timedelta(seconds=10))
    assert seen == [NOW + timedelta(seconds=2), NOW + timedelta(seconds=5)]
