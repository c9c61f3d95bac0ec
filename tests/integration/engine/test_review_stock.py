"""Stock that can't be told: what is in doubt holds back its own listings alone, and what fails is not repeated at once."""

from __future__ import annotations

import pytest

from adapters.mirakl.stock import StockWriter
from marketsync.errors import Park, Retry
from marketsync.ports import Batch, ItemResult, PublishStock, StepResult
from marketsync.sandbox.roles import Ware
from tests.integration.engine.bench import Life
from tests.integration.engine.conftest import NewBench
from tests.integration.engine.wire import answered

OFTEN = {"shop": {"stock_sweep_seconds": 60.0}}
SLOW = {"alpha": {"settings": {"stock_lands_within_seconds": 7200.0}}}


@pytest.mark.rule("C15")
@pytest.mark.rule("C16")
def test_a_write_in_doubt_holds_back_its_own_listings_and_no_other(
    new_bench: NewBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StockWriter, "batch", lambda *_: Batch(1, "STO01", at_once=2))
    bench = new_bench(wares=tuple(Ware(f"SKU-{n}", 10) for n in range(1, 5)), configure={**OFTEN, **SLOW})

    async def story(life: Life) -> None:
        await life.rest(1800)
        bench.script.on("STO01", answered(503), times=2)
        for number in (1, 2):
            bench.shop.shop.set_stock(f"SKU-{number}", 7, life.clock.now())
        in_doubt = "SELECT 1 FROM deliveries WHERE kind = 'stock' AND state = 'in_doubt'"
        await life.until(lambda: len(bench.rows(in_doubt)) == 2, 900)
        bench.shop.shop.set_stock("SKU-3", 0, life.clock.now())
        await life.until(lambda: bench.listed("SKU-3") == 0, 300)
        assert (bench.listed("SKU-1"), bench.listed("SKU-2")) == (10, 10)
        await life.until(lambda: bench.listed("SKU-1") == bench.listed("SKU-2") == 7, 9000)

    bench.live(story)


def test_stock_that_can_not_leave_is_tried_now_and_then(
    new_bench: NewBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As fast as its budget allowed it was, each time a batch of its own in the file; and the circuit was closed each time."""
    monkeypatch.setattr(StockWriter, "batch", lambda *_: Batch(500, "OR23"))
    bench = new_bench(configure=OFTEN)
    send = StockWriter.send

    async def unreachable(*_: object) -> StepResult:
        raise Retry("STO01: no connection")

    async def story(life: Life) -> None:
        await life.rest(1800)
        monkeypatch.setattr(StockWriter, "send", unreachable)
        known = len(bench.rows("SELECT 1 FROM deliveries WHERE kind = 'stock'"))
        bench.shop.shop.set_stock("SKU-1", 1, life.clock.now())
        await life.sleep(3600)
        assert 2 < len(bench.rows("SELECT 1 FROM deliveries WHERE kind = 'stock'")) - known < 200
        monkeypatch.setattr(StockWriter, "send", send)
        await life.until(lambda: bench.listed("SKU-1") == 1, 600)

    bench.live(story)


@pytest.mark.rule("C16")
@pytest.mark.parametrize("ends", ["aborted", "cancelled"])
def test_a_bulk_write_that_ended_badly_is_sent_anew_without_the_wait_of_a_doubt(
    new_bench: NewBench, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    """Over is over: what it may have done is unknown, but nothing of it can land in the hours after."""
    bench = new_bench(configure={**OFTEN, **SLOW})
    poll, results = StockWriter.poll, StockWriter.results

    async def unsure(_: StockWriter, payload: PublishStock, checkpoint: str) -> tuple[ItemResult, ...]:
        return tuple(ItemResult(item.sku, "aborted", unsure=True) for item in payload.items)

    async def cancelled(*_: object) -> StepResult:
        raise Park("cancelled before it was begun")

    async def story(life: Life) -> None:
        await life.rest(1800)
        before = len(bench.market().stock_writes(life.clock.now()))
        if ends == "aborted":
            monkeypatch.setattr(StockWriter, "results", unsure)
        else:
            monkeypatch.setattr(StockWriter, "poll", cancelled)
        bench.shop.shop.set_stock("SKU-1", 3, life.clock.now())
        await life.until(lambda: bool(bench.parked("stock")), 900)
        monkeypatch.setattr(StockWriter, "poll", poll)
        monkeypatch.setattr(StockWriter, "results", results)
        await life.until(lambda: not bench.parked("stock"), 900)
        assert bench.listed("SKU-1") == 3
        assert len(bench.market().stock_writes(life.clock.now())) >= before + 2

    bench.live(story)
