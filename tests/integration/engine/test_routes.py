"""A marketplace's orders go to one shop; what another shop has, and what it had before, is kept apart."""

from __future__ import annotations

from typing import Any, cast

import pytest

from adapters.woocommerce.rehearsal import WooSide
from marketsync.cli import tables
from marketsync.commands.desk import Desk
from marketsync.commands.table import run
from marketsync.domain.ids import ConnectionId
from marketsync.sandbox.roles import ShopOrder
from tests.integration.engine.bench import Bench, Life
from tests.integration.engine.conftest import NewBench

STORE = "store"
TO_STORE = {"alpha": {"back_office": STORE}}


def store_of(bench: Bench) -> WooSide:
    return cast("WooSide", bench.world.shops[STORE])


def in_store(bench: Bench, order_id: str) -> list[ShopOrder]:
    key = bench.world.books.key_of("alpha", order_id)
    return [x for x in store_of(bench).orders() if bench.world.books.key_of_ref(x.ref) == key]


@pytest.fixture
def two_shops(new_bench: NewBench) -> Bench:
    return new_bench(shops=("shop", STORE))


def _pushed(bench: Bench) -> str:
    """An order that is in the first shop, when the daemon ends."""
    found: list[str] = []

    async def story(life: Life) -> None:
        found.append(bench.buy(("SKU-1", 2)))
        await life.done("create", found[0])

    bench.live(story)
    return found[0]


def test_an_order_stays_with_its_shop_when_the_route_is_changed(two_shops: Bench) -> None:
    """A revision of it follows it there: in the other shop it would be a second order."""
    bench = two_shops
    order = _pushed(bench)
    bench.configure(TO_STORE)

    async def story(life: Life) -> None:
        bench.lower(order)
        await life.until(lambda: bench.units(order) == {"SKU-1": 1})
        new = bench.buy(("SKU-2", 1))
        await life.until(lambda: bool(in_store(bench, new)))
        bench.ship(order)
        await life.done("confirm", order)
        assert not bench.created(new)
        assert not in_store(bench, order)

    bench.live(story)
    assert {x.target for x in bench.deliveries("create", order)} == {"shop"}
    sql = "SELECT DISTINCT o.order_id, c.pool FROM claims c JOIN orders o ON o.ref = c.ref"
    assert dict(bench.rows(sql))[order] == "shop"


def test_an_order_that_waits_for_its_answer_is_accepted_from_its_own_shops_stock(two_shops: Bench) -> None:
    """Else it would be accepted unseen: it waits for nothing of the other shop's."""
    bench = two_shops
    found: list[str] = []

    async def first(life: Life) -> None:
        await life.lists("SKU-1", 5)
        bench.web_sale("SKU-1", 5)
        found.append(bench.buy(("SKU-1", 2)))
        await life.sleep(600)

    bench.live(first, crash_at="dispatch.before_claim")
    bench.configure(TO_STORE)

    async def second(life: Life) -> None:
        await life.until(lambda: bench.sale(found[0]).refused or bench.sale(found[0]).accepted)
        assert bench.sale(found[0]).refused

    bench.live(second)


def test_the_listings_follow_the_new_route_although_no_figure_moved(two_shops: Bench) -> None:
    bench = two_shops
    store_of(bench).restock(bench.now, "SKU-1", -3)

    async def first(life: Life) -> None:
        await life.lists("SKU-1", 5)
        await life.until(lambda: len(bench.rows("SELECT 1 FROM reports WHERE pool = 'store'")) > 1)
        await life.sleep(2000)

    async def second(life: Life) -> None:
        await life.lists("SKU-1", 2)

    bench.live(first)
    bench.configure(TO_STORE)
    bench.live(second)


def test_the_listings_follow_what_the_configuration_keeps_back(new_bench: NewBench) -> None:
    bench = new_bench()

    async def first(life: Life) -> None:
        await life.sleep(2000)
        assert bench.listed("SKU-1") == 5

    async def second(life: Life) -> None:
        await life.lists("SKU-1", 3)

    async def third(life: Life) -> None:
        await life.sleep(2000)

    bench.live(first)
    bench.configure({"alpha": {"stock_buffer": 2}})
    bench.live(second)
    written = len(bench.calls("STO01"))
    bench.live(third)
    assert len(bench.calls("STO01")) == written


async def _nobody(_: str) -> None:
    raise AssertionError("no progress was expected")


async def _call(desk: Desk, name: str, **args: Any) -> Any:
    return await run(desk, name, args, _nobody)


def test_the_commands_say_which_shop(new_bench: NewBench) -> None:
    """The same order numbers, SKUs and shop order numbers on both sides."""
    bench = new_bench(
        shops=("shop", STORE), marketplaces=("alpha", "beta"), configure={"beta": TO_STORE["alpha"]}
    )
    store_of(bench).restock(bench.now, "SKU-1", 2)

    async def story(life: Life) -> None:
        await life.until(lambda: bench.listed("SKU-1", "beta") == 7)
        orders = {at: bench.buy(("SKU-1", 1), at=at) for at in ("alpha", "beta")}
        assert orders["alpha"] == orders["beta"]
        await life.until(lambda: len(bench.deliveries("create")) == 2)
        await life.until(lambda: all(x.done for x in bench.deliveries("create")))
        await life.sleep(300)
        core = life.desk.core
        to = {ConnectionId("alpha"): ConnectionId("shop"), ConnectionId("beta"): ConnectionId(STORE)}
        for desk in (life.desk, Desk(core, routes=to)):
            await _all_say(desk, orders["beta"])

    bench.live(story)


async def _all_say(desk: Desk, order_id: str) -> None:
    status = await _call(desk, "status")
    assert {x["connection"]: x["back_office"] for x in status["connections"]} == {
        "alpha": "shop", "beta": STORE, "shop": "", STORE: "",
    }  # fmt: skip
    assert "shop" in tables.status(status)
    listed = await _call(desk, "orders.list")
    assert {x["connection"]: x["back_office"] for x in listed} == {"alpha": "shop", "beta": STORE}
    assert STORE in tables.orders(listed)
    told = await _call(desk, "explain", order=f"beta/{order_id}")
    assert {x["target"] for x in told["deliveries"]} == {"beta", STORE}
    assert {x["target"] for x in told["links"]} <= {"beta", STORE}
    rows = await _call(desk, "stock.show", sku="SKU-1")
    assert [(x["back_office"], x["low"], [y["connection"] for y in x["listings"]]) for x in rows] == [
        ("shop", 4, ["alpha"]), (STORE, 6, ["beta"]),
    ]  # fmt: skip
    first = await _call(desk, "stock.show", limit=1)
    assert [(x["sku"], x["back_office"]) for x in first] == [("SKU-1", "shop"), ("SKU-1", STORE)]
    rest = await _call(desk, "stock.show", limit=1, after="SKU-1")
    assert [(x["sku"], x["back_office"]) for x in rest] == [("SKU-2", "shop"), ("SKU-2", STORE)]
