"""The traces that broke earlier rules of stock, and the interleavings that the design was argued on, on the real daemon."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from marketsync.ports import Request, Response
from marketsync.sandbox.faults import Fault
from marketsync.sandbox.roles import Ware
from tests.integration.engine.bench import NEVER_SECONDS, Bench, Life
from tests.integration.engine.conftest import NewBench
from tests.integration.engine.wire import Gate, Wire, altered, answer_held, answered, late, meeting, then

SELDOM = {"shop": {"stock_sweep_seconds": NEVER_SECONDS}}
OFTEN = {"shop": {"stock_sweep_seconds": 60.0}}


def written(bench: Bench, sku: str, at: str = "alpha") -> list[int]:
    """Every figure that a marketplace was sent for an article, in order."""
    rows = [row for done in bench.market(at).sandbox.world.imports.values() for row in done.rows]
    return [int(quantity) for what, quantity in rows if what == sku]


@pytest.mark.trace("T", 1)
@pytest.mark.trace("T", 2)
@pytest.mark.rule("C5")
@pytest.mark.rule("C6")
@pytest.mark.failure(20)
def test_a_cancel_that_comes_too_late_frees_nothing(new_bench: NewBench) -> None:
    """Released without an answer, cancelled, shipped: the old report stands for ten minutes meanwhile."""
    slow = {"shop": {"stock_by_name_seconds": 600.0, "stock_sweep_seconds": NEVER_SECONDS}}
    bench = new_bench(wares=(Ware("SKU-1", 2),), configure=slow)
    bench.script.on("orders.update", meeting(Fault.ANSWER_LOST))

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: any(x.released for x in bench.created(order)))
        bench.cancel(order)
        bench.ship(order)
        await life.never_too_many("SKU-1", 900, every=3.0)
        assert bench.state("cancel", order) == "parked"
        await life.until(lambda: bench.listed("SKU-1") == 1)
        await life.never_too_many("SKU-1", 900, every=30.0)
        assert await life.level("SKU-1") == (1, 1)

    bench.live(story)


@pytest.mark.trace("T", 3)
@pytest.mark.rule("C9")
def test_a_lowering_that_the_shop_ignores_frees_nothing(new_bench: NewBench) -> None:
    bench = new_bench(configure={"shop": {"settings": {"edits_move_stock": False}}})
    bench.shop.shop.follow_edit = lambda *_: None  # type: ignore[method-assign]

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 3))
        await life.until(lambda: bench.state("create", order) == "done")
        bench.lower(order)
        await life.until(lambda: bench.state("update", order) == "done")
        await life.never_too_many("SKU-1", 300)
        bench.ship(order)
        await life.until(lambda: bench.sale(order).shipped == 1)
        await life.never_too_many("SKU-1", 1200, every=10.0)
        assert bench.shop.stock()["SKU-1"] == 2

    bench.live(story)


@pytest.mark.trace("T", 4)
@pytest.mark.rule("C8")
def test_a_read_between_landing_and_commit_is_not_the_last_one(new_bench: NewBench) -> None:
    """Later sweeps leave the article out: only a read by name ends the double subtraction."""
    bench = new_bench(configure={"shop": {"stock_sweep_seconds": 10.0}})
    gate = Gate()
    bench.script.on("orders.update", answer_held(gate))

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: gate.reached)
        reads = len(bench.calls("products.read"))
        await life.until(lambda: len(bench.calls("products.read")) > reads + 1)
        assert await life.level("SKU-1") == (3, 4)
        bench.script.on("products.read", altered(_without_rows), times=10_000)
        gate.open()
        await life.until(lambda: bench.state("create", order) == "done")
        await life.sleep(30)
        assert await life.level("SKU-1") == (4, 4)

    bench.live(story)


@pytest.mark.trace("T", 6)
@pytest.mark.rule("C7")
def test_a_lagging_figure_absorbs_nothing(new_bench: NewBench) -> None:
    """For 15 s after a release the shop answers from before it."""
    bench = new_bench(configure={"shop": {"settings": {"read_lag_seconds": 20.0}}})

    async def stale(wire: Wire, request: Request) -> Response:
        response = await wire.plain(request)
        taken = [x.at for x in bench.shop.shop.log if x.what == "stock_taken"]
        if taken and (wire.clock.now() - taken[-1]).total_seconds() < 15:
            return replace(response, body=response.body.replace(b'"stock_quantity":4', b'"stock_quantity":5'))
        return response

    bench.script.on("products.read", stale, times=10_000)

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: bench.state("create", order) == "done", every=0.2)
        await life.never_too_many("SKU-1", 120, every=0.5)
        assert await life.level("SKU-1") == (4, 4)

    bench.live(story)


@pytest.mark.trace("T", 7)
@pytest.mark.rule("C16")
@pytest.mark.rule("C17")
@pytest.mark.failure(48)
def test_a_sale_that_a_write_overwrote_is_taken_off_again(new_bench: NewBench) -> None:
    bench = new_bench(wares=(Ware("SKU-1", 1),))

    async def story(life: Life) -> None:
        await life.until(lambda: bool(bench.calls("STO01")))
        await life.sleep(5)
        order = bench.buy(("SKU-1", 1))
        assert bench.listed("SKU-1") == 0
        await life.until(lambda: bench.listed("SKU-1") == 1, 30)
        await life.until(lambda: bench.listed("SKU-1") == 0)
        await life.rest()
        assert bench.sale(order).accepted
        # The mirror: it is cancelled, and this marketplace does not list it again by itself.
        bench.cancel(order)
        await life.until(lambda: bench.listed("SKU-1") == 1)

    bench.live(story)


@pytest.mark.trace("T", 8)
@pytest.mark.rule("C13")
def test_an_order_that_does_not_fit_takes_nothing_from_the_next(new_bench: NewBench) -> None:
    bench = new_bench(wares=(Ware("SKU-1", 1), Ware("SKU-2", 1)))
    bench.web_sale("SKU-2")
    both = bench.buy(("SKU-1", 1), ("SKU-2", 1))
    bench.market().sandbox.world.offers["SKU-1"] = 1
    one = bench.buy(("SKU-1", 1))

    async def story(life: Life) -> None:
        await life.rest()
        assert (bench.sale(both).refused, bench.sale(one).accepted) == (True, True)
        assert bench.units(one) == {"SKU-1": 1}

    bench.live(story)
    assert not bench.problems("unshipped")


@pytest.mark.rule("C1")
@pytest.mark.rule("C2")
def test_a_report_that_began_before_the_create_absorbs_nothing(new_bench: NewBench) -> None:
    """The GET read 5, the order was created and released meanwhile, and then the old answer arrives."""
    bench = new_bench(configure={"shop": {"stock_sweep_seconds": 30.0}})
    gate = Gate()
    bench.script.on("products.read", answer_held(gate), skip=1)

    async def story(life: Life) -> None:
        await life.until(lambda: gate.reached)
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: bench.state("create", order) == "done")
        bench.script.on("products.read", answered(503), times=10_000)
        gate.open()
        await life.sleep(10)
        assert bench.rows("SELECT value FROM reports WHERE sku = 'SKU-1'") == [(5,)]
        # It may or may not contain the order: what is published and promised is the low end.
        assert await life.level("SKU-1") == (4, 5)
        await life.never_too_many("SKU-1", 60)
        bench.script.clear()
        await life.rest()
        assert await life.level("SKU-1") == (4, 4)

    bench.live(story)


@pytest.mark.rule("C13")
@pytest.mark.rule("C14")
@pytest.mark.requirement("R15")
@pytest.mark.failure(48)
@pytest.mark.parametrize("seed", range(1, 5))
def test_two_accepts_one_unit(new_bench: NewBench, seed: int) -> None:
    """The last unit on two marketplaces in one second: one yes and one no, whoever is read first."""
    bench = new_bench(marketplaces=("alpha", "beta"), wares=(Ware("SKU-1", 1),), seed=seed)
    orders = {name: bench.buy(("SKU-1", 1), at=name) for name in ("alpha", "beta")}

    async def story(life: Life) -> None:
        await life.rest()
        sales = [bench.sale(order, name) for name, order in orders.items()]
        assert sorted((x.accepted, x.refused) for x in sales) == [(False, True), (True, False)]
        assert bench.shop.stock() == {"SKU-1": 0}
        assert len(bench.shop.orders()) == 1

    bench.live(story)
    assert not bench.problems("unshipped")


@pytest.mark.rule("C13")
@pytest.mark.parametrize("seed", range(1, 4))
def test_the_last_unit_twice_in_one_page(new_bench: NewBench, seed: int) -> None:
    bench = new_bench(wares=(Ware("SKU-1", 1),), seed=seed)
    first = bench.buy(("SKU-1", 1))
    bench.market().sandbox.world.offers["SKU-1"] = 1
    second = bench.buy(("SKU-1", 1))

    async def story(life: Life) -> None:
        await life.rest()
        assert (bench.sale(first).accepted, bench.sale(second).refused) == (True, True)
        assert len(bench.shop.orders()) == 1

    bench.live(story)


@pytest.mark.rule("C15")
@pytest.mark.requirement("R11")
@pytest.mark.requirement("R37")
@pytest.mark.failure(47)
def test_older_quantity_never_wins(new_bench: NewBench) -> None:
    """The first import lands 90 s after it was given up; the newer figure waits for that."""
    bench = new_bench(configure=OFTEN)
    bench.script.on("STO01", late(90.0))

    async def story(life: Life) -> None:
        await life.until(lambda: bool(bench.calls("STO01")))
        bench.web_sale("SKU-1", 2)
        await life.until(lambda: len(bench.calls("STO01")) == 2)
        assert bench.world.books.landed_late == 1
        await life.rest()
        assert written(bench, "SKU-1")[-1] == 3
        assert bench.listed("SKU-1") == 3

    bench.live(story)


@pytest.mark.requirement("R9")
@pytest.mark.rule("C15")
def test_five_four_five_is_three_pushes(new_bench: NewBench) -> None:
    bench = new_bench(configure=OFTEN)

    async def story(life: Life) -> None:
        await life.rest()
        for stock in (4, 5, 4):
            bench.shop.shop.set_stock("SKU-1", stock, life.clock.now())
            await life.lists("SKU-1", stock)
        assert written(bench, "SKU-1") == [5, 4, 5, 4]

    bench.live(story)


@pytest.mark.requirement("R10")
@pytest.mark.rule("C15")
def test_every_way_in_which_stock_moves_is_published(new_bench: NewBench) -> None:
    """A web sale, goods received, a marketplace's sale, its lowering, its cancel: and each of them twice."""
    bench = new_bench(marketplaces=("alpha", "beta"), configure=OFTEN)

    async def story(life: Life) -> None:
        await life.rest()
        for _ in range(2):
            bench.web_sale("SKU-1")
            await life.rest()
            bench.shop.restock(life.clock.now(), "SKU-1", 2)
            bench.world.books.restocked["SKU-1"] = bench.world.books.restocked.get("SKU-1", 0) + 2
            await life.rest()
            order = bench.buy(("SKU-1", 2))
            await life.done("create", order)
            await life.rest()
            bench.lower(order)
            await life.done("update", order)
            await life.rest()
            bench.cancel(order)
            await life.done("cancel", order)
            await life.rest()
        assert [bench.listed("SKU-1", at=name) for name in ("alpha", "beta")] == [7, 7]

    bench.live(story)
    assert not bench.problems()


@pytest.mark.rule("C15")
def test_sale_between_read_and_stamp_is_pushed(new_bench: NewBench) -> None:
    bench = new_bench(configure=OFTEN)
    bench.script.on("products.read", then(lambda _: bench.web_sale("SKU-1")))

    async def story(life: Life) -> None:
        await life.until(lambda: 5 in written(bench, "SKU-1"))
        await life.until(lambda: bench.listed("SKU-1") == 4)

    bench.live(story)


@pytest.mark.rule("C16")
def test_one_warehouse_fails_other_succeeds(new_bench: NewBench) -> None:
    """Two marketplaces of one pool (no shop here has several locations): the failure of one is its own, and is mended."""
    bench = new_bench(marketplaces=("alpha", "beta"), configure=OFTEN)
    bench.script.on("STO01", answered(400, b'{"code":"BAD_FILE","status":400}'), connection="beta", times=2)

    async def story(life: Life) -> None:
        bench.web_sale("SKU-1")
        await life.until(lambda: bench.listed("SKU-1") == 4)
        assert bench.listed("SKU-1", at="beta") == 5
        assert "BAD_FILE" in bench.parked("stock")["beta"]
        await life.rest()
        assert bench.listed("SKU-1", at="beta") == 4
        assert not bench.parked()

    bench.live(story)


@pytest.mark.rule("C15")
def test_one_bundle_does_not_fail_the_batch(bench: Bench) -> None:
    """The marketplace knows nothing of SKU-3: its line is refused with a reason, the others of the file are taken."""
    bench.shop.shop.add_product("SKU-3", 9, bench.now)
    bench.web_sale("SKU-1")

    async def story(life: Life) -> None:
        await life.until(lambda: bench.listed("SKU-1") == 4)
        await life.until(lambda: bench.rows("SELECT sku FROM listings WHERE error <> ''") == [("SKU-3",)])
        await life.sleep(1800)
        assert len(written(bench, "SKU-3")) < 5

    bench.live(story)


@pytest.mark.requirement("R13")
@pytest.mark.rule("C18")
def test_a_sale_on_one_lowers_the_other_without_a_sweep(new_bench: NewBench) -> None:
    """As soon as the vendor lets us: beta takes one import a minute."""
    bench = new_bench(marketplaces=("alpha", "beta"), configure=SELDOM)

    async def story(life: Life) -> None:
        await life.rest()
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: order in bench.held())
        seen = life.clock.now()
        await life.until(lambda: written(bench, "SKU-1", "beta")[-1] == 4, 600)
        assert (life.clock.now() - seen).total_seconds() <= 130
        await life.until(lambda: bench.listed("SKU-1", at="beta") == 4, 60)

    bench.live(story)


@pytest.mark.requirement("R12")
@pytest.mark.failure(50)
def test_a_recount_of_everything_is_a_few_writes(new_bench: NewBench) -> None:
    """300 articles change at once: bulk files, only what changed, and an order goes on beside them."""
    wares = tuple(Ware(f"SKU-{n}", 10) for n in range(1, 301))
    bench = new_bench(wares=wares, configure=OFTEN)

    async def story(life: Life) -> None:
        await life.rest()
        imports = len(bench.calls("STO01"))
        for ware in wares[:-1]:
            bench.shop.shop.set_stock(ware.sku, 7, life.clock.now())
        order = bench.buy(("SKU-300", 1))
        await life.until(lambda: bench.state("create", order) == "done", 300)
        await life.rest(1800)
        assert len(bench.calls("STO01")) - imports <= 6
        assert written(bench, "SKU-300")[0] == 10

    bench.live(story)


@pytest.mark.failure(46)
@pytest.mark.rule("C21")
def test_a_figure_below_zero_is_listed_as_nothing_and_kept(new_bench: NewBench) -> None:
    bench = new_bench(configure=OFTEN)

    async def story(life: Life) -> None:
        await life.rest()
        bench.shop.shop.plugin_adjusts("SKU-1", -7, life.clock.now())
        await life.until(lambda: bench.listed("SKU-1") == 0)
        assert await life.level("SKU-1") == (-2, -2)
        bench.shop.shop.plugin_adjusts("SKU-1", 3, life.clock.now())
        await life.until(lambda: bench.listed("SKU-1") == 1)

    bench.live(story)


def _without_rows(response: Response) -> Response:
    """A sweep that leaves everything out; what was asked for by name is answered."""
    return response if response.body.count(b'"id"') == 1 else replace(response, body=b"[]")


def test_an_article_that_the_shop_does_not_have_is_asked_for_once_a_minute(bench: Bench) -> None:
    product = next(x for x in bench.shop.shop.products.values() if x.sku == "SKU-1")
    del bench.shop.shop.products[product.id]

    def asked() -> int:
        return sum("sku=SKU-1" in x.target for x in bench.calls("products.read"))

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: asked() > 0)
        await life.sleep(600)
        assert 9 <= asked() <= 12
        bench.shop.shop.products[product.id] = product
        await life.until(lambda: bench.state("create", order) == "done", 600)

    bench.live(story)


def test_while_nothing_is_open_the_watch_rests(new_bench: NewBench) -> None:
    """It looked into the database every five seconds, for nothing."""
    bench = new_bench(configure=SELDOM)

    async def story(life: Life) -> None:
        await life.sleep(60)
        statements = life._inline.statements
        await life.sleep(600)
        assert life._inline.statements - statements < 150

    bench.live(story)
