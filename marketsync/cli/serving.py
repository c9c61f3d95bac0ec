"""`run`: the daemon with everything around it, from the lock to the last log line."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from marketsync import __version__
from marketsync.bootstrap import Assembly, build
from marketsync.cli.exits import Exit
from marketsync.commands.desk import Desk, links_of
from marketsync.config import Config
from marketsync.domain.ids import ConnectionId, OrderId
from marketsync.errors import MarketsyncError
from marketsync.ops.clock import SystemClock, SystemRandom
from marketsync.ops.notify import Notifier, from_environment
from marketsync.ops.observe import Observations, Silence, to_stderr
from marketsync.ops.pulse import Pulse
from marketsync.server.control import Progress, control_server
from marketsync.server.hints import Door, hints_server
from marketsync.server.metrics import metrics_server
from marketsync.store import Unit

STALL_SECONDS = 900.0
FINISH_SECONDS = 5.0
# What an operator looks at waits this long: the first polls leave before it.
FIRST_POLLS_SECONDS = 0.5


async def serve(config: Config) -> Exit:
    """Runs until SIGTERM or SIGINT, then drains. A second signal ends the process at once: that is safe, only rude."""
    clock = SystemClock()
    observations = to_stderr(clock, log_format=config.daemon.log_format, log_level=config.daemon.log_level)
    try:
        assembly = await build(config, clock=clock, random=SystemRandom(), observer=observations)
        try:
            return await _run(config, assembly, observations, from_environment(os.environ, os.getpid()))
        finally:
            await assembly.close()
    finally:
        observations.close()


async def _run(config: Config, assembly: Assembly, observations: Observations, notifier: Notifier) -> Exit:
    desk = _desk(assembly)
    pulse = _pulse(config, assembly, observations, notifier)
    stop = asyncio.Event()
    _on_signals(stop)
    async with (
        control_server(config.daemon.state_dir, _handler(desk), observations),
        _metrics(config, observations, pulse) as port,
        _hints(config, assembly, observations),
        _background(desk, config, observations, pulse),
    ):
        _started(assembly, observations, notifier, port)
        return await _until(stop, config, assembly, observations, notifier)


def commanded(assembly: Assembly, state_dir: Path) -> AbstractAsyncContextManager[Path]:
    """The way in for commands alone, to a daemon that another runs: the demo's."""
    return control_server(state_dir, _handler(_desk(assembly)), Silence())


def _desk(assembly: Assembly) -> Desk:
    daemon = assembly.daemon

    def ask(connection: ConnectionId, order_id: OrderId) -> None:
        daemon.sweepers[connection].ask(order_id)

    return Desk(assembly.core, assembly.network, daemon.release, ask)


async def _until(
    stop: asyncio.Event, config: Config, assembly: Assembly, observations: Observations, notifier: Notifier
) -> Exit:
    running = asyncio.create_task(assembly.daemon.run())
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait((running, stopped), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    drain_seconds = config.daemon.drain_seconds
    if stop.is_set():
        observations.event("daemon.drain_began", deadline_seconds=drain_seconds)
        notifier.stopping(drain_seconds + FINISH_SECONDS)
        assembly.daemon.stop()
    try:
        await asyncio.wait_for(running, drain_seconds if stop.is_set() else None)
    except TimeoutError:
        observations.event("daemon.drain_ran_out", deadline_seconds=drain_seconds)
    except (ExceptionGroup, MarketsyncError) as error:
        first = _first(error)
        observations.event("daemon.failed", error=type(first).__name__, reason=_shown(first))
        return Exit.FAILURE
    observations.event("daemon.was_stopped")
    return Exit.OK


def _first(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def _shown(error: Exception) -> str:
    """Only our own texts are known to hold nothing private."""
    return str(error) if isinstance(error, MarketsyncError) else ""


def _started(assembly: Assembly, observations: Observations, notifier: Notifier, port: int) -> None:
    store, network = assembly.core.store, assembly.network
    number = len(network.marketplaces) + len(network.back_offices)
    observations.event(
        "daemon.was_started",
        version=__version__,
        installation=store.installation,
        epoch=store.epoch,
        number=number,
        address=f"port {port}",
    )
    notifier.ready(f"{number} connections")


def _on_signals(stop: asyncio.Event) -> None:
    def asked() -> None:
        if stop.is_set():
            os._exit(Exit.FAILURE)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked)


def _handler(desk: Desk) -> Callable[[str, Mapping[str, Any], Progress], Awaitable[Any]]:
    async def handle(command: str, args: Mapping[str, Any], progress: Progress) -> Any:
        from marketsync.commands.table import run

        return await run(desk, command, args, progress)

    return handle


def _pulse(config: Config, assembly: Assembly, observations: Observations, notifier: Notifier) -> Pulse:
    gates = [link.gate for link in links_of(assembly.network)]
    polls = [chosen.poll_seconds for chosen in config.marketplaces.values()]

    def progress_at() -> float | None:
        return assembly.daemon.progress_mark() if any(not gate.paused for gate in gates) else None

    async def commit() -> None:
        async def nothing(unit: Unit) -> None:  # but the number of the sequence, which goes to the disk
            unit.seq()

        await assembly.core.store.write(nothing)

    return Pulse(
        SystemClock(),
        observations,
        notifier,
        commit=commit,
        progress_at=progress_at,
        stall_seconds=STALL_SECONDS + max(polls, default=0.0),
    )


@asynccontextmanager
async def _metrics(config: Config, observations: Observations, pulse: Pulse) -> AsyncIterator[int]:
    async def ready() -> bool:
        return pulse.committed

    async with metrics_server(
        config.daemon.listen,
        elsewhere=config.daemon.listen_elsewhere,
        exposition=observations.metrics.exposition,
        healthy=lambda: pulse.healthy,
        ready=ready,
        begin_after=_first_polls,
    ) as port:
        yield port


@asynccontextmanager
async def _hints(config: Config, assembly: Assembly, observations: Observations) -> AsyncIterator[None]:
    if not config.daemon.hints_listen:
        yield
        return
    marketplaces = assembly.network.marketplaces
    doors: dict[str, Door] = {
        name: x for name, x in assembly.daemon.hints.items() if marketplaces[name].pushes is not None
    }
    async with hints_server(
        config.daemon.hints_listen,
        doors,
        elsewhere=config.daemon.listen_elsewhere,
        clock=assembly.core.clock,
        observer=observations,
        begin_after=_first_polls,
    ):
        yield


@asynccontextmanager
async def _background(
    desk: Desk, config: Config, observations: Observations, pulse: Pulse
) -> AsyncIterator[None]:
    """What goes on beside the engine. None of it can stop the daemon."""
    tasks = [
        asyncio.create_task(pulse.beat()),
        asyncio.create_task(pulse.prove()),
        asyncio.create_task(_census(desk, config, observations)),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _census(desk: Desk, config: Config, observations: Observations) -> None:
    await _first_polls()
    from marketsync.ops import census

    async def counted() -> None:
        await census.census(desk, observations)

    async def stock_counted() -> None:
        await census.stock_census(desk, observations)

    async def swept() -> None:
        await census.sweep_up(desk, config.daemon.keep_days)

    await asyncio.gather(
        _every(census.CENSUS_SECONDS, "census", counted, observations),
        _every(census.STOCK_CENSUS_SECONDS, "stock census", stock_counted, observations),
        _every(census.BROOM_SECONDS, "broom", swept, observations),
    )


async def _first_polls() -> None:
    await SystemClock().sleep(FIRST_POLLS_SECONDS)


async def _every(
    seconds: float, name: str, work: Callable[[], Awaitable[None]], observations: Observations
) -> None:
    clock = SystemClock()
    while True:
        try:
            await work()
        except MarketsyncError as error:
            observations.event("task.failed", task=name, error=type(error).__name__, reason=str(error))
        except Exception as error:  # noqa: BLE001 - the top of a task beside the engine: it goes on, and a person sees it
            observations.count("marketsync_tasks_failed_total", 1, task=name)
            observations.event("task.failed", task=name, error=type(error).__name__)
        await clock.sleep(seconds)
