"""Buyers who ask to cancel, and orders that the marketplace sends from a stock of its own."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from marketsync.domain.ids import ConnectionId
from marketsync.domain.orders import Order
from marketsync.sandbox.roles import Ware
from tests.integration.engine.bench import Bench, Life
from tests.integration.engine.conftest import NewBench
from tests.integration.engine.wire import altered

ALPHA = ConnectionId("alpha")


class Wish:
    """The marketplace says whether the buyer of any order asks to cancel it."""

    def __init__(self, bench: Bench, life: Life) -> None:
        self.asked = False
        self._bench = bench
        adapter: Any = life.daemon.sweepers[ALPHA]._link.adapter
        self._parse = adapter.parse_order
        adapter.parse_order = self._read

    def _read(self, raw: bytes) -> Order:
        order: Order = self._parse(raw)
        return replace(order, cancel_asked=self.asked)

    def says(self, asked: bool, order: str) -> None:
        self.asked = asked
        self._bench.market().sandbox.touch(self._bench.now, order)


@pytest.mark.failure(19)
def test_a_wish_to_cancel_holds_back_what_is_not_in_the_shop_yet(bench: Bench) -> None:
    async def story(life: Life) -> None:
        wish = Wish(bench, life)
        wish.asked = True
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: bool(bench.parked("order")))
        assert "the buyer asks to cancel it" in "".join(bench.parked("order").values())
        await life.sleep(900)
        assert not bench.created(order)
        wish.says(False, order)
        await life.until(lambda: bench.state("create", order) == "done", 900)
        assert not bench.parked()

    bench.live(story)


@pytest.mark.failure(19)
def test_of_a_wish_to_cancel_what_is_in_the_shop_a_person_hears(bench: Bench) -> None:
    async def story(life: Life) -> None:
        wish = Wish(bench, life)
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: bench.state("create", order) == "done")
        wish.says(True, order)
        await life.until(lambda: bool(bench.parked("order")), 900)
        assert [x.released for x in bench.created(order)] == [True]
        wish.says(False, order)
        await life.until(lambda: not bench.parked(), 900)

    bench.live(story)


def _by_the_operator(new_bench: NewBench, **switches: bool) -> Bench:
    bench = new_bench(
        wares=(Ware("SKU-1", 5),),
        configure={
            "alpha": {"settings": {"operator_centers": ["ALPHA-DEPOT"]}, "import_fulfilled": True, **switches}
        },
    )
    other = altered(lambda r: replace(r, body=r.body.replace(b'"code":"DEFAULT"', b'"code":"ALPHA-DEPOT"')))
    bench.script.on("OR11", other, times=1000)
    return bench


@pytest.mark.rule("C3")
def test_a_shop_that_would_take_its_own_stock_for_it_gets_it_only_by_a_persons_word(
    new_bench: NewBench,
) -> None:
    bench = _by_the_operator(new_bench)

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 2))
        await life.until(lambda: bench.state("create", order) == "parked")
        assert "fulfilled_touch_stock" in bench.delivery("create", order).error
        assert not bench.created(order)
        assert await life.level("SKU-1") == (5, 5)

    bench.live(story)


@pytest.mark.rule("C3")
@pytest.mark.parametrize(("ship", "status"), [(False, "completed"), (True, "processing")])
def test_the_shop_ships_it_only_where_it_is_told_so(new_bench: NewBench, ship: bool, status: str) -> None:
    bench = _by_the_operator(new_bench, fulfilled_touch_stock=True, fulfilled_ship=ship)

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 2))
        await life.until(lambda: bench.state("create", order) == "done")
        assert [x.status for x in bench.shop.shop.orders.values()] == [status]
        await life.until(lambda: bench.listed("SKU-1") == 3)
        assert not bench.deliveries("confirm")

    bench.live(story)
