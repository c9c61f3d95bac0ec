"""The traces that broke earlier rules of writing, on the real daemon: what departs, what is doubted, what is looked at again."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from marketsync.commands.parked import RetryArgs, retry
from marketsync.domain.deliveries import Kind
from marketsync.domain.ids import ConnectionId
from marketsync.engine.dispatcher import Dispatcher
from marketsync.engine.payloads import decode
from marketsync.engine.settling import Answered
from marketsync.errors import Retry, TooLate
from marketsync.ports import Request, Response, StepDone
from marketsync.sandbox.faults import Fault
from marketsync.store import deliveries
from tests.integration.engine.bench import DAY_SECONDS, Bench, Life
from tests.integration.engine.conftest import NewBench
from tests.integration.engine.wire import (
    Gate,
    Handler,
    Wire,
    again,
    altered,
    answer_held,
    answered,
    held,
    late,
    meeting,
)

SHOP = ConnectionId("shop")
THROTTLED = answered(429, retry_after="300")


@pytest.mark.trace("A", 1)
@pytest.mark.rule("A3")
def test_a_request_that_is_held_past_its_deadline_does_not_leave(bench: Bench) -> None:
    gate = Gate()
    bench.script.on("orders.create", held(gate))

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: gate.reached)
        await life.sleep(30)
        gate.open()
        await life.until(lambda: bench.state("create", order) == "done")
        assert len(bench.created(order)) == 1
        # The first try met its deadline before the socket, and nothing arrived.
        assert [x.status for x in bench.calls("orders.create")] == [0, 201]
        # Step 1 was attempt 1 again, the release is 2: what never left has no number.
        assert bench.delivery("create", order).attempt == 2

    bench.live(story)


@pytest.mark.trace("A", 1)
@pytest.mark.rule("A4")
@pytest.mark.requirement("R41")
def test_lock_holder_stalls_past_lease_then_wakes(bench: Bench) -> None:
    """The holder of the directory is taken for dead with a request in its hand, and wakes after its successor has sent."""
    gate = Gate()
    bench.script.on("orders.create", held(gate))
    bought: list[str] = []

    async def first(life: Life) -> None:
        bought.append(bench.buy(("SKU-1", 1)))
        await life.until(lambda: gate.reached)
        life.kill()

    async def second(life: Life) -> None:
        await life.until(lambda: bench.state("create", bought[0]) == "done")
        assert gate.request is not None
        with pytest.raises(TooLate):
            await life.wire.plain(gate.request)
        assert len(bench.created(bought[0])) == 1

    bench.live(first)
    bench.live(second)


@pytest.mark.trace("A", 2)
@pytest.mark.rule("A17")
def test_an_edit_between_two_steps_is_not_lost(bench: Bench) -> None:
    bench.script.on("orders.update", THROTTLED)

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 2))
        await life.until(lambda: bool(bench.created(order)))
        bench.lower(order)
        await life.until(lambda: bench.state("update", order) == "queued")
        assert bench.delivery("create", order).step == 1
        await life.rest()
        assert bench.units(order) == {"SKU-1": 1}
        assert bench.delivery("update", order).done == 1

    bench.live(story)


@pytest.mark.trace("A", 3)
@pytest.mark.rule("A9")
def test_an_edit_made_in_flight_is_sent_after_it(bench: Bench) -> None:
    gate = Gate()
    bench.script.on("orders.update", answer_held(gate), skip=1)

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 3))
        await life.until(lambda: bench.state("create", order) == "done")
        bench.lower(order)
        await life.until(lambda: gate.reached)
        bench.lower(order)
        await life.until(lambda: bench.delivery("update", order).wanted == 2)
        assert bench.delivery("update", order).state == "sent"
        gate.open()
        await life.rest()
        row = bench.delivery("update", order)
        assert (row.wanted, row.done) == (2, 2)
        assert bench.units(order) == {"SKU-1": 1}

    bench.live(story)


@pytest.mark.trace("A", 4)
@pytest.mark.rule("A16")
def test_waking_what_could_not_be_proved_looks_before_it_sends(bench: Bench) -> None:
    bench.script.on("orders.create", meeting(Fault.ANSWER_LOST))
    bench.script.on("orders.read", altered(_without_total))

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: bench.state("create", order) == "parked")
        row = bench.delivery("create", order)
        settled = await retry(life.desk, RetryArgs(str(row.id)))
        assert settled.became == "in doubt: it is looked at first"
        await life.until(lambda: bench.state("create", order) == "done")
        assert len(bench.created(order)) == 1
        assert len(bench.calls("orders.create")) == 1

    bench.live(story)


@pytest.mark.trace("A", 5)
@pytest.mark.rule("A18")
def test_a_cancel_of_a_half_built_order_takes_it_away(bench: Bench) -> None:
    bench.script.on("orders.update", THROTTLED)

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: bench.delivery("create", order).step == 1 if bench.created(order) else False)
        bench.cancel(order)
        await life.until(lambda: bench.state("cancel", order) == "done")
        (made,) = bench.created(order)
        assert (made.cancelled, made.released) == (True, False)
        assert bench.state("create", order) == "cancelled"
        await life.rest()

    bench.live(story)
    assert not bench.problems()


@pytest.mark.trace("A", 6)
@pytest.mark.rule("A19")
@pytest.mark.failure(19)
@pytest.mark.parametrize(
    ("fault", "exists"),
    [(meeting(Fault.ANSWER_LOST), True), (meeting(Fault.REQUEST_LOST), False), (late(45.0), True)],
    ids=["answer lost", "request lost", "late"],
)
def test_a_cancel_waits_for_a_create_in_doubt(bench: Bench, fault: Handler, exists: bool) -> None:
    bench.script.on("orders.create", fault)

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: bench.state("create", order) == "sent")
        bench.cancel(order)
        await life.until(lambda: bench.state("create", order) == "in_doubt")
        await life.until(lambda: bool(bench.deliveries("cancel", order)))
        assert bench.state("create", order) == "in_doubt"
        await life.rest()
        assert [(x.cancelled, x.released) for x in bench.created(order)] == [(True, False)] * exists
        assert bench.state("cancel", order) == ("done" if exists else "cancelled")
        assert bench.state("create", order) == "cancelled"
        assert await life.level("SKU-1") == (5, 5)

    bench.live(story)
    assert not bench.problems()


@pytest.mark.trace("A", 7)
@pytest.mark.rule("A13")
def test_an_update_in_doubt_waits_before_another_content(bench: Bench) -> None:
    # The edit that landed last would win: the first one lands 80 s after it was given up.
    bench.script.on("orders.update", late(80.0), skip=1)

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 3))
        await life.until(lambda: bench.state("create", order) == "done")
        bench.lower(order)
        await life.until(lambda: bench.state("update", order) == "in_doubt")
        bench.lower(order)
        await life.until(lambda: bench.delivery("update", order).wanted == 2)
        assert bench.world.books.landed_late == 0
        await life.rest()
        assert bench.world.books.landed_late == 1
        assert bench.units(order) == {"SKU-1": 1}

    bench.live(story)


@pytest.mark.trace("A", 8)
@pytest.mark.rule("A7")
@pytest.mark.rule("A8")
def test_a_late_answer_of_an_older_attempt_moves_nothing_but_its_id(bench: Bench) -> None:
    gate = Gate()
    bench.script.on("orders.create", meeting(Fault.REQUEST_LOST))
    bench.script.on("orders.create", answer_held(gate))

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: gate.reached)
        before = bench.delivery("create", order)
        assert (before.state, before.attempt) == ("sent", 2)
        core, dispatcher = life.assembly.core, life.daemon.dispatchers[SHOP]
        row = await core.store.read(lambda unit: deliveries.get(unit, before.id))
        assert row is not None
        payload = decode(row)
        steps = life.assembly.network.back_offices[SHOP].adapter.writers[row.kind].steps(payload)
        first = replace(row, attempt=1)
        await dispatcher.settle(Answered(first, steps, Retry("too many requests")))
        assert bench.delivery("create", order) == before
        await dispatcher.settle(Answered(first, steps, StepDone("4711")))
        assert bench.delivery("create", order) == before
        assert "4711" in bench.links(order)
        gate.open()
        await life.until(lambda: bool(bench.parked("conflict")))
        assert len(bench.created(order)) == 1

    bench.live(story)


@pytest.mark.trace("A", 9)
@pytest.mark.rule("A21")
@pytest.mark.rule("A22")
@pytest.mark.parametrize(
    "fault",
    [again(5.0), answered(429, lands_after=5.0, retry_after="30")],
    ids=["the path repeats a clean 200", "its twin is throttled"],
)
def test_a_second_record_is_seen_within_a_day(bench: Bench, fault: Handler) -> None:
    bench.script.on("orders.create", fault)
    bought: list[str] = []

    async def first(life: Life) -> None:
        bought.append(bench.buy(("SKU-1", 1)))
        await life.until(lambda: bench.state("create", bought[0]) == "done")
        await life.until(lambda: len(bench.created(bought[0])) == 2)
        assert bench.delivery("create", bought[0]).second_probe_at is not None
        assert not bench.parked()

    async def second(life: Life) -> None:
        await life.until(lambda: bool(bench.parked("conflict")))
        (text,) = bench.parked("conflict").values()
        assert "several records" in text
        assert {x.remote_id for x in bench.created(bought[0])} <= bench.links(bought[0])
        assert bench.delivery("create", bought[0]).second_probe_at is None

    bench.live(first)
    bench.asleep(DAY_SECONDS)
    bench.live(second)


@pytest.mark.rule("A22")
def test_beside_a_twin_the_parcels_of_the_first_record_are_told(bench: Bench) -> None:
    """The shop's second record was numbered 105 and the first 97: as texts they came the other way round, and what the shop sent of
    the first after the second was found was never told."""
    bench.script.on("orders.create", again(5.0))
    bench.shop.shop._next = 96

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 2))
        await life.until(lambda: bool(bench.parked("conflict")), 2 * DAY_SECONDS, every=60.0)
        first, twin = bench.created(order)
        assert (first.released, twin.released) == (True, False)
        assert first.remote_id > twin.remote_id
        (line,) = first.lines
        for number in (1, 2):
            bench.shop.shop.ship(
                int(first.remote_id),
                life.clock.now(),
                quantities={int(line.key): 1},
                tracking=f"TRACK{number}",
            )
            await life.until(lambda n=number: len(bench.sale(order).told) == n, 600)  # type: ignore[misc]

    bench.live(story)


@pytest.mark.trace("A", 9)
@pytest.mark.rule("A21")
def test_a_cancelled_create_that_lands_after_all_is_seen(bench: Bench) -> None:
    # Later than it may: `lands_within` is 90 s.
    bench.script.on("orders.create", late(400.0))
    bought: list[str] = []

    async def first(life: Life) -> None:
        bought.append(bench.buy(("SKU-1", 1)))
        await life.until(lambda: bench.state("create", bought[0]) == "sent")
        bench.cancel(bought[0])
        await life.until(lambda: bench.state("create", bought[0]) == "cancelled")
        assert not bench.created(bought[0])
        await life.until(lambda: bool(bench.created(bought[0])))
        await life.rest()
        assert not bench.parked()

    async def second(life: Life) -> None:
        await life.until(lambda: bool(bench.parked("conflict")))
        assert "was cancelled and yet exists" in "".join(bench.parked("conflict").values())

    bench.live(first)
    bench.asleep(DAY_SECONDS)
    bench.live(second)


@pytest.mark.trace("A", 10)
@pytest.mark.rule("A23")
def test_a_repeated_old_write_never_lands_after_a_newer_one(bench: Bench) -> None:
    # It was answered cleanly, so nothing is in doubt; its repetition lands 140 s later.
    bench.script.on("orders.update", again(140.0), skip=1)

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 3))
        await life.until(lambda: bench.state("create", order) == "done")
        bench.lower(order)
        await life.until(lambda: bench.state("update", order) == "done")
        bench.lower(order)
        await life.until(lambda: bench.delivery("update", order).wanted == 2)
        assert bench.world.books.landed_late == 0
        await life.rest()
        assert bench.world.books.landed_late == 1
        assert bench.units(order) == {"SKU-1": 1}
        _, first, second = (x.at for x in bench.calls("orders.update"))
        assert (second - first).total_seconds() >= 150  # send-by 60 and lands-within 90

    bench.live(story)


@pytest.mark.trace("A", 12)
@pytest.mark.rule("A12")
def test_a_look_reads_every_page_before_it_says_absent(new_bench: NewBench) -> None:
    """150 sales of the web shop fill the first page of what was created since."""
    bench = new_bench()
    bench.script.on("orders.create", meeting(Fault.ANSWER_LOST))

    async def story(life: Life) -> None:
        bench.shop.restock(life.clock.now(), "SKU-2", 200)
        bench.world.books.restocked["SKU-2"] = 200
        for _ in range(150):
            bench.web_sale("SKU-2")
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: bench.state("create", order) == "done")
        assert len(bench.created(order)) == 1
        assert len(bench.calls("orders.create")) == 1

    bench.live(story)


@pytest.mark.trace("A", 13)
@pytest.mark.rule("A10")
def test_what_a_dead_task_left_sent_is_doubted_in_the_same_process(bench: Bench) -> None:
    gate = Gate()
    bench.script.on("orders.create", answer_held(gate))

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: gate.reached)
        for task in list(life.daemon.dispatchers[SHOP]._tasks.values()):
            task.cancel()
        await life.until(lambda: bench.state("create", order) == "in_doubt", 60)
        await life.until(lambda: bench.state("create", order) == "done")
        assert len(bench.created(order)) == 1

    bench.live(story)


@pytest.mark.trace("A", 14)
@pytest.mark.rule("A2")
def test_nothing_leaves_before_its_claim_is_on_disk(bench: Bench) -> None:
    """Every write finds its own claim in the file, through another connection, while it is under way."""
    found: list[tuple[str, str]] = []
    kinds = {
        "orders.create": "create",
        "orders.update": "create",
        "OR21": "accept",
        "OR23": "confirm",
        "OR24": "confirm",
    }

    async def look(wire: Wire, request: Request) -> Response:
        (row,) = bench.deliveries(kinds[request.operation])
        found.append((request.operation, row.state))
        return await wire.plain(request)

    for operation in kinds:
        bench.script.on(operation, look)

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: bench.state("create", order) == "done")
        bench.ship(order)
        await life.until(lambda: bench.state("confirm", order) == "done")

    bench.live(story)
    assert sorted(found) == [(operation, "sent") for operation in sorted(kinds)]


def _without_total(response: Response) -> Response:
    """A proxy dropped a header: the list no longer says where it ends."""
    return replace(response, headers={k: v for k, v in response.headers.items() if k != "x-wp-total"})


def test_a_parcel_is_told_as_soon_as_it_is_written_down(bench: Bench) -> None:
    """The dispatcher was woken before the commit: often it found nothing, and looked again half a minute later."""
    waits: list[float] = []

    async def story(life: Life) -> None:
        for _ in range(4):
            order = bench.buy(("SKU-1", 1))
            await life.until(lambda x=order: bench.state("create", x) == "done")  # type: ignore[misc]
            bench.ship(order)
            await life.until(lambda x=order: bool(bench.deliveries("confirm", x)), every=0.1)  # type: ignore[misc]
            written = life.clock.now()
            await life.until(lambda x=order: bench.state("confirm", x) != "queued", every=0.1)  # type: ignore[misc]
            waits.append((life.clock.now() - written).total_seconds())

    bench.live(story)
    assert max(waits) < 5.0, waits


def test_a_delivery_whose_task_failed_goes_again_after_a_rest(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else wakes the dispatcher then."""
    claim, failed_at = Dispatcher._claim, list[float]()

    async def once(self: Any, unit: Any, rows: Any) -> Any:
        if rows[0].kind is Kind.CREATE and not failed_at:
            failed_at.append(self._core.clock.monotonic())
            raise RuntimeError("planned")
        return await claim(self, unit, rows)

    monkeypatch.setattr(Dispatcher, "_claim", once)
    bench.allowed_alarms = ("dispatch.failed",)

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: bool(failed_at))
        await life.until(lambda: bench.state("create", order) == "done")
        assert 15.0 <= life.clock.monotonic() - failed_at[0] < 40.0

    bench.live(story)
