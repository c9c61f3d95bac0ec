"""The real daemon at work, in a process of its own: `python -m tests.bench.product push|life|idle URL DIRECTORY ...`."""

from __future__ import annotations

import asyncio
import contextlib
import cProfile
import os
import pstats
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from marketsync.bootstrap import Assembly
from marketsync.ops.clock import ScaledClock, SystemClock
from marketsync.ports import AlarmClock
from tests.bench.floor import Result
from tests.bench.rig import Counts, Meter, Scene, build, told, until_held

T = TypeVar("T")

PROFILE_VARIABLE = "MARKETSYNC_BENCH_PROFILE"


class Life(msgspec.Struct, frozen=True):
    """One order's whole life, as figures per order; `calls` by operation."""

    orders: int
    cpu_ms: float
    commits: float
    calls: dict[str, float]
    phases_ms: dict[str, float]


class Idle(msgspec.Struct, frozen=True):
    """`core_percent`: of one core, in the daemon's own time."""

    connections: int
    minutes: float
    polls: int
    cpu_seconds: float
    core_percent: float
    cpu_ms_per_poll: float
    commits: int
    rss_mb: float


class Asked(msgspec.Struct, frozen=True):
    """What an idle run is; the clock is the far side's too (ScaledClock)."""

    connections: int
    minutes: float
    factor: float
    since: float
    at: datetime


async def push(url: str, directory: Path, orders: int) -> Result:
    """From the moment at which the first order list is answered until the shop has released every order."""
    clock = SystemClock()
    counts = Counts(clock)

    async def work(assembly: Assembly) -> Result:
        await until_held(url, 1)
        meter = Meter(counts)
        with _profiled():
            await asyncio.to_thread(told, url, "go")
            await counts.until_done("create", orders)
            await asyncio.sleep(0.05)
        return Result(orders, meter.cpu_seconds, meter.wall_seconds)

    return await _running(Scene(), url, directory, clock, counts, work)


async def life(url: str, directory: Path, orders: int) -> Life:
    """Accept, read again, push, read parcels, confirm, publish stock: each phase for all orders before the next."""
    clock = SystemClock()
    counts = Counts(clock)

    async def work(assembly: Assembly) -> Life:
        market = next(iter(assembly.network.marketplaces.values()))
        shop = next(iter(assembly.network.back_offices.values()))
        sweeper = assembly.daemon.sweepers[market.name]
        await until_held(url, 1)
        whole, phases = Meter(counts), {}

        def read_again() -> None:
            """Its period is longer than the measurement."""
            sweeper._forward_at = float("-inf")
            market.sweep.set()

        async def phase(name: str, kind: str, begin: Callable[[], object]) -> None:
            meter = Meter(counts)
            begin()
            await counts.until_done(kind, orders)
            phases[name] = round(1000 * meter.cpu_seconds / orders, 3)
            # The second in which they were changed must be over before it is read (B2).
            await asyncio.sleep(2.5)

        await asyncio.to_thread(told, url, "go")
        await phase("read and accept", "accept", lambda: None)
        await phase("read again and push", "create", read_again)
        await phase("parcels and confirm", "confirm", shop.parcels.set)
        read_again()
        await asyncio.sleep(2.5)
        calls = {name: round(number / orders, 3) for name, number in whole.calls.items()}
        return Life(
            orders,
            round(1000 * whole.cpu_seconds / orders, 3),
            round(whole.commits / orders, 3),
            calls,
            phases,
        )

    return await _running(Scene(stock=True), url, directory, clock, counts, work)


async def idle(url: str, directory: Path, asked: Asked) -> Idle:
    """Empty pages, one a minute and connection, after three minutes in which the daemon found its feet."""
    clock = ScaledClock(SystemClock(), asked.factor, since=asked.since, at=asked.at)
    counts = Counts(clock)

    async def work(assembly: Assembly) -> Idle:
        await clock.sleep(180.0)
        before, meter, began = told(url).lists, Meter(counts), clock.monotonic()
        with _profiled():
            await clock.sleep(asked.minutes * 60.0)
        elapsed, cpu = clock.monotonic() - began, meter.cpu_seconds
        polls = told(url).lists - before
        # By what a poll costs: a machine that fell behind the scaled clock would look idler than it is.
        per_poll = cpu / max(polls, 1)
        return Idle(
            connections=asked.connections,
            minutes=round(elapsed / 60.0, 2),
            polls=polls,
            cpu_seconds=round(cpu, 3),
            core_percent=round(100 * per_poll * asked.connections / 60.0, 3),
            cpu_ms_per_poll=round(1000 * per_poll, 3),
            commits=meter.commits,
            rss_mb=rss_mb(os.getpid()),
        )

    scene = Scene(marketplaces=asked.connections, stock=True, paced=True, history=False)
    return await _running(scene, url, directory, clock, counts, work)


def rss_mb(pid: int, *, peak: bool = False) -> float:
    """Megabytes of a process of this machine."""
    name = "VmHWM:" if peak else "VmRSS:"
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return round(next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024, 1)


async def _running(
    scene: Scene,
    url: str,
    directory: Path,
    clock: AlarmClock,
    counts: Counts,
    work: Callable[[Assembly], Awaitable[T]],
) -> T:
    assembly = await build(scene, url, directory, clock, counts)
    running = asyncio.create_task(assembly.daemon.run())
    try:
        return await work(assembly)
    finally:
        assembly.daemon.stop()
        await running
        await assembly.close()


@contextlib.contextmanager
def _profiled() -> Iterator[None]:
    """Where the loop's thread spends its CPU, on stderr, if the environment asks for it."""
    if PROFILE_VARIABLE not in os.environ:
        yield
        return
    profile = cProfile.Profile(time.thread_time)
    profile.enable()
    try:
        yield
    finally:
        profile.disable()
        pstats.Stats(profile, stream=sys.stderr).sort_stats(os.environ[PROFILE_VARIABLE]).print_stats(60)


async def _main(argv: Sequence[str]) -> msgspec.Struct:
    name, url, directory, *rest = argv
    match name:
        case "push":
            return await push(url, Path(directory), int(rest[0]))
        case "life":
            return await life(url, Path(directory), int(rest[0]))
        case _:
            asked = msgspec.json.decode(rest[0], type=Asked)
            return await idle(url, Path(directory), asked)


if __name__ == "__main__":
    print(msgspec.json.encode(asyncio.run(_main(sys.argv[1:]))).decode())
