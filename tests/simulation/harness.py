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
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from marketsync import bootstrap
from marketsync.bootstrap import Assembly
from marketsync.errors import StoreError
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.faults import Exchange, FaultyTransport
from marketsync.sandbox.mischief import Mischievous
from marketsync.sandbox.rehearsal import new_world
from marketsync.store.lock import DirectoryLock
from marketsync.store.unit import Busy
from tests.simulation.clerk import Clerk, Excused
from tests.simulation.disk import Disk, DiskRates
from tests.simulation.inline import Inline
from tests.simulation.invariants import at_rest, broken, oversold
from tests.simulation.ledger import kept_open
from tests.simulation.life import Boundaries, Ear, VirtualClock, known_locks
from tests.simulation.loop import LifeOver, SeededLoop, Stalled, quietly
from tests.simulation.machine import Wall
from tests.simulation.rare import Tally, final
from tests.simulation.scenario import (
    LANDS_WITHIN,
    START,
    Scenario,
    adapters_of,
    configuration,
    stage_of,
    virtual,
)
from tests.simulation.script import Script, ScriptDice
from tests.simulation.story import concerned, history_of, tell
from tests.simulation.witness import STOCK_READS, Watched, Witness

QUIET_LOOKS = 3
REBOOTS = 0.25
# The bystander takes what the shop said of its stock for what was true then.
NEVER_STALE = STOCK_READS
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
    reached: dict[str, int] = {}
    named: dict[str, int] = {}
    log: tuple[str, ...] = ()
    script: Script | None = None
    story: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.failures


def simulate(
    scenario: Scenario, keep: Path | None = None, script: Script | None = None, order: str = ""
) -> Outcome:
    """`keep`: a directory that gets the database as it is at the end. `script`: the faults and crashes that happen, instead
    of those that are drawn. `order`: the one whose story is told, if not those that a failure names."""
    began = time.process_time()
    with _directory() as directory, known_locks() as locks, quietly(), _no_collector():
        outcome = _Seed(scenario, directory, locks, script).live(began, order)
        if keep is not None:
            shutil.copytree(directory, keep, dirs_exist_ok=True)
        return outcome


class _Seed:
    def __init__(
        self, scenario: Scenario, directory: Path, locks: list[DirectoryLock], script: Script | None = None
    ) -> None:
        self.scenario = scenario
        self.locks = locks
        self.directory = directory
        self.chance = Chance(scenario.seed)
        stage = stage_of(scenario, self.chance.fork("stage"))
        self.world = new_world(stage, adapters_of(scenario), self.chance.fork("people"))
        if scenario.plot is not None:
            scenario.plot(self.world)
        self.witness = Witness(self.world)
        self.config = configuration(
            stage, self.world, directory, scenario.core, scenario.settings, small=scenario.small_pages
        )
        self.mischief = Mischievous(
            self.witness, self.world, scenario.mischief, self.chance.fork("mischief"), NEVER_STALE,
            again_seconds=scenario.again_seconds,
        )  # fmt: skip
        self.wall = Wall(scenario, self.chance.fork("wall"))
        self.tally = Tally()
        self.disk: dict[str, int] = {}
        self.ends: list[tuple[datetime, bool]] = []
        self.dice = ScriptDice(scenario.rates, self.chance.fork("faults"), script)
        self.crash_times = self._crash_times() if script is None else list(script.crashes)
        self.played = Script(seed=scenario.seed, crashes=tuple(self.crash_times))
        self.exchanges: list[Exchange] = []
        self.failures: list[str] = []
        self.log: list[str] = []
        self.boundaries = 0
        self.named: dict[str, int] = {}
        self.steps = 0
        self.boots = 0
        self.booted_at = 0.0

    def live(self, began: float, order: str = "") -> Outcome:
        at, lives = 0.0, 0
        while True:
            lives += 1
            step = self.scenario.step if lives == 1 else 0
            loop = SeededLoop(self.chance.fork(f"schedule {lives}"), at, step)
            crashed = self._life(loop)
            at = loop.time()
            self.steps += loop.steps
            if not crashed or lives == LIVES_MAX:
                break
            pause = self.chance.fork(f"pause after {self.steps} steps")
            at += pause.uniform(0.5, 20.0)
            self.world.advance(virtual(at))
            booted = pause.happens(REBOOTS)
            if booted:
                self.boots, self.booted_at = self.boots + 1, at
            self.ends.append((virtual(loop.time()), booted))
        with kept_open(self.directory):
            return self._judged(began, at, lives, order)

    def _judged(self, began: float, at: float, lives: int, order: str) -> Outcome:
        excused = Excused(self.world, self.mischief.planted, self.dice)
        self.failures += broken(self.scenario, self.world, self.directory, excused)
        self.failures += oversold(
            self.world, self.directory, self.witness, self.wall.moments, self.mischief.planted
        )
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
            injected=self._injected(at),
            reached=final(self.directory, self.tally, self.exchanges, self.ends, self.wall.true),
            named=self.named,
            log=tuple(self.log),
            script=replace(self.played, faults=dict(self.dice.played)),
            story=self._told(order),
        )

    def _told(self, order: str) -> tuple[str, ...]:
        """Of the order that was asked for, or of one that a failure is about."""
        chosen = order or concerned(self.failures, self.world)
        if not chosen:
            return ()
        ends = [(at, "and the machine with it" if booted else "") for at, booted in self.ends]
        history = history_of(self.directory, chosen, self.wall.true)
        return tuple(tell(chosen, self.world, self.witness, history, ends))

    def _injected(self, at: float) -> dict[str, int]:
        scenario = self.scenario
        others = {
            "crash": len(self.ends),
            "reboot": self.boots,
            "wall_moved": self.wall.moved(at),
            "clock_skewed": int(scenario.skewed),
            "visibility_lag": int(scenario.skewed),
            "lookup_lag": int(scenario.lookup_lag),
            "small_pages": int(scenario.small_pages),
        }
        drawn = {fault.value: count for fault, count in self.dice.injected.items()}
        return drawn | self.mischief.counts() | self.disk | {x: n for x, n in others.items() if n}

    def _crash_times(self) -> list[float]:
        chance = self.chance.fork("crashes")
        span = self.scenario.active_seconds
        return sorted(chance.uniform(1.0, span) for _ in range(self.scenario.crashes))

    def _life(self, loop: SeededLoop) -> bool:
        """True if it was killed."""
        inline = Inline()
        clock = VirtualClock(loop, self.boots, self.booted_at)
        ear = Ear(clock, self.tally, bad_disk=self.scenario.disk != DiskRates())
        points = Boundaries(loop, inline, self.boundaries, self.scenario.boundary)
        if self.scenario.statements:
            inline.reach = points.reach
        if self.scenario.disk != DiskRates():
            inline.disk = Disk(self.scenario.disk, self.chance.fork(f"disk {loop.time()}"), loop.time)
        transport = FaultyTransport(self.mischief, clock, self.dice, LANDS_WITHIN.__getitem__, points.reach)
        self._arm(loop, points)
        asyncio.set_event_loop(loop)
        try:
            watched = Watched(self.witness, clock, transport)
            loop.run_until_complete(_Day(self, clock, ear, points, inline, watched).run())
        except LifeOver:
            return True
        except Stalled as error:
            self.failures.append(f"stalled: {error}")
        finally:
            self.boundaries = points.passed
            for kind, count in (inline.disk.injected if inline.disk else {}).items():
                self.disk[kind] = self.disk.get(kind, 0) + count
            for name, count in points.named.items():
                self.named[name] = self.named.get(name, 0) + count
            self.witness.troubles.append((clock.now(), clock.now()))
            troubled = inline.disk.troubled if inline.disk else []
            self.witness.troubles += [(virtual(begin), virtual(end)) for begin, end in troubled]
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
        after = self.chance.fork(f"crash at {self.crash_times[0]}").below(12)

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
    transport: Watched

    async def run(self) -> None:
        outside = asyncio.ensure_future(self.seed.world.run(self.clock))
        clock = VirtualClock(
            self.clock._loop, self.clock._boot, self.clock._booted_at, self.seed.wall.wrong_by
        )
        assembly = await self._built(clock)
        clerk = asyncio.ensure_future(self._clerk(assembly))
        work = asyncio.ensure_future(assembly.daemon.run())
        watch = asyncio.ensure_future(self._watch(work))
        await asyncio.wait((work, watch), return_when=asyncio.FIRST_COMPLETED)
        self._end_by_disk()
        if not watch.done():
            self.seed.failures.append(f"the daemon ended by itself: {work.exception()!r}")
            watch.cancel()
        assembly.daemon.stop()
        await asyncio.gather(
            work, watch, outside_ended(outside), outside_ended(clerk), return_exceptions=True
        )
        await assembly.close()

    async def _built(self, clock: VirtualClock) -> Assembly:
        """Who finds a bad disk at the start ends, and is started again."""
        try:
            return await self._build(clock)
        except (StoreError, Busy):
            if not self.inline.disk or not self.inline.disk.injected:
                raise
            raise LifeOver from None

    async def _clerk(self, assembly: Assembly) -> None:
        if self.seed.scenario.needs_clerk:
            await Clerk(assembly, self.seed.mischief.planted, self.seed.dice).work()

    def _end_by_disk(self) -> None:
        if self.inline.disk and self.inline.disk.broken:
            self.seed.tally.ended_by_disk()
            raise LifeOver

    async def _build(self, clock: VirtualClock) -> Assembly:
        return await bootstrap.build(
            self.seed.config,
            clock=clock,
            random=self.seed.chance.fork(f"life {self.clock.monotonic()}"),
            observer=self.ear,
            transport=self.transport,
            crash=self.points,
            sqlite_connect=self.inline.connect,
            adapters=adapters_of(self.seed.scenario),
        )

    async def _watch(self, work: asyncio.Future[None]) -> None:
        scenario, world = self.seed.scenario, self.seed.world
        await self._until(scenario.active_seconds)
        world.quiet()
        self.seed.dice.quiet()
        self.seed.mischief.quiet(world.now)
        if self.inline.disk:
            self.inline.disk.quiet()
        looks = 0
        while looks < QUIET_LOOKS and not work.done():
            if self._elapsed() > scenario.active_seconds + scenario.drain_seconds:
                self.seed.failures.append("not at rest after the drain")
                return
            await self.clock.sleep(scenario.look_seconds)
            over = world.now > self.seed.mischief.over_at
            looks = looks + 1 if over and at_rest(world, self.seed.directory) else 0

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
    """What a dead life left behind is collected between seeds, not in the middle of another life, and nothing else is."""
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.collect()
        gc.unfreeze()
        gc.enable()
