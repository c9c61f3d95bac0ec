"""One id, one window or one order that can't be read stops nothing else; two pools mature apart; who left is shown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from marketsync.commands.resync import ResyncArgs, resync
from marketsync.domain.coverage import Axis, Window
from marketsync.domain.ids import DEFAULT_MERCHANT, ConnectionId, OrderId, RemoteId, Sku
from marketsync.domain.orders import Order
from marketsync.domain.stock import StockFacts
from marketsync.domain.versions import VersionVerdict
from marketsync.engine import intake, sweep
from marketsync.errors import ReadFailed, Retry
from marketsync.ports import Article, OrderPage, Response
from marketsync.sandbox.roles import Ware
from marketsync.store import coverage, stock
from marketsync.store.rows import Hole
from tests.integration.engine.bench import Bench, Life
from tests.integration.engine.conftest import NewBench
from tests.integration.engine.test_reading import ALPHA, _alone, _read
from tests.integration.engine.wire import Handler, Wire

PLENTY = (Ware("SKU-1", 1000),)


def refusing(*words: str, to: list[str] | None = None) -> Handler:
    """HTTP 400 where the request's URL has all of the words; `to` keeps which."""

    async def handler(wire: Wire, request: Any) -> Response:
        if all(word in request.url for word in words):
            if to is not None:
                to.append(request.url)
            return Response(400, {"content-type": "application/json"}, b"{}", wire.clock.monotonic())
        return await wire.plain(request)

    return handler


async def _silent(text: str) -> None:
    return None


@pytest.mark.rule("B14")
def test_an_id_that_is_refused_stops_neither_the_sweep_nor_the_other_ids(new_bench: NewBench) -> None:
    bench = new_bench(wares=PLENTY)
    refused: list[str] = []
    bench.script.on("OR11", refusing("order_ids=", "BAD", to=refused), times=100_000)

    async def story(life: Life) -> None:
        await life.until(lambda: life.daemon.coverage_until(ALPHA) is not None)
        old = bench.buy(("SKU-1", 1))
        await life.until(lambda: old in bench.held())
        sweeper = life.daemon.sweepers[ALPHA]
        for order_id in ("BAD", *(f"NONE-{number}" for number in range(20)), old):
            sweeper.ask(OrderId(order_id))
        new = bench.buy(("SKU-1", 1))
        await life.until(lambda: new in bench.held(), 400)
        await life.until(lambda: not sweeper._by_id.waits)
        assert bench.ear.events["order.read_was_refused"] == 1
        assert bench.rows("SELECT event FROM history WHERE subject = 'alpha/BAD'") == [
            ("order.read_was_refused",)
        ]
        asked = [x.target for x in bench.calls("OR11") if "order_ids=" in x.target]
        assert any(old in target and "BAD" not in target for target in asked)
        tries = len(refused)
        await life.sleep(600)
        assert len(refused) == tries

    bench.live(story)


@pytest.mark.rule("B16")
def test_an_open_order_that_is_refused_by_id_holds_back_no_other(new_bench: NewBench) -> None:
    bench = new_bench(wares=PLENTY, configure={"alpha": {"open_read_seconds": 3600.0}})
    bad, good = bench.buy(("SKU-1", 1)), bench.buy(("SKU-1", 1))
    bench.asleep(60)
    bench.script.on("OR11", refusing("order_ids=", bad), times=100_000)
    bench.allowed_alarms = ("probe.failed",)  # the look at its accept is refused as well

    async def story(life: Life) -> None:
        await life.until(lambda: {bad, good} <= bench.held())
        await life.sleep(3 * 3600)
        asked = [x.target for x in bench.calls("OR11") if "order_ids=" in x.target]
        assert any(good in target and bad not in target for target in asked)
        assert 1 <= bench.ear.events["order.read_was_refused"] <= 3
        assert bench.state("create", good) == "done"

    bench.live(story)


@pytest.mark.rule("B5")
@pytest.mark.rule("B15")
def test_a_window_that_is_refused_is_a_hole_until_it_can_be_read(new_bench: NewBench) -> None:
    """The person's resync ends, its hole is seen, and the deep sweep and the open orders go on behind it."""
    bench = new_bench(wares=PLENTY, configure={"alpha": {"deep_period_seconds": 7200.0}})
    began = bench.now
    bench.asleep(3600)
    since, until = began, began + timedelta(minutes=30)
    stamp = since.strftime("%Y-%m-%dT%H%%3A%M")

    def refused() -> list[tuple[Any, ...]]:
        return bench.rows("SELECT axis, cause FROM holes")

    async def story(life: Life) -> None:
        await life.until(lambda: life.daemon.coverage_until(ALPHA) is not None)
        bench.script.on("OR11", refusing("start_update_date=" + stamp), times=100_000)
        await resync(life.desk, ResyncArgs(connection="alpha", since=since, until=until), _silent)
        await life.until(lambda: not bench.rows("SELECT 1 FROM resyncs WHERE finished_at IS NULL"))
        assert refused() == [("updated", "refused")]
        await life.sleep(3600)
        assert [x for x in bench.calls("OR11") if "start_date=" in x.target], "the deep sweep goes on"
        assert refused() == [("updated", "refused")], "coverage around it does not hide it"
        bench.script.clear()
        await life.until(lambda: not refused(), 4 * 3600)

    bench.live(story)


@pytest.mark.rule("B5")
def test_a_hole_has_its_turn_beside_a_deep_sweep_that_never_ends(
    new_bench: NewBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = new_bench(wares=PLENTY, configure={"alpha": {"deep_period_seconds": 600.0}})
    day = timedelta(days=1)
    always = [Window(Axis.CREATED, bench.now - 3 * day, bench.now - 2 * day)]
    monkeypatch.setattr(sweep, "deep_windows", lambda *_: always)

    async def story(life: Life) -> None:
        await life.until(lambda: life.daemon.coverage_until(ALPHA) is not None)
        hole = Hole(DEFAULT_MERCHANT, ALPHA, "updated", bench.now - 2 * day, bench.now - day, "refused")
        await life.assembly.core.store.write(partial(coverage.put_hole, hole=hole))
        await life.until(lambda: not bench.rows("SELECT 1 FROM holes"), 3600)

    bench.live(story)


@pytest.mark.rule("B15")
def test_a_deep_sweep_that_is_refused_is_tried_once_per_period(new_bench: NewBench) -> None:
    bench = new_bench(wares=PLENTY, configure={"alpha": {"deep_period_seconds": 7200.0}})
    tried: list[str] = []
    bench.script.on("OR11", refusing("start_date=", to=tried), times=100_000)

    async def story(life: Life) -> None:
        await life.sleep(7000)
        assert 1 <= len(tried) <= 3
        assert ("created", "refused") in bench.rows("SELECT axis, cause FROM holes")
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: bench.state("create", order) == "done")
        bench.script.clear()
        await life.until(lambda: not bench.rows("SELECT 1 FROM holes"), 5 * 3600)

    bench.live(story)


async def _unripe(life: Life, pool: str) -> tuple[Any, Any]:
    core = life.assembly.core
    return (
        await core.store.read(lambda unit: stock.unmatured(unit, core.merchant, pool)),
        await core.store.read(lambda unit: stock.unmatured_parcels(unit, core.merchant, pool)),
    )


@pytest.mark.rule("C7")
@pytest.mark.trace("T", 6)
def test_the_other_shops_events_are_not_ours_to_mature(bench: Bench) -> None:
    """Between the commit and the end of the lag an event waits in its own pool alone."""

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: bench.state("create", order) == "done")
        bench.ship(order)
        await life.until(lambda: bool(bench.rows("SELECT 1 FROM claim_parcels")))
        core = life.assembly.core
        await core.store.write(
            lambda unit: unit.execute("UPDATE claim_steps SET mature_seq = NULL WHERE done_seq IS NOT NULL")
        )
        await core.store.write(lambda unit: unit.execute("UPDATE claim_parcels SET mature_seq = NULL"))
        steps, parcels = await _unripe(life, "shop")
        assert steps
        assert parcels
        assert await _unripe(life, "another") == ([], [])

    bench.live(story)


@pytest.mark.rule("C8")
def test_articles_without_stock_hide_none_that_has_it(new_bench: NewBench) -> None:
    never = {"shop": {"stock_sweep_seconds": 3e7, "stock_by_name_seconds": 5.0}}
    bench = new_bench(wares=(Ware("ZZZ", 9),), configure=never)

    async def story(life: Life) -> None:
        await life.until(lambda: bool(bench.rows("SELECT 1 FROM reports WHERE sku = 'ZZZ'")))
        order = bench.buy(("ZZZ", 1))
        await life.until(lambda: bench.state("create", order) == "done")
        core = life.assembly.core
        (ref,) = bench.rows("SELECT ref FROM orders")[0]
        (claim,) = await core.store.read(lambda unit: stock.claims_of_orders(unit, core.merchant, [ref]))
        others = [replace(claim, line_id=f"x{n}", sku=f"A-{n:03}", steps=(), parcels=()) for n in range(250)]
        untracked = [Article(Sku(x.sku), RemoteId("1"), False, StockFacts({}), Decimal(1)) for x in others]
        at = life.clock.now()

        async def fill(unit: Any) -> None:
            await stock.put_claims(unit, "shop", others)
            await stock.put_articles(unit, core.merchant, "shop", untracked[:120], at)
            await unit.execute("DELETE FROM reports WHERE sku = 'ZZZ'")

        await core.store.write(fill)
        await life.until(lambda: bool(bench.rows("SELECT 1 FROM reports WHERE sku = 'ZZZ'")), 120)

    bench.live(story)


@pytest.mark.requirement("R35")
def test_a_nul_in_an_order_parks_it_and_reaches_no_table(bench: Bench) -> None:
    """Of an adapter that lets it through. Six characters that only look like its escape are none."""

    async def story(life: Life) -> None:
        await life.until(lambda: life.daemon.coverage_until(ALPHA) is not None)
        _alone(life)
        bad, good = bench.buy(("SKU-1", 1)), bench.buy(("SKU-2", 1))
        link = life.assembly.network.marketplaces[ALPHA]
        adapter: Any = link.adapter
        parse = adapter.parse_order

        def lenient(raw: bytes) -> Order:
            order: Order = parse(raw)
            text = "A\0" if order.key.order_id == bad else "A\\u0000"
            return replace(order, shipping_method=text)

        adapter.parse_order = lenient
        (spoiled, _), (whole, mark) = await _read(life, bad), await _read(life, good)
        named = replace(spoiled.orders[0], order_id=OrderId("A\0B"), raw=b'{"state": "A\\u0000"')
        page = replace(whole, orders=(*spoiled.orders, named, *whole.orders))
        taken = await life.daemon.intake.take(link, page, mark, None)
        assert (taken.new, taken.parked) == (1, 2)
        assert bench.held() == {good}
        assert "NUL" in bench.parked("raw")[f"alpha/{bad}"]
        for table in ("parked", "parked_causes", "orders", "history", "claims", "raws"):
            for row in bench.rows(f"SELECT * FROM {table}"):
                assert not any(isinstance(value, str) and "\0" in value for value in row), (table, row)

    bench.live(story)


@pytest.mark.failure(70)
def test_open_work_of_a_connection_that_left_is_shown_until_it_is_back(new_bench: NewBench) -> None:
    bench = new_bench(marketplaces=("alpha", "beta"))
    whole = bench._config
    sold: list[OrderId] = []

    async def sells(life: Life) -> None:
        sold.append(bench.buy(("SKU-1", 1), at="beta"))
        await life.until(lambda: bench.state("create", sold[0]) == "done")

    async def without(life: Life) -> None:
        assert " 1 open orders" in bench.parked("connection")["beta"]
        assert bench.parked("order") == bench.parked("delivery") == {}
        assert bench.rows("SELECT cause FROM parked_causes WHERE kind = 'connection'") == [
            ("connection:beta",)
        ]
        bench.ship(sold[0], at="beta")
        await life.until(lambda: bool(bench.deliveries("confirm", sold[0])))

    async def still(life: Life) -> None:
        writes = bench.rows("SELECT 1 FROM deliveries WHERE target = 'beta' AND state <> 'done'")
        assert f" {len(writes)} open writes" in bench.parked("connection")["beta"]
        assert bench.state("confirm", sold[0]) == "queued"

    async def back(life: Life) -> None:
        assert not bench.parked("connection")
        await life.until(lambda: bench.state("confirm", sold[0]) == "done")

    bench.live(sells)
    left = {name: x for name, x in whole.connections.items() if ConnectionId(name) != "beta"}
    bench._config = whole.model_copy(update={"connections": left})
    bench.live(without)
    bench.live(still)
    bench._config = whole
    bench.live(back)


@pytest.mark.rule("B14")
def test_a_list_that_has_spent_its_budget_holds_up_no_reading_by_id(new_bench: NewBench) -> None:
    """A list may be allowed once in three minutes, and an order by its id every two seconds."""
    bench = new_bench(wares=PLENTY)

    async def spent(window: Window, offset: int) -> OrderPage:
        raise Retry("budget is spent", 178.0, counted=False)

    async def story(life: Life) -> None:
        await life.until(lambda: life.daemon.coverage_until(ALPHA) is not None)
        sweeper = life.daemon.sweepers[ALPHA]
        sweeper._link.adapter.fetch_orders = spent  # type: ignore[method-assign]
        await life.sleep(300)
        order = bench.buy(("SKU-1", 1))
        sweeper.ask(OrderId(order))
        await life.until(lambda: order in bench.held(), 120)

    bench.live(story)


def test_reading_by_id_that_has_spent_its_budget_holds_up_no_list(new_bench: NewBench) -> None:
    bench = new_bench(wares=PLENTY)

    async def spent(order_ids: Sequence[OrderId]) -> OrderPage:
        raise Retry("budget is spent", 3600.0, counted=False)

    async def story(life: Life) -> None:
        sweeper = life.daemon.sweepers[ALPHA]
        sweeper._link.adapter.fetch_orders_by_ids = spent  # type: ignore[method-assign]
        sweeper.ask(OrderId("SBX-1"))
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: order in bench.held(), 300)

    bench.live(story)


@pytest.mark.rule("B7")
def test_a_short_page_with_more_behind_it_proves_nothing(
    new_bench: NewBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some far sides cut a page where it suits them, and say so only by a next token."""
    bench = new_bench(wares=PLENTY)

    async def story(life: Life) -> None:
        sweeper = life.daemon.sweepers[ALPHA]
        adapter, whole = sweeper._link.adapter, sweeper._link.adapter.fetch_orders

        async def cut(window: Window, offset: int) -> OrderPage:
            page = await whole(window, offset)
            return replace(page, orders=page.orders[:1], total=None, more=len(page.orders) > 1)

        traits = replace(adapter.updated, states_total=False)
        monkeypatch.setattr(type(adapter), "updated", property(lambda _: traits))
        monkeypatch.setattr(adapter, "fetch_orders", cut)
        orders = [bench.buy(("SKU-1", 1)) for _ in range(5)]
        await life.until(lambda: set(orders) <= set(bench.held()), 3600)

    bench.live(story)


@pytest.mark.rule("B16")
def test_a_backlog_of_windows_that_has_no_turn_holds_up_no_open_order(new_bench: NewBench) -> None:
    """A deep sweep waits for days where reading forward spends what the list is allowed."""
    bench = new_bench(wares=PLENTY, configure={"alpha": {"open_read_seconds": 3600.0}})

    async def story(life: Life) -> None:
        adapter = life.daemon.sweepers[ALPHA]._link.adapter
        plain = adapter.fetch_orders

        async def no_deep_sweep(window: Window, offset: int) -> OrderPage:
            if window.axis is Axis.CREATED:
                raise Retry("budget is spent", 30.0, counted=False)
            return await plain(window, offset)

        adapter.fetch_orders = no_deep_sweep  # type: ignore[method-assign]
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: order in bench.held())
        await life.sleep(1200)
        known = len(bench.calls("OR11"))
        await life.sleep(2 * 3600)
        asked = [x.target for x in bench.calls("OR11")[known:] if "order_ids=" in x.target]
        assert any(order in target for target in asked)

    bench.live(story)


@pytest.mark.rule("B15")
def test_a_list_that_is_polled_more_often_than_it_may_be_still_does_the_deep_sweep(
    new_bench: NewBench,
) -> None:
    bench = new_bench(wares=PLENTY, configure={"alpha": {"poll_seconds": 60.0}})
    deep: list[float] = []

    async def story(life: Life) -> None:
        adapter, clock = life.daemon.sweepers[ALPHA]._link.adapter, life.clock
        plain, free_at = adapter.fetch_orders, [0.0]

        async def once_in_three_minutes(window: Window, offset: int) -> OrderPage:
            if (left := free_at[0] - clock.monotonic()) > 0:
                raise Retry("budget is spent", left, counted=False)
            free_at[0] = clock.monotonic() + 180.0
            if window.axis is Axis.CREATED:
                deep.append(clock.monotonic())
            return await plain(window, offset)

        adapter.fetch_orders = once_in_three_minutes  # type: ignore[method-assign]
        await life.sleep(2 * 3600)
        assert deep
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: order in bench.held(), 600)

    bench.live(story)


@pytest.mark.rule("B16")
def test_an_id_at_which_the_marketplace_always_fails_stops_no_other_and_no_write(new_bench: NewBench) -> None:
    """HTTP 500 for one order, whenever it is read by itself: such orders have been seen, and stay so."""
    bench = new_bench(wares=PLENTY, configure={"alpha": {"open_read_seconds": 3600.0}})
    bad, good = bench.buy(("SKU-1", 1)), bench.buy(("SKU-1", 1))
    bench.asleep(60)

    async def story(life: Life) -> None:
        await life.until(lambda: {bad, good} <= bench.held())
        await life.done("create", good)
        await life.done("create", bad)
        sweeper = life.daemon.sweepers[ALPHA]
        adapter = sweeper._link.adapter
        read: list[OrderId] = []
        plain = adapter.fetch_orders_by_ids

        async def failing(order_ids: Sequence[OrderId]) -> OrderPage:
            if bad in order_ids:
                raise ReadFailed("getOrder: HTTP 500")
            read.extend(order_ids)
            return await plain(order_ids)

        adapter.fetch_orders_by_ids = failing  # type: ignore[method-assign]
        for order_id in (bad, *(f"NONE-{number}" for number in range(20)), good):
            sweeper.ask(OrderId(order_id))
        await life.until(lambda: good in read, 900)
        await life.sleep(3 * 3600)
        assert read.count(OrderId(good)) >= 2
        assert not sweeper._link.gate.is_open
        assert "connection.went_down" not in bench.ear.events

    bench.live(story)


@pytest.mark.rule("B13")
def test_an_unclear_order_that_can_never_be_read_by_id_holds_up_its_window_for_an_hour_at_most(
    new_bench: NewBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = new_bench(wares=PLENTY)
    bad = bench.buy(("SKU-1", 1))

    async def failing(order_ids: Sequence[OrderId]) -> OrderPage:
        raise ReadFailed("getOrder: HTTP 500")

    async def story(life: Life) -> None:
        await life.done("create", bad)
        sweeper = life.daemon.sweepers[ALPHA]
        monkeypatch.setattr(sweeper._link.adapter, "fetch_orders_by_ids", failing)
        monkeypatch.setattr(intake, "judge_version", lambda *_: VersionVerdict.READ_BY_ID)
        bench.lower(bad)
        before = life.daemon.coverage_until(ALPHA)
        await life.sleep(1800)
        assert life.daemon.coverage_until(ALPHA) == before
        assert "order.read_was_refused" not in bench.ear.events
        await life.until(lambda: life.daemon.coverage_until(ALPHA) != before, 5400)
        assert bench.ear.events["order.read_was_refused"] == 1

    bench.live(story)


@pytest.mark.rule("B1")
def test_what_a_marketplace_with_a_clock_that_went_back_tells_is_kept_though_nothing_is_claimed(
    bench: Bench,
) -> None:
    async def story(life: Life) -> None:
        await life.until(lambda: life.daemon.coverage_until(ALPHA) is not None)
        adapter = life.daemon.sweepers[ALPHA]._link.adapter
        plain, before = adapter.fetch_orders, life.daemon.coverage_until(ALPHA)

        async def behind(window: Window, offset: int) -> OrderPage:
            page = await plain(window, offset)
            return replace(page, server_date=window.hi - timedelta(minutes=5))

        adapter.fetch_orders = behind  # type: ignore[method-assign]
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: order in bench.held(), 400)
        assert life.daemon.coverage_until(ALPHA) == before
        adapter.fetch_orders = plain  # type: ignore[method-assign]
        await life.until(lambda: life.daemon.coverage_until(ALPHA) != before, 400)

    bench.live(story)
