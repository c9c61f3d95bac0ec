"""Stock for marketplaces that take few items a call, have a slow way for many, or acknowledge long before they apply."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.mirakl.stock import StockWriter
from marketsync.domain.deliveries import StepSpec
from marketsync.domain.ids import ConnectionId
from marketsync.engine import due, publisher, stockwatch
from marketsync.engine.due import Choice
from marketsync.engine.publisher import Publisher
from marketsync.engine.stockwatch import StockWatch
from marketsync.ports import Batch, PublishStock, StepWaiting
from marketsync.sandbox.roles import Ware
from marketsync.store import listings
from tests.integration.engine.bench import Life
from tests.integration.engine.conftest import NewBench

OFTEN = {"shop": {"stock_sweep_seconds": 60.0}}


@pytest.mark.rule("C1")
def test_a_page_that_is_the_whole_shop_is_taken_in_parts_that_were_read_at_once(
    new_bench: NewBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred thousand figures in one transaction stopped everything else for seconds."""
    monkeypatch.setattr(stockwatch, "TAKEN_MAX", 2)
    taken: list[tuple[int, int, int]] = []
    take = StockWatch._take

    async def seen(self: Any, figures: Any, begin: int, end: int, articles: Any) -> None:
        taken.append((max(len(figures), len(articles)), begin, end))
        await take(self, figures, begin, end, articles)

    monkeypatch.setattr(StockWatch, "_take", seen)
    bench = new_bench(wares=tuple(Ware(f"SKU-{n}", 10) for n in range(1, 6)))

    async def story(life: Life) -> None:
        await life.until(lambda: len(taken) >= 3, 1800)

    bench.live(story)
    assert [units for units, *_ in taken[:3]] == [2, 2, 1]
    assert len({(begin, end) for _, begin, end in taken[:3]}) == 1


@pytest.mark.rule("C18")
def test_a_marketplace_that_takes_few_items_a_call_gets_the_empty_ones_first(
    new_bench: NewBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StockWriter, "batch", lambda *_: Batch(2, "STO01"))
    bench = new_bench(wares=tuple(Ware(f"SKU-{n}", 10) for n in range(1, 6)), configure=OFTEN)

    async def story(life: Life) -> None:
        await life.rest(1800)
        known = len(bench.market().stock_writes(life.clock.now()))
        for number, units in enumerate((7, 7, 7, 7, 0), 1):
            bench.shop.shop.set_stock(f"SKU-{number}", units, life.clock.now())
        await life.until(lambda: all(bench.listed(f"SKU-{n}") == 7 for n in range(1, 5)), 1800)
        sent = [dict(x.quantities) for x in bench.market().stock_writes(life.clock.now())[known:]]
        assert sent[0]["SKU-5"] == 0
        assert [len(x) for x in sent] == [2, 2, 1]

    bench.live(story)


@pytest.mark.rule("C18")
def test_an_empty_one_does_not_wait_behind_a_bulk_write_that_takes_its_time(
    new_bench: NewBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One feed at a time, which the marketplace works on for an hour; single writes go beside it."""
    ways = {True: Batch(500, "STO01"), False: Batch(1, "STO01", at_once=4)}
    poll = StockWriter.poll

    async def slow(writer: StockWriter, payload: PublishStock, step: int, receipt: str) -> Any:
        done = await poll(writer, payload, step, receipt)
        slow_one = len(payload.items) > 1 and clock[0].now() < began[0] + timedelta(hours=1)
        return StepWaiting(receipt, 60) if slow_one else done

    clock: list[Any] = []
    began: list[Any] = []
    monkeypatch.setattr(StockWriter, "batch", lambda _, due: ways[due > 1])
    monkeypatch.setattr(StockWriter, "poll", slow)
    bench = new_bench(
        wares=tuple(Ware(f"SKU-{n}", 10) for n in range(1, 6)),
        configure={**OFTEN, "alpha": {"settings": {"stock_lands_within_seconds": 7200.0}}},
    )

    async def story(life: Life) -> None:
        clock.append(life.clock)
        began.append(life.clock.now() - timedelta(hours=2))
        await life.rest(1800)
        began[0] = life.clock.now()
        for number in range(1, 5):
            bench.shop.shop.set_stock(f"SKU-{number}", 7, life.clock.now())
        await life.until(lambda: bench.listed("SKU-4") == 7, 600)
        bench.shop.shop.set_stock("SKU-5", 0, life.clock.now())
        await life.until(lambda: bench.listed("SKU-5") == 0, 600)
        assert life.clock.now() < began[0] + timedelta(hours=1)
        assert bench.listed("SKU-1") == 7
        unfinished = "SELECT state FROM deliveries WHERE kind = 'stock' AND state <> 'done'"
        await life.until(lambda: bench.rows(unfinished) == [("waiting",)], 120)

    bench.live(story)


@pytest.mark.rule("C16")
def test_what_is_acknowledged_first_and_applied_later_may_overwrite_sales_until_then(
    new_bench: NewBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = StockWriter.steps

    def later(writer: StockWriter, payload: PublishStock) -> tuple[StepSpec, ...]:
        return tuple(replace(x, applied_after_seconds=900.0) for x in steps(writer, payload))

    monkeypatch.setattr(StockWriter, "steps", later)
    bench = new_bench(configure=OFTEN)

    async def story(life: Life) -> None:
        await life.rest()
        bench.shop.shop.set_stock("SKU-1", 3, life.clock.now())
        await life.until(lambda: bench.listed("SKU-1") == 3)
        lowered = life.clock.now()
        await life.sleep(120)
        bench.shop.shop.set_stock("SKU-1", 9, life.clock.now())
        await life.until(lambda: bench.listed("SKU-1") == 9, 3600)
        assert (life.clock.now() - lowered).total_seconds() > 900

    bench.live(story)


@pytest.mark.rule("C18")
def test_of_a_days_writes_the_last_are_kept_for_what_goes_down(new_bench: NewBench) -> None:
    """Ten a day, by a clock in California: eight in any direction, two downwards, none until its midnight."""
    keys = {"stock_writes_per_day": 10, "stock_day_zone": "America/Los_Angeles"}
    bench = new_bench(wares=(Ware("SKU-1", 50),), configure={**OFTEN, "alpha": keys})

    def sent(life: Life) -> list[int]:
        return [dict(x.quantities)["SKU-1"] for x in bench.market().stock_writes(life.clock.now())]

    async def story(life: Life) -> None:
        # 08:00 UTC in March is midnight there, less what the summer time makes of it: the first eight are today's.
        await life.rest()
        before = len(sent(life))
        for units in range(8 - before):
            bench.shop.shop.set_stock("SKU-1", 10 + units, life.clock.now())
            await life.until(lambda n=units: bench.listed("SKU-1") == 10 + n, 600)  # type: ignore[misc]
        bench.shop.shop.set_stock("SKU-1", 90, life.clock.now())
        await life.sleep(1800)
        assert bench.listed("SKU-1") != 90
        for units in (3, 2):
            bench.shop.shop.set_stock("SKU-1", units, life.clock.now())
            await life.until(lambda n=units: bench.listed("SKU-1") == n, 600)  # type: ignore[misc]
        assert len(sent(life)) == 10
        bench.shop.shop.set_stock("SKU-1", 0, life.clock.now())
        await life.sleep(3600)
        assert len(sent(life)) == 10
        await life.until(lambda: bench.listed("SKU-1") == 0, 24 * 3600.0, every=60.0)
        assert life.clock.now().hour in (7, 8)

    bench.live(story)


@pytest.mark.rule("C18")
def test_listings_that_wait_hold_back_no_zero_behind_them_and_no_other_loop(
    new_bench: NewBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred thousand of them were looked at in one turn: nothing else ran for seconds."""
    monkeypatch.setattr(due, "BATCH_MAX", 2)
    look, seen = Choice.look, list[str]()

    async def looked(self: Any, unit: Any, after: str) -> Any:
        seen.append("look")
        return await look(self, unit, after)

    monkeypatch.setattr(Choice, "look", looked)
    bench = new_bench(wares=tuple(Ware(f"SKU-{n}", 10) for n in range(1, 7)), configure=OFTEN)

    async def story(life: Life) -> None:
        await life.rest(1800)
        sleep = life.wall.sleep

        async def slept(seconds: float) -> None:
            if seconds == 0.0:
                seen.append("turn")
            await sleep(seconds)

        monkeypatch.setattr(life.wall, "sleep", slept)
        monkeypatch.setattr(due, "others_fresh", lambda *_: False)
        for number in range(1, 6):
            bench.shop.shop.set_stock(f"SKU-{number}", 20, life.clock.now())
        bench.shop.shop.set_stock("SKU-6", 0, life.clock.now())
        seen.clear()
        await life.until(lambda: bench.listed("SKU-6") == 0, 300)
        assert [bench.listed(f"SKU-{n}") for n in range(1, 6)] == [10] * 5
        assert "look turn look turn look" in " ".join(seen)

    bench.live(story)


def test_listings_that_need_no_write_are_marked_so_by_few_commits(
    new_bench: NewBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time that an order moved was a commit of its own, for figures that stay what they are; many are marked at once."""
    bench = new_bench(configure={"shop": {"stock_sweep_seconds": 1e7}})
    marked, marks = Choice.marked, list[int]()

    async def counted(self: Any, unit: Any, after: str) -> Any:
        found = await marked(self, unit, after)
        marks.append(len(found.quiet))
        return found

    monkeypatch.setattr(Choice, "marked", counted)

    async def again(life: Life, times: int) -> None:
        core, alpha = life.assembly.core, life.assembly.network.marketplaces[ConnectionId("alpha")]
        for _ in range(times):
            await core.store.write(lambda unit: listings.mark_dirty(unit, core.merchant, ["SKU-1", "SKU-2"]))
            alpha.publish.set()
            await life.sleep(1.0)

    async def story(life: Life) -> None:
        await life.rest(1800)
        await life.sleep(120)
        marks.clear()
        await again(life, 40)
        assert marks == [2]
        await life.sleep(120)
        assert marks == [2, 2]
        assert bench.rows("SELECT 1 FROM listings WHERE dirty = 1") == []
        monkeypatch.setattr(publisher, "QUIET_MAX", 2)
        await again(life, 5)
        assert marks == [2] * 7

    bench.live(story)


def test_a_batch_that_waits_for_its_receipt_is_not_read_again_at_each_wake(
    new_bench: NewBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    poll, unfinished, reads = StockWriter.poll, Publisher._unfinished, list[int]()
    monkeypatch.setattr(StockWriter, "batch", lambda *_: Batch(500, "STO01"))

    async def slow(writer: StockWriter, payload: PublishStock, step: int, receipt: str) -> Any:
        done = await poll(writer, payload, step, receipt)
        return StepWaiting(receipt, 600) if len(polled) < 2 and not polled.append(1) else done  # type: ignore[func-returns-value]

    async def read(self: Any) -> Any:
        found = await unfinished(self)
        reads.append(len(found))
        return found

    polled: list[int] = [1, 1]
    monkeypatch.setattr(StockWriter, "poll", slow)
    monkeypatch.setattr(Publisher, "_unfinished", read)
    bench = new_bench(configure=OFTEN)

    async def story(life: Life) -> None:
        await life.rest(1800)
        polled.clear()
        bench.shop.shop.set_stock("SKU-1", 3, life.clock.now())
        await life.until(lambda: len(polled) == 1)
        await life.sleep(5)
        reads.clear()
        for _ in range(20):
            life.assembly.network.marketplaces[ConnectionId("alpha")].publish.set()
            await life.sleep(1.0)
        assert reads == []
        await life.until(lambda: bench.listed("SKU-1") == 3 and bench.settled(), 7200)

    bench.live(story)
