"""Cancels and refunds by the real daemon at the simulated Amazon: through lost answers and ends of the process."""

from __future__ import annotations

from typing import Any

import pytest

from marketsync.commands.table import run
from marketsync.sandbox.faults import Fault
from tests.integration.engine.bench import Bench, Life
from tests.integration.engine.conftest import NewBench
from tests.integration.engine.wire import meeting

HOUR_SECONDS = 3600.0


@pytest.fixture
def bench(new_bench: NewBench) -> Bench:
    """Amazon without stock feeds, so that every feed is one of ours."""
    calm = {"pending_seconds": (20.0, 20.0), "stale_seconds": 0.0, "fba_every": 0, "short_page_every": 0}
    settings = {"alpha": {"settings": {"stock": False}, "poll_seconds": 180.0}}
    return new_bench(vendor="amazon", behaviour=calm, configure=settings)


def world(bench: Bench) -> Any:
    side: Any = bench.market()
    return side.sandbox


async def nobody(_: str) -> None: ...


async def ask(life: Life, name: str, **args: Any) -> Any:
    return await run(life.desk, name, args, nobody)


async def pushed(bench: Bench, life: Life) -> str:
    order = bench.buy(("SKU-1", 2))
    await life.until(lambda: bench.state("create", order) == "done", HOUR_SECONDS, every=20.0)
    return order


async def shipped(bench: Bench, life: Life) -> str:
    order = await pushed(bench, life)
    bench.ship(order, carrier="DHL")
    await life.done("confirm", order)

    async def known() -> str:
        shown = await ask(life, "orders.show", order=order)
        return str(shown["state_as_stated"])

    for _ in range(200):
        if await known() == "SHIPPED":
            return order
        await life.sleep(60)
    raise AssertionError("it is never read as shipped")


async def refund(bench: Bench, life: Life, order: str, amount: str) -> Any:
    item = world(bench).world.orders[order].lines[0].item_id
    return await ask(life, "orders.refund", order=order, line=item, amount=amount, reason="PriceError")


def refunds(bench: Bench) -> list[str]:
    return [event.detail for event in world(bench).log if event.what == "refunded"]


def test_a_cancel_goes_through_its_feed_and_the_shop_follows(bench: Bench) -> None:
    async def story(life: Life) -> None:
        order = await pushed(bench, life)
        await ask(life, "orders.cancel", order=order, reason="NoInventory")
        await life.until(lambda: bench.state("cancel_sale", order) == "waiting")
        await life.until(lambda: bench.state("cancel_sale", order) == "done", 2 * HOUR_SECONDS, every=20.0)
        await life.until(lambda: bench.state("cancel", order) == "done", 2 * HOUR_SECONDS, every=20.0)
        assert [x.cancelled for x in bench.created(order)] == [True]
        assert not bench.parked()

    bench.live(story)
    assert sum(event.what == "cancelled_by_seller" for event in world(bench).log) == 1


LOST = pytest.mark.parametrize(
    "fault", [Fault.ANSWER_LOST, Fault.REQUEST_LOST, Fault.HANG, Fault.ERROR_AFTER]
)


@pytest.mark.rule("A11")
@LOST
def test_a_cancel_whose_answer_is_lost_is_done_once(bench: Bench, fault: Fault) -> None:
    bench.script.on("createFeed", meeting(fault))

    async def story(life: Life) -> None:
        order = await pushed(bench, life)
        await ask(life, "orders.cancel", order=order)
        await life.until(lambda: bench.state("cancel_sale", order) == "in_doubt")
        await life.until(lambda: bench.state("cancel_sale", order) == "done", 12 * HOUR_SECONDS, every=20.0)

    bench.live(story)
    assert sum(event.what == "cancelled_by_seller" for event in world(bench).log) == 1


@pytest.mark.rule("A12")
@LOST
def test_a_refund_whose_answer_is_lost_is_found_and_made_once(bench: Bench, fault: Fault) -> None:
    async def story(life: Life) -> None:
        order = await shipped(bench, life)
        await refund(bench, life, order, "1.00")
        await life.until(lambda: bench.state("refund", order) == "done", 2 * HOUR_SECONDS, every=20.0)
        bench.script.on("createFeed", meeting(fault))
        await refund(bench, life, order, "2.00")
        await life.until(lambda: "in_doubt" in [x.state for x in bench.deliveries("refund")])
        await life.until(
            lambda: {x.state for x in bench.deliveries("refund")} == {"done"}, 4 * HOUR_SECONDS, every=20.0
        )
        assert not bench.parked()

    bench.live(story)
    assert refunds(bench) == ["1.00+", "2.00+"]


@pytest.mark.rule("A2")
@pytest.mark.parametrize("place", ["send.before_refund.0", "send.after_refund.0", "dispatch.after_settle"])
def test_a_refund_survives_the_end_of_the_process_and_is_made_once(bench: Bench, place: str) -> None:
    orders: list[str] = []

    async def sale(life: Life) -> None:
        orders.append(await shipped(bench, life))

    async def dies(life: Life) -> None:
        await refund(bench, life, orders[0], "3.00")
        await life.sleep(HOUR_SECONDS)

    async def goes_on(life: Life) -> None:
        await life.until(lambda: bench.state("refund", orders[0]) == "done", 4 * HOUR_SECONDS, every=20.0)
        assert not bench.parked()

    bench.live(sale)
    bench.live(dies, crash_at=place)
    assert bench.state("refund", orders[0]) in {"sent", "queued", "waiting"}
    bench.live(goes_on)
    assert refunds(bench) == ["3.00+"]
