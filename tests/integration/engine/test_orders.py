"""The life of an order on the real daemon: cancels, parcels, what is parked and how it goes on."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from marketsync.commands.maps import MapKind, MapSetArgs, set_map
from marketsync.commands.parked import RetryArgs, retry
from marketsync.domain.ids import ConnectionId
from marketsync.ports import Response
from marketsync.sandbox.faults import Fault
from tests.integration.engine.bench import Bench, Life
from tests.integration.engine.conftest import NewBench
from tests.integration.engine.wire import altered, answered, meeting

ALPHA = ConnectionId("alpha")


@pytest.mark.failure(19)
@pytest.mark.failure(20)
@pytest.mark.requirement("R24")
@pytest.mark.requirement("R25")
def test_cancel_before_during_after_push(bench: Bench) -> None:
    async def story(life: Life) -> None:
        before = bench.buy(("SKU-1", 1))
        bench.cancel(before)
        bench.script.on("orders.create", meeting(Fault.ANSWER_LOST))
        during = bench.buy(("SKU-1", 1))
        await life.until(lambda: bench.state("create", during) == "sent")
        bench.cancel(during)
        await life.rest()
        assert not bench.created(before)
        assert [x.cancelled for x in bench.created(during)] == [True]

        after = bench.buy(("SKU-1", 1))
        await life.until(lambda: bench.state("create", after) == "done")
        bench.cancel(after)
        await life.until(lambda: bench.state("cancel", after) == "done")
        assert [x.cancelled for x in bench.created(after)] == [True]
        await life.rest()
        assert await life.level("SKU-1") == (5, 5)

        shipped = bench.buy(("SKU-1", 1))
        await life.until(lambda: bench.state("create", shipped) == "done")
        bench.script.on("shipments.read", answered(503), times=1000)
        bench.ship(shipped)
        bench.cancel(shipped)
        await life.until(lambda: bench.state("cancel", shipped) == "parked")
        assert not bench.created(shipped)[0].cancelled
        assert "shipped" in bench.delivery("cancel", shipped).error or bench.parked("delivery")
        bench.script.clear()
        await life.sleep(600)
        # R24: whatever is edited afterwards, what was cancelled does not come back.
        for order in (before, during, after):
            bench.market().sandbox.touch(life.clock.now(), order)
        await life.sleep(600)
        assert not bench.created(before)
        assert [len(bench.created(x)) for x in (during, after)] == [1, 1]
        assert await life.level("SKU-1") == (4, 4)

    bench.live(story)
    assert not bench.problems()


@pytest.mark.failure(40)
@pytest.mark.requirement("R20")
@pytest.mark.requirement("R26")
def test_a_shop_that_is_down_gets_what_still_stands_when_it_is_back(bench: Bench) -> None:
    async def story(life: Life) -> None:
        await life.until(lambda: life.daemon.coverage_until(ALPHA) is not None)
        await life.rest()
        bench.shop.sandbox.faults.maintenance = 10**6
        stays, goes = bench.buy(("SKU-1", 1)), bench.buy(("SKU-1", 1))
        await life.until(lambda: bench.state("accept", goes) == "done")
        await life.sleep(120)
        bench.cancel(goes)
        await life.sleep(600)
        assert {stays, goes} <= bench.held()
        bench.shop.sandbox.faults.maintenance = 0
        await life.until(lambda: bench.state("create", stays) == "done", 1200)
        await life.rest()
        assert not bench.created(goes)
        assert len(bench.created(stays)) == 1
        assert not bench.parked()

    bench.live(story)


@pytest.mark.failure(42)
@pytest.mark.requirement("R27")
def test_ship_4xx_is_visible_and_retried(new_bench: NewBench) -> None:
    bench = new_bench(behaviour={"other_carriers": False})

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: bench.state("create", order) == "done")
        bench.ship(order, carrier="slowpost")
        await life.until(lambda: bench.state("confirm", order) == "parked")
        ((item, reason),) = bench.parked("delivery").items()
        assert "slowpost" in reason
        assert str(bench.delivery("confirm", order).id) == item
        assert bench.sale(order).shipped == 0
        changed = await set_map(life.desk, MapSetArgs("alpha", MapKind.CARRIER, "slowpost", "DHL"))
        assert changed.woken == 1
        await life.until(lambda: bench.sale(order).shipped == 1)
        assert bench.sale(order).told == ("TRACK1",)
        assert not bench.parked()

    bench.live(story)
    assert not bench.problems()


@pytest.mark.failure(22)
@pytest.mark.requirement("R21")
@pytest.mark.requirement("R22")
def test_unknown_last_line_never_shortens_an_order(bench: Bench) -> None:
    """It is held whole, asks nothing of the marketplace meanwhile, and goes on by itself when the shop has the article."""
    bench.market().sandbox.world.offers["SKU-9"] = 3

    async def story(life: Life) -> None:
        await life.rest()
        order = bench.buy(("SKU-1", 1), ("SKU-9", 2))
        await life.until(lambda: bool(bench.parked()))
        assert order in bench.held()
        asked = len(bench.exchanges)
        await life.sleep(3600)
        assert not bench.created(order)
        spent = [x for x in bench.exchanges[asked:] if x.connection == "alpha"]
        assert {x.operation for x in spent} <= {"OR11", "STO01", "STO02", "STO03"}
        assert not any("order_ids" in x.target for x in spent)
        bench.shop.shop.add_product("SKU-9", 3, life.clock.now())
        await life.until(lambda: bench.state("create", order) == "done")
        assert bench.units(order) == {"SKU-1": 1, "SKU-9": 2}
        assert not bench.parked()

    bench.live(story)


@pytest.mark.failure(41)
@pytest.mark.requirement("R29")
def test_what_was_refused_can_be_tried_again(bench: Bench) -> None:
    """The refused row holds its unique place, and the retry goes by that very row; others pass meanwhile."""
    refusal = answered(400, b'{"code":"rest_invalid_param","message":"no","data":{"status":400}}')
    bench.script.on("orders.create", refusal)

    async def story(life: Life) -> None:
        bad = bench.buy(("SKU-1", 1))
        await life.until(lambda: bench.state("create", bad) == "parked")
        good = bench.buy(("SKU-2", 1))
        await life.until(lambda: bench.state("create", good) == "done")
        row = bench.delivery("create", bad)
        await retry(life.desk, RetryArgs(str(row.id)))
        await life.until(lambda: bench.state("create", bad) == "done")
        assert bench.delivery("create", bad).id == row.id
        assert len(bench.created(bad)) == 1
        assert not bench.parked()

    bench.live(story)


@pytest.mark.requirement("R40")
def test_an_edit_equal_to_what_was_delivered_before_is_sent_again(bench: Bench) -> None:
    """Two addresses in turn: the third update says what the first one said."""

    def moved(to: bytes) -> None:
        bench.script.clear()
        bench.script.on("OR11", altered(lambda r: _with(r, to)), times=1000)

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: bench.state("create", order) == "done")
        for n, street in enumerate((b"Example Street 1", b"Example Street 2", b"Example Street 1"), 1):
            moved(street)
            bench.market().sandbox.touch(life.clock.now(), order)
            await life.done("update", order, n)
            (made,) = bench.shop.shop.orders.values()
            assert made.shipping["address_1"] == street.decode()

    bench.live(story)


@pytest.mark.trace("A", 11)
@pytest.mark.rule("A24")
@pytest.mark.failure(21)
def test_a_parcel_is_told_once_however_its_answer_is_lost(bench: Bench) -> None:
    """OR24 returns no id: its marker is our own reference."""
    bench.script.on("OR24", meeting(Fault.ANSWER_LOST))
    bench.script.on("OR23", meeting(Fault.ERROR_AFTER))

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 2))
        await life.until(lambda: bench.state("create", order) == "done")
        bench.ship(order)
        await life.until(lambda: bench.state("confirm", order) == "done")
        assert bench.sale(order).shipped == 1
        assert bench.rows("SELECT 1 FROM links WHERE kind = 'confirm'")

    bench.live(story)
    assert not bench.problems()


@pytest.mark.requirement("R23")
@pytest.mark.rule("A15")
def test_what_is_changed_in_the_shop_does_not_change_its_source(bench: Bench) -> None:
    """The shop is read for parcels and stock alone: an order there is never taken for one of a marketplace."""

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: bench.state("create", order) == "done")
        await life.rest()
        before = bench.rows("SELECT document, revision FROM orders")
        (made,) = bench.shop.shop.orders.values()
        made.shipping["address_1"] = "Elsewhere 7"
        bench.web_sale("SKU-2")
        await life.sleep(3600)
        assert bench.rows("SELECT document, revision FROM orders") == before
        assert len(bench.calls("orders.create")) == 1

    bench.live(story)


@pytest.mark.requirement("R38")
@pytest.mark.failure(24)
def test_line_total_is_not_unit_price(bench: Bench) -> None:
    """Three units of 19.90 with their shipping of 4.90 are 64.60 in the shop, and not 24.80 nor 184.00."""

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 3))
        await life.until(lambda: bench.state("create", order) == "done")
        (made,) = bench.shop.shop.orders.values()
        assert str(made.total) == "64.60"

    bench.live(story)


def test_test_mode_creates_nothing_real(bench: Bench) -> None:
    """There is no mode that pretends: what only looks is `check`, and it makes not one write."""

    async def story(life: Life) -> None:
        for link in life.assembly.network.all:
            link.gate.pause("only looking")
        bench.buy(("SKU-1", 1))
        await life.daemon.probe_all()
        await life.sleep(600)
        writes = {"OR21", "OR23", "OR24", "ST01", "STO01", "orders.create", "orders.update"}
        assert bench.exchanges
        assert not writes & {x.operation for x in bench.exchanges}
        assert not bench.shop.orders()

    bench.live(story)


def _with(response: Response, street: bytes) -> Response:
    return replace(response, body=response.body.replace(b"1 Example Street", street))
