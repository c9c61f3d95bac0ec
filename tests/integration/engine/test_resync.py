"""`resync` beside the running daemon: any window, any number of times, also of what was pruned long ago."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal

import pytest

from marketsync.commands.resync import ResyncArgs, resync
from marketsync.domain.ids import ConnectionId
from marketsync.sandbox.faults import Exchange, Fault
from marketsync.sandbox.roles import Ware
from marketsync.store.upkeep import prune
from tests.integration.engine.bench import DAY_SECONDS, Bench, Life
from tests.integration.engine.conftest import NewBench
from tests.integration.engine.wire import meeting

ALPHA = ConnectionId("alpha")
WRITES = {"OR21", "OR23", "OR24", "ST01", "orders.create", "orders.update"}


def writes(bench: Bench) -> list[Exchange]:
    return [x for x in bench.exchanges if x.operation in WRITES]


async def _silent(text: str) -> None:
    return None


async def again(
    life: Life, since: datetime, until: datetime, axis: Literal["updated", "created"] = "updated"
) -> None:
    """The window twice, and everything that it may set going."""
    for _ in range(2):
        args = ResyncArgs(connection="alpha", since=since, until=until, axis=axis, wait=True)
        done = await resync(life.desk, args, _silent)
        assert done.finished
    await life.sleep(300)


def test_reading_again_never_takes_two_turns_from_the_live_list(bench: Bench) -> None:
    """A list that may be read once a minute: one piece of a backlog, then a step forward."""

    async def story(life: Life) -> None:
        await life.until(lambda: life.daemon.coverage_until(ALPHA) is not None)
        await life.sleep(120)
        began = len(bench.calls("OR11"))
        for hours in range(1, 5):
            since = bench.now - timedelta(hours=hours)
            args = ResyncArgs(connection="alpha", since=since, until=bench.now, axis="created", wait=False)
            await resync(life.desk, args, _silent)
        await life.sleep(900)
        forward = ["start_update_date" in x.target for x in bench.calls("OR11")[began:]]
        assert forward.count(False) >= 4
        assert all(any(pair) for pair in pairwise(forward))

    bench.live(story)


@pytest.mark.trace("A", 11)
@pytest.mark.rule("A24")
@pytest.mark.rule("B14")
@pytest.mark.requirement("R17")
@pytest.mark.parametrize("parcels", [False, True], ids=["one tracking", "parcel by parcel"])
def test_an_old_resync_repeats_nothing_although_its_deliveries_are_pruned(
    new_bench: NewBench, parcels: bool
) -> None:
    bench = new_bench(parcels=parcels, people=True)
    bought: list[str] = []
    began = bench.now

    async def first(life: Life) -> None:
        bought.extend((bench.buy(("SKU-1", 1)), bench.buy(("SKU-2", 2))))
        await life.until(bench.at_rest, every=20.0)
        bought.append(bench.buy(("SKU-1", 1)))
        bench.cancel(bought[-1])
        await life.until(bench.at_rest, every=20.0)

    async def second(life: Life) -> None:
        await life.until(lambda: not bench.rows("SELECT 1 FROM deliveries WHERE second_probe_at IS NOT NULL"))
        assert await prune(life.assembly.core.store, life.clock.now() + timedelta(days=1)) > 0
        assert not [row for row in bench.deliveries() if row.kind != "stock"]
        sent, orders = writes(bench), bench.rows("SELECT order_id, revision FROM orders")
        coverage = life.daemon.coverage_until(ALPHA)
        assert coverage is not None
        await again(life, began - timedelta(hours=1), life.clock.now())
        await again(life, began - timedelta(hours=1), life.clock.now(), "created")
        assert writes(bench) == sent
        assert bench.rows("SELECT order_id, revision FROM orders") == orders
        assert not bench.deliveries()
        assert not bench.parked()
        now = life.daemon.coverage_until(ALPHA)
        assert now is not None
        assert now >= coverage

    bench.live(first)
    bench.asleep(3 * DAY_SECONDS)
    bench.live(second)
    assert not bench.problems()


@pytest.mark.rule("B14")
@pytest.mark.failure(51)
def test_partial_resync_does_not_move_live_cursor(new_bench: NewBench) -> None:
    """An old hour is read again while new orders come: the newest interval only grows, and nothing is left out."""
    bench = new_bench(wares=(Ware("SKU-1", 100),), people=True)
    began = bench.now

    async def story(life: Life) -> None:
        marks: list[datetime] = []

        def look() -> None:
            until = life.daemon.coverage_until(ALPHA)
            assert until is not None
            marks.append(until)

        await life.until(lambda: life.daemon.coverage_until(ALPHA) is not None)
        bought = [bench.buy(("SKU-1", 1))]
        for n in range(4):
            look()
            lo = began - timedelta(hours=5 - n)
            await resync(
                life.desk, ResyncArgs(connection="alpha", since=lo, until=lo + timedelta(hours=1)), _silent
            )
            bought.append(bench.buy(("SKU-1", 1)))
            await life.sleep(400)
        look()
        assert marks == sorted(marks)
        assert marks[-1] > marks[0] + timedelta(minutes=20)
        assert set(bought) == bench.held()
        assert not bench.rows("SELECT 1 FROM resyncs WHERE finished_at IS NULL")
        await life.until(bench.at_rest, every=20.0)

    bench.live(story)
    assert not bench.problems()


@pytest.mark.rule("B11")
@pytest.mark.failure(51)
def test_a_resync_that_dies_is_finished_by_the_next_life(new_bench: NewBench) -> None:
    bench = new_bench(people=True)
    began = bench.now

    async def first(life: Life) -> None:
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: bench.state("create", order) == "done")
        args = ResyncArgs(connection="alpha", since=began - timedelta(hours=3))
        await resync(life.desk, args, _silent)
        await life.sleep(3600)

    async def second(life: Life) -> None:
        await life.until(lambda: not bench.rows("SELECT 1 FROM resyncs WHERE finished_at IS NULL"))
        await life.until(bench.at_rest, every=20.0)

    bench.live(first, crash_at="sweep.before_resync_end")
    bench.live(second)
    assert len(bench.calls("orders.create")) == 1
    assert not bench.problems()


@pytest.mark.rule("B14")
@pytest.mark.requirement("R18")
def test_resync_while_its_orders_are_in_doubt(bench: Bench) -> None:
    """What is read again is known: no second create beside the one in doubt."""
    bench.script.on("orders.create", meeting(Fault.ANSWER_LOST))
    began = bench.now

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: bench.state("create", order) == "in_doubt")
        await again(life, began - timedelta(hours=1), life.clock.now())
        await life.until(lambda: bench.state("create", order) == "done")
        assert len(bench.calls("orders.create")) == 1
        assert len(bench.created(order)) == 1

    bench.live(story)
