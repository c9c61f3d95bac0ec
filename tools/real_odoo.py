"""`python -m tools.real_odoo`: a real Odoo 19 on loopback, and the daemon between it and simulated marketplaces.

First the steps, on the real server and on the simulated one: both must show the same. Then a run: orders of Amazon, eBay and
Mirakl, answers of Odoo cut, the daemon killed at random moments; each order must be in Odoo once, confirmed, with its total to the
cent, its parcels told to its marketplace, and the listings as Odoo's stock says. Nothing but loopback is spoken to.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from marketsync.ops.clock import ScaledClock, SystemClock
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.faults import Dice, Rates
from marketsync.sandbox.rehearsal import Stage, connections, new_world
from marketsync.sandbox.roles import SidePlan, Ware
from marketsync.sandbox.server import serve
from marketsync.sandbox.world import Habits, World
from tests.acceptance.judge import Limits, at_rest, broken, unfinished
from tests.acceptance.rig import Scene, _lines
from tests.simulation.scenario import ADAPTERS
from tools.odoo_grounds import Real, Simulated
from tools.odoo_people import RealShop
from tools.odoo_server import LOOPBACK, ROOT, OdooServer
from tools.odoo_steps import observed

RECORD = ROOT / "fixtures" / "odoo" / "steps.json"
SHOP = "shop"
MARKETS = ("amazon", "ebay", "mirakl")
STOCK = 80
WEB_SALES = 10
WARES = tuple(Ware(f"SKU-{n}", STOCK) for n in range(1, 13))
LANDS_SECONDS = 240.0
SWEEP_SECONDS = 300.0
CUTS = (("before", 0.015), ("during", 0.01), ("after", 0.02), ("gateway", 0.005))
KILL_SECONDS = (15.0, 60.0)
START_SECONDS_MAX = 120.0
LOOK_SECONDS = 5.0
QUIET_LOOKS = 3
DRAIN_SECONDS_MAX = 2400.0
OVERSELL_SECONDS = 3600.0


def main() -> int:
    chosen = _arguments()
    if chosen.simulated:
        return asyncio.run(_run(chosen, None))
    server = OdooServer()
    failed = 0
    if not chosen.run_only:
        with server.running():
            failed += asyncio.run(steps(server, record=chosen.record))
    if not chosen.steps_only:
        with server.running():
            failed += asyncio.run(_run(chosen, server))
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.real_odoo", description=__doc__)
    parser.add_argument("--orders", type=int, default=200)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed", type=float, default=6.0, help="seconds of the world in one of ours")
    parser.add_argument("--every", type=float, default=18.0, help="seconds of the world between two orders")
    parser.add_argument("--protocol", choices=("json-2", "json-rpc"), default="json-2")
    parser.add_argument("--create-by", choices=("load", "create"), default="load")
    parser.add_argument("--drain", type=float, default=DRAIN_SECONDS_MAX, help="seconds to come to rest")
    parser.add_argument("--steps-only", action="store_true")
    parser.add_argument("--run-only", action="store_true")
    parser.add_argument("--simulated", action="store_true", help="the same run with the simulated Odoo")
    parser.add_argument("--record", action="store_true", help="keep what the steps show for the tests")
    parser.add_argument("--keep", type=Path, help="a directory for what a failed run leaves behind")
    return parser.parse_args()


async def steps(server: OdooServer, *, record: bool = False) -> int:
    """How many of them show something else on the real server."""
    began = time.monotonic()
    ground = Real(server)
    try:
        real = await observed(ground, lambda name: print(f"step {name}", flush=True))
    finally:
        await ground.transport.close()
    simulated = await observed(Simulated())
    differing = [name for name in real if real[name] != simulated.get(name)]
    for name in differing:
        print(
            f"DIFFERS {name}\n  real      {json.dumps(real[name])}\n  simulated {json.dumps(simulated.get(name))}"
        )
    if record:
        RECORD.parent.mkdir(parents=True, exist_ok=True)
        RECORD.write_text(json.dumps(real, indent=1) + "\n")
    print(f"{len(real)} steps, {len(differing)} differ, {time.monotonic() - began:.0f} s", flush=True)
    return len(differing)


async def _run(chosen: argparse.Namespace, server: OdooServer | None) -> int:
    directory = Path(tempfile.mkdtemp(prefix="real-odoo-"))
    began = time.monotonic()
    try:
        async with _scene(chosen, server, directory) as (scene, cutter):
            failures = await _live(chosen, scene)
        failures += _totals(scene.world)
        _report(scene.world, cutter, failures, time.monotonic() - began)
        if failures and chosen.keep is not None:
            shutil.copytree(directory, chosen.keep, dirs_exist_ok=True)
        return len(failures)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.asynccontextmanager
async def _scene(
    chosen: argparse.Namespace, server: OdooServer | None, directory: Path
) -> AsyncIterator[tuple[Scene, Cutter]]:
    """The world, Odoo behind a proxy that cuts, and nothing of the daemon yet."""
    real = SystemClock()
    since, at = real.monotonic(), real.now()
    clock = ScaledClock(real, chosen.speed, since=since, at=at)
    chance = Chance(chosen.seed)
    sides = tuple((name, SidePlan(name, WARES, at, parcels=name == "mirakl")) for name in MARKETS)
    habits = Habits(
        order_every_seconds=chosen.every, orders_max=chosen.orders, web_sale_every_seconds=chosen.orders * chosen.every / WEB_SALES,
        web_sales_max=WEB_SALES,
        cancels=0.0, two_parcels=0.3, ship_after_seconds=(60.0, 300.0),
    )  # fmt: skip
    plan = Stage((*sides, ("odoo", SidePlan(SHOP, WARES, at))), WARES, habits, at)
    world = new_world(plan, ADAPTERS, chance.fork("world"))
    shop = None
    if server is not None:
        shop = RealShop(
            Real(server, furnished=False), {ware.sku: ware.stock for ware in WARES}, chance.fork("people")
        )
        world.shops[SHOP] = shop
    scene = Scene(
        directory,
        clock,
        (f"{chosen.speed:g}", repr(since), at.isoformat()),
        world,
        Dice(Rates(), chance.fork("dice")),
    )
    async with contextlib.AsyncExitStack() as stack:
        addresses = dict(await stack.enter_async_context(serve(world, clock, scene.dice)))
        cutter = Cutter(addresses[SHOP] if server is None else server.url, chance.fork("cuts"))
        addresses[SHOP] = await stack.enter_async_context(cutter.listening())
        _write_config(scene, plan, addresses, chosen)
        tasks = [asyncio.create_task(world.run(clock))]
        if shop is not None:
            tasks.append(asyncio.create_task(shop.watch()))
        try:
            yield scene, cutter
        finally:
            await scene.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _live(chosen: argparse.Namespace, scene: Scene) -> list[str]:
    """Kills while orders come; then, without, until everything is at rest. What is wrong."""
    chance = Chance(chosen.seed).fork("kills")
    for number in range(chosen.kills):
        child = await scene.start()
        await scene.listening(seconds=START_SECONDS_MAX)
        await asyncio.sleep(chance.uniform(*KILL_SECONDS))
        await scene.end(child)
        print(f"kill {number + 1}: {_line(scene.world)}", flush=True)
    child = await scene.start()
    looks, ends = 0, time.monotonic() + chosen.drain
    while looks < QUIET_LOOKS and time.monotonic() < ends:
        await asyncio.sleep(LOOK_SECONDS)
        if child.returncode is not None:
            return [f"the daemon ended by itself with {child.returncode}: {scene.tail()}"]
        waits = await _waits_for(chosen, scene)
        looks = 0 if waits else looks + 1
        if waits:
            print(f"{_line(scene.world)}; {waits}", flush=True)
    code = await scene.stop(child)
    failures = [] if code == 0 else [f"SIGTERM ended with {code}: {scene.tail()}"]
    shop = scene.world.shops[SHOP]
    if isinstance(shop, RealShop):
        await asyncio.to_thread(shop.look)
        failures += [f"people: {text}" for text in await asyncio.to_thread(shop.found_wrong)]
    return failures + broken(scene.world, await scene.ledger(), Limits(OVERSELL_SECONDS))


async def _waits_for(chosen: argparse.Namespace, scene: Scene) -> str:
    """One of the things that are not done yet; "" at rest."""
    world, shop = scene.world, scene.world.shops[SHOP]
    if world.audit().created < chosen.orders:
        return "buyers"
    if isinstance(shop, RealShop) and shop.at_work:
        return "the shop's people"
    held = await scene.ledger()
    return next(iter([*unfinished(world, held), *([] if at_rest(world, held) else ["claims"])]), "")


def _totals(world: World) -> list[str]:
    """Each order's total in Odoo is what its marketplace says."""
    held = {world.books.key_of_ref(order.ref): order for order in world.shops[SHOP].orders()}
    wrong = []
    for name in sorted(world.marketplaces):
        for sale in world.marketplaces[name].sales(world.now):
            order = held.get(world.books.key_of(name, sale.order_id))
            if order is not None and sale.total is not None and sale.live and order.total != sale.total:
                wrong.append(
                    f"total: {name}/{sale.order_id} is {order.total} in Odoo and {sale.total} at the marketplace"
                )
    return wrong


def _line(world: World) -> str:
    audit = world.audit()
    return f"{audit.created} orders, {audit.pushed} in Odoo, {audit.parcels} parcels, {audit.confirmed} told"


def _report(world: World, cutter: Cutter, failures: list[str], seconds: float) -> None:
    audit = world.audit()
    for text in failures:
        print(f"FAILED {text}")
    print(
        f"{audit.created} orders, {audit.pushed} in Odoo and confirmed, lost {audit.lost}, duplicated {audit.duplicated}, "
        f"of no sale {audit.phantom}, totals differing {_counted(failures, 'total:')}, parked {_counted(failures, 'parked:')}; "
        f"{audit.confirmed} of {audit.parcels} parcels told, doubled {audit.doubled_parcels}, false {audit.false_parcels}; "
        f"articles off stock {audit.off_stock}, units oversold {audit.oversold}{_stuck(world)}; "
        f"{cutter.requests} requests to Odoo, {cutter.cut} cut, of {cutter.writes} writes {cutter.writes_cut}, {cutter.slowest_seconds:.1f} s the slowest; "
        f"{len(failures)} failures, {seconds:.0f} s\nanswers of Odoo: "
        f"{', '.join(f'{name}: {count}' for name, count in sorted(cutter.answers.items()))}",
        flush=True,
    )


def _stuck(world: World) -> str:
    shop = world.shops[SHOP]
    return f", reserved for nobody {shop.stuck_units_max} at most" if isinstance(shop, RealShop) else ""


def _counted(failures: list[str], kind: str) -> int:
    return sum(text.startswith(kind) for text in failures)


class Cutter:
    """Between the daemon and Odoo, on loopback. A cut leaves the client without an answer, Odoo having done its work or not."""

    def __init__(self, upstream: str, chance: Chance) -> None:
        self._upstream, self._chance = upstream, chance
        self.requests = self.cut = self.writes = self.writes_cut = 0
        self.slowest_seconds = 0.0
        self.answers = Counter[str]()
        self._left: list[asyncio.Task[Any]] = []

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        application = web.Application(client_max_size=32 * 1024 * 1024)
        application.router.add_route("*", "/{path:.*}", self._pass)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=180.0)) as self._session:
            try:
                await web.TCPSite(runner, LOOPBACK, 0).start()
                yield f"http://{LOOPBACK}:{runner.addresses[0][1]}"
            finally:
                await runner.cleanup()
                await asyncio.gather(*self._left, return_exceptions=True)

    async def _pass(self, received: web.Request) -> web.StreamResponse:
        cut, body = self._drawn(), await received.read()
        self._note(cut, received.path, body)
        if cut == "before":
            return self._cut(received)
        asking = asyncio.create_task(self._asked(received, body))
        if cut == "during":
            self._left.append(asking)
            return self._cut(received)
        try:
            status, headers, answer = await asking
        except aiohttp.ClientError:
            return self._cut(received)
        if cut == "after":
            return self._cut(received)
        if cut == "gateway":
            return web.Response(status=502, body=b"<html>")
        return web.Response(status=status, headers=headers, body=answer)

    def _drawn(self) -> str:
        drawn = self._chance.uniform(0.0, 1.0)
        for name, share in CUTS:
            drawn -= share
            if drawn < 0:
                return name
        return ""

    def _note(self, cut: str, path: str, body: bytes) -> None:
        writes = path.endswith(_WRITES) or any(b'"%b"' % name.encode() in body[:500] for name in _WRITES)
        self.requests += 1
        self.writes += writes
        self.cut += bool(cut)
        self.writes_cut += writes and bool(cut)

    async def _asked(self, received: web.Request, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        kept = {name: value for name, value in received.headers.items() if name.lower() not in _OWN}
        began = time.monotonic()
        async with self._session.request(
            received.method, self._upstream + received.raw_path, headers=kept, data=body
        ) as answer:
            self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - began)
            shown = {
                name: value
                for name, value in answer.headers.items()
                if name.lower() in ("content-type", "date")
            }
            self.answers[f"{received.path.rpartition('/')[2]} {answer.status}"] += 1
            return answer.status, shown, await answer.read()

    def _cut(self, received: web.Request) -> web.StreamResponse:
        if received.transport is not None:
            received.transport.abort()
        return web.Response(status=500)


_WRITES = ("load", "create", "write", "action_confirm", "action_cancel")
_OWN = ("host", "content-length", "transfer-encoding", "connection", "accept-encoding")


def _write_config(
    scene: Scene, plan: Stage, addresses: Mapping[str, str], chosen: argparse.Namespace
) -> None:
    credentials = scene.directory / "credentials"
    credentials.mkdir()
    scene.state.mkdir(mode=0o700)
    daemon: dict[str, Any] = {"state_dir": str(scene.state), "listen": f"{LOOPBACK}:0", "drain_seconds": 30.0}
    lines = ["[daemon]", *_lines(daemon)]
    for name, connection in connections(plan, scene.world, addresses, credentials).items():
        settings = connection.pop("settings")
        if name == SHOP:
            connection["stock_sweep_seconds"] = SWEEP_SECONDS
            settings |= {
                "lands_within_seconds": LANDS_SECONDS,
                "protocol": chosen.protocol,
                "create_by": chosen.create_by,
            }
        lines += [
            f"[connections.{name}]",
            *_lines(connection),
            f"[connections.{name}.settings]",
            *_lines(settings),
        ]
    scene.config.write_text(("\n".join(lines) + "\n").replace(f"file:{credentials}/", "cred:"))


if __name__ == "__main__":
    sys.exit(main())
