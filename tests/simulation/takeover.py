"""Two daemons on one state directory: the first is frozen with writes in its hand, another one takes its store over, and
the first wakes at the worst moment (A3, A7).

The lock does not hold in this scenario alone. A frozen process meets the world at its next call or transaction; one
transaction writes at a time, as SQLite has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from adapters.woocommerce.settings import REF_META
from marketsync.bootstrap import Assembly
from marketsync.errors import TooLate
from marketsync.ports import Clock, Observer, Request, Response, Transport
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.world import World
from marketsync.store import Broken, Store, lock
from marketsync.store.writer import Writer
from tests.simulation.bystanders import Again
from tests.simulation.focus import Focus, plan
from tests.simulation.scenario import Scenario

FREEZES_SECONDS = (100.0, 600.0)
TAKEN_OVER_SECONDS = (1.0, 40.0)
# Before the second one has looked around; some of what is held may leave yet, and is waited for (A4).
EARLY_SECONDS = 8.0
# What the first one holds is not sent again if it had arrived: then it wakes some day.
WAKES_SECONDS = 600.0
ENDS_SECONDS = 120.0
DISK_SECONDS = (0.7, 3.0)
ANSWER_SECONDS = (10.0, 30.0)
CREATE = "orders.create"

NO_LOCK = (lock, "fcntl", SimpleNamespace(flock=lambda fd, how: None, LOCK_EX=0, LOCK_NB=0))


async def _nobody_asks(writer: Writer) -> None:
    """Whose the store is."""


NO_FENCE = (Writer, "_demand_lease", _nobody_asks)


class Ice:
    """Whoever comes to it while it is closed waits. `held` are the orders whose create was met by it.

    The disk answers a moment after the wire: what was held has left, or not, before the store says whose it is.
    """

    def __init__(self, clock: Clock, observer: Observer, chance: Chance) -> None:
        self.clock, self.observer, self.chance = clock, observer, chance
        self.held: set[str] = set()
        self.met, self.refuses = 0, chance.below(2)
        self.freezes_at = clock.monotonic() + chance.uniform(*FREEZES_SECONDS)
        self.dead = False
        self.closed = asyncio.Event()
        self.wire, self.disk = asyncio.Event(), asyncio.Event()
        self.wire.set()
        self.disk.set()

    def close(self) -> None:
        self.wire.clear()
        self.disk.clear()
        self.closed.set()
        self.observer.event("takeover.froze")

    def open(self) -> None:
        if not self.is_closed:
            return
        self.wire.set()
        seconds = 0.0 if self.chance.happens(0.2) else self.chance.uniform(*DISK_SECONDS)
        asyncio.get_running_loop().call_later(seconds, self.disk.set)
        self.observer.event("takeover.thawed", held=len(self.held), met=self.met)

    @property
    def is_closed(self) -> bool:
        return not self.wire.is_set()


class Frozen(msgspec.Struct):
    """The transport of the first daemon: what it had in hand when it froze never left, or was refused at the door, or
    arrived; either way it goes on only when it wakes."""

    ice: Ice
    inner: Transport

    async def send(self, request: Request) -> Response:
        ice = self.ice
        due = request.operation == CREATE and ice.clock.monotonic() >= ice.freezes_at
        first = due and not ice.closed.is_set()
        if first:
            ice.close()
        if not ice.is_closed:
            response = await self.inner.send(request)
        elif request.write:
            response = await self._held(request, arrives=not first and ice.chance.happens(0.3))
        else:
            await ice.wire.wait()
            response = await self.inner.send(request)
        await ice.wire.wait()
        return response

    async def _held(self, request: Request, *, arrives: bool) -> Response:
        ice = self.ice
        if arrives:
            return await self.inner.send(request)
        if request.operation == CREATE:
            ice.held.add(reference(request))
        ice.met += 1
        if ice.met % 2 == ice.refuses:
            await ice.wire.wait()
            ice.observer.event("takeover.was_refused", operation=request.operation)
            return Response(429, {"retry-after": "1"}, b"<html>", ice.clock.monotonic())
        await ice.wire.wait()
        try:
            return await self.inner.send(request)
        except TooLate:
            ice.observer.event("takeover.was_too_late", operation=request.operation)
            raise

    async def close(self) -> None:
        await self.inner.close()


class Waking(msgspec.Struct):
    """The transport of the second daemon: it wakes the first when it sends what that one holds, and hears of it late."""

    ice: Ice
    inner: Transport

    async def send(self, request: Request) -> Response:
        ice = self.ice
        if not ice.is_closed or request.operation != CREATE or reference(request) not in ice.held:
            return await self.inner.send(request)
        before = ice.chance.happens(0.5)
        if before:
            ice.open()
        try:
            return await self.inner.send(request)
        finally:
            ice.open()
            await ice.clock.sleep(ice.chance.uniform(*ANSWER_SECONDS))

    async def close(self) -> None:
        await self.inner.close()


class Takeover(msgspec.Struct):
    """The day of both."""

    first: Assembly
    again: Again
    ice: Ice
    turn: asyncio.Lock
    killed_after: float | None
    run: Callable[[], Awaitable[None]]
    stop: Callable[[], None]
    second: Assembly | None = None
    stopped: bool = False

    async def day(self) -> None:
        first = asyncio.ensure_future(self._ends())
        frozen = asyncio.ensure_future(self.ice.closed.wait())
        await asyncio.wait((first, frozen), return_when=asyncio.FIRST_COMPLETED)
        frozen.cancel()
        if not self.stopped and not first.done():
            await self._taken_over(first)
        if not self.ice.dead:
            await first

    async def _taken_over(self, first: asyncio.Future[None]) -> None:
        ice = self.ice
        await ice.clock.sleep(ice.chance.uniform(*TAKEN_OVER_SECONDS))
        async with self.turn:
            self.second = await self.again()
            one_at_a_time(self.second.core.store, self.turn)
        if self.killed_after is not None:
            self._share_numbers(self.first.core.store, self.second.core.store)
        reaches_by(self.second, lambda inner: Waking(ice, inner))
        watch = asyncio.ensure_future(self._wakes(first))
        if not self.stopped:
            await self.second.daemon.run()
        watch.cancel()
        await self.second.close()

    def _share_numbers(self, woken: Any, holder: Any) -> None:
        """Else most of what the first one writes would fail on a number given out twice, and hide what is looked for."""
        woken.next_seq = holder.next_seq

    async def _wakes(self, first: asyncio.Future[None]) -> None:
        ice = self.ice
        early = ice.chance.happens(0.2)
        wakes_at = ice.clock.monotonic() + (
            ice.chance.uniform(0.0, EARLY_SECONDS) if early else WAKES_SECONDS
        )
        while ice.is_closed and ice.clock.monotonic() < wakes_at:
            await ice.clock.sleep(0.5)
        ice.open()
        await ice.clock.sleep(ENDS_SECONDS if self.killed_after is None else self.killed_after)
        if self.killed_after is not None:
            ice.dead = True
            first.cancel()
        elif not first.done():
            ice.observer.event("takeover.failed", error="it works on beside its successor")

    async def _ends(self) -> None:
        """By itself, once another one holds its store."""
        try:
            await self.run()
        except ExceptionGroup as group:
            if self.second is None or group.split(Broken)[1] is not None:
                raise
            self.ice.observer.event("takeover.was_fenced")

    def end(self) -> None:
        self.stopped = True
        self.ice.open()
        self.ice.disk.set()
        self.stop()
        if self.second is not None:
            self.second.daemon.stop()


def takeover(assembly: Assembly, again: Again, world: World, *, killed_after: float | None = None) -> None:
    """The first one ends by itself once it wakes; or somebody kills it so many seconds later."""
    core = assembly.core
    ice = Ice(core.clock, core.observer, cast("Chance", core.random).fork("takeover"))
    turn = asyncio.Lock()
    reaches_by(assembly, lambda inner: Frozen(ice, inner))
    one_at_a_time(core.store, turn, ice)
    daemon: Any = assembly.daemon
    both = Takeover(assembly, again, ice, turn, killed_after, daemon.run, daemon.stop)
    daemon.run, daemon.stop = both.day, both.end


def reaches_by(assembly: Assembly, wrapped: Callable[[Transport], Transport]) -> None:
    for link in assembly.network.all:
        link.http._transport = wrapped(link.http._transport)


def one_at_a_time(store: Store, turn: asyncio.Lock, ice: Ice | None = None) -> None:
    """SQLite lets one write, and has the others wait, which here would be the whole process."""
    writer: Any = store._writer
    database: Any = store.database
    once, snapshot = writer._once, database.snapshot

    async def written(jobs: Sequence[Any]) -> None:
        if ice is not None:
            await ice.disk.wait()
        async with turn:
            if ice is not None and ice.dead:
                raise Broken("its process was killed")
            await once(jobs)

    async def read(query: Any) -> Any:
        if ice is not None:
            await ice.disk.wait()
        found = await snapshot(query)
        if ice is not None:
            await ice.disk.wait()
        return found

    writer._once, database.snapshot = written, read


def reference(request: Request) -> str:
    entries = msgspec.json.decode(request.body)["meta_data"]
    return next(str(x["value"]) for x in entries if x["key"] == REF_META)


def _busy(seed: int) -> Scenario:
    return plan(seed, order_every_seconds=12.0, orders_max=40, stock=200, active=1000.0)


TAKEOVERS: dict[str, Focus] = {
    "takeover": Focus(scenario=_busy, constants=(NO_LOCK,), helper=takeover),
    # What each write guards by itself, where nobody asks whose the store is.
    "woken": Focus(
        scenario=_busy,
        constants=(NO_LOCK, NO_FENCE),
        helper=partial(takeover, killed_after=10.0),
        excused="alarm: .*(Fenced|Violated)",
    ),
}
