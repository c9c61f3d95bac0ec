"""Rows of the catalogue of failures that need the whole daemon: in virtual time, between simulated far sides."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from marketsync.domain.deliveries import Kind
from marketsync.errors import ReadFailed, Refused, Retry
from marketsync.ports import Response
from marketsync.sandbox.faults import Fault
from tests.integration.bad_input.rig import Rig, spoil

HOUR, DAY = 3600.0, 86400.0


async def done(rig: Rig, *order_ids: str, seconds: float = 1800.0) -> None:
    await rig.until(lambda: all(rig.pushed(x) == 1 for x in order_ids), seconds)
    await rig.until(lambda: not rig.world.unfinished(), seconds)


@pytest.mark.failure(1)
@pytest.mark.failure(2)
@pytest.mark.parametrize("jump", [timedelta(days=1), timedelta(hours=-1), timedelta(days=-400)], ids=str)
def test_a_wall_clock_that_is_set_changes_nothing_that_is_waited_for(tmp_path: Path, jump: timedelta) -> None:
    rig = Rig(tmp_path)

    async def script(rig: Rig) -> None:
        first = rig.buy(("SKU-1", 1))
        await done(rig, first)
        asked = len(rig.requests)
        await rig.sleep(HOUR)
        per_hour = len(rig.requests) - asked
        rig.clock.jumped = jump
        second = rig.buy(("SKU-2", 1))
        await done(rig, second)
        asked = len(rig.requests)
        await rig.sleep(HOUR)
        assert len(rig.requests) - asked <= 1.2 * per_hour + 5

    rig.live(script)
    assert rig.parked() == {}
    assert rig.world.audit().problems == ()


@pytest.mark.failure(2)
def test_a_wall_clock_that_goes_back_while_work_waits_holds_it_no_longer_than_it_went(tmp_path: Path) -> None:
    rig = Rig(tmp_path)

    async def script(rig: Rig) -> None:
        rig.tamper = lambda request, response: (
            replace(response, status=503, body=b"")
            if request.connection == "shop" and request.write
            else response
        )
        order_id = rig.buy(("SKU-1", 1))
        await rig.until(lambda: rig.rows("SELECT 1 FROM deliveries WHERE kind = 'create' AND attempt > 0"))
        rig.clock.jumped = timedelta(hours=-1)
        rig.tamper = lambda request, response: response
        await done(rig, order_id, seconds=HOUR + 1800)

    rig.live(script)
    assert rig.world.audit().problems == ()


@pytest.mark.failure(4)
@pytest.mark.rule("B1")
@pytest.mark.parametrize("skew", [-300.0, 300.0])
def test_a_marketplace_with_another_clock_is_read_by_its_own(tmp_path: Path, skew: float) -> None:
    """Nothing is claimed as read that its clock has not reached: the live sweep alone finds every order in time."""
    rig = Rig(tmp_path, skew_seconds=skew)

    async def script(rig: Rig) -> None:
        for _ in range(4):
            order_id = rig.buy(("SKU-1", 1))
            await done(rig, order_id, seconds=600)
            (last,) = rig.rows("SELECT MAX(hi) FROM coverage WHERE axis = 'updated'")[0]
            reached = (rig.world_now.timestamp() + skew) * 1e6
            assert last < reached

    rig.live(script)
    assert not rig.ear.said("sweep.had_missed_an_order")
    assert rig.world.audit().problems == ()


@pytest.mark.failure(15)
@pytest.mark.parametrize("ending", ["the marketplace forgot it", "the daemon ended"])
def test_an_unreadable_order_stays_parked_until_it_was_read(tmp_path: Path, ending: str) -> None:
    """Read again on a person's word; what comes of it is not known before an answer is here."""
    rig = Rig(tmp_path)
    bad = ""

    async def first(rig: Rig) -> None:
        nonlocal bad
        bad = rig.buy(("SKU-1", 1))
        rig.tamper = spoil(bad, lambda order: order.update(order_state="TELEPORTED"))
        await rig.until(lambda: f"alpha/{bad}" in rig.parked())
        if ending == "the daemon ended":
            await rig.command("parked.retry", item=f"alpha/{bad}")
            return
        rig.tamper = lambda request, response: (
            replace(response, body=b'{"orders": [], "total_count": 0}')
            if request.operation == "OR11"
            else response
        )
        await rig.command("parked.retry", item=f"alpha/{bad}")
        await rig.sleep(HOUR)

    async def second(rig: Rig) -> None:
        assert f"alpha/{bad}" in rig.parked()
        await rig.command("parked.retry", item=f"alpha/{bad}")
        rig.tamper = lambda request, response: response
        await done(rig, bad)

    rig.live(first)
    rig.live(second)
    assert rig.parked() == {}


@pytest.mark.failure(16)
def test_two_marketplaces_may_use_one_order_id(tmp_path: Path) -> None:
    rig = Rig(tmp_path, names=("alpha", "beta"))

    async def script(rig: Rig) -> None:
        ids = [side.place_order(rig.world_now, [("SKU-1", 1)]) for side in rig.world.marketplaces.values()]
        assert ids[0] == ids[1]
        await rig.until(lambda: len(rig.shop.orders()) == 2)
        await rig.until(lambda: not rig.world.unfinished())

    rig.live(script)
    assert len({order.ref for order in rig.shop.orders()}) == 2
    assert rig.world.audit().problems == ()


@pytest.mark.failure(33)
@pytest.mark.rule("A21")
def test_a_twin_that_the_path_made_is_shown_to_a_person_within_a_day(tmp_path: Path) -> None:
    """A proxy delivers one create twice, and its answer was a clean 201."""
    rig = Rig(tmp_path)

    async def script(rig: Rig) -> None:
        draw = rig.dice.draw
        twins = 0

        def once() -> Fault:
            nonlocal twins
            made = rig.rows("SELECT 1 FROM deliveries WHERE kind = 'create' AND state = 'sent' AND step = 0")
            if made and not twins:
                twins += 1
                return Fault.DUPLICATE
            return draw()

        rig.dice.draw = once  # type: ignore[method-assign]
        order_id = rig.buy(("SKU-1", 1))
        await rig.until(lambda: rig.pushed(order_id) >= 1)
        await rig.sleep(DAY)
        assert twins == 1
        assert len(rig.shop.orders()) == 2
        ((reason, cause),) = rig.parked().values()
        assert "has several records" in reason
        assert cause.startswith("conflict:shop/")
        assert rig.ear.counts["marketsync_conflicts_total"] >= 1

    rig.live(script)


@pytest.mark.failure(40)
def test_a_shop_that_is_down_for_a_day_is_asked_seldom_and_gets_everything(tmp_path: Path) -> None:
    rig = Rig(tmp_path)

    async def script(rig: Rig) -> None:
        await rig.until(lambda: rig.ear.said("stock.was_swept"))
        rig.tamper = lambda request, response: (
            replace(response, status=502, headers={}, body=b"<html>")
            if request.connection == "shop"
            else response
        )
        handle = rig.world.handle
        rig.world.handle = lambda name, request, now: (  # type: ignore[method-assign]
            Response(502, {}, b"<html>", 0.0) if name == "shop" else handle(name, request, now)
        )
        bought = []
        asked = len([x for x in rig.requests if x.connection == "shop"])
        for _ in range(8):
            bought.append(rig.buy(("SKU-1", 1), ("SKU-2", 1)))
            await rig.sleep(3 * HOUR)
        calls = len([x for x in rig.requests if x.connection == "shop"]) - asked
        assert len(rig.rows("SELECT 1 FROM orders")) == 8
        # A probe in 5 minutes, a fifth sooner at most, each with the client's two repeats.
        assert calls <= 24 * 12 * 1.25 * 3 + 30
        assert len(rig.ear.said("connection.went_down")) == 1
        rig.world.handle = handle  # type: ignore[method-assign]
        rig.tamper = lambda request, response: response
        await done(rig, *bought, seconds=HOUR)

    rig.live(script)
    assert rig.ended is None
    assert rig.world.audit().problems == ()


@pytest.mark.failure(70)
def test_work_of_a_connection_that_was_taken_away_waits_for_it(tmp_path: Path) -> None:
    """Sold and pushed; then the marketplace is taken out of the configuration, and the parcel leaves meanwhile."""
    rig = Rig(tmp_path)
    sold = ""

    async def sells(rig: Rig) -> None:
        nonlocal sold
        sold = rig.buy(("SKU-1", 1))
        await rig.until(lambda: rig.pushed(sold) == 1)

    async def without(rig: Rig) -> None:
        await rig.sleep(HOUR)
        assert rig.world.unfinished()
        assert rig.rows("SELECT 1 FROM orders") == [(1,)]
        assert any(row["connection"] == "alpha" for row in (await rig.command("status"))["connections"])

    async def back(rig: Rig) -> None:
        await done(rig, sold)

    rig.live(sells)
    rig.without = ("alpha",)
    rig.live(without)
    assert rig.ended is None
    rig.without = ()
    rig.live(back)
    assert rig.ended is None
    assert rig.parked() == {}
    assert rig.world.audit().problems == ()


ERRORS: tuple[Callable[[], BaseException], ...] = (
    lambda: ValueError("x"),
    lambda: KeyError("x"),
    RecursionError,
    MemoryError,
    lambda: UnicodeDecodeError("utf-8", b"x", 0, 1, "x"),
    lambda: ExceptionGroup("several", [ValueError("x"), TypeError("y")]),
    AssertionError,
    StopAsyncIteration,
    TimeoutError,
    lambda: Retry("x"),
    lambda: ReadFailed("x"),
    lambda: Refused("x", 418),
)
GARBAGE: tuple[Any, ...] = (None, 3, "text", b"", [], {}, object())


@pytest.mark.failure(71)
@pytest.mark.parametrize("seed", range(3))
def test_an_adapter_that_raises_or_returns_anything_harms_itself_alone(tmp_path: Path, seed: int) -> None:
    """Hours of nonsense from every method of one marketplace; the other one sells on, and the first comes back."""
    rig = Rig(tmp_path, names=("alpha", "beta"))
    chance = random.Random(seed)
    nonsense = 0

    def mad(real: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal nonsense
            if not raging or chance.random() < 0.2:
                return await real(*args, **kwargs)
            nonsense += 1
            if chance.random() < 0.3:
                return chance.choice(GARBAGE)
            error = chance.choice(ERRORS)()
            raise error

        return call

    raging = True

    async def script(rig: Rig) -> None:
        nonlocal raging
        link = next(x for x in rig.assembly.network.all if x.name == "alpha")
        adapter: Any = link.adapter
        for name in ("fetch_orders", "fetch_orders_by_ids", "probe_traits"):
            setattr(adapter, name, mad(getattr(adapter, name)))
        for kind in (Kind.ACCEPT, Kind.CONFIRM, Kind.STOCK):
            writer = adapter.writers[kind]
            for name in ("send", "probe"):
                if hasattr(writer, name):
                    setattr(writer, name, mad(getattr(writer, name)))
        beta = rig.world.marketplaces["beta"]
        for number in range(6):
            rig.buy(("SKU-1", 1))
            assert beta.place_order(rig.world_now, [("SKU-2", 1)])
            await rig.until(lambda number=number: len(rig.shop.orders()) > number, 3600)  # type: ignore[misc]
            await rig.sleep(2400)
        sold = [x for x in rig.shop.orders() if x.lines[0].sku == "SKU-2"]
        assert len(sold) == 6
        assert nonsense > 15
        raging = False
        for item in rig.parked():
            await rig.command("parked.retry", item=item)
        await rig.until(lambda: len(rig.shop.orders()) == 12, 4 * HOUR)
        for item in rig.parked():
            await rig.command("parked.retry", item=item)
        await rig.until(lambda: not rig.world.unfinished(), 4 * HOUR)

    rig.live(script)
    assert rig.ended is None
    assert rig.world.audit().problems == ()
