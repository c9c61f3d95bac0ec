"""The real daemon over the sandboxes in virtual time, where a test decides what happens to which request."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, cast

from adapters.amazon import ADAPTER as AMAZON
from adapters.mirakl.rehearsal import MiraklSide
from adapters.woocommerce.rehearsal import WooSide
from marketsync import bootstrap
from marketsync.commands.desk import Desk
from marketsync.config import parse
from marketsync.domain.ids import ConnectionId, OrderId
from marketsync.engine.daemon import Daemon
from marketsync.engine.levels import picture
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.faults import Exchange, Fault
from marketsync.sandbox.rehearsal import Stage, connections, new_world
from marketsync.sandbox.roles import Sale, ShopOrder, SidePlan, Ware
from marketsync.sandbox.world import Habits, World
from marketsync.store.lock import DirectoryLock
from marketsync.store.sqlite import FILE_NAME
from tests.integration.engine.wire import Script, Wire
from tests.simulation.inline import Inline
from tests.simulation.invariants import at_rest
from tests.simulation.life import Ear, Killed, VirtualClock
from tests.simulation.loop import LifeOver, SeededLoop, quietly
from tests.simulation.scenario import ADAPTERS, LANDS_WITHIN, SHOP, START, STOCK_LANDS_WITHIN, virtual

EVERY = {**ADAPTERS, "amazon": AMAZON}
WARES = (Ware("SKU-1", 5), Ware("SKU-2", 4))
DAY_SECONDS = 86400.0
NEVER_SECONDS = 3e7

Story = Callable[["Life"], Awaitable[None]]


class WallClock(VirtualClock):
    """What the daemon takes for the time of day, which an operator may set; monotonic time and the world go on."""

    offset_seconds = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.offset_seconds)


class Points:
    """Crash points: the life ends where it reaches `name` for the nth time."""

    def __init__(self, loop: SeededLoop, inline: Inline, name: str, times: int) -> None:
        self._loop, self._inline, self._name, self._left = loop, inline, name, times

    def reach(self, name: str) -> None:
        if self._loop.over:
            raise Killed
        if name == self._name:
            self._left -= 1
            if self._left == 0:
                self.kill()

    def kill(self) -> None:
        self._loop.over = True
        self._inline.cut()
        raise Killed


class DeliveryLine(NamedTuple):
    id: int
    kind: str
    target: str
    subject: str
    ref: str
    state: str
    wanted: int
    done: int
    attempt: int
    step: int
    error: str
    second_probe_at: float | None


class Life:
    """One life of the daemon, in the hands of a test."""

    def __init__(
        self, bench: Bench, assembly: bootstrap.Assembly, clock: VirtualClock, wire: Wire, points: Points,
        wall: WallClock, inline: Inline,
    ) -> None:  # fmt: skip
        self.bench = bench
        self.assembly = assembly
        self.wall = wall
        self._inline = inline
        self.clock = clock
        self.wire = wire
        self.kill = points.kill

    @property
    def daemon(self) -> Daemon:
        return self.assembly.daemon

    @property
    def desk(self) -> Desk:
        """Where a person's commands work."""
        daemon = self.daemon

        def ask(name: ConnectionId, order_id: OrderId) -> None:
            daemon.sweepers[name].ask(order_id)

        return Desk(self.assembly.core, self.assembly.network, daemon.release, ask)

    async def sleep(self, seconds: float) -> None:
        await self.clock.sleep(seconds)

    def disk(self, *, full: bool) -> None:
        """The file can't grow any more, until it can."""
        for raw in self._inline._raw:
            pages = raw.execute("PRAGMA page_count").fetchone()[0]
            raw.execute(f"PRAGMA max_page_count = {pages if full else 1_000_000}")

    async def until(
        self, condition: Callable[[], bool], within: float = 3600.0, *, every: float = 1.0
    ) -> None:
        end = self.clock.now() + timedelta(seconds=within)
        while not condition():
            assert not self.bench.alarms(), self.bench.alarms()
            if self.clock.now() >= end:
                tail = "\n".join(self.bench.ear.lines[-25:])
                raise AssertionError(f"not within {within} s; deliveries {self.bench.deliveries()}\n{tail}")
            await self.clock.sleep(every)

    async def done(self, kind: str, order_id: str, generation: int = 1, within: float = 3600.0) -> None:
        await self.until(
            lambda: any(x.done >= generation for x in self.bench.deliveries(kind, order_id)), within
        )

    async def lists(self, sku: str, quantity: int, at: str = "alpha") -> None:
        await self.until(lambda: self.bench.listed(sku, at) == quantity)

    async def rest(self, within: float = 4 * 3600.0) -> None:
        """Until nothing is on its way and every listing says what the shop has, for a while."""
        looks = 0

        def quiet() -> bool:
            nonlocal looks
            looks = looks + 1 if self.bench.settled() else 0
            return looks >= 3

        await self.until(quiet, within, every=20.0)

    async def level(self, sku: str) -> tuple[int, int] | None:
        """What we believe is available: the low and the high end."""
        core = self.assembly.core
        scene = await core.store.read(lambda unit: picture(unit, core.merchant, ConnectionId(SHOP), [sku]))
        level = scene.levels[sku]
        return None if level is None else (level.low, level.high)

    async def never_too_many(self, sku: str, seconds: float, *, every: float = 1.0) -> None:
        """C6: what we hold available is never more than there is, but for sales that we have not read yet."""
        for _ in range(int(seconds / every)):
            found = await self.level(sku)
            if found is not None:
                assert found[0] <= self.bench.free(sku) + self.bench.unseen(sku), self.clock.now()
            await self.clock.sleep(every)


class Bench:
    """All marketplaces are of one `vendor` and have this `behaviour`; `configure` is merged into `[connections]`, settings too. `people`: the shop ships by itself."""

    def __init__(
        self, directory: Path, locks: list[DirectoryLock], *, marketplaces: Sequence[str] = ("alpha",),
        wares: tuple[Ware, ...] = WARES, people: bool = False, parcels: bool = False, seed: int = 1,
        behaviour: Mapping[str, Any] | None = None, configure: Mapping[str, Mapping[str, Any]] | None = None,
        vendor: str = "mirakl", shops: Sequence[str] = (SHOP,),
    ) -> None:  # fmt: skip
        self.directory = directory
        self.script = Script()
        self.exchanges: list[Exchange] = []
        self.at = 0.0
        self.boots = 0
        self.lives = 0
        self.booted_at = 0.0
        self.allowed_alarms: tuple[str, ...] = ()
        self._locks = locks
        self._chance = Chance(seed)
        look = 15.0 if people else NEVER_SECONDS
        habits = Habits(
            orders_max=0, web_sales_max=0, ship_after_seconds=(5.0, 20.0), look_every_seconds=look, two_parcels=0.0
        )  # fmt: skip
        plans = [(vendor, SidePlan(name, wares, START, parcels=parcels)) for name in marketplaces]
        plans += [("woocommerce", SidePlan(name, wares, START)) for name in shops]
        self._stage = stage = Stage(tuple(plans), wares, habits, START)
        self.world = new_world(stage, EVERY, self._chance.fork("people"))
        for name in marketplaces:
            self.market(name).sandbox.set_behaviour(**(behaviour or {}))
        self.configure(configure or {})
        self.ear: Ear

    def configure(self, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """For the lives that come."""
        self._config = _configuration(self._stage, self.world, self.directory, changes)

    def market(self, name: str = "alpha") -> MiraklSide:
        return cast("MiraklSide", self.world.marketplaces[name])

    @property
    def shop(self) -> WooSide:
        return cast("WooSide", self.world.shops[SHOP])

    @property
    def now(self) -> datetime:
        return self.world.now

    # Lives

    def live(self, story: Story, *, crash_at: str = "", times: int = 1) -> None:
        """Run the daemon until the story is told, or until it dies: at `crash_at`, or by the story's own `kill`."""
        self.lives += 1
        loop = SeededLoop(self._chance.fork(f"schedule {self.lives}"), self.at)
        inline, crashed = Inline(), False
        clock = VirtualClock(loop, self.boots, self.booted_at)
        self.ear = Ear(clock)
        points = Points(loop, inline, crash_at, times)
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(self._life(story, clock, points, inline))
        except LifeOver:
            crashed = True
        finally:
            self.at = loop.time()
            # What the burial of a dead life makes its loops say is no alarm.
            alarms, troubles = self.alarms(), list(loop.troubles)
            inline.cut()
            with unheard():
                loop.bury()
                del loop, clock, points
                gc.collect()
            asyncio.set_event_loop(None)
            while self._locks:
                self._locks.pop().release()
        assert crashed or not crash_at, f"{crash_at} was not reached"
        assert not alarms, alarms
        assert not troubles, troubles

    async def _life(self, story: Story, clock: VirtualClock, points: Points, inline: Inline) -> None:
        outside = asyncio.ensure_future(self.world.run(clock))
        wire = Wire(self.world, clock, self.script, points.reach)
        wire.log = self.exchanges
        wall = WallClock(asyncio.get_running_loop(), self.boots, self.booted_at)  # type: ignore[arg-type]
        assembly = await bootstrap.build(
            self._config,
            clock=wall,
            random=self._chance.fork(f"life {self.lives}"),
            observer=self.ear,
            transport=wire,
            crash=points,
            sqlite_connect=inline.connect,
            adapters=EVERY,
        )
        work = asyncio.ensure_future(assembly.daemon.run())
        told = asyncio.ensure_future(story(Life(self, assembly, clock, wire, points, wall, inline)))
        await asyncio.wait((work, told), return_when=asyncio.FIRST_COMPLETED)
        assert told.done(), f"the daemon ended by itself: {work.exception()!r}"
        assembly.daemon.stop()
        await asyncio.gather(work, return_exceptions=True)
        outside.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await outside
        await assembly.close()
        told.result()

    def alarms(self) -> list[str]:
        return [line for line in self.ear.alarms if not any(word in line for word in self.allowed_alarms)]

    def asleep(self, seconds: float, *, reboot: bool = False) -> None:
        """No daemon runs for so long; the world goes on."""
        self.at += seconds
        self.world.advance(virtual(self.at))
        if reboot:
            self.boots, self.booted_at = self.boots + 1, self.at

    # The world

    def buy(self, *lines: tuple[str, int], at: str = "alpha") -> OrderId:
        order_id = self.market(at).place_order(self._time(), lines)
        assert order_id is not None, "the marketplace does not list that many"
        return OrderId(order_id)

    def cancel(self, order_id: str, at: str = "alpha") -> None:
        assert self.market(at).cancel_order(self._time(), order_id)

    def lower(self, order_id: str, quantity: int = 1, *, line: int = 1, at: str = "alpha") -> None:
        """The operator takes units off a line."""
        self.market(at).sandbox.cancel_units(self._time(), order_id, f"{order_id}-{line}", quantity)

    def ship(
        self, order_id: str, *, at: str = "alpha", tracking: str = "TRACK1", carrier: str = "dhl"
    ) -> None:
        """The shop's people send all that is left of the order in one parcel."""
        (order,) = self.created(order_id, at)
        shop, now = self.shop.shop, self._time()
        left = {int(line.key): line.left for line in order.lines if line.left}
        shop.ship(int(order.remote_id), now, quantities=left, tracking=tracking, carrier=carrier)
        shop.set_status(int(order.remote_id), "completed", now)

    def web_sale(self, sku: str, quantity: int = 1) -> None:
        self.shop.web_sale(self._time(), sku, quantity)
        self.world.books.web_sold[sku] = self.world.books.web_sold.get(sku, 0) + quantity

    def created(self, order_id: str, at: str = "alpha") -> list[ShopOrder]:
        """What the shop holds for an order of a marketplace."""
        books = self.world.books
        key = books.key_of(at, order_id)
        return [order for order in self.shop.orders() if books.key_of_ref(order.ref) == key]

    def sale(self, order_id: str, at: str = "alpha") -> Sale:
        return next(x for x in self.market(at).sales(self._time()) if x.order_id == order_id)

    def units(self, order_id: str, at: str = "alpha") -> dict[str, int]:
        """Ordered units by SKU in the shop, over all of its orders for this one."""
        found: dict[str, int] = {}
        for order in self.created(order_id, at):
            for line in order.lines:
                found[line.sku] = found.get(line.sku, 0) + line.quantity
        return found

    def free(self, sku: str) -> int:
        return self.world.moment(self._time()).free(sku)

    def unseen(self, sku: str) -> int:
        known = set(self.rows("SELECT connection, order_id FROM orders"))
        return sum(
            quantity
            for name, side in self.world.marketplaces.items()
            for sale in side.sales(self._time())
            if sale.live and (name, sale.order_id) not in known
            for what, quantity in sale.lines
            if what == sku
        )

    def listed(self, sku: str, at: str = "alpha") -> int:
        return self.market(at).listed(self._time())[sku]

    def calls(self, operation: str, connection: str | None = None) -> list[Exchange]:
        return [
            x
            for x in self.exchanges
            if x.operation == operation
            and connection in {None, x.connection}
            and x.fault is not Fault.NOT_SENT
        ]

    def _time(self) -> datetime:
        """The loop's time inside a life, else the world's."""
        with contextlib.suppress(RuntimeError):
            return virtual(asyncio.get_running_loop().time())
        return self.world.now

    # Our own file

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self.directory / FILE_NAME}?mode=ro", uri=True)) as raw:
            return raw.execute(sql).fetchall()

    def deliveries(self, kind: str | None = None, order_id: str | None = None) -> list[DeliveryLine]:
        sql = """SELECT d.id, d.kind, d.target, d.subject, d.order_ref, d.state, d.wanted, d.done, d.attempt, d.step,
            d.error, d.second_probe_at, o.order_id FROM deliveries d LEFT JOIN orders o ON o.ref = d.order_ref
            WHERE d.kind <> 'stock' ORDER BY d.id"""
        return [
            DeliveryLine(*row[:-1])
            for row in self.rows(sql)
            if kind in {None, row[1]} and order_id in {None, row[-1]}
        ]

    def delivery(self, kind: str, order_id: str) -> DeliveryLine:
        (row,) = self.deliveries(kind, order_id)
        return row

    def state(self, kind: str, order_id: str) -> str:
        """ "" while there is no such delivery."""
        return next((row.state for row in self.deliveries(kind, order_id)), "")

    def parked(self, kind: str | None = None) -> dict[str, str]:
        """Reasons by item."""
        return {
            row[1]: row[2]
            for row in self.rows("SELECT kind, item, reason FROM parked")
            if kind in {None, row[0]}
        }

    def held(self, at: str = "alpha") -> set[str]:
        return {row[1] for row in self.rows("SELECT connection, order_id FROM orders") if row[0] == at}

    def links(self, order_id: str) -> set[str]:
        sql = "SELECT o.order_id, l.remote_id FROM links l JOIN orders o ON o.ref = l.subject WHERE l.target = 'shop'"
        return {row[1] for row in self.rows(sql) if row[0] == order_id}

    def settled(self) -> bool:
        """Nothing of ours is on its way; what is parked may wait for its person."""
        sql = "SELECT 1 FROM deliveries WHERE state IN ('queued', 'sent', 'waiting', 'in_doubt')"
        return not self.rows(sql) and not self._unlisted()

    def at_rest(self) -> bool:
        return at_rest(self.world, self.directory)

    def problems(self, *expected: str) -> list[str]:
        return [text for text in self.world.audit().problems if not text.startswith(expected or ("?",))]

    def _unlisted(self) -> bool:
        stock = self.shop.stock()
        return any(
            side.listed(self._time()).get(sku) != max(0, quantity)
            for side in self.world.marketplaces.values()
            for sku, quantity in stock.items()
        )


def _configuration(
    stage: Stage, world: World, directory: Path, changes: Mapping[str, Mapping[str, Any]]
) -> Any:
    addresses = {plan.name: f"https://{plan.name}.example" for _, plan in stage.sides}
    written = connections(stage, world, addresses, directory)
    for name, connection in written.items():
        settings: dict[str, Any] = connection["settings"]
        settings["lands_within_seconds"] = LANDS_WITHIN.get(name, LANDS_WITHIN[SHOP])
        if name in world.marketplaces:
            settings["stock_lands_within_seconds"] = STOCK_LANDS_WITHIN
        change = dict(changes.get(name, {}))
        settings.update(change.pop("settings", {}))
        connection.update(change)
    return parse({"daemon": {"state_dir": directory}, "connections": written})


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """What the `finally` of dead coroutines still says is nobody's fault."""
    hook = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        with quietly():
            yield
    finally:
        sys.unraisablehook = hook


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """What a dead life left behind is collected after the test, not in the middle of another life."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
