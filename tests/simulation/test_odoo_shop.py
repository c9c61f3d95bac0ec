"""Odoo as the shop of a seed: what its people do to an order of ours, and which of its answers state a figure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from msgspec.structs import replace

from adapters.mirakl import ADAPTER as MIRAKL
from adapters.odoo import ADAPTER as ODOO
from adapters.odoo.rehearsal import OdooSide
from adapters.odoo.sandbox_shop import Line, Order
from marketsync.domain.ids import ConnectionId, MerchantId, OrderId, OrderKey, reference
from marketsync.ports import Request, Response
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.rehearsal import Stage, new_world
from marketsync.sandbox.roles import SidePlan, Ware
from marketsync.sandbox.world import Habits, World
from tests.simulation.harness import simulate
from tests.simulation.oversell import Log, beyond
from tests.simulation.scenario import standard
from tests.simulation.witness import Computation, Reading, Witness

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
WARES = (Ware("A", 5, Decimal(10)),)
KEY = OrderKey(MerchantId("main"), ConnectionId("alpha"), OrderId("SBX-00001-A"))


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def a_world() -> World:
    sides = (("mirakl", SidePlan("alpha", WARES, NOW)), ("odoo", SidePlan("shop", WARES, NOW)))
    stage = Stage(sides, WARES, Habits(orders_max=0, web_sales_max=0), NOW)
    return new_world(stage, {"mirakl": MIRAKL, "odoo": ODOO}, Chance(1))


def side(world: World) -> OdooSide:
    found = world.shops["shop"]
    assert isinstance(found, OdooSide)
    return found


def sold(world: World) -> Order:
    """Two units, which the shop has taken."""
    order_id = world.buy("alpha", (("A", 2),), NOW)
    assert order_id == KEY.order_id
    shop = side(world).shop
    order = Order(
        id=shop.next_id(), ref=reference("abc123", KEY), origin="", partner_id=0, created=NOW, write_date=NOW,
        date_order=NOW, currency="EUR",
    )  # fmt: skip
    product = shop.product_of("A")
    order.lines.append(
        Line(
            id=shop.next_id(), order_id=order.id, product_id=product.id, name="A", quantity=Decimal(2),
            price=Decimal(10), taxes=(),
        )
    )  # fmt: skip
    shop.orders[order.id] = order
    shop.confirm(order, NOW)
    return order


def free(world: World) -> tuple[int, int]:
    """(what the shop says, what is free in truth)"""
    return side(world).stock()["A"], world.moment(NOW).free("A")


@pytest.mark.rule("C19")
def test_what_people_cancel_in_the_shop_is_free_until_they_take_it_back() -> None:
    world = a_world()
    order = sold(world)
    assert free(world) == (3, 3)
    for _ in range(2):
        side(world).trash(NOW, str(order.id))
        assert free(world) == (5, 5)
        side(world).restore(NOW, str(order.id))
        assert free(world) == (3, 3)
    assert world.moment(NOW).base == {"A": 5}


@pytest.mark.rule("C19")
def test_an_order_that_nobody_wants_any_more_frees_its_units_once() -> None:
    world = a_world()
    order = sold(world)
    side(world).trash(NOW, str(order.id))
    assert world.marketplaces["alpha"].cancel_order(NOW, KEY.order_id)
    assert free(world) == (5, 5)
    side(world).restore(NOW, str(order.id))
    side(world).cancel(NOW, str(order.id))
    assert free(world) == (5, 5)


@pytest.mark.rule("C19")
@pytest.mark.parametrize(
    ("quantity", "read_at", "fits"), [(3, 10, True), (5, 10, False), (5, 60, True), (6, 60, False)]
)
def test_what_people_gave_back_may_be_listed_only_from_a_figure_that_has_it(
    quantity: int, read_at: float, fits: bool
) -> None:
    """Cancelled in the shop at 30; computed at 100 from a figure of `read_at`."""
    world = a_world()
    first = world.moment(NOW)
    order = sold(world)
    before = world.moment(at(10)).base
    side(world).trash(at(30), str(order.id))
    base = before if read_at < 30 else world.moment(at(60)).base
    truth = world.moment(at(100))
    truth = replace(truth, owed=tuple(replace(owed, decided=True) for owed in truth.owed))
    log = Log(
        computations=(
            Computation("alpha", first, {"A": 5}, NOW),
            Computation("alpha", truth, {"A": quantity}, at(110)),
        ),
        readings=(Reading(at(read_at), at(read_at + 1), base),),
        placed=world.books.placed,
        committed={("alpha", KEY.order_id): at(5)},
    )
    assert (not list(beyond(log))) == fits


def test_who_looks_for_an_article_by_its_sku_takes_no_figure() -> None:
    witness = Witness(a_world())
    shown = Response(200, {}, b'[{"id":11,"default_code":"A","free_qty":5.0}]', 0.0)
    for number, domain in enumerate(('[["default_code","in",["A"]]]', '[["id","in",[11]]]')):
        body = f'{{"context":{{}},"domain":{domain},"fields":["default_code","free_qty"]}}'.encode()
        url = "https://shop.example/json/2/product.product/search_read"
        request = Request("shop", "products.read", "POST", url, body=body)
        witness.handle("shop", request, at(number))
        witness.told(request, shown, at(number))
    assert [reading.answered_at for reading in witness.readings] == [at(1)]


@pytest.mark.rule("C19")
@pytest.mark.failure(51)
@pytest.mark.parametrize("seed", [29, 187])
def test_seeds_that_found_it(seed: int) -> None:
    """29: an order was taken for deleted, by a cache's answer to another question. 187: people cancel in the shop and take
    it back."""
    assert simulate(replace(standard(seed), shop="odoo")).failures == ()
