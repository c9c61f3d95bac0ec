"""Two merchants with a daemon each, or one merchant whose marketplaces go to different shops, in one loop.

Where a request arrives its address decides, and not who sent it. Each shop is judged by itself, by its own world and by what our
own file says of it alone.

"merchants": two daemons, each with a directory of its own. "lodgers": the second merchant's daemon was killed in the midst of
its work, and the first one's goes on beside its rows in one database. "shops": one daemon, and a route.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from pathlib import Path

from marketsync.sandbox.chance import Chance
from marketsync.sandbox.faults import Exchange, Rates
from marketsync.store.lock import DirectoryLock
from tests.simulation.apart import away, crossed, foreign, known_here, own_view, refused_needlessly
from tests.simulation.harness import QUIET_LOOKS, Outcome, _directory, _no_collector, outside_ended
from tests.simulation.household import Household
from tests.simulation.invariants import at_rest, broken, oversold
from tests.simulation.life import VirtualClock, known_locks
from tests.simulation.loop import SeededLoop, Stalled, quietly
from tests.simulation.neighbours import Neighbour, houses

KINDS = ("merchants", "lodgers", "shops")
LODGED_SECONDS = 400.0
# For its last minutes nearly nothing gets through, so that it leaves much that is queued and in doubt.
CUT_OFF_SECONDS = 250.0
CUT_OFF = Rates(not_sent=0.5, answer_lost=0.2, request_lost=0.1)
STEPS_MAX = 6_000_000


class Town:
    """All that stands side by side, in one loop."""

    def __init__(self, kind: str, seed: int, directory: Path, locks: list[DirectoryLock]) -> None:
        self.kind, self.seed, self.locks = kind, seed, locks
        self.chance = Chance(seed).fork(kind)
        self.loop = SeededLoop(self.chance.fork("schedule"), steps_max=STEPS_MAX)
        self.clock = VirtualClock(self.loop, 0, 0.0)
        self.failures: list[str] = []
        self.log: list[str] = []
        self.exchanges: list[Exchange] = []
        self.neighbours = [Neighbour(house, self.chance.fork(house.name)) for house in houses(kind, seed)]
        self.households = self._households(directory)
        self.scenario = self.neighbours[0].house.scenario
        self.done: asyncio.Event
        self.abrupt = False

    def _households(self, directory: Path) -> list[Household]:
        if self.kind == "shops":
            both = [x for n in self.neighbours for x in self._crash_times(n)]
            return [Household(self, "main", self.neighbours, directory, both)]
        found = []
        for neighbour in self.neighbours[: 1 if self.kind == "lodgers" else 2]:
            state = directory if self.kind == "lodgers" else directory / neighbour.house.name
            state.mkdir(mode=0o700, exist_ok=True)
            found.append(
                Household(self, neighbour.house.name, [neighbour], state, self._crash_times(neighbour))
            )
        return found

    def _crash_times(self, neighbour: Neighbour) -> list[float]:
        chance, scenario = self.chance.fork(f"crashes {neighbour.house.name}"), neighbour.house.scenario
        return [chance.uniform(1.0, scenario.active_seconds) for _ in range(scenario.crashes)]

    @property
    def lived_in(self) -> list[tuple[Household, Neighbour]]:
        return [(household, x) for household in self.households for x in household.neighbours]

    def run(self, *, seconds: float | None = None) -> None:
        """`seconds`: it is switched off then, and nobody waits for anything to come to rest."""
        self.abrupt = seconds is not None
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self._day(seconds))
        except Stalled as error:
            self.failures.append(f"stalled: {error}")
        finally:
            self.failures += [f"loop: {line}" for line in self.loop.troubles if not _of_the_dead(line)]
            while self.locks:
                self.locks.pop().release()
            self.loop.bury()
            asyncio.set_event_loop(None)

    async def _day(self, seconds: float | None) -> None:
        self.done = asyncio.Event()
        outside = [asyncio.ensure_future(x.world.run(self.clock)) for _, x in self.lived_in]
        lives = [asyncio.ensure_future(x.live()) for x in self.households]
        watch = asyncio.ensure_future(self._watch(seconds))
        await asyncio.wait((watch, *lives), return_when=asyncio.FIRST_COMPLETED)
        self.done.set()
        await asyncio.gather(*map(outside_ended, outside), *lives, watch)

    async def _watch(self, seconds: float | None) -> None:
        scenario = self.scenario
        await self.clock.sleep(scenario.active_seconds if seconds is None else seconds)
        if seconds is not None:
            return
        for _, neighbour in self.lived_in:
            neighbour.quiet()
        looks, until = 0, scenario.active_seconds + scenario.drain_seconds
        while looks < QUIET_LOOKS:
            if self.loop.time() > until:
                self.failures.append("not at rest after the drain")
                return
            await self.clock.sleep(scenario.look_seconds)
            looks = looks + 1 if all(self._rests(*pair) for pair in self.lived_in) else 0

    def _rests(self, household: Household, neighbour: Neighbour) -> bool:
        world = neighbour.world
        if world.now <= neighbour.mischief.over_at or world.unfinished():
            return False
        with own_view(household.directory, household.merchant, neighbour.house.names) as view:
            return at_rest(world, view)

    def judge(self) -> None:
        for household, neighbour in self.lived_in:
            house, world = neighbour.house, neighbour.world
            with own_view(household.directory, household.merchant, house.names) as view:
                found = [
                    *broken(house.scenario, world, view, neighbour.excused),
                    *oversold(world, view, neighbour.witness, planted=neighbour.mischief.planted),
                    *crossed(view, dict.fromkeys(house.markets, house.shop)),
                ]
            if house.calm:
                found += refused_needlessly(world)
            self.failures += [f"{house.name}: {line}" for line in found]
        for household in self.households:
            self.failures += [
                f"{household.merchant}: {x}" for x in away(household.directory, household.named)
            ]

    def outcome(self, began: float) -> Outcome:
        audits = [x.world.audit() for _, x in self.lived_in]
        injected: dict[str, int] = {"crash": sum(x.lives - 1 for x in self.households)}
        for _, x in self.lived_in:
            for fault, count in x.dice.injected.items():
                injected[fault.value] = injected.get(fault.value, 0) + count
            for kind, count in x.mischief.counts().items():
                injected[kind] = injected.get(kind, 0) + count
        text = [repr(x) for x in self.exchanges] + [repr((self.loop.steps, x.created)) for x in audits]
        return Outcome(
            seed=self.seed,
            failures=tuple(self.failures),
            digest=hashlib.sha256("\n".join(text).encode()).hexdigest()[:16],
            lives=sum(x.lives for x in self.households),
            steps=self.loop.steps,
            boundaries=0,
            virtual_seconds=self.loop.time(),
            cpu_seconds=time.process_time() - began,
            orders=sum(x.created for x in audits),
            oversold=sum(x.oversold for x in audits),
            injected=injected,
            log=tuple(sorted(self.log, key=lambda line: line[:15])),
        )


def _of_the_dead(line: str) -> bool:
    return any(word in line for word in ("Killed", "this life is over", "CancelledError"))


def side_by_side(kind: str, seed: int) -> Outcome:
    began = time.process_time()
    with _directory() as directory, known_locks() as locks, quietly(), _no_collector():
        before = _lodged(seed, directory, locks) if kind == "lodgers" else []
        if before:
            known_here(directory, "north")
        town = Town(kind, seed, directory, locks)
        town.run()
        town.judge()
        if kind == "lodgers" and foreign(directory, "south") != before:
            town.failures.append("what another merchant has in the same database was touched")
        return town.outcome(began)


def _lodged(seed: int, directory: Path, locks: list[DirectoryLock]) -> list[str]:
    """Leaves in the database what another merchant's daemon had there when it was killed in the midst of its work."""
    town = Town("lodgers", seed, directory, locks)
    south = town.neighbours[1]
    town.households = [Household(town, "south", [south], directory, ())]
    town.loop.call_at(CUT_OFF_SECONDS, setattr, south.dice, "rates", CUT_OFF)
    town.run(seconds=LODGED_SECONDS)
    return foreign(directory, "south")
