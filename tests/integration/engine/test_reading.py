"""Reading as the daemon does it: backlogs, pages that move, stale answers, orders that can't be read."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from urllib.parse import parse_qsl, urlsplit

import pytest
from msgspec.structs import replace

from marketsync.commands.connections import ResumeArgs, resume
from marketsync.commands.parked import RetryArgs, retry
from marketsync.domain.ids import ConnectionId, OrderId
from marketsync.engine.intake import ReadMark
from marketsync.errors import Retry
from marketsync.ports import OrderPage, Request
from marketsync.sandbox.roles import Ware
from tests.integration.engine.bench import DAY_SECONDS, Bench, Life
from tests.integration.engine.conftest import NewBench
from tests.integration.engine.wire import altered, then

ALPHA = ConnectionId("alpha")
PLENTY = (Ware("SKU-1", 1000),)


def claimed(bench: Bench, order_id: str) -> int:
    sql = f"""SELECT COALESCE(SUM(c.target), 0) FROM claims c JOIN orders o ON o.ref = c.ref
        WHERE o.order_id = '{order_id}'"""
    return int(bench.rows(sql)[0][0])


@pytest.mark.trace("A", 15)
@pytest.mark.rule("B12")
@pytest.mark.failure(10)
def test_a_four_day_backlog_whose_fortieth_order_changes_between_two_pages(new_bench: NewBench) -> None:
    bench = new_bench(wares=PLENTY)
    bought = _backlog(bench, 150, DAY_SECONDS * 4 / 150)
    bench.script.on("OR11", then(lambda _: bench.cancel(bought[39])))

    async def story(life: Life) -> None:
        await life.until(lambda: set(bought) <= bench.held())
        await life.until(lambda: claimed(bench, bought[39]) == 0)
        assert not bench.created(bought[39])
        assert [claimed(bench, other) for other in bought].count(1) == 149

    bench.live(story)
    assert not bench.rows("SELECT 1 FROM holes")


@pytest.mark.trace("A", 15)
@pytest.mark.rule("B8")
@pytest.mark.requirement("R1")
@pytest.mark.failure(12)
def test_order_updated_during_paging(new_bench: NewBench) -> None:
    """150 orders of one and the same second can't be split: the 40th leaves the frozen window between two of its pages."""
    bench = new_bench(wares=PLENTY, behaviour={"debit_seconds": DAY_SECONDS})
    bought = _backlog(bench, 150, 0.0)
    world = bench.market().sandbox.world
    for order in bought:
        world.decide(world.orders[order], [f"{order}-1"], bench.now)
    bench.asleep(60)
    moved: list[str] = []

    def before_second_page(request: Request) -> None:
        if "offset=99" not in request.url and _is_short(request.url) and not moved:
            moved.append(bought[39])
            bench.cancel(bought[39])

    bench.script.on("OR11", then(before_second_page), times=100)

    async def story(life: Life) -> None:
        await life.until(lambda: bool(moved), 2 * 3600.0)
        await life.until(lambda: claimed(bench, bought[39]) == 0)
        assert bench.held() == set(bought)
        offsets = [x.target.partition("offset=")[2].partition("&")[0] for x in bench.calls("OR11")]
        assert (
            offsets.count("99") >= 2
        )  # the first second page did not begin with the last row of the first: begun anew
        assert not bench.rows("SELECT 1 FROM holes")

    bench.live(story)


@pytest.mark.trace("A", 15)
@pytest.mark.rule("B1")
def test_the_running_second_is_not_over(new_bench: NewBench) -> None:
    """No lag and no overlap: an order of the very second of the list is found by the next window."""
    bench = new_bench(
        wares=PLENTY,
        configure={"alpha": {"settings": {"visibility_lag_seconds": 0.0, "overlap_seconds": 0.0}}},
    )
    bought: list[str] = []
    bench.script.on("OR11", then(lambda _: bought.append(bench.buy(("SKU-1", 1)))), times=6)

    async def story(life: Life) -> None:
        await life.until(lambda: len(bought) == 6)
        await life.until(lambda: set(bought) <= bench.held(), 200)

    bench.live(story)


@pytest.mark.trace("A", 15)
@pytest.mark.rule("B13")
def test_a_stale_page_never_overwrites_a_newer_read(bench: Bench) -> None:
    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 2))
        await life.until(lambda: bench.state("create", order) == "done")
        _alone(life)
        old = await _read(life, order)
        bench.lower(order)
        new = await _read(life, order)
        await _take(life, new)
        assert claimed(bench, order) == 1
        await _take(life, old)
        assert claimed(bench, order) == 1

    bench.live(story)


@pytest.mark.trace("A", 15)
@pytest.mark.rule("B13")
def test_the_second_edit_of_a_second_is_taken(bench: Bench) -> None:
    """Its stamp equals that of the version that is held, and its read began after that one's end."""

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 3))
        await life.until(lambda: bench.state("create", order) == "done")
        _alone(life)
        bench.lower(order)
        first = await _read(life, order)
        stamp = bench.market().sandbox.world.orders[order].updated
        bench.market().sandbox.cancel_units(stamp, order, f"{order}-1", 1)
        second = await _read(life, order)
        assert bench.market().sandbox.world.orders[order].updated == stamp
        await _take(life, first)
        assert claimed(bench, order) == 2
        await _take(life, second)
        assert claimed(bench, order) == 1
        life.assembly.network.marketplaces[ALPHA].gate.resume()
        await life.rest()
        assert bench.units(order) == {"SKU-1": 1}

    bench.live(story)


@pytest.mark.rule("B15")
@pytest.mark.failure(7)
def test_outage_longer_than_window_loses_nothing(new_bench: NewBench) -> None:
    """Ten days without a daemon, three days of deep sweep."""
    bench = new_bench(wares=PLENTY)

    async def first(life: Life) -> None:
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: bench.state("create", order) == "done")

    bench.live(first)
    bought = _backlog(bench, 10, DAY_SECONDS)

    async def second(life: Life) -> None:
        await life.until(lambda: set(bought) <= bench.held())

    bench.live(second)


@pytest.mark.failure(14)
@pytest.mark.requirement("R35")
def test_failed_order_is_retried_though_cursor_moved(bench: Bench) -> None:
    """An order that can't be read is parked with its document; others pass, and it comes in when a person says so."""

    async def story(life: Life) -> None:
        bad = bench.buy(("SKU-1", 1))
        bench.market().sandbox.set_behaviour(unknown_state="LOST_IN_SPACE")
        await life.until(lambda: f"alpha/{bad}" in bench.parked("raw"))
        await life.sleep(400)
        bench.market().sandbox.set_behaviour(unknown_state="")
        good = bench.buy(("SKU-2", 1))
        await life.until(lambda: good in bench.held())
        assert bad not in bench.held()
        await retry(life.desk, RetryArgs(f"alpha/{bad}", "raw"))
        await life.until(lambda: bench.state("create", bad) == "done")
        assert not bench.parked()

    bench.live(story)


@pytest.mark.failure(13)
@pytest.mark.requirement("R38")
@pytest.mark.parametrize("fault", ["html_page", "malformed_page"])
def test_half_an_answer_is_no_answer(bench: Bench, fault: str) -> None:
    """Neither an empty window nor an empty order comes of it; coverage does not move."""

    async def story(life: Life) -> None:
        await life.until(lambda: life.daemon.coverage_until(ALPHA) is not None)
        bench.market().sandbox.set_behaviour(**{fault: True})
        order = bench.buy(("SKU-1", 1))
        await life.sleep(200)
        until = life.daemon.coverage_until(ALPHA)
        await life.sleep(300)
        assert life.daemon.coverage_until(ALPHA) == until
        assert not bench.held()
        bench.market().sandbox.set_behaviour(**{fault: False})
        await life.until(lambda: bench.state("create", order) == "done")

    bench.live(story)


@pytest.mark.rule("B4")
def test_manual_import_of_newer_id_leaves_no_gap(new_bench: NewBench) -> None:
    bench = new_bench(wares=PLENTY)
    bought = _backlog(bench, 3, 3600.0)

    async def story(life: Life) -> None:
        life.daemon.sweepers[ALPHA].ask(OrderId(bought[-1]))
        await life.until(lambda: bench.held() == set(bought))

    bench.live(story)


@pytest.mark.rule("B18")
def test_order_closed_before_first_poll(bench: Bench) -> None:
    """Somebody else handled it: it is held, and a person decides; nothing is created."""
    order, box = bench.buy(("SKU-1", 1)), bench.market().sandbox
    world = box.world
    world.decide(world.orders[order], [f"{order}-1"], bench.now)
    bench.asleep(60)
    box.touch(bench.now, order)
    world.ship(world.orders[order], bench.now)
    box.receive(bench.now, order, closed=True)
    bench.asleep(3600)

    async def story(life: Life) -> None:
        await life.until(lambda: order in bench.held())
        assert any("shipped before" in text for text in bench.parked("order").values())
        await life.sleep(600)
        assert not bench.shop.orders()

    bench.live(story)


@pytest.mark.failure(38)
@pytest.mark.requirement("R36")
def test_a_revoked_key_pauses_once_and_goes_on_where_it_stopped(bench: Bench) -> None:
    key = bench.market().sandbox.behaviour.api_key
    until = []

    async def story(life: Life) -> None:
        await life.until(lambda: life.daemon.coverage_until(ALPHA) is not None)
        await life.sleep(400)
        bench.market().sandbox.set_behaviour(api_key="another")
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: bool(life.assembly.network.marketplaces[ALPHA].gate.paused))
        until.append(life.daemon.coverage_until(ALPHA))
        calls = len(bench.calls("OR11"))
        await life.sleep(3600)
        assert len(bench.calls("OR11")) == calls
        assert bench.ear.events["connection.was_paused"] == 1
        assert life.daemon.coverage_until(ALPHA) == until[0]
        bench.market().sandbox.set_behaviour(api_key=key)
        await resume(life.desk, ResumeArgs("alpha"))
        await life.until(lambda: bench.state("create", order) == "done")

    bench.live(story)


@pytest.mark.requirement("R18")
@pytest.mark.rule("B14")
def test_a_hundred_triggers_are_one_order(bench: Bench) -> None:
    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 1))
        for _ in range(100):
            life.daemon.sweepers[ALPHA].ask(order)
            await life.sleep(1.5)
        await life.until(lambda: bench.state("create", order) == "done")
        assert len(bench.calls("orders.create")) == 1
        assert len(bench.calls("OR21")) == 1

    bench.live(story)


@pytest.mark.rule("B16")
def test_pending_has_no_price_and_is_completed_later(bench: Bench) -> None:
    """Before it is debited a Mirakl order has no address (its price it does have): claimed at once, pushed when it is whole."""
    bench.market().sandbox.set_behaviour(debit_seconds=900.0)

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: claimed(bench, order) == 1)
        await life.until(lambda: bench.sale(order).accepted)
        await life.sleep(300)
        assert not bench.deliveries("create")
        await life.until(lambda: bench.state("create", order) == "done")
        (made,) = bench.shop.shop.orders.values()
        assert made.shipping["address_1"]
        assert made.total == Decimal("24.80")  # 19.90 and the shipping of 4.90

    bench.live(story)


@pytest.mark.rule("C3")
def test_fulfilled_by_marketplace_touches_no_stock_and_has_no_address(new_bench: NewBench) -> None:
    bench = new_bench(configure={"alpha": {"settings": {"operator_centers": ["ALPHA-DEPOT"]}}})
    bench.script.on(
        "OR11",
        altered(lambda r: replace(r, body=r.body.replace(b'"code":"DEFAULT"', b'"code":"ALPHA-DEPOT"'))),
        times=1000,
    )

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 2))
        await life.until(lambda: order in bench.held())
        await life.sleep(900)
        assert not bench.deliveries()
        assert claimed(bench, order) == 0
        assert await life.level("SKU-1") == (5, 5)
        assert not bench.parked()

    bench.live(story)


def _backlog(bench: Bench, count: int, every_seconds: float) -> list[str]:
    bought = []
    for _ in range(count):
        bench.asleep(every_seconds)
        bought.append(str(bench.buy(("SKU-1", 1))))
    bench.asleep(60)
    return bought


def _is_short(url: str) -> bool:
    """A window of one second or less: it can't be split."""
    query = dict(parse_qsl(urlsplit(url).query))
    if "start_update_date" not in query:
        return False
    lo, hi = (datetime.fromisoformat(query[name]) for name in ("start_update_date", "end_update_date"))
    return (hi - lo).total_seconds() <= 1


def _alone(life: Life) -> None:
    """The sweep rests: nobody reads but the test."""
    life.assembly.network.marketplaces[ALPHA].gate.pause("the test reads")


async def _read(life: Life, order: OrderId) -> tuple[OrderPage, ReadMark]:
    """A read of our own, within the same budget."""
    core, link = life.assembly.core, life.assembly.network.marketplaces[ALPHA]
    for _ in range(100):
        begin = core.store.next_seq()
        try:
            page = await link.adapter.fetch_orders_by_ids([order])
        except Retry as error:
            await life.sleep(error.after_seconds or 1.0)
        else:
            return page, ReadMark(begin, core.store.next_seq(), life.clock.now())
    raise AssertionError("the budget is never free")


async def _take(life: Life, read: tuple[OrderPage, ReadMark]) -> None:
    link = life.assembly.network.marketplaces[ALPHA]
    await life.daemon.intake.take(link, *read, life.daemon.coverage_until(ALPHA))
