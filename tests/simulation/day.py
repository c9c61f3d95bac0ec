"""A day of one Amazon account between its published budgets: bursts of orders, with hints and without.

`python -m tests.simulation.day [--hours 24] [--orders 2000] [--seed 1]`: the real daemon, the simulated Amazon and shop, virtual
time, a network without faults. Says by its exit code whether no call went over a budget and every order arrived once.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import msgspec

from adapters.amazon.rehearsal import AmazonSide
from adapters.amazon.sandbox_http import RATES
from adapters.woocommerce.rehearsal import WooSide
from marketsync import bootstrap
from marketsync.config import parse
from marketsync.ports import Hint, Request, Response
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.faults import Dice, FaultyTransport, Rates
from marketsync.sandbox.rehearsal import Stage, connections, new_world
from marketsync.sandbox.roles import SidePlan, Ware
from marketsync.sandbox.world import Habits
from tests.simulation.buckets import Call, lowest
from tests.simulation.harness import _directory, outside_ended
from tests.simulation.inline import Inline
from tests.simulation.ledger import rows
from tests.simulation.life import Ear, VirtualClock, known_locks
from tests.simulation.loop import SeededLoop, quietly
from tests.simulation.scenario import ADAPTERS, SHOP, START

AMAZON = "amazon"
BURST = 20
BURST_SECONDS = 3.0
SHIPPED_AFTER_SECONDS = (900.0, 2700.0)
# Each look at an open order is a call to the shop, and its figures are not what is measured.
SHIPMENTS_SECONDS = 300.0
DRAIN_SECONDS = 5 * 3600.0
LOOK_SECONDS = 60.0
WARES = tuple(Ware(f"SKU-{n:02}", 400) for n in range(1, 41))

# Of the messages: how many are lost, come twice, or come late, and when the others come.
LOST, DOUBLED, LATE = 0.03, 0.03, 0.03
HINT_SECONDS, LATE_SECONDS = (0.5, 10.0), (60.0, 1800.0)
MESSAGES_MAX = 10
WAIT_SECONDS = 20

Action = Callable[[datetime], None]


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """`calls` are those that arrived at Amazon, 429s too. `level`: the least that was left of each published bucket just after
    a call, by arrival; below zero it was overdrawn. `waits`: seconds from the moment at which a read by id shows the order as
    paid for, to its release in the shop, sorted; `list_waits` the same from the moment at which the list shows it."""

    hinted: bool
    orders: int
    calls: dict[str, int]
    throttled: dict[str, int]
    level: dict[str, float]
    waits: tuple[float, ...]
    list_waits: tuple[float, ...]
    problems: tuple[str, ...]
    cpu_seconds: float

    @property
    def over(self) -> int:
        return sum(self.throttled.values()) + sum(left < 0 for left in self.level.values())


class Queue:
    """A HintSource in this process: messages come soon or late, in any order, twice or never."""

    def __init__(self, clock: VirtualClock, chance: Chance, seller_id: str) -> None:
        self._clock = clock
        self._chance = chance
        self._seller_id = seller_id
        self._coming: list[tuple[datetime, int, bytes]] = []
        self._number = 0
        self.lost = 0

    def tell(self, now: datetime, order_id: str) -> None:
        change = {"AmazonOrderId": order_id, "SellerId": self._seller_id}
        body = msgspec.json.encode(
            {"NotificationType": "ORDER_CHANGE", "Payload": {"OrderChangeNotification": change}}
        )
        if self._chance.happens(LOST):
            self.lost += 1
            return
        for _ in range(2 if self._chance.happens(DOUBLED) else 1):
            self._number += 1
            late = self._chance.happens(LATE)
            after = self._chance.uniform(*(LATE_SECONDS if late else HINT_SECONDS))
            heapq.heappush(self._coming, (now + timedelta(seconds=after), self._number, body))

    async def receive(self) -> Sequence[Hint]:
        for _ in range(WAIT_SECONDS):
            if self._coming and self._coming[0][0] <= self._clock.now():
                break
            await self._clock.sleep(1.0)
        found: list[Hint] = []
        while len(found) < MESSAGES_MAX and self._coming and self._coming[0][0] <= self._clock.now():
            found.append(Hint(heapq.heappop(self._coming)[2]))
        return found

    async def done(self, hints: Sequence[Hint]) -> None: ...

    async def close(self) -> None: ...


class Day:
    """The far sides and the people: a FarWorld."""

    def __init__(self, stage: Stage, seconds: float, orders: int, chance: Chance, directory: Path) -> None:
        world = new_world(stage, ADAPTERS, chance.fork("people"))
        amazon, shop = world.marketplaces[AMAZON], world.shops[SHOP]
        assert isinstance(amazon, AmazonSide)
        assert isinstance(shop, WooSide)
        self.amazon, self.shop, self.books = amazon, shop, world.books
        addresses = {name: f"https://{name}.example" for name in (AMAZON, SHOP)}
        written = connections(stage, world, addresses, directory)
        written[SHOP]["shipments_seconds"] = SHIPMENTS_SECONDS

        self.config = parse({"daemon": {"state_dir": directory}, "connections": written})
        self.queue: Queue | None = None
        self.calls: list[Call] = []
        self.released: dict[int, datetime] = {}
        self.orders = orders
        self.placed: list[str] = []
        self._chance = chance
        self._agenda: list[tuple[datetime, int, Action]] = []
        self._number = self._told = self._seen = 0
        for first in range(0, orders, BURST):
            at = START + timedelta(seconds=chance.uniform(0.0, seconds))
            for _ in range(min(BURST, orders - first)):
                self._at(at + timedelta(seconds=chance.uniform(0.0, BURST_SECONDS)), self._buy)

    def handle(self, name: str, request: Request, now: datetime) -> Response:
        self._advance(now)
        side = self.amazon if name == AMAZON else self.shop
        response = side.handle(request, now)
        if name == AMAZON and request.operation in RATES:
            self.calls.append(Call(request.operation, now, response.status))
        self._notice(now)
        return response

    def land(self, name: str, request: Request, at: datetime) -> None:
        raise AssertionError("nothing is late in this network")

    async def run(self, clock: VirtualClock) -> None:
        while True:
            next_at = self._agenda[0][0] if self._agenda else clock.now() + timedelta(seconds=LOOK_SECONDS)
            await clock.sleep(max(0.0, (next_at - clock.now()).total_seconds()))
            self._advance(clock.now())

    def at_rest(self) -> bool:
        return len(self.placed) == self.orders and not any(self.missing())

    def missing(self) -> list[str]:
        """Orders that Amazon was not told of as shipped: the last thing that happens to one."""
        sold = self.amazon.sandbox.world.orders
        return [order_id for order_id in self.placed if sold[order_id].status != "SHIPPED"]

    def _advance(self, now: datetime) -> None:
        while self._agenda and self._agenda[0][0] <= now:
            at, _, act = heapq.heappop(self._agenda)
            act(at)
            self._notice(at)

    def _at(self, at: datetime, act: Action) -> None:
        self._number += 1
        heapq.heappush(self._agenda, (at, self._number, act))

    def _buy(self, now: datetime) -> None:
        ware = self._chance.pick(WARES)
        order_id = self.amazon.place_order(now, ((ware.sku, 1 + self._chance.below(2)),))
        assert order_id is not None
        self.placed.append(order_id)
        due = self.amazon.sandbox.world.orders[order_id].due
        self._at(due, self._be_paid)

    def _be_paid(self, now: datetime) -> None:
        self.amazon.sandbox.arrive(now)

    def _notice(self, now: datetime) -> None:
        """Amazon tells of what changed; the shop's people pack what was released."""
        log = self.amazon.sandbox.log
        for event in log[self._told :]:
            if self.queue is not None and event.subject in self.amazon.sandbox.world.orders:
                self.queue.tell(now, event.subject)
        self._told = len(log)
        for truth in self.shop.shop.log[self._seen :]:
            if truth.what == "stock_taken" and truth.order_id and truth.order_id not in self.released:
                self.released[truth.order_id] = now
                after = timedelta(seconds=self._chance.uniform(*SHIPPED_AFTER_SECONDS))
                self._at(now + after, partial(self._ship, truth.order_id))
        self._seen = len(self.shop.shop.log)

    def _ship(self, order_id: int, now: datetime) -> None:
        items = [
            (str(item.id), item.quantity)
            for item in self.shop.shop.orders[order_id].items
            if item.kind == "line"
        ]
        self.shop.ship(now, str(order_id), items, f"TRACK{order_id}")


def live(*, hours: float = 24.0, orders: int = 2000, seed: int = 1, hinted: bool = False) -> Figures:
    """One day, and what is left of it worked off."""
    chance = Chance(seed).fork("day")
    sides = ((AMAZON, SidePlan(AMAZON, WARES, START)), ("woocommerce", SidePlan(SHOP, WARES, START)))
    stage = Stage(sides, WARES, Habits(), START)
    loop = SeededLoop(chance.fork("schedule"), steps_max=100_000_000)
    with _directory() as directory, known_locks(), quietly():
        day = Day(stage, hours * 3600.0, orders, chance, directory)
        asyncio.set_event_loop(loop)
        try:
            return loop.run_until_complete(_lived(day, loop, hours, directory, hinted=hinted))
        finally:
            loop.bury()
            asyncio.set_event_loop(None)


async def _lived(day: Day, loop: SeededLoop, hours: float, directory: Path, *, hinted: bool) -> Figures:
    began = _cpu()
    clock = VirtualClock(loop, 0, 0.0)
    ear = Ear(clock)
    if hinted:
        seller = day.amazon.sandbox.behaviour.seller_id
        day.queue = Queue(clock, Chance(7).fork("hints"), seller)
    dice = Dice(Rates(), Chance(3))
    assembly = await bootstrap.build(
        day.config,
        clock=clock,
        random=Chance(5),
        observer=ear,
        transport=FaultyTransport(day, clock, dice, lambda _: 0.0),
        sqlite_connect=Inline().connect,
        adapters=ADAPTERS,
        hints={AMAZON: day.queue} if day.queue else {},
    )
    outside = asyncio.ensure_future(day.run(clock))
    work = asyncio.ensure_future(assembly.daemon.run())
    await clock.sleep(hours * 3600.0)
    end = loop.time() + DRAIN_SECONDS
    while not day.at_rest() and loop.time() < end and not work.done():
        await clock.sleep(LOOK_SECONDS)
    assembly.daemon.stop()
    await asyncio.gather(work, outside_ended(outside))
    await assembly.close()
    return _figures(day, directory, [*ear.alarms, *loop.troubles], _cpu() - began)


def _figures(day: Day, directory: Path, troubles: Sequence[str], cpu: float) -> Figures:
    problems = [*troubles, *(f"not confirmed: {x}" for x in day.missing())]
    problems += [f"parked: {row}" for row in rows(directory, "SELECT kind, reason FROM parked")]
    keys = {day.books.key_of(AMAZON, order_id): order_id for order_id in day.placed}
    made = [(keys.get(day.books.key_of_ref(x.ref)), int(x.remote_id)) for x in day.shop.orders()]
    released = {order_id: day.released[number] for order_id, number in made if number in day.released}
    problems += [f"not in the shop: {x}" for x in day.placed if x not in released]
    if len(made) != day.orders:
        problems.append(f"{len(made)} orders in the shop for {day.orders}")
    waits, list_waits = [], []
    for order_id in filter(released.__contains__, day.placed):
        world = day.amazon.sandbox.world
        listed, by_id = (
            next(at for at, order in versions.held(order_id) if order.state == "UNSHIPPED")
            for versions in (world.listed, world.looked_up)
        )
        waits.append((released[order_id] - by_id).total_seconds())
        list_waits.append((released[order_id] - listed).total_seconds())
    counts: dict[str, int] = {}
    throttled: dict[str, int] = {}
    for call in day.calls:
        counts[call.operation] = counts.get(call.operation, 0) + 1
        if call.status == 429:
            throttled[call.operation] = throttled.get(call.operation, 0) + 1
    return Figures(
        hinted=day.queue is not None, orders=len(day.placed), calls=counts, throttled=throttled,
        level=lowest(day.calls, RATES), waits=tuple(sorted(waits)), list_waits=tuple(sorted(list_waits)),
        problems=tuple(problems), cpu_seconds=cpu,
    )  # fmt: skip


def percentile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _cpu() -> float:
    import time

    return time.process_time()


def show(figures: Figures) -> None:
    print(
        f"--- {'with' if figures.hinted else 'without'} hints: {figures.orders} orders, {figures.cpu_seconds:.0f} CPU s"
    )
    for name, waits in (("shown by id", figures.waits), ("shown by the list", figures.list_waits)):
        told = ", ".join(f"{x:g} % {percentile(waits, x / 100):.0f} s" for x in (50, 90, 99, 100))
        print(f"paid for and {name}, to released in the shop: {told}")
    for name, count in sorted(figures.calls.items()):
        over = figures.throttled.get(name, 0)
        print(
            f"{name:26} {count:6} calls, {over} answered 429, at least {figures.level[name]:.2f} left of {RATES[name][1]}"
        )
    for problem in figures.problems[:20]:
        print("FAILED", problem)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.day", description=__doc__)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--orders", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=("with", "without"), help="one of the two runs")
    chosen = parser.parse_args()
    failed = False
    for hinted in (False, True):
        if chosen.only in {None, "with" if hinted else "without"}:
            figures = live(hours=chosen.hours, orders=chosen.orders, seed=chosen.seed, hinted=hinted)
            show(figures)
            failed = failed or bool(figures.problems or figures.over)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
