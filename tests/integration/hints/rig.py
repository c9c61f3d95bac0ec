"""The daemon as it is configured, on this machine's clock, over simulated far sides in one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from adapters.woocommerce import ADAPTER as WOOCOMMERCE
from marketsync.bootstrap import Assembly, build
from marketsync.config import parse
from marketsync.domain.ids import ConnectionId
from marketsync.http import AdapterSpec
from marketsync.ops.clock import SystemClock, SystemRandom
from marketsync.ops.metrics import Metrics
from marketsync.ports import Request, Response
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.rehearsal import Stage, connections, new_world
from marketsync.sandbox.roles import SidePlan, Ware
from marketsync.sandbox.world import Habits, World
from marketsync.store import orders

MARKET = ConnectionId("market")
WARES = (Ware("TEA-1", 50), Ware("MUG-2", 50))
PATIENCE_SECONDS = 20.0


class Listener:
    """An Observer with real metrics and all that was said."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.said: list[str] = []

    def event(self, name: str, /, **fields: Any) -> None:
        self.said.append(f"{name} {fields}")

    def count(self, metric: str, amount: float = 1, /, **labels: str) -> None:
        self.metrics.count(metric, amount, labels)

    def gauge(self, metric: str, value: float, /, **labels: str) -> None:
        self.metrics.gauge(metric, value, labels)

    def observe(self, metric: str, seconds: float, /, **labels: str) -> None:
        self.metrics.observe(metric, seconds, labels)


class Wire:
    """A Transport to the world. `down`: operations that are answered by 503."""

    def __init__(self, world: World, clock: SystemClock) -> None:
        self._world = world
        self._clock = clock
        self.sent: list[str] = []
        self.down: list[str] = []

    async def send(self, request: Request) -> Response:
        self.sent.append(request.operation)
        await asyncio.sleep(0)
        if request.operation in self.down:
            return Response(503, {}, b"", self._clock.monotonic())
        response = self._world.handle(request.connection, request, self._clock.now())
        return msgspec.structs.replace(response, received_at=self._clock.monotonic())

    async def close(self) -> None: ...


class Rig:
    def __init__(self, assembly: Assembly, world: World, wire: Wire, ear: Listener) -> None:
        self.assembly, self.world, self.wire, self.ear = assembly, world, wire, ear

    @property
    def side(self) -> Any:
        return self.world.marketplaces[MARKET]

    def buy(self) -> str:
        order_id = self.side.place_order(datetime.now(UTC), (("TEA-1", 1),))
        assert order_id is not None
        return str(order_id)

    async def is_held(self, order_id: str) -> bool:
        core = self.assembly.core
        return bool(await core.store.read(lambda unit: orders.held(unit, core.merchant, MARKET, [order_id])))

    async def until_held(self, order_id: str) -> float:
        """How long it took."""
        clock, began = self.assembly.core.clock, self.assembly.core.clock.monotonic()
        while not await self.is_held(order_id):
            assert clock.monotonic() - began < PATIENCE_SECONDS, self.ear.said
            await clock.sleep(0.02)
        return clock.monotonic() - began

    async def until(self, condition: Callable[[], bool]) -> None:
        clock, began = self.assembly.core.clock, self.assembly.core.clock.monotonic()
        while not condition():
            assert clock.monotonic() - began < PATIENCE_SECONDS, self.ear.said
            await clock.sleep(0.02)

    def outcomes(self, outcome: str) -> float:
        labels = {"connection": MARKET, "outcome": outcome}
        return self.ear.metrics.value("marketsync_hints_total", labels) or 0.0


@asynccontextmanager
async def at_work(
    folder: Path, spec: AdapterSpec, settings: Mapping[str, object], *, secrets: Mapping[str, str],
    daemon: Mapping[str, object] | None = None, **connection: object,
) -> AsyncIterator[Rig]:  # fmt: skip
    """`secrets` by the field of the settings that names them. Entered once the first list was read."""
    start = datetime.now(UTC)
    adapters = {spec.name: spec, "woocommerce": WOOCOMMERCE}
    sides = ((spec.name, SidePlan(MARKET, WARES, start)), ("woocommerce", SidePlan("shop", WARES, start)))
    stage = Stage(sides, WARES, Habits(orders_max=0, web_sales_max=0), start)
    world = new_world(stage, adapters, Chance(1))
    written = connections(
        stage, world, {MARKET: "https://market.example", "shop": "https://shop.example"}, folder
    )
    written[MARKET] |= connection
    written[MARKET]["settings"] |= {**settings, **{x: _kept(folder / x, y) for x, y in secrets.items()}}
    config = parse({"daemon": {"state_dir": folder / "state", **(daemon or {})}, "connections": written})
    clock, ear = SystemClock(), Listener()
    wire = Wire(world, clock)
    assembly = await build(
        config, clock=clock, random=SystemRandom(), observer=ear, transport=wire, adapters=adapters
    )
    rig = Rig(assembly, world, wire, ear)
    running = asyncio.create_task(assembly.daemon.run())
    try:
        await rig.until(lambda: assembly.daemon.coverage_until(MARKET) is not None)
        yield rig
    finally:
        assembly.daemon.stop()
        await running
        await assembly.close()


def _kept(path: Path, secret: str) -> str:
    path.touch(mode=0o600)
    path.write_text(secret)
    return f"file:{path}"
