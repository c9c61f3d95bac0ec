"""One row that can't be looked at, can't be read or never ends holds up nothing else, on the real daemon."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from copy import deepcopy
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.woocommerce.adapter import WooCommerce
from adapters.woocommerce.writers import CreateWriter
from marketsync.domain.deliveries import Kind
from marketsync.engine import looks, second
from marketsync.ports import Departure, Payload, Request, Response, StepDone, StepWaiting, Writer
from marketsync.sandbox.faults import Fault
from marketsync.store.sqlite import FILE_NAME
from tests.integration.engine.bench import DAY_SECONDS, Bench, Life
from tests.integration.engine.wire import Handler, Wire, altered, answered, meeting


@pytest.fixture
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second, "BATCH", 1)


def looked_at(bench: Bench, order: str) -> bool:
    return bench.delivery("create", order).second_probe_at is None


def tamper(bench: Bench, sql: str) -> None:
    with closing(sqlite3.connect(bench.directory / FILE_NAME)) as raw:
        raw.execute(sql)
        raw.commit()


@pytest.mark.rule("A21")
@pytest.mark.usefixtures("one_at_a_time")
def test_second_looks_that_must_wait_stand_before_no_other(bench: Bench) -> None:
    """The first order's update is parked, so its content can't be compared; the second's turn comes all the same."""
    bought: list[str] = []

    async def first(life: Life) -> None:
        for sku in ("SKU-1", "SKU-2"):
            order = bench.buy((sku, 2))
            bought.append(order)
            await life.done("create", order)
        bench.ship(bought[0])
        bench.cancel(bought[0])
        await life.until(lambda: bench.state("cancel", bought[0]) == "parked")

    async def later(life: Life) -> None:
        await life.until(lambda: looked_at(bench, bought[1]), 600)
        assert not looked_at(bench, bought[0])

    bench.live(first)
    bench.asleep(DAY_SECONDS)
    bench.live(later)


@pytest.mark.rule("A21")
def test_a_second_record_beside_a_delivery_that_waits_for_a_person_is_seen(bench: Bench) -> None:
    """A person may let it wait for ever; the twin is found within the day, and said once."""
    bought: list[str] = []

    async def first(life: Life) -> None:
        bought.append(bench.buy(("SKU-1", 2)))
        await life.done("create", bought[0])
        bench.ship(bought[0])
        bench.cancel(bought[0])
        await life.until(lambda: bench.state("cancel", bought[0]) == "parked")

    async def twins(life: Life) -> None:
        await life.sleep(2 * DAY_SECONDS)
        assert not bench.parked("conflict")
        order = bench.shop.shop.orders[int(bench.created(bought[0])[0].remote_id)]
        landed = deepcopy(order)
        landed.id = bench.shop.shop.next_id()
        bench.shop.shop.orders[landed.id] = landed
        await life.until(lambda: bool(bench.parked("conflict")), 1.1 * DAY_SECONDS, every=60.0)
        (reason,) = bench.parked("conflict").values()
        assert {str(order.id), str(landed.id)} == bench.links(bought[0])
        assert "several records" in reason

    bench.live(first)
    bench.live(twins)


@pytest.mark.rule("A21")
@pytest.mark.usefixtures("one_at_a_time")
def test_second_looks_that_fail_stand_before_no_other(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bought: list[str] = []
    bench.allowed_alarms = ("probe.failed",)

    async def first(life: Life) -> None:
        for sku in ("SKU-1", "SKU-2"):
            order = bench.buy((sku, 2))
            bought.append(order)
            await life.done("create", order)

    async def later(life: Life) -> None:
        await life.until(lambda: looked_at(bench, bought[1]), 600)
        assert not looked_at(bench, bought[0])

    bench.live(first)
    probe, ref = CreateWriter.probe, bench.delivery("create", bought[0]).ref

    async def failing(self: Any, payload: Any, *rest: Any) -> Any:
        if payload.ref == ref:
            raise ValueError
        return await probe(self, payload, *rest)

    monkeypatch.setattr(CreateWriter, "probe", failing)
    bench.asleep(DAY_SECONDS)
    bench.live(later)


@pytest.mark.rule("A16")
@pytest.mark.parametrize("state", ["sent", "in_doubt"])
def test_one_delivery_that_cannot_be_read_any_more_waits_alone(bench: Bench, state: str) -> None:
    bought: list[str] = []
    bench.script.on("orders.create", meeting(Fault.ANSWER_LOST))

    async def first(life: Life) -> None:
        bought.append(bench.buy(("SKU-1", 1)))
        await life.until(lambda: bench.state("create", bought[0]) == state)
        life.kill()

    async def later(life: Life) -> None:
        await life.until(lambda: bench.state("create", bought[0]) == "parked")
        (reason,) = bench.parked("delivery").values()
        assert "can't be read any more" in reason
        assert bench.rows("SELECT unsettled FROM deliveries WHERE kind = 'create'") == [(1,)]
        await life.done("create", bench.buy(("SKU-2", 1)))

    bench.live(first)
    tamper(bench, "UPDATE payloads SET body = '{}'")
    bench.live(later)
    assert len(bench.created(bought[0])) == 1


@pytest.mark.rule("A16")
def test_a_delivery_whose_kind_nobody_writes_any_more_waits_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bought: list[str] = []
    bench.script.on("orders.update", meeting(Fault.ANSWER_LOST), skip=1)

    async def first(life: Life) -> None:
        bought.append(bench.buy(("SKU-1", 3)))
        await life.done("create", bought[0])
        bench.lower(bought[0])
        await life.until(lambda: bench.state("update", bought[0]) == "in_doubt")

    async def later(life: Life) -> None:
        await life.until(lambda: bench.state("update", bought[0]) == "parked")
        assert list(bench.parked("delivery").values()) == ["shop has no way to update any more"]
        await life.done("create", bench.buy(("SKU-2", 1)))

    bench.live(first)
    monkeypatch.setattr(WooCommerce, "writers", property(_without_updates))
    bench.asleep(60.0, reboot=True)
    bench.live(later)


@pytest.mark.rule("C16")
@pytest.mark.parametrize("state", ["sent", "waiting"])
def test_a_stock_batch_that_cannot_be_read_any_more_is_published_anew(bench: Bench, state: str) -> None:
    sql = f"SELECT 1 FROM deliveries WHERE kind = 'stock' AND state = '{state}'"

    async def first(life: Life) -> None:
        await life.rest()
        bench.web_sale("SKU-1", 2)
        await life.until(lambda: bool(bench.rows(sql)))
        life.kill()

    async def later(life: Life) -> None:
        bench.web_sale("SKU-2", 1)
        await life.lists("SKU-2", 3)
        await life.lists("SKU-1", 3)
        await life.done("create", bench.buy(("SKU-1", 1)))

    bench.live(first, crash_at="publish.after_claim" if state == "sent" else "", times=2)
    tamper(bench, "UPDATE payloads SET body = '[]'")
    bench.live(later)


@pytest.mark.rule("C16")
@pytest.mark.parametrize("answers", ["RUNNING", "HTTP 500"])
def test_an_import_that_never_ends_freezes_no_listing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, answers: str
) -> None:
    """An hour after it left nobody believes it; where it can't be asked about, a while later."""
    monkeypatch.setattr(looks, "UNANSWERED_SECONDS", 1800.0)

    async def story(life: Life) -> None:
        await life.rest()
        handler = altered(_running) if answers == "RUNNING" else answered(500)
        bench.script.on("STO02", handler, times=10**6)
        imports = len(bench.calls("STO01"))
        bench.web_sale("SKU-1", 2)
        await life.until(lambda: len(bench.calls("STO01")) == imports + 1, 3600)
        allowed = 3600.0 if answers == "RUNNING" else 5400.0
        await life.sleep(allowed - 600)
        assert len(bench.calls("STO01")) == imports + 1
        assert "delivery.was_overdue" not in bench.ear.events
        await life.until(lambda: len(bench.calls("STO01")) == imports + 2, 3600)
        assert bench.ear.events["delivery.was_overdue"] == 1
        bench.script.clear()
        await life.rest()
        assert bench.listed("SKU-1") == 3

    bench.live(story)


@pytest.mark.rule("A16")
def test_a_write_that_is_worked_on_for_ever_is_looked_for(bench: Bench) -> None:
    async def story(life: Life) -> None:
        link = life.assembly.network.link("shop")
        assert link is not None
        writers: dict[Kind, Writer] = link.adapter.writers  # type: ignore[assignment]
        writers[Kind.CREATE] = Endless(writers[Kind.CREATE])
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: bench.state("create", order) == "waiting")
        await life.sleep(3000)
        assert bench.state("create", order) == "waiting"
        await life.until(lambda: bench.state("create", order) != "waiting", 1200)
        assert bench.ear.events["delivery.was_overdue"] == 1
        await life.until(lambda: any(x.released for x in bench.created(order)))
        assert len(bench.created(order)) == 1

    bench.live(story)


class Endless:
    """The far side takes the first step as work to do, does it at once, and never says so."""

    def __init__(self, real: Writer) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def send(self, payload: Payload, step: int, checkpoint: str, departure: Departure) -> Any:
        result = await self._real.send(payload, step, checkpoint, departure)
        if step > 0 or not isinstance(result, StepDone):
            return result
        return StepWaiting(result.checkpoint, 15.0)

    async def poll(self, payload: Payload, step: int, receipt: str) -> StepWaiting:
        return StepWaiting(receipt, 15.0)


def _without_updates(adapter: WooCommerce) -> Mapping[Kind, Writer]:
    return {kind: writer for kind, writer in adapter._writers.items() if kind is not Kind.UPDATE}


def _running(response: Response) -> Response:
    return replace(response, body=response.body.replace(b"COMPLETE", b"RUNNING"))


def test_an_order_in_an_unknown_state_is_looked_at_again(bench: Bench) -> None:
    """Found by the simulation: a look at an order that could not be understood for a while parked its accept for good."""
    bench.allowed_alarms = ("probe.failed",)
    bench.script.on("OR21", meeting(Fault.ANSWER_LOST))

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: bench.state("accept", order) == "in_doubt")
        bench.market().poison(bench.now, order, 0)
        await life.sleep(1200)
        assert bench.state("accept", order) == "in_doubt"
        bench.market().mend(bench.now, order)
        await life.until(lambda: bench.state("accept", order) == "done", 1200)

    bench.live(story)


@pytest.mark.parametrize("read_first", [True, False])
def test_an_answer_that_somebody_else_gave_ends_ours(bench: Bench, read_first: bool) -> None:
    """Found by the simulation: our answer was lost, the order was decided otherwise, and everything behind it waited."""
    bench.market().sandbox.set_behaviour(accept_within_seconds=100.0)
    bench.script.on("OR21", meeting(Fault.REQUEST_LOST))
    if not read_first:
        bench.script.on("OR11", _without_news(bench), times=1000)

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: bench.state("accept", order) == "in_doubt")
        await life.until(lambda: bench.sale(order).refused, 600)
        if not read_first:
            await life.until(lambda: bench.state("accept", order) == "parked", 3600)
            bench.script.clear()
        await life.until(lambda: bench.state("accept", order) == "cancelled", 3600)
        assert not bench.parked()

    bench.live(story)


def _without_news(bench: Bench) -> Handler:
    """The list by time shows nothing any more once an answer was lost; a look by id does."""

    async def handler(wire: Wire, request: Request) -> Response:
        response = await wire.plain(request)
        if "order_ids" in request.url or not bench.calls("OR21"):
            return response
        return replace(response, body=b'{"orders":[],"total_count":0}')

    return handler
