"""What the daemon stands on gives way: the clock of the wall, the disk, a budget; and what looks alike is kept apart."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import count, pairwise
from typing import Any

import pytest
from msgspec.structs import replace

from marketsync.commands.resync import ResyncArgs, resync
from marketsync.domain.ids import ConnectionId
from marketsync.engine.sweep import DEEP_AFTER_SECONDS
from marketsync.errors import StoreError
from marketsync.ports import Response
from marketsync.sandbox.faults import Fault
from marketsync.sandbox.roles import Ware
from marketsync.store import Store
from tests.integration.engine.bench import DAY_SECONDS, Bench, Life
from tests.integration.engine.conftest import NewBench
from tests.integration.engine.wire import altered, meeting

ALPHA = ConnectionId("alpha")


@pytest.mark.failure(1)
@pytest.mark.failure(2)
@pytest.mark.parametrize("jump_seconds", [DAY_SECONDS, -3600.0])
def test_a_wall_clock_that_jumps_skips_and_repeats_nothing(new_bench: NewBench, jump_seconds: float) -> None:
    """Coverage is in the marketplace's time and waits are monotonic; with a create in doubt while it happens."""
    bench = new_bench(people=True)
    bench.script.on("orders.create", meeting(Fault.ANSWER_LOST))

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: bench.state("create", order) == "in_doubt")
        calls = len(bench.calls("OR11"))
        life.wall.offset_seconds = jump_seconds
        bench.buy(("SKU-2", 1))
        await life.sleep(600)
        assert len(bench.calls("OR11")) - calls <= 11
        until = life.daemon.coverage_until(ALPHA)
        assert until is not None
        assert timedelta(0) < life.clock.now() - until < timedelta(minutes=5)
        await life.until(bench.at_rest, 2 * 3600.0, every=20.0)
        assert len(bench.calls("orders.create")) == 2

    bench.live(story)
    assert not bench.problems()


@pytest.mark.failure(16)
def test_one_order_id_on_two_marketplaces_is_two_orders(new_bench: NewBench) -> None:
    bench = new_bench(marketplaces=("alpha", "beta"), people=True)
    first, second = bench.buy(("SKU-1", 1), at="alpha"), bench.buy(("SKU-2", 2), at="beta")
    assert first == second

    async def story(life: Life) -> None:
        await life.until(lambda: bench.at_rest() and len(bench.shop.orders()) == 2, every=20.0)
        assert bench.units(first, at="alpha") == {"SKU-1": 1}
        assert bench.units(second, at="beta") == {"SKU-2": 2}

    bench.live(story)
    assert not bench.problems()


@pytest.mark.failure(23)
def test_a_shop_that_makes_another_currency_of_it_gets_no_order_released(bench: Bench) -> None:
    """Nothing is converted by us: an order that stands there in another currency waits for a person."""
    bench.script.on("OR11", altered(_currency(b"EUR", b"GBP")), times=1000)
    for operation in ("orders.create", "orders.read"):
        bench.script.on(operation, altered(_currency(b"GBP", b"EUR")), times=1000)

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: bench.state("create", order) == "parked")
        assert "the currency is EUR instead of GBP" in bench.delivery("create", order).error
        assert [x.released for x in bench.created(order)] == [False]
        assert bench.parked("delivery")

    bench.live(story)


@pytest.mark.requirement("R8")
@pytest.mark.failure(54)
def test_a_full_disk_loses_nothing_and_sends_nothing_twice(new_bench: NewBench) -> None:
    bench = new_bench(wares=(Ware("SKU-1", 200),), people=True)
    bench.allowed_alarms = ("NoSpace",)

    async def story(life: Life) -> None:
        await life.rest()
        life.disk(full=True)
        for _ in range(60):
            bench.buy(("SKU-1", 1))
        await life.sleep(1200)
        held = len(bench.held())
        assert held < 60
        life.disk(full=False)
        await life.until(lambda: len(bench.held()) == 60, 600)
        await life.until(bench.at_rest, 3 * 3600.0, every=20.0)
        assert len(bench.shop.orders()) == 60

    bench.live(story)
    assert not bench.problems()


@pytest.mark.failure(56)
@pytest.mark.parametrize("locked", [{1, 2}, *({number} for number in range(2, 21))], ids=str)
def test_a_database_that_is_locked_when_it_starts_is_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, locked: set[int]
) -> None:
    """Found by the simulation: it gave up for good at the very first read, and its sweep at half of its coverage."""
    bench.allowed_alarms = ("StoreError",)
    reads_begun, read = count(1), Store.read

    async def reads(store: Store, query: Any) -> Any:
        if next(reads_begun) in locked:
            raise StoreError("the database stayed locked for 30 s")
        return await read(store, query)

    monkeypatch.setattr(Store, "read", reads)

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: bench.state("create", order) == "done")
        await life.sleep(2 * DEEP_AFTER_SECONDS)

    bench.live(story)


@pytest.mark.requirement("R32")
@pytest.mark.requirement("R31")
def test_a_long_resync_holds_up_no_write(new_bench: NewBench) -> None:
    """Many windows wait for the budget of one list a minute; what was read goes to the shop beside them."""
    bench = new_bench(wares=(Ware("SKU-1", 3000),))
    for _ in range(24):
        bench.asleep(3600.0)
        for _ in range(20):
            bench.cancel(bench.buy(("SKU-1", 1)))

    async def story(life: Life) -> None:
        began = life.clock.now()
        await life.until(lambda: len(bench.held()) == 480)
        args = ResyncArgs(connection="alpha", since=began - timedelta(days=1), axis="created")
        await resync(life.desk, args, _silent)
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: order in bench.held(), 7200)
        at = life.clock.now()
        await life.until(lambda: bench.state("create", order) == "done", 7200)
        # Every second list is the resync's, and it takes two to see an order come and be paid.
        assert (life.clock.now() - at).total_seconds() < 300
        lists = [x.at for x in bench.calls("OR11")]
        gaps = [(b - a).total_seconds() for a, b in pairwise(lists)]
        assert min(gaps) >= 59

    bench.live(story)


@pytest.mark.requirement("R31")
@pytest.mark.rule("A4")
def test_a_long_resync_holds_up_no_look(new_bench: NewBench) -> None:
    """Found by the simulation: one list a minute served the sweep alone, and what was in doubt was looked for hours later."""
    bench = new_bench(wares=(Ware("SKU-1", 3000),))
    for _ in range(24):
        bench.asleep(3600.0)
        for _ in range(20):
            bench.cancel(bench.buy(("SKU-1", 1)))
    bench.script.on("OR21", meeting(Fault.REQUEST_LOST))

    async def story(life: Life) -> None:
        began = life.clock.now()
        await life.until(lambda: len(bench.held()) == 480)
        args = ResyncArgs(connection="alpha", since=began - timedelta(days=1), axis="created")
        await resync(life.desk, args, _silent)
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: bench.state("accept", order) == "in_doubt", 7200)
        at = life.clock.now()
        await life.until(lambda: bench.state("accept", order) == "done", 7200)
        # Two minutes until a look may be believed, and three readers stand for one list a minute.
        assert (life.clock.now() - at).total_seconds() < 360

    bench.live(story)


def _currency(stated: bytes, shown: bytes) -> Callable[[Response], Response]:
    return lambda response: replace(response, body=response.body.replace(b'"%s"' % stated, b'"%s"' % shown))


async def _silent(text: str) -> None:
    return None
