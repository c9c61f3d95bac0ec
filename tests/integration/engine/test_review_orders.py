"""Orders that change their mind on the way: what was ended and is wanted again, what completes an order, what is too late."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from marketsync.commands.parked import RetryArgs, SkipArgs, retry, skip
from marketsync.domain.ids import ConnectionId, OrderId
from marketsync.domain.orders import Order
from marketsync.engine.context import BackOfficeLink
from marketsync.ports import Request, Response
from tests.integration.engine.bench import Bench, Life
from tests.integration.engine.conftest import NewBench
from tests.integration.engine.wire import Gate, Handler, Wire, answer_held, answered

ALPHA, SHOP = ConnectionId("alpha"), ConnectionId("shop")
NO = b'{"code":"rest_invalid_param","message":"no","data":{"status":400}}'
REFUSAL = answered(400, NO)


# What completes an order


@pytest.mark.failure(42)
@pytest.mark.requirement("R27")
@pytest.mark.rule("A20")
def test_an_order_whose_last_units_are_cancelled_is_shipped_by_the_parcel_that_was_told(bench: Bench) -> None:
    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 2))
        await life.done("create", order)
        send(life, order, 1)
        await life.done("confirm", order)
        assert bench.sale(order).shipped == 0
        assert not bench.calls("OR24")
        bench.lower(order)
        await life.until(lambda: bench.sale(order).shipped == 1)
        await life.rest()
        # What happens to it afterwards does not ship it a second time.
        bench.market().sandbox.touch(life.clock.now(), order)
        await life.sleep(600)
        assert len(bench.calls("OR24")) == 1
        assert not bench.parked()

    bench.live(story)


@pytest.mark.rule("A9")
def test_units_that_are_cancelled_while_the_parcel_is_told_complete_the_order_too(bench: Bench) -> None:
    gate = Gate()
    bench.script.on("OR23", answer_held(gate))

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 2))
        await life.done("create", order)
        send(life, order, 1)
        await life.until(lambda: gate.reached)
        bench.lower(order)
        await life.until(lambda: bench.delivery("confirm", order).wanted == 2)
        gate.open()
        await life.until(lambda: bench.sale(order).shipped == 1)
        await life.rest()
        assert not bench.parked()

    bench.live(story)


def test_a_revision_that_is_read_meanwhile_does_not_ship_the_order_twice(bench: Bench) -> None:
    gate = Gate()
    bench.script.on("OR23", answer_held(gate))

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 2))
        await life.done("create", order)
        send(life, order, 2)
        await life.until(lambda: gate.reached)
        revision = bench.rows("SELECT revision FROM orders")
        bench.market().sandbox.touch(life.clock.now(), order)
        await life.until(lambda: bench.rows("SELECT revision FROM orders") != revision)
        gate.open()
        await life.until(lambda: bench.sale(order).shipped == 1)
        await life.rest()
        assert bench.delivery("confirm", order).wanted == 1
        assert len(bench.calls("OR24")) == 1
        assert not bench.parked()

    bench.live(story)


def test_a_parcel_that_is_still_missing_is_waited_for(bench: Bench) -> None:
    """Three units, one told, one cancelled: the third is to come, and completes the order by itself."""

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 3))
        await life.done("create", order)
        send(life, order, 1)
        await life.done("confirm", order)
        bench.lower(order)
        await life.done("update", order)
        await life.sleep(600)
        assert bench.delivery("confirm", order).wanted == 1
        send(life, order, 1, tracking="TRACK2")
        await life.until(lambda: bench.sale(order).shipped == 1)
        await life.rest()
        assert not bench.parked()

    bench.live(story)


@pytest.mark.failure(42)
def test_an_edited_parcel_does_not_ship_the_units_of_another(new_bench: NewBench) -> None:
    """While a unit of the order is left, the marketplace would take the same parcel a second time."""
    bench = new_bench(parcels=True)

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 2))
        await life.done("create", order)
        send(life, order, 1)
        await life.done("confirm", order)
        (made,) = bench.shop.shop.orders.values()
        bench.shop.shop.set_tracking(made.fulfillments[0], "TRACK9", life.clock.now())
        await life.done("confirm", order, 2)
        assert bench.sale(order).told == ("TRACK1",)
        ((_, text),) = bench.parked("conflict").items()
        assert "changed after it was confirmed" in text
        send(life, order, 1, tracking="TRACK2")
        await life.until(lambda: bench.sale(order).shipped == 1)
        assert bench.sale(order).told == ("TRACK1", "TRACK2")

    bench.live(story)


# What was ended and is wanted again


@pytest.mark.rule("A20")
@pytest.mark.requirement("R40")
def test_an_update_that_a_person_gave_up_goes_again_with_the_next_edit(bench: Bench) -> None:
    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 3))
        await life.done("create", order)
        bench.script.on("orders.update", REFUSAL)
        bench.lower(order)
        await life.until(lambda: bench.state("update", order) == "parked")
        await skip(life.desk, SkipArgs(str(bench.delivery("update", order).id)))
        await life.sleep(600)
        assert bench.units(order) == {"SKU-1": 3}
        bench.lower(order)
        await life.until(lambda: bench.state("update", order) == "done")
        assert bench.units(order) == {"SKU-1": 1}
        assert not bench.parked()

    bench.live(story)


@pytest.mark.rule("A20")
@pytest.mark.failure(42)
def test_a_parcel_that_a_person_gave_up_does_not_stop_the_parcels_of_others(new_bench: NewBench) -> None:
    bench = new_bench(behaviour={"other_carriers": False})

    async def story(life: Life) -> None:
        given_up, other = bench.buy(("SKU-1", 1)), bench.buy(("SKU-1", 1))
        await life.done("create", given_up)
        await life.done("create", other)
        bench.ship(given_up, carrier="slowpost")
        await life.until(lambda: bench.state("confirm", given_up) == "parked")
        await skip(life.desk, SkipArgs(str(bench.delivery("confirm", given_up).id)))
        parcel = bench.shop.shop.orders[int(bench.created(given_up)[0].remote_id)].fulfillments[0]
        bench.shop.shop.set_tracking(parcel, "TRACK9", life.clock.now())
        bench.ship(other)
        await life.until(lambda: bench.sale(other).shipped == 1)
        # Its edit is a new parcel to tell: it meets the same refusal, and is shown again.
        await life.until(lambda: bench.state("confirm", given_up) == "parked")

    bench.live(story)


@pytest.mark.rule("A20")
@pytest.mark.requirement("R26")
def test_an_order_that_was_cancelled_before_it_left_and_is_wanted_again_is_created(bench: Bench) -> None:
    async def story(life: Life) -> None:
        await life.rest()
        shop = down(life)
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: bench.state("create", order) == "queued")
        put_back = taken_back(life, order)
        await life.until(lambda: bench.state("create", order) == "cancelled")
        put_back()
        await life.until(lambda: bench.state("create", order) == "queued")
        shop.gate.resume()
        await life.done("create", order, 1, 3600)
        assert len(bench.created(order)) == 1
        assert not bench.created(order)[0].cancelled
        await life.rest()
        assert not bench.parked()
        assert await life.level("SKU-1") == (4, 4)

    bench.live(story)


@pytest.mark.rule("A20")
def test_an_order_of_which_something_left_is_wanted_again_by_a_person_first(bench: Bench) -> None:
    bench.script.on("orders.create", REFUSAL)

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: bench.state("create", order) == "parked")
        put_back = taken_back(life, order)
        await life.until(lambda: bench.state("create", order) == "cancelled")
        assert not bench.parked()
        put_back()
        await life.until(lambda: bool(bench.parked("order")))
        ((item, reason),) = bench.parked("order").items()
        assert reason == "its create was sent and ended, and it is wanted again"
        assert bench.rows("SELECT cause FROM parked_causes") == [(f"wanted_again:{item}",)]
        await life.sleep(600)
        assert not bench.created(order)
        await retry(life.desk, RetryArgs(item))
        await life.done("create", order)
        assert len(bench.created(order)) == 1
        assert not bench.parked()

    bench.live(story)


@pytest.mark.rule("A20")
def test_an_order_that_a_person_gave_up_stays_given_up_when_it_is_edited(bench: Bench) -> None:
    bench.script.on("orders.create", REFUSAL)

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 2))
        await life.until(lambda: bench.state("create", order) == "parked")
        await skip(life.desk, SkipArgs(str(bench.delivery("create", order).id)))
        bench.lower(order)
        await life.sleep(1800)
        assert bench.state("create", order) == "cancelled"
        assert not bench.created(order)
        assert not bench.parked()

    bench.live(story)


@pytest.mark.rule("A20")
@pytest.mark.parametrize("left", [False, True], ids=["none had left", "one was refused"])
def test_an_answer_that_was_withdrawn_is_given_when_it_is_wanted_again(bench: Bench, left: bool) -> None:
    bench.market().sandbox.world.offers["SKU-9"] = 3
    if left:
        bench.script.on("OR21", answered(400, b'{"status":400,"message":"no"}'))

    async def story(life: Life) -> None:
        await life.rest()
        order = bench.buy(("SKU-1" if left else "SKU-9", 1))
        await life.until(lambda: bench.state("accept", order) == "parked")
        put_back = taken_back(life, order)
        await life.until(lambda: bench.state("accept", order) == "cancelled")
        bench.shop.shop.add_product("SKU-9", 3, life.clock.now())
        put_back()
        if left:
            await life.until(lambda: bool(bench.parked("order")))
            ((item, reason),) = bench.parked("order").items()
            assert reason == "its accept was sent and ended, and it is wanted again"
            await life.sleep(600)
            assert not bench.sale(order).accepted
            await retry(life.desk, RetryArgs(item))
        await life.done("create", order)
        assert bench.sale(order).accepted
        assert not bench.parked()

    bench.live(story)


# What is too late to be created


@pytest.mark.failure(40)
@pytest.mark.requirement("R26")
def test_an_order_that_is_shipped_while_the_shop_is_down_is_not_created(bench: Bench) -> None:
    async def story(life: Life) -> None:
        await life.rest()
        shop = down(life)
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: bench.state("create", order) == "queued")
        world = bench.market().sandbox.world
        world.ship(world.orders[order], world.clock(life.clock.now()))
        await life.sleep(600)
        shop.gate.resume()
        await life.until(lambda: bool(bench.parked("delivery")))
        assert bench.state("create", order) == "parked"
        assert bench.parked("delivery").popitem()[1] == "it was shipped before it was first seen here"
        await life.sleep(3600)
        assert not bench.created(order)

    bench.live(story)


@pytest.mark.failure(40)
def test_an_order_that_is_refunded_while_the_shop_is_down_is_not_created(bench: Bench) -> None:
    async def story(life: Life) -> None:
        await life.rest()
        shop = down(life)
        order = bench.buy(("SKU-1", 2))
        await life.until(lambda: bench.state("create", order) == "queued")
        bench.market().sandbox.refund_units(life.clock.now(), order, f"{order}-1", 2)
        await life.sleep(600)
        shop.gate.resume()
        await life.until(lambda: bench.state("create", order) == "cancelled")
        await life.sleep(1800)
        assert not bench.created(order)
        assert not bench.parked()

    bench.live(story)


@pytest.mark.rule("A18")
@pytest.mark.rule("A19")
@pytest.mark.failure(20)
def test_a_create_that_is_refused_under_a_cancel_needs_nobody(bench: Bench) -> None:
    gate = Gate()
    bench.script.on("orders.create", refused_later(gate))

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: gate.reached)
        bench.cancel(order)
        await life.until(lambda: bench.state("cancel", order) == "queued")
        assert bench.state("create", order) == "sent"
        gate.open()
        await life.rest()
        assert [bench.state(kind, order) for kind in ("create", "cancel")] == ["cancelled", "cancelled"]
        assert not bench.created(order)
        assert not bench.parked()
        assert await life.level("SKU-1") == (5, 5)

    bench.live(story)
    assert not bench.problems()


@pytest.mark.rule("A18")
def test_an_update_that_is_refused_under_a_cancel_lets_it_pass(bench: Bench) -> None:
    gate = Gate()

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 2))
        await life.done("create", order)
        bench.script.on("orders.update", refused_later(gate))
        bench.lower(order)
        await life.until(lambda: gate.reached)
        bench.cancel(order)
        await life.until(lambda: bench.state("cancel", order) == "queued")
        gate.open()
        await life.done("cancel", order)
        assert [made.cancelled for made in bench.created(order)] == [True]
        assert not bench.parked()

    bench.live(story)


@pytest.mark.failure(24)
def test_an_order_without_lines_is_shown_and_not_taken_for_cancelled(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 1))
        await life.done("create", order)
        adapter = life.assembly.network.marketplaces[ALPHA].adapter
        parse = adapter.parse_order

        def emptied(raw: bytes) -> Order:
            return replace(parse(raw), lines=())

        with monkeypatch.context() as patched:
            patched.setattr(adapter, "parse_order", emptied)
            bench.market().sandbox.touch(life.clock.now(), order)
            await life.until(lambda: bool(bench.parked("raw")))
            assert bench.parked("raw") == {f"alpha/{order}": "it has no lines"}
            await life.sleep(600)
            assert not bench.deliveries("cancel")
            assert not bench.created(order)[0].cancelled
            assert await life.level("SKU-1") == (4, 4)
        bench.market().sandbox.touch(life.clock.now(), order)
        await life.until(lambda: not bench.parked())

    bench.live(story)


def send(life: Life, order: str, units: int, *, tracking: str = "TRACK1") -> None:
    """The shop's people send so many units of its only line in one parcel."""
    (made,) = life.bench.created(order)
    line = int(made.lines[0].key)
    life.bench.shop.shop.ship(
        int(made.remote_id), life.clock.now(), quantities={line: units}, tracking=tracking
    )


def down(life: Life) -> BackOfficeLink:
    """The shop gets nothing until its gate opens."""
    shop = life.assembly.network.back_offices[SHOP]
    shop.gate.pause("the shop is down")
    return shop


def taken_back(life: Life, order: OrderId) -> PutBack:
    """The marketplace cancels the order; calling what is returned undoes that."""
    return PutBack(life, order)


class PutBack:
    def __init__(self, life: Life, order: OrderId) -> None:
        self._life = life
        self._before = life.bench.market().sandbox.world.orders[order]
        life.bench.cancel(order)

    def __call__(self) -> None:
        world = self._life.bench.market().sandbox.world
        world.put(self._before, world.clock(self._life.clock.now()))


def refused_later(gate: Gate) -> Handler:
    """The far side refuses, when the test says so."""

    async def handler(wire: Wire, request: Request) -> Response:
        await gate.wait(request)
        return await REFUSAL(wire, request)

    return handler
