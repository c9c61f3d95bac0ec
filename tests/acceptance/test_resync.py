"""`resync` of any window, twice, beside the running daemon under load, also over orders whose deliveries are gone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from marketsync import bootstrap
from marketsync.commands.desk import Desk
from marketsync.commands.resync import ResyncArgs, resync
from marketsync.domain.coverage import Axis, Coverage
from marketsync.domain.ids import ConnectionId, OrderId
from marketsync.ops.crash import NoCrash
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.faults import Dice, FaultyTransport, Rates
from marketsync.sandbox.rehearsal import new_world
from marketsync.sandbox.world import Habits, World
from marketsync.store import Unit, coverage, upkeep
from tests.acceptance.judge import Limits, broken, ledger, unfinished
from tests.simulation.inline import Inline
from tests.simulation.life import Ear, VirtualClock
from tests.simulation.loop import SeededLoop
from tests.simulation.scenario import (
    ADAPTERS,
    LANDS_WITHIN,
    START,
    Scenario,
    configuration,
    stage_of,
    standard,
)

ORDERS = 10
LOOK_SECONDS = 30.0
REST_SECONDS_MAX = 6 * 3600.0
# Past the second look at every write, which pruning waits for (A21).
NEXT_DAY_SECONDS = 22 * 3600.0
HABITS = Habits(
    order_every_seconds=40.0,
    orders_max=ORDERS,
    web_sales_max=0,
    ship_after_seconds=(60.0, 300.0),
    restock_every_seconds=120.0,
)


class Story:
    """Two lives of the daemon in a simulated world, with a person at the desk."""

    def __init__(self, seed: int, directory: Path, rate: float) -> None:
        scenario: Scenario = replace(standard(seed), habits=HABITS, rates=Rates.of_all(rate), crashes=0)
        self.chance = Chance(seed)
        stage = stage_of(scenario, self.chance.fork("stage"))
        self.world: World = new_world(stage, ADAPTERS, self.chance.fork("world"))
        self.config = configuration(stage, self.world, directory, {})
        self.dice = Dice(scenario.rates, self.chance.fork("faults"))

    def live(self, tell: Callable[[Story], Awaitable[None]], at: float = 0.0) -> float:
        """From the virtual second `at` on; the second at which it ends."""
        loop = SeededLoop(self.chance.fork(f"schedule {at}"), at)
        inline = Inline()
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(self._live(loop, inline, tell))
        finally:
            inline.cut()
            loop.bury()
            asyncio.set_event_loop(None)
        return loop.time()

    async def _live(self, loop: SeededLoop, inline: Inline, tell: Callable[[Story], Awaitable[None]]) -> None:
        self.clock = VirtualClock(loop, 0, 0.0)
        self.ear = Ear(self.clock)
        transport = FaultyTransport(self.world, self.clock, self.dice, LANDS_WITHIN.__getitem__)
        assembly = await bootstrap.build(
            self.config, clock=self.clock, random=self.chance.fork("daemon"), observer=self.ear, transport=transport,
            crash=NoCrash(), sqlite_connect=inline.connect, adapters=ADAPTERS,
        )  # fmt: skip
        self.store, daemon = assembly.core.store, assembly.daemon

        def ask(connection: ConnectionId, order_id: OrderId) -> None:
            daemon.sweepers[connection].ask(order_id)

        self.desk = Desk(assembly.core, assembly.network, daemon.release, ask)
        outside = asyncio.ensure_future(self.world.run(self.clock))
        working = asyncio.ensure_future(daemon.run())
        try:
            await tell(self)
        finally:
            daemon.stop()
            await asyncio.gather(working, return_exceptions=True)
            outside.cancel()
            await asyncio.gather(outside, return_exceptions=True)
            await assembly.close()

    async def looked_at_again(self) -> None:
        """Until no write waits for its second look."""
        sql = "SELECT COUNT(*) FROM deliveries WHERE second_probe_at IS NOT NULL"
        for _ in range(int(REST_SECONDS_MAX / LOOK_SECONDS)):
            await self.clock.sleep(LOOK_SECONDS)
            rows = await self.store.read(lambda unit: unit.fetch(sql))
            if rows[0][0] == 0:
                return
        raise AssertionError("second looks do not end")

    async def rest(self, orders: int) -> None:
        began = self.clock.monotonic()
        while True:
            await self.clock.sleep(LOOK_SECONDS)
            left = unfinished(self.world, await ledger(self.store))
            if self.world.audit().created >= orders and not left:
                return
            assert self.clock.monotonic() - began < REST_SECONDS_MAX, left

    async def upgraded(self) -> None:
        """As if another release had read all orders so far: each is a new revision when it is read again."""
        await self.store.write(
            lambda unit: unit.execute("UPDATE orders SET content_hash = ?", "of another release")
        )

    def more_buyers(self, orders: int) -> None:
        self.world._habits = replace(HABITS, orders_max=self.world.audit().created + orders)
        self.world._after(1.0, self.world._buy)

    async def coverages(self) -> dict[tuple[str, Axis], Coverage]:
        async def look(unit: Unit) -> dict[tuple[str, Axis], Coverage]:
            return {
                (name, axis): await coverage.load(unit, self.desk.merchant, ConnectionId(name), axis)
                for name in sorted(self.world.marketplaces)
                for axis in Axis
            }

        return await self.store.read(look)

    async def kinds(self) -> dict[str, int]:
        rows = await self.store.read(
            lambda unit: unit.fetch("SELECT kind, COUNT(*) FROM deliveries GROUP BY kind")
        )
        return {kind: int(number) for kind, number in rows}

    async def again(self, args: ResyncArgs) -> None:
        """The same window twice, the second one asked for while the first is still read."""
        first = asyncio.ensure_future(resync(self.desk, args, silent))
        await self.clock.sleep(1.0)
        await asyncio.gather(first, resync(self.desk, args, silent))


async def silent(text: str) -> None:
    return None


def windows(seed: int, until: datetime) -> list[ResyncArgs]:
    """The whole past, parts of it, the other axis, an instant, and one that ends in the future."""
    numbers = random.Random(seed)
    found = [ResyncArgs(wait=True), ResyncArgs(axis="created", wait=True)]
    for _ in range(3):
        ends = sorted(START + timedelta(seconds=numbers.uniform(-600.0, 3600.0)) for _ in range(2))
        axis = numbers.choice(("updated", "created"))
        name = numbers.choice((None, "alpha", "beta"))
        found.append(ResyncArgs(connection=name, since=ends[0], until=ends[1], axis=axis, wait=True))  # type: ignore[arg-type]
    instant = START + timedelta(seconds=numbers.uniform(0.0, 900.0))
    found.append(ResyncArgs(since=instant, until=instant, wait=True))
    found.append(ResyncArgs(recent_days=0.02, until=until + timedelta(hours=2), wait=True))
    return found


def told(world: World) -> dict[str, tuple[object, ...]]:
    return {
        f"{name}/{sale.order_id}": (sale.told, sale.shipped, sale.accepted)
        for name, side in world.marketplaces.items()
        for sale in side.sales(world.now)
    }


@pytest.mark.slow
@pytest.mark.rule("B14")
@pytest.mark.rule("A24")
@pytest.mark.trace("A", 11)
@pytest.mark.parametrize(("seed", "rate"), [(2, 0.01), (3, 0.02)])
def test_any_window_twice_under_load_over_pruned_deliveries(seed: int, rate: float, tmp_path: Path) -> None:
    async def first_day(story: Story) -> None:
        await story.rest(ORDERS)

    async def next_day(story: Story) -> None:
        await story.looked_at_again()
        old, before, settled = await story.kinds(), await story.coverages(), told(story.world)
        records = {order.remote_id for shop in story.world.shops.values() for order in shop.orders()}
        await upkeep.prune(story.store, story.clock.now().astimezone(UTC))
        await story.upgraded()
        left = await story.kinds()
        assert {kind for kind in old if old[kind] > left.get(kind, 0)} >= {"accept", "create", "confirm"}

        story.more_buyers(ORDERS)
        for args in windows(seed, story.clock.now()):
            await story.again(args)
        await story.rest(2 * ORDERS)

        after = await story.coverages()
        assert {
            key: not any(after[key].holes(x.lo, x.hi) for x in held.intervals) for key, held in before.items()
        } == (dict.fromkeys(before, True))
        assert {key: told(story.world)[key] for key in settled} == settled
        made = [order.remote_id for shop in story.world.shops.values() for order in shop.orders()]
        assert records <= set(made)
        assert len(made) == story.world.audit().created
        story.world.quiet()
        held = await ledger(story.store)
        assert broken(story.world, held, Limits(oversell_seconds=900.0)) == []
        assert story.ear.alarms == []

    story = Story(seed, tmp_path, rate)
    evening = story.live(first_day)
    story.live(next_day, evening + NEXT_DAY_SECONDS)
