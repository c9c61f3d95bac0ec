"""Lives one seed: a world, a daemon that dies and is started again on the same file, a drain, and a judgement."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from marketsync import bootstrap
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.faults import Dice, Exchange, FaultyTransport
from marketsync.sandbox.rehearsal import new_world
from marketsync.store.lock import DirectoryLock
from tests.simulation.inline import Inline
from tests.simulation.invariants import at_rest, broken
from tests.simulation.life import Boundaries, Ear, VirtualClock, known_locks
from tests.simulation.loop import LifeOver, SeededLoop, Stalled, quietly
from tests.simulation.scenario import (
    ADAPTERS,
    LANDS_WITHIN,
    START,
    Scenario,
    configuration,
    stage_of,
    virtual,
)

LOOK_SECONDS = 30.0
QUIET_LOOKS = 3
REBOOTS = 0.25
LIVES_MAX = 50


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one seed came to. `digest` is of everything that happened, in order."""

    seed: int
    failures: tuple[str, ...]
    digest: str
    lives: int
    steps: int
    boundaries: int
    virtual_seconds: float
    cpu_seconds: float
    orders: int
    oversold: int
    injected: dict[str, int]
    log: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.failures


def simulate(scenario: Scenario, keep: Path | None = None) -> Outcome:
    """`keep`: a directory that gets the database as it is at the end."""
    began = time.process_time()
    with _directory() as directory, known_locks() as locks, quietly(), _no_collector():
        outcome = _Seed(scenario, directory, locks).live(began)
        if keep is not None:
            shutil.copytree(directory, keep, dirs_exist_ok=True)
        return outcome


class _Seed:
    def __init__(self, scenario: Scenario, directory: Path, locks: list[DirectoryLock]) -> None:
        self.scenario = scenario
        self.locks = locks
        self.directory = directory
        self.chance = Chance(scenario.seed)
        stage = stage_of(scenario, self.chance.fork("stage"))
        self.world = new_world(stage, ADAPTERS, self.chance.fork("people"))
        self.config = configuration(stage, self.world, directory)
        self.dice = Dice(scenario.rates, self.chance.fork("faults"))
        self.crash_times = self._crash_times()
        self.exchanges: list[Exchange] = []
        self.failures: list[str] = []
        self.log: list[str] = []
        self.boundaries = 0
        self.steps = 0
        self.boots = 0
        self.booted_at = 0.0

    def live(self, began: float) -> Outcome:
        at, lives = 0.0, 0
        while True:
            lives += 1
            loop = SeededLoop(self.chance.fork(f"schedule {lives}"), at)
            crashed = self._life(loop)
            at = loop.time()
            self.steps += loop.steps
            if not crashed or lives == LIVES_MAX:
                break
            at += self.chance.uniform(0.5, 20.0)
            self.world.advance(virtual(at))
            if self.chance.happens(REBOOTS):
                self.boots, self.booted_at = self.boots + 1, at
        self.failures += broken(self.scenario, self.world, self.directory)
        return Outcome(
            seed=self.scenario.seed,
            failures=tuple(self.failures),
            digest=self._digest(),
            lives=lives,
            steps=self.steps,
            boundaries=self.boundaries,
            virtual_seconds=at,
            cpu_seconds=time.process_time() - began,
            orders=self.world.audit().created,
            oversold=self.world.audit().oversold,
            injected={fault.value: count for fault, count in self.dice.injected.items()},
            log=tuple(self.log),
        )

    def _crash_times(self) -> list[float]:
        chance = self.chance.fork("crashes")
        span = self.scenario.active_seconds
        return sorted(chance.uniform(1.0, span) for _ in range(self.scenario.crashes))

    def _life(self, loop: SeededLoop) -> bool:
        """True if it was killed."""
        inline = Inline()
        clock = VirtualClock(loop, self.boots, self.booted_at)
        ear = Ear(clock)
        points = Boundaries(loop, inline, self.boundaries, self.scenario.boundary)
        transport = FaultyTransport(self.world, clock, self.dice, LANDS_WITHIN.__getitem__, points.reach)
        self._arm(loop, points)
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(_Day(self, clock, ear, points, inline, transport).run())
        except LifeOver:
            return True
        except Stalled as error:
            self.failures.append(f"stalled: {error}")
        finally:
            self.boundaries = points.passed
            self.exchanges += transport.log
            self.failures += [f"alarm: {line}" for line in ear.alarms]
            self.failures += [f"loop: {line}" for line in loop.troubles]
            said = [*ear.lines, *(_line(exchange) for exchange in transport.log)]
            self.log += [
                *sorted(said, key=lambda line: line[:15]),
                f"{clock.now():%H:%M:%S.%f} --- the life ends",
            ]
            self._end(loop, inline)
        return False

    def _arm(self, loop: SeededLoop, points: Boundaries) -> None:
        """A crash at its time: at once, or at one of the boundaries that come next."""
        while self.crash_times and self.crash_times[0] <= loop.time():
            self.crash_times.pop(0)
        if not self.crash_times:
            return
        after = self.chance.below(12)

        def strike() -> None:
            if after == 0:
                points.kill()
            else:
                points.crash_at = points.passed + after

        loop.call_at(self.crash_times[0], strike)

    def _end(self, loop: SeededLoop, inline: Inline) -> None:
        inline.cut()
        loop.bury()
        asyncio.set_event_loop(None)
        while self.locks:
            self.locks.pop().release()

    def _digest(self) -> str:
        """Of what went over the wire, when, and of what the sides hold at the end."""
        text = [repr(exchange) for exchange in self.exchanges]
        text += [repr(side.sales(self.world.now)) for side in self.world.marketplaces.values()]
        text += [repr(side.orders()) for side in self.world.shops.values()]
        text.append(repr((self.steps, self.boundaries, self.world.now)))
        return hashlib.sha256("\n".join(text).encode()).hexdigest()[:16]


class _Day(msgspec.Struct):
    """What happens in one life: the daemon works, the world goes on, and somebody looks whether all is done."""

    seed: _Seed
    clock: VirtualClock
    ear: Ear
    points: Boundaries
    inline: Inline
    transport: FaultyTransport

    async def run(self) -> None:
        outside = asyncio.ensure_future(self.seed.world.run(self.clock))
        assembly = await bootstrap.build(
            self.seed.config,
            clock=self.clock,
            random=self.seed.chance.fork(f"life {self.clock.monotonic()}"),
            observer=self.ear,
            transport=self.transport,
            crash=self.points,
            sqlite_connect=self.inline.connect,
            adapters=ADAPTERS,
        )
        work = asyncio.ensure_future(assembly.daemon.run())
        watch = asyncio.ensure_future(self._watch(work))
        await asyncio.wait((work, watch), return_when=asyncio.FIRST_COMPLETED)
        if not watch.done():
            self.seed.failures.append(f"the daemon ended by itself: {work.exception()!r}")
            watch.cancel()
        assembly.daemon.stop()
        await asyncio.gather(work, watch, outside_ended(outside), return_exceptions=True)
        await assembly.close()

    async def _watch(self, work: asyncio.Future[None]) -> None:
        scenario, world = self.seed.scenario, self.seed.world
        await self._until(scenario.active_seconds)
        world.quiet()
        self.seed.dice.quiet()
        looks = 0
        while looks < QUIET_LOOKS and not work.done():
            if self._elapsed() > scenario.active_seconds + scenario.drain_seconds:
                self.seed.failures.append("not at rest after the drain")
                return
            await self.clock.sleep(LOOK_SECONDS)
            looks = looks + 1 if at_rest(world, self.seed.directory) else 0

    def _elapsed(self) -> float:
        return (self.clock.now() - START).total_seconds()

    async def _until(self, seconds: float) -> None:
        await self.clock.sleep(max(0.0, seconds - self._elapsed()))


async def outside_ended(outside: asyncio.Future[Any]) -> None:
    outside.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await outside


def _line(exchange: Exchange) -> str:
    what = f"{exchange.connection} {exchange.operation} {exchange.fault.value} {exchange.status} {exchange.target}"
    return f"{exchange.at:%H:%M:%S.%f} http {what}"


@contextlib.contextmanager
def _directory() -> Iterator[Path]:
    """On memory where the machine has such a place: fsync is what a simulation would wait for."""
    memory = Path("/dev/shm")
    path = Path(tempfile.mkdtemp(prefix="marketsync-", dir=memory if memory.is_dir() else None))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _no_collector() -> Iterator[None]:
    """What a dead life left behind is collected between seeds, not in the middle of another life."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.collect()
