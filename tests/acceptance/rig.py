"""One world over real HTTP, and real daemons that are killed between its sides and started again on the same state."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from marketsync import bootstrap
from marketsync.config import load
from marketsync.domain.ids import MerchantId
from marketsync.ops.clock import ScaledClock, SystemClock
from marketsync.ops.crash import CRASH_VARIABLE, NoCrash
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.faults import Dice, Fault, Rates
from marketsync.sandbox.rehearsal import Stage, connections, new_world
from marketsync.sandbox.roles import SidePlan, Ware
from marketsync.sandbox.server import serve
from marketsync.sandbox.world import Habits, World
from tests.acceptance.judge import Ledger, Limits, at_rest, broken, ledger, unplanted
from tests.simulation.scenario import ADAPTERS

PROJECT = Path(__file__).resolve().parents[2]
FACTOR = 40.0
FAULT_RATE = 0.02
SHOP = "shop"
# Shorter than an operator would say, and true here: what lands late does so within 20 s (sandbox.server).
LANDS_SECONDS = 30.0
VISIBLE_SECONDS = 5.0
OVERSELL_SECONDS = 1800.0
REACH_SECONDS_MAX = 40.0
DRAIN_SECONDS_MAX = 120.0
STOP_SECONDS_MAX = 20.0
LOOK_SECONDS = 0.5
QUIET_LOOKS = 3
RESYNC = "sweep.before_resync_end"
HABITS = Habits(
    order_every_seconds=30.0,
    web_sale_every_seconds=200.0,
    two_parcels=0.4,
    cancels=0.05,
    ship_after_seconds=(30.0, 120.0),
    restock_every_seconds=90.0,
    restock_units=4,
)


class Kill(msgspec.Struct, frozen=True):
    """At the nth reach of a named point, or so many seconds after the start of the process."""

    point: str = ""
    times: int = 1
    after_seconds: float = 0.0

    @property
    def label(self) -> str:
        return f"{self.point}:{self.times}" if self.point else f"after {self.after_seconds:.2f} s"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one life came to. `missed` are points that were not reached in time: then nothing was shown there."""

    killed: tuple[str, ...]
    missed: tuple[str, ...]
    failures: tuple[str, ...]
    orders: int
    parcels: int
    confirmed: int
    withdrawn: int
    lost: int
    duplicated: int
    stuck: int
    parked: int
    planted: int
    oversold: int
    requests: int
    faults: int
    seconds: float

    @property
    def passed(self) -> bool:
        return not self.failures and not self.missed


async def live(
    seed: int,
    kills: Sequence[Kill],
    database: str = "",
    *,
    rate: float = FAULT_RATE,
    factor: float = FACTOR,
    keep: Path | None = None,
) -> Verdict:
    """A world with its arrivals and faults, a kill after the other, a drain without faults, and the judgement.

    `database` is a PostgreSQL address, else SQLite in a directory of its own. `keep` gets that directory after a failure.
    """
    directory = Path(tempfile.mkdtemp(prefix="mk-"))
    began = asyncio.get_running_loop().time()
    try:
        async with stage(seed, directory, database, rate, factor) as scene:
            killed: list[str] = []
            missed: list[str] = []
            for kill in kills:
                died = await scene.kill(kill)
                (killed if died else missed).append(kill.label)
            failures = await scene.drain()
            held = await scene.ledger()
            failures += broken(scene.world, held, Limits(OVERSELL_SECONDS))
        seconds = asyncio.get_running_loop().time() - began
        verdict = _verdict(scene, held, killed, missed, failures, seconds)
        if not verdict.passed and keep is not None:
            shutil.copytree(directory, keep / directory.name)
        return verdict
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _verdict(
    scene: Scene, held: Ledger, killed: list[str], missed: list[str], failures: list[str], seconds: float
) -> Verdict:
    audit = scene.world.audit()
    parked = unplanted(scene.world, held)
    return Verdict(
        killed=tuple(killed), missed=tuple(missed), failures=tuple(dict.fromkeys(failures)),
        orders=audit.created, parcels=audit.parcels, confirmed=audit.confirmed,
        withdrawn=audit.withdrawn,
        lost=audit.lost + sum(text.startswith("lost:") for text in failures),
        duplicated=audit.duplicated + audit.doubled_parcels + audit.phantom + audit.false_parcels,
        stuck=sum(text.startswith("stuck:") for text in failures), parked=parked, planted=len(held.parked) - parked,
        oversold=audit.oversold, requests=sum(scene.dice.injected.values()),
        faults=sum(n for fault, n in scene.dice.injected.items() if fault is not Fault.NONE), seconds=seconds,
    )  # fmt: skip


class Scene:
    """The parent's side: the world, and whatever daemon runs at the moment."""

    def __init__(
        self, directory: Path, clock: ScaledClock, origin: tuple[str, ...], world: World, dice: Dice
    ) -> None:
        self.directory = directory
        self.clock = clock
        self.world = world
        self.dice = dice
        self.state = directory / "state"
        self.config = directory / "config.toml"
        self._origin = origin
        self._child: asyncio.subprocess.Process | None = None

    async def start(self, crash_at: str = "") -> asyncio.subprocess.Process:
        environment = {**os.environ, "CREDENTIALS_DIRECTORY": str(self.directory / "credentials")}
        environment.pop(CRASH_VARIABLE, None)
        if crash_at:
            environment[CRASH_VARIABLE] = crash_at
        with (self.directory / "daemon.log").open("ab") as log:
            log.write(
                f"--- {self.clock.now().isoformat()} a daemon is started, {crash_at or 'no point'}\n".encode()
            )
            log.flush()
            self._child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.acceptance.child", str(self.config), *self._origin,
                cwd=PROJECT, env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        return self._child

    async def kill(self, kill: Kill) -> bool:
        """True if the daemon was killed where it should be. It is dead and reaped either way."""
        child = await self.start(kill.label if kill.point else "")
        if not kill.point:
            await self._ended(child, kill.after_seconds)
            alive = child.returncode is None
            await self.end(child)
            return alive
        asking = asyncio.create_task(self.listening("resync")) if kill.point == RESYNC else None
        await self._ended(child, REACH_SECONDS_MAX)
        if asking is not None:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        await self.end(child)
        return child.returncode == -signal.SIGKILL and not self._was_late

    async def _ended(self, child: asyncio.subprocess.Process, seconds: float) -> None:
        self._was_late = False
        try:
            await asyncio.wait_for(child.wait(), seconds)
        except TimeoutError:
            self._was_late = True

    async def end(self, child: asyncio.subprocess.Process) -> None:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await asyncio.wait_for(child.wait(), STOP_SECONDS_MAX)

    async def stop(self, child: asyncio.subprocess.Process) -> int | None:
        """SIGTERM: it drains. Its exit code; killed, and None, if that takes too long (failure 52)."""
        if child.returncode is None:
            child.terminate()
            await self._ended(child, STOP_SECONDS_MAX)
        if child.returncode is None:
            await self.end(child)
            return None
        return child.returncode

    async def drain(self) -> list[str]:
        """No more arrivals, faults or kills: it has to come to rest. What was wrong with the daemon's end."""
        self.world.quiet()
        self.dice.quiet()
        child = await self.start()
        looks, deadline = 0, asyncio.get_running_loop().time() + DRAIN_SECONDS_MAX
        while looks < QUIET_LOOKS and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(LOOK_SECONDS)
            if child.returncode is not None:
                return [f"the daemon ended by itself with {child.returncode}: {self.tail()}"]
            looks = looks + 1 if await self._rests() else 0
        code = await self.stop(child)
        return [] if code == 0 else [f"SIGTERM ended with {code}: {self.tail()}"]

    async def _rests(self) -> bool:
        if self.world.unfinished():
            return False
        return at_rest(self.world, await self.ledger())

    async def ledger(self) -> Ledger:
        """Read beside the daemon, as the command line does."""
        store = await bootstrap.open_for(load(self.config), self.clock, Chance(0), NoCrash(), read_only=True)
        try:
            return await ledger(store)
        finally:
            await store.close()

    async def ask(self, command: str, **args: Any) -> Any:
        """Over the control socket; None where nobody listens or the daemon dies meanwhile."""
        try:
            reader, writer = await asyncio.open_unix_connection(str(self.state / "control.sock"))
        except OSError:
            return None
        try:
            writer.write(json.dumps({"command": command, "args": args}).encode() + b"\n")
            await writer.drain()
            async with asyncio.timeout(REACH_SECONDS_MAX):
                while line := await reader.readline():
                    answer = json.loads(line)
                    if "progress" not in answer:
                        return answer
        except (OSError, TimeoutError):
            return None
        finally:
            writer.close()

    async def listening(self, command: str = "status", seconds: float = REACH_SECONDS_MAX) -> Any:
        """The daemon's first answer to a command."""
        for _ in range(int(seconds / 0.2)):
            answer = await self.ask(command)
            if answer is not None:
                return answer
            await asyncio.sleep(0.2)
        raise TimeoutError("no daemon listens")

    def log(self) -> list[str]:
        return (self.directory / "daemon.log").read_text(errors="replace").splitlines()

    def tail(self) -> str:
        return " | ".join(self.log()[-3:])

    async def close(self) -> None:
        if self._child is not None:
            await self.end(self._child)


@contextlib.asynccontextmanager
async def stage(
    seed: int,
    directory: Path,
    database: str = "",
    rate: float = FAULT_RATE,
    factor: float = FACTOR,
    merchant: str = "main",
) -> AsyncIterator[Scene]:
    """A world that goes on while entered. No daemon runs yet; whatever runs at the end is killed and reaped."""
    real = SystemClock()
    since, at = real.monotonic(), real.now()
    clock = ScaledClock(real, factor, since=since, at=at)
    chance = Chance(seed)
    plan = _plan(at)
    world = new_world(plan, ADAPTERS, chance.fork("world"))
    world.books.merchant = MerchantId(merchant)
    dice = Dice(Rates.of_all(rate), chance.fork("faults"))
    scene = Scene(directory, clock, (f"{factor:g}", repr(since), at.isoformat()), world, dice)
    async with serve(world, clock, dice) as addresses:
        _write_config(scene, plan, addresses, database)
        outside = asyncio.create_task(world.run(clock))
        try:
            yield scene
            if outside.done():
                outside.result()
        finally:
            await scene.close()
            outside.cancel()
            await asyncio.gather(outside, return_exceptions=True)


def _plan(start: datetime) -> Stage:
    wares = tuple(Ware(f"SKU-{n}", 5) for n in range(1, 7))
    sides = (
        ("mirakl", SidePlan("alpha", wares, start, parcels=True)),
        ("mirakl", SidePlan("beta", wares, start)),
        ("woocommerce", SidePlan(SHOP, wares, start)),
    )
    return Stage(sides, wares, HABITS, start)


def _write_config(scene: Scene, plan: Stage, addresses: Mapping[str, str], database: str) -> None:
    credentials = scene.directory / "credentials"
    credentials.mkdir()
    scene.state.mkdir(mode=0o700)
    daemon: dict[str, Any] = {
        "state_dir": str(scene.state), "listen": "127.0.0.1:0", "drain_seconds": 10.0, "merchant": scene.world.books.merchant,
    }  # fmt: skip
    if database:
        daemon["database"] = database
    lines = ["[daemon]", *_lines(daemon)]
    for name, connection in connections(plan, scene.world, addresses, credentials).items():
        settings = connection.pop("settings")
        settings |= {"lands_within_seconds": LANDS_SECONDS, "visible_within_seconds": VISIBLE_SECONDS}
        if name != SHOP:
            settings["stock_lands_within_seconds"] = 2 * LANDS_SECONDS
        lines += [
            f"[connections.{name}]",
            *_lines(connection),
            f"[connections.{name}.settings]",
            *_lines(settings),
        ]
    text = "\n".join(lines) + "\n"
    scene.config.write_text(text.replace(f"file:{credentials}/", "cred:"))


def _lines(values: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {_toml(value)}" for key, value in values.items()]


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(x)}" for key, x in value.items()) + "}"
    return value.isoformat() if isinstance(value, datetime) else json.dumps(value)
