"""The real daemon between one simulated marketplace and one shop, in virtual time, with a hand on what is answered and on the disk."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import aiosqlite
import msgspec
import pytest

from adapters.mirakl.rehearsal import MiraklSide
from adapters.woocommerce.rehearsal import WooSide
from marketsync import bootstrap
from marketsync.commands.desk import Desk
from marketsync.commands.table import run as run_command
from marketsync.config import Config, parse
from marketsync.ops.crash import NoCrash
from marketsync.ports import Request, Response
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.faults import Dice, FaultyTransport, Rates
from marketsync.sandbox.rehearsal import Stage, connections, new_world
from marketsync.sandbox.roles import SidePlan, Ware
from marketsync.sandbox.world import Habits, World
from marketsync.store.sqlite import FILE_NAME
from tests.simulation.inline import Inline, InlineConnection
from tests.simulation.life import Ear, VirtualClock, known_locks
from tests.simulation.loop import SeededLoop, quietly
from tests.simulation.scenario import ADAPTERS, START

NOBODY = Habits(orders_max=0, web_sales_max=0, ship_after_seconds=(20.0, 40.0), two_parcels=0.0)
LANDS_WITHIN = 60.0

Tamper = Callable[[Request, Response], Response]
Json = dict[str, Any]


class Hearer(Ear):
    """An Observer that also keeps the metrics: a test says which it expects."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock)
        self.counts: dict[str, float] = {}
        self.gauges: dict[tuple[str, str], float] = {}

    def count(self, metric: str, amount: float = 1, /, **labels: str) -> None:
        self.counts[metric] = self.counts.get(metric, 0) + amount

    def gauge(self, metric: str, value: float, /, **labels: str) -> None:
        self.gauges[metric, labels.get("connection", "")] = value

    def said(self, event: str) -> list[str]:
        return [line for line in self.lines if line.split(" ", 2)[1] == event]


class JumpyClock(VirtualClock):
    """`jumped` is how far this machine's wall clock was set; its monotonic time knows nothing of it."""

    jumped = timedelta()

    def now(self) -> datetime:
        return super().now() + self.jumped


class Disk(Inline):
    """`refuse` may raise at a statement; `pages` caps the file, as a full disk does, by SQLite's own hand."""

    def __init__(self) -> None:
        super().__init__()
        self.refuse: Callable[[str], None] = lambda sql: None
        self._writers: list[sqlite3.Connection] = []

    def connect(self, database: str, **options: Any) -> aiosqlite.Connection:
        def connector() -> sqlite3.Connection:
            raw = sqlite3.connect(database, **options)
            self._raw.append(raw)
            self._writers.append(raw)
            return cast("sqlite3.Connection", _Raw(self, raw))

        return InlineConnection(self, connector)

    def fill(self) -> None:
        """No page is left, and none is free."""
        for raw in self._writers:
            raw.execute("PRAGMA max_page_count = 1")

    def clear(self) -> None:
        for raw in self._writers:
            raw.execute("PRAGMA max_page_count = 1073741823")


class _Raw:
    def __init__(self, disk: Disk, raw: sqlite3.Connection) -> None:
        self._disk = disk
        self._raw = raw

    def execute(self, sql: str, *args: Any) -> Any:
        self._disk.refuse(sql)
        return self._raw.execute(sql, *args)

    def executemany(self, sql: str, *args: Any) -> Any:
        self._disk.refuse(sql)
        return self._raw.executemany(sql, *args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)


def disk_error(code: int, text: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


class Rig:
    """`tamper` sees every answer before the daemon does. `live` runs a script beside the daemon; the world stays between lives."""

    def __init__(
        self,
        directory: Path,
        *,
        market: tuple[Ware, ...] = (Ware("SKU-1", 9), Ware("SKU-2", 9)),
        shop: tuple[Ware, ...] | None = None,
        habits: Habits = NOBODY,
        skew_seconds: float = 0.0,
        names: tuple[str, ...] = ("alpha",),
    ) -> None:
        self.directory = directory
        self.tamper: Tamper = lambda request, response: response
        selling = [
            ("mirakl", SidePlan(name, market, START, parcels=True, clock_skew_seconds=skew_seconds))
            for name in names
        ]
        keeping = ("woocommerce", SidePlan("shop", market if shop is None else shop, START))
        self.without: tuple[str, ...] = ()
        self._stage = Stage((*selling, keeping), market, habits, START)
        self.world: World = new_world(self._stage, ADAPTERS, Chance(1))
        self.market = cast("MiraklSide", self.world.marketplaces[names[0]]).sandbox
        self.shop = cast("WooSide", self.world.shops["shop"])
        self.dice = Dice(Rates(steady=True), Chance(2))
        self.clock: JumpyClock
        self.ear: Hearer
        self.disk: Disk
        self.assembly: bootstrap.Assembly
        self.daemon: asyncio.Task[None]
        self.ended: BaseException | None = None
        self.requests: list[Request] = []
        self._at = 0.0
        self._lives = 0

    def configuration(self) -> Config:
        addresses = {plan.name: f"https://{plan.name}.example" for _, plan in self._stage.sides}
        written = connections(self._stage, self.world, addresses, self.directory)
        for chosen in written.values():
            chosen["settings"]["lands_within_seconds"] = LANDS_WITHIN
        kept = {name: chosen for name, chosen in written.items() if name not in self.without}
        return parse({"daemon": {"state_dir": self.directory}, "connections": kept})

    def live(self, script: Callable[[Rig], Awaitable[None]]) -> None:
        """One life of the daemon: until the script returns, or `ended` says what the daemon died of."""
        self._lives += 1
        loop = SeededLoop(Chance(self._lives), self._at)
        self._loop = loop
        self.clock = JumpyClock(loop, 0, 0.0)
        self.ear, self.disk = Hearer(self.clock), Disk()
        gc.disable()
        asyncio.set_event_loop(loop)
        try:
            with known_locks() as locks:
                try:
                    loop.run_until_complete(self._day(script))
                finally:
                    self._at = loop.time()
                    self.disk.cut()
                    loop.bury()
                    for lock in locks:
                        lock.release()
        finally:
            asyncio.set_event_loop(None)
            gc.enable()
            with quietly():
                gc.collect()

    async def _day(self, script: Callable[[Rig], Awaitable[None]]) -> None:
        outer = VirtualClock(self._loop, 0, 0.0)
        transport = FaultyTransport(self, outer, self.dice, lambda name: LANDS_WITHIN)
        outside = asyncio.ensure_future(self.world.run(outer))
        self.assembly = await bootstrap.build(
            self.configuration(),
            clock=self.clock,
            random=Chance(self._lives).fork("daemon"),
            observer=self.ear,
            transport=transport,
            crash=NoCrash(),
            sqlite_connect=self.disk.connect,
            adapters=ADAPTERS,
        )
        self.daemon = asyncio.ensure_future(self.assembly.daemon.run())
        try:
            await script(self)
        finally:
            self.assembly.daemon.stop()
            self.ended = next(iter(await asyncio.gather(self.daemon, return_exceptions=True)))
            outside.cancel()
            await asyncio.gather(outside, return_exceptions=True)
            await asyncio.gather(self.assembly.close(), return_exceptions=True)

    # The far sides, as the transport sees them

    def handle(self, name: str, request: Request, now: Any) -> Response:
        self.requests.append(request)
        return self.tamper(request, self.world.handle(name, request, now))

    def land(self, name: str, request: Request, at: Any) -> None:
        self.world.land(name, request, at)

    # The script's hands and eyes

    @property
    def world_now(self) -> datetime:
        return self.clock.now() - self.clock.jumped

    def buy(self, *lines: tuple[str, int]) -> str:
        order_id = self.market.place_order(self.world_now, lines)
        assert order_id is not None
        return order_id

    async def sleep(self, seconds: float) -> None:
        await self.clock.sleep(seconds)

    async def until(self, what: Callable[[], object], seconds: float = 1800.0) -> None:
        """Waits in virtual time. Fails with what the daemon said where it never comes true."""
        for _ in range(int(seconds)):
            if what():
                return
            if self.daemon.done():
                break
            await self.clock.sleep(1.0)
        pytest.fail("it never came true:\n" + "\n".join(self.ear.lines[-40:]))

    async def command(self, name: str, **args: Any) -> Any:
        daemon = self.assembly.daemon

        def ask(connection: Any, order_id: Any) -> None:
            daemon.sweepers[connection].ask(order_id)

        async def progress(text: str) -> None: ...

        desk = Desk(self.assembly.core, self.assembly.network, daemon.release, ask)
        return await run_command(desk, name, args, progress)

    def rows(self, sql: str, *args: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self.directory / FILE_NAME}?mode=ro", uri=True)) as raw:
            return raw.execute(sql, args).fetchall()

    def parked(self) -> dict[str, tuple[str, str]]:
        """item -> (reason, causes)."""
        sql = """SELECT p.item, p.reason, (SELECT group_concat(c.cause, ' ') FROM parked_causes c
            WHERE c.merchant = p.merchant AND c.kind = p.kind AND c.item = p.item) FROM parked p"""
        return {item: (reason, causes or "") for item, reason, causes in self.rows(sql)}

    def pushed(self, order_id: str) -> int:
        """How many released records the shop has of this order."""
        refs = {ref for (ref,) in self.rows("SELECT ref FROM orders WHERE order_id = ?", order_id)}
        return sum(order.ref in refs and order.released for order in self.shop.orders())


def spoil(order_id: str, change: Callable[[Json], object]) -> Tamper:
    """Changes one order in every list that holds it."""

    def tamper(request: Request, response: Response) -> Response:
        if request.operation != "OR11" or order_id.encode() not in response.body:
            return response
        body = msgspec.json.decode(response.body)
        for order in body["orders"]:
            if order["order_id"] == order_id:
                change(order)
        return msgspec.structs.replace(response, body=msgspec.json.encode(body))

    return tamper


def respell(order_id: str, old: bytes, new: bytes) -> Tamper:
    """Changes the very bytes of a list that holds the order."""

    def tamper(request: Request, response: Response) -> Response:
        if request.operation != "OR11" or order_id.encode() not in response.body:
            return response
        assert old in response.body
        return msgspec.structs.replace(response, body=response.body.replace(old, new))

    return tamper
