"""`marketsync demo`: two marketplaces and a shop on loopback, and the real daemon between them, faster than life."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import msgspec

from marketsync.config import Config, parse
from marketsync.http import AdapterSpec
from marketsync.ops.clock import ScaledClock, SystemClock
from marketsync.ports import AlarmClock, Clock, Observer, Random
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.faults import Dice, Rates
from marketsync.sandbox.rehearsal import Stage, connections, new_world
from marketsync.sandbox.roles import SidePlan, Ware
from marketsync.sandbox.server import serve
from marketsync.sandbox.world import Habits, World
from marketsync.store import Store, parked

DRAIN_SECONDS_MAX = 4 * 3600.0
FAULT_RATE = 0.01
SHOW_SECONDS = 1.0
SKUS = ("LAMP-01", "MUG-02", "DESK-03", "TEA-04", "SOCK-05", "PEN-06")
HABITS = Habits(
    order_every_seconds=25.0,
    web_sale_every_seconds=240.0,
    ship_after_seconds=(60.0, 240.0),
    restock_every_seconds=120.0,
    restock_units=8,
)


class Engine(Protocol):
    def stop(self) -> None: ...
    async def run(self) -> None: ...


class Core(Protocol):
    @property
    def store(self) -> Store: ...


class Assembly(Protocol):
    @property
    def core(self) -> Core: ...
    @property
    def daemon(self) -> Engine: ...
    async def close(self) -> None: ...


class Build(Protocol):
    """What bootstrap does: put a daemon together."""

    async def __call__(
        self,
        config: Config,
        *,
        clock: AlarmClock,
        random: Random,
        observer: Observer,
        adapters: Mapping[str, AdapterSpec] | None = None,
    ) -> Assembly: ...


# What goes on beside the daemon while it runs: the way in for commands, of the layer above.
Beside = Callable[[Any, Path], AbstractAsyncContextManager[object]]


class Options(msgspec.Struct, frozen=True):
    """`for_seconds` are real seconds of arrivals, None until interrupted; `speed` is seconds of the demo in one of them."""

    for_seconds: float | None
    speed: float
    seed: int
    faults: bool
    as_json: bool


class Silent:
    """An Observer: what happens shows in the table."""

    def event(self, name: str, /, **fields: Any) -> None: ...
    def count(self, metric: str, amount: float = 1, /, **labels: str) -> None: ...
    def gauge(self, metric: str, value: float, /, **labels: str) -> None: ...
    def observe(self, metric: str, seconds: float, /, **labels: str) -> None: ...


def main(
    *,
    build: Build,
    adapters: Mapping[str, AdapterSpec],
    for_seconds: float | None = None,
    speed: float = 60.0,
    seed: int = 1,
    faults: bool = False,
    as_json: bool = False,
    directory: Path | None = None,
    beside: Beside | None = None,
) -> int:
    """0 if nothing was lost, doubled or parked and all came to rest. `directory` keeps the state; else it is temporary."""
    options = Options(for_seconds, speed, seed, faults, as_json)
    if directory is not None:
        return asyncio.run(_demo(options, build, adapters, directory, beside))
    with tempfile.TemporaryDirectory(prefix="marketsync-demo-") as temporary:
        return asyncio.run(_demo(options, build, adapters, Path(temporary), beside))


async def _demo(
    options: Options,
    build: Build,
    adapters: Mapping[str, AdapterSpec],
    directory: Path,
    beside: Beside | None,
) -> int:
    clock = ScaledClock(SystemClock(), options.speed)
    chance = Chance(options.seed)
    stage = _stage(clock)
    world = new_world(stage, adapters, chance.fork("world"))
    dice = Dice(Rates.of_all(FAULT_RATE) if options.faults else Rates(), chance.fork("faults"))
    async with serve(world, clock, dice) as addresses:
        written = connections(stage, world, addresses, directory)
        config = parse({"daemon": {"state_dir": directory / "state"}, "connections": written})
        file = _write_config(directory, written)
        if not options.as_json:
            _say(
                f"from a second terminal: marketsync --config {file} status "
                "(or orders list, explain ORDER, stock show, orders cancel ORDER, pause ebay)"
            )
        assembly = await build(
            config, clock=clock, random=chance.fork("daemon"), observer=Silent(), adapters=adapters
        )
        try:
            async with beside(assembly, directory / "state") if beside else nullcontext():
                return await _Show(options, clock, world, dice, assembly).run()
        finally:
            await assembly.close()


def _write_config(directory: Path, connections: Mapping[str, Mapping[str, Any]]) -> Path:
    """For commands from a second terminal."""
    lines = ["[daemon]", f"state_dir = {_toml(str(directory / 'state'))}"]
    for name, written in connections.items():
        plain = {key: value for key, value in written.items() if key != "settings"}
        for section, values in (
            (f"connections.{name}", plain),
            (f"connections.{name}.settings", written["settings"]),
        ):
            lines += ["", f"[{section}]", *(f"{key} = {_toml(value)}" for key, value in values.items())]
    file = directory / "config.toml"
    file.write_text("\n".join((*lines, "")))
    return file


def _toml(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else json.dumps(value)


def _stage(clock: Clock) -> Stage:
    wares = tuple(Ware(sku, 40) for sku in SKUS)
    start = clock.now()
    sides = (
        ("amazon", SidePlan("amazon", wares, start)),
        ("ebay", SidePlan("ebay", wares, start)),
        ("mirakl", SidePlan("mirakl", wares, start, parcels=True)),
        ("woocommerce", SidePlan("shop", wares, start)),
    )
    return Stage(sides, wares, HABITS, start)


class _Show:
    """Arrivals, then a drain, then the sum of it all."""

    def __init__(
        self, options: Options, clock: ScaledClock, world: World, dice: Dice, assembly: Assembly
    ) -> None:
        self._options = options
        self._clock = clock
        self._world = world
        self._dice = dice
        self._assembly = assembly
        self._stop = asyncio.Event()
        self._lines = 0

    async def run(self) -> int:
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._stop.set)
        daemon = self._assembly.daemon
        async with asyncio.TaskGroup() as group:
            outside = group.create_task(self._world.run(self._clock))
            table = group.create_task(self._show())
            working = group.create_task(daemon.run())
            await self._arrivals()
            self._world.quiet()
            self._dice.quiet()
            rested = await self._drain()
            table.cancel()
            daemon.stop()
            await working
            outside.cancel()
        return await self._report(rested=rested)

    async def _arrivals(self) -> None:
        try:
            async with asyncio.timeout(self._options.for_seconds):
                await self._stop.wait()
        except TimeoutError:
            return

    async def _drain(self) -> bool:
        """Whether everything came to rest in time."""
        began = self._clock.monotonic()
        while self._world.unfinished():
            if self._clock.monotonic() - began > DRAIN_SECONDS_MAX:
                return False
            await self._clock.sleep(5.0)
        return True

    async def _report(self, *, rested: bool) -> int:
        audit = self._world.audit()
        waits = self._waits()
        told = {
            "created": audit.created,
            "accepted": audit.accepted,
            "refused": audit.refused,
            "pushed": audit.pushed,
            "parcels": audit.parcels,
            "confirmed": audit.confirmed,
            "parked": await self._parked(),
            "lost": audit.lost,
            "duplicated": audit.duplicated + audit.doubled_parcels,
            "phantom": audit.phantom + audit.false_parcels,
            "oversold": audit.oversold,
            "p50_seconds": _percentile(waits, 0.50),
            "p99_seconds": _percentile(waits, 0.99),
        }
        well = rested and audit.sound and not told["parked"]
        if self._options.as_json:
            _say(json.dumps(told))
        else:
            _say("\n".join(f"{name:12} {value}" for name, value in told.items()))
            _say("\n".join(audit.problems) or "everything arrived, once")
        return 0 if well else 1

    async def _parked(self) -> int:
        store = self._assembly.core.store
        merchant = self._world.books.merchant
        return sum((await store.read(lambda unit: parked.counts(unit, merchant))).values())

    def _waits(self) -> list[float]:
        """From the moment at which an order can be read to that at which the shop has it, in the demo's seconds."""
        made = {
            self._world.books.key_of_ref(order.ref): order.created_at
            for shop in self._world.shops.values()
            for order in shop.orders()
        }
        waits = []
        for name, side in self._world.marketplaces.items():
            for sale in side.sales(self._world.now):
                at = made.get(self._world.books.key_of(name, sale.order_id))
                if at is not None:
                    waits.append((at - sale.placed_at).total_seconds())
        return sorted(waits)

    async def _show(self) -> None:
        if self._options.as_json:
            return
        real = SystemClock()
        live = sys.stdout.isatty()
        while True:
            await real.sleep(SHOW_SECONDS if live else 5 * SHOW_SECONDS)
            text = self._table()
            if live and self._lines:
                sys.stdout.write(f"\x1b[{self._lines}A\x1b[J")
            self._lines = text.count("\n") + 1
            _say(text)

    def _table(self) -> str:
        audit = self._world.audit()
        counts = (
            f"{self._world.now:%H:%M:%S}  orders {audit.created}  accepted {audit.accepted}  pushed {audit.pushed}  "
            f"parcels {audit.parcels}  confirmed {audit.confirmed}  oversold {audit.oversold}"
        )
        sides = {name: side.listed(self._world.now) for name, side in self._world.marketplaces.items()}
        (shop,) = self._world.shops.values()
        rows = [f"{'SKU':10}{'shop':>8}" + "".join(f"{name:>8}" for name in sides)]
        for sku, quantity in shop.stock().items():
            rows.append(f"{sku:10}{quantity:>8}" + "".join(f"{x.get(sku, 0):>8}" for x in sides.values()))
        return "\n".join((counts, *rows))


def _percentile(ordered: Sequence[float], share: float) -> float | None:
    if not ordered:
        return None
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
