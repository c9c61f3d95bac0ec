"""One daemon on a machine where others run: killed and started again while its neighbours go on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from msgspec.structs import replace

from marketsync import bootstrap
from marketsync.bootstrap import Assembly
from marketsync.config import Config, parse
from marketsync.ports import Request, Response
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.faults import Exchange, FaultyTransport
from marketsync.store.lock import DirectoryLock
from tests.simulation.clerk import Clerk
from tests.simulation.harness import _line, outside_ended
from tests.simulation.inline import Inline
from tests.simulation.life import Ear, Killed, VirtualClock
from tests.simulation.loop import SeededLoop
from tests.simulation.neighbours import Neighbour
from tests.simulation.scenario import ADAPTERS, LANDS_WITHIN, SHOP
from tests.simulation.witness import Watched

PAUSE_SECONDS = (0.5, 20.0)
BURIALS_MAX = 600
LOOK_SECONDS = 10.0
LOST = ("connection.went_down", "connection.was_paused", "delivery.was_parked", "conflict.was_found")
"""What says that something is wrong with a connection."""
SILENT_SECONDS = 180.0
"""A marketplace is called once a minute. The first list of a life may come too soon after the last one of the life before: then its
refusal is waited out, and the place in the budget that it took."""


class Machine(Protocol):
    """What the daemons on it have in common. `abrupt`: when it is done, it is switched off."""

    chance: Chance
    loop: SeededLoop
    clock: VirtualClock
    locks: list[DirectoryLock]
    failures: list[str]
    log: list[str]
    exchanges: list[Exchange]
    done: asyncio.Event
    abrupt: bool


class Household:
    """One daemon with its state, through all its lives. `merchant` is whose it is."""

    def __init__(
        self, town: Machine, merchant: str, neighbours: Sequence[Neighbour], directory: Path, crashes: Sequence[float]
    ) -> None:  # fmt: skip
        self.town = town
        self.merchant = merchant
        self.neighbours = neighbours
        self.directory = directory
        self.crashes = sorted(crashes)
        self.lives = 0
        self.named = frozenset(name for x in neighbours for name in x.house.names)
        written: dict[str, Any] = {}
        for neighbour in neighbours:
            neighbour.world.books.merchant = merchant  # type: ignore[assignment]
            written |= neighbour.connections(directory)
        self.config: Config = parse(
            {"daemon": {"state_dir": directory, "merchant": merchant}, "connections": written}
        )

    async def live(self) -> None:
        """Until the town is done with it: killed, and started again after a while."""
        while not self.town.done.is_set():
            self.lives += 1
            chance = self.town.chance.fork(f"life {self.merchant} {self.lives}")
            await _Life(self, chance).run()
            if not self.town.done.is_set():
                await self.town.clock.sleep(chance.uniform(*PAUSE_SECONDS))

    def next_crash(self) -> float | None:
        now = self.town.loop.time()
        while self.crashes and self.crashes[0] <= now:
            self.crashes.pop(0)
        return self.crashes[0] if self.crashes else None


class _Points:
    """The process ends where it comes to its chosen boundary; what is left of it then reaches nothing any more."""

    def __init__(self, inline: Inline) -> None:
        self.passed, self.crash_at = 0, 0
        self.killed = asyncio.Event()
        self._inline = inline

    @property
    def dead(self) -> bool:
        return self.killed.is_set()

    def reach(self, name: str) -> None:
        if self.dead:
            raise Killed
        self.passed += 1
        if self.passed == self.crash_at:
            self.kill()
            raise Killed

    def kill(self) -> None:
        self.killed.set()
        self._inline.cut()


class _Clock(VirtualClock):
    """Of one process: what it says after its end nobody hears."""

    points: _Points

    @property
    def over(self) -> bool:
        return self._loop.over or self.points.dead


class _Ear(Ear):
    """Also hears whose names stand in the labels."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock)
        self.labels: set[str] = set()

    def count(self, metric: str, amount: float = 1, /, **labels: str) -> None:
        self._hear(labels)

    def gauge(self, metric: str, value: float, /, **labels: str) -> None:
        self._hear(labels)

    def observe(self, metric: str, seconds: float, /, **labels: str) -> None:
        self._hear(labels)

    def event(self, name: str, /, **fields: Any) -> None:
        super().event(name, **fields)
        self._hear(fields)

    def _hear(self, labels: Mapping[str, Any]) -> None:
        self.labels |= {str(labels[key]) for key in ("connection", "target") if labels.get(key)}


class _Life:
    def __init__(self, household: Household, chance: Chance) -> None:
        self.household = household
        self.town = household.town
        self.chance = chance
        self.inline = Inline()
        self.points = _Points(self.inline)
        self.clock = _Clock(self.town.loop, 0, 0.0)
        self.clock.points = self.points
        self.ear = _Ear(self.clock)
        self.doors = {
            x.house.name: Watched(
                x.witness,
                self.clock,
                FaultyTransport(x.mischief, self.clock, x.dice, _lands_within, self.points.reach),
            )
            for x in household.neighbours
        }

    async def run(self) -> None:
        self._arm()
        try:
            assembly = await self._built()
            if assembly is not None:
                await self._work(assembly)
        finally:
            self._note_end()

    async def _built(self) -> Assembly | None:
        """None where it dies at its start."""
        building = asyncio.ensure_future(self._build())
        killed = asyncio.ensure_future(self.points.killed.wait())
        await asyncio.wait((building, killed), return_when=asyncio.FIRST_COMPLETED)
        killed.cancel()
        if self.points.dead:
            building.cancel()
            await asyncio.gather(building, return_exceptions=True)
            return None
        return building.result()

    async def _build(self) -> Assembly:
        return await bootstrap.build(
            self.household.config,
            clock=self.clock,
            random=self.chance.fork("daemon"),
            observer=self.ear,
            transport=_Streets(self),
            crash=self.points,
            sqlite_connect=self.inline.connect,
            adapters=ADAPTERS,
        )

    async def _work(self, assembly: Assembly) -> None:
        household, town = self.household, self.town
        work = asyncio.ensure_future(assembly.daemon.run())
        clerks = [asyncio.ensure_future(self._clerk(assembly, x)) for x in household.neighbours]
        clerks.append(asyncio.ensure_future(self._look_at_gates(assembly)))
        ends = [asyncio.ensure_future(x.wait()) for x in (self.points.killed, town.done)]
        await asyncio.wait((work, *ends), return_when=asyncio.FIRST_COMPLETED)
        if town.abrupt and not work.done():
            self.points.kill()
        if not self.points.dead and work.done():
            town.failures.append(f"{household.merchant}: the daemon ended by itself: {work.exception()!r}")
        assembly.daemon.stop()
        if self.points.dead:
            await self._bury(assembly, work)
        await asyncio.gather(work, *map(outside_ended, (*clerks, *ends)), return_exceptions=True)
        if not self.points.dead:
            await assembly.close()

    async def _bury(self, assembly: Assembly, work: asyncio.Future[None]) -> None:
        """What it still tries reaches nothing. A loop that is cancelled while its store goes away hears of the store alone,
        and goes on: it is told again."""
        assembly.core.store.abandon()
        for _ in range(BURIALS_MAX):
            work.cancel()
            for task in sorted(asyncio.all_tasks(), key=hash):
                frame = getattr(task.get_coro(), "cr_frame", None)
                if frame is not None and getattr(frame.f_locals.get("self"), "_core", None) is assembly.core:
                    task.cancel()
            await asyncio.wait((work,), timeout=1.0)
            if work.done():
                return
        raise AssertionError("a killed daemon does not end")

    async def _clerk(self, assembly: Assembly, neighbour: Neighbour) -> None:
        if neighbour.house.scenario.needs_clerk:
            planted = neighbour.mischief.planted
            await Clerk(assembly, planted, neighbour.dice, neighbour.house.names).work()

    async def _look_at_gates(self, assembly: Assembly) -> None:
        """Nothing is paused or down where all is calm."""
        names = [name for x in self.household.neighbours if x.house.calm for name in sorted(x.house.names)]
        while names:
            await self.clock.sleep(LOOK_SECONDS)
            if self.points.dead:
                return
            for name in names:
                link = assembly.network.link(name)
                if link is not None and (link.gate.paused or link.gate.is_open):
                    what = (
                        f"not left in peace: {name} is stopped: {link.gate.paused or link.gate.last_failure}"
                    )
                    self.town.failures.append(f"{self.household.merchant}: {what}")
                    names = []

    def _arm(self) -> None:
        at = self.household.next_crash()
        if at is None:
            return
        after = self.chance.below(12)

        def strike() -> None:
            if after == 0:
                self.points.kill()
            else:
                self.points.crash_at = self.points.passed + after

        self.town.loop.call_at(at, strike)

    def _note_end(self) -> None:
        town, household = self.town, self.household
        self.inline.cut()
        for lock in [x for x in town.locks if Path(x.directory) == household.directory]:  # type: ignore[attr-defined]
            town.locks.remove(lock)
            lock.release()
        who = household.merchant
        for neighbour in household.neighbours:
            now = town.clock.now()
            neighbour.witness.troubles.append((now, now))
            town.exchanges += self._log(neighbour)
        strangers = sorted(self.ear.labels - household.named)
        town.failures += [f"{who}: a label names {name}" for name in strangers]
        town.failures += [f"{who}: alarm: {line}" for line in self.ear.alarms]
        town.failures += [f"{who}: {line}" for line in _lost(self.ear, household)]
        for neighbour in household.neighbours:
            town.failures += [f"{who}: {line}" for line in _silent(neighbour, self._log(neighbour))]
        said = [*self.ear.lines, *(_line(x) for y in household.neighbours for x in self._log(y))]
        end = f"{town.clock.now():%H:%M:%S.%f} --- {who}: the life ends"
        town.log += [*(f"{line[:15]} {who} {line[16:]}" for line in said), end]

    def _log(self, neighbour: Neighbour) -> list[Exchange]:
        return self.doors[neighbour.house.name]._inner.log


def _lost(ear: Ear, household: Household) -> list[str]:
    """Nothing may be wrong where all is calm, whatever befalls the neighbour."""
    calm = [name for x in household.neighbours if x.house.calm for name in x.house.names]
    return [
        f"not left in peace: {line}"
        for line in ear.lines
        if any(f" {event} " in line for event in LOST) and any(f"'connection': '{x}'" in line for x in calm)
    ]


def _silent(neighbour: Neighbour, log: Sequence[Exchange]) -> Iterator[str]:
    """No budget, pause or circuit of the neighbour's holds up what is calm."""
    for name in neighbour.house.markets if neighbour.house.calm else ():
        times = [x.at for x in log if x.connection == name]
        for before, after in pairwise(times):
            if (after - before).total_seconds() > SILENT_SECONDS:
                yield f"not left in peace: {name} was not called from {before:%H:%M:%S} to {after:%H:%M:%S}"


def _lands_within(name: str) -> float:
    return LANDS_WITHIN.get(name, LANDS_WITHIN[SHOP])


class _Streets:
    """The transport of one daemon: the address says where a request arrives."""

    def __init__(self, life: _Life) -> None:
        self._life = life

    async def send(self, request: Request) -> Response:
        life, town = self._life, self._life.town
        name, house = (urlsplit(request.url).hostname or "").split(".")[:2]
        door = life.doors.get(house)
        if door is None or name != request.connection:
            who = f"{life.household.merchant}/{request.connection}"
            town.failures.append(f"crossed: {who} sent {request.operation} to {name}.{house}")
            door = door or next(iter(life.doors.values()))
            request = replace(request, connection=name)
        response = await door.send(request)
        if life.points.dead:
            raise Killed
        return response

    async def close(self) -> None:
        return None
