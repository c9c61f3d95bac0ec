"""Commands without a daemon: what reads opens the store beside whoever holds it, what acts takes the lock."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import click

from marketsync.bootstrap import Surroundings, Wired, connect, open_for, refuse_other_merchant
from marketsync.commands.desk import Desk
from marketsync.commands.table import COMMANDS, run
from marketsync.config import Config
from marketsync.domain.ids import ConnectionId, MerchantId
from marketsync.engine.context import Core, Network
from marketsync.engine.intake import Intake
from marketsync.engine.release import Release
from marketsync.errors import ConfigError, StoreError
from marketsync.ops.clock import SystemClock, SystemRandom
from marketsync.ops.crash import NoCrash
from marketsync.ops.observe import Silence
from marketsync.store.sqlite import FILE_NAME


async def run_offline(config: Config, command: str, args: Mapping[str, Any]) -> Any:
    async with _desk(config, acts=COMMANDS[command].acts) as desk:
        return await run(desk, command, args, _progress)


@asynccontextmanager
async def _desk(config: Config, *, acts: bool) -> AsyncIterator[Desk]:
    if not config.daemon.database and not (config.daemon.state_dir / FILE_NAME).exists():
        # What acts would make one: a state directory misspelt would look like an installation without orders.
        raise StoreError(f"there is no database in {config.daemon.state_dir}: start the daemon there first")
    clock, random, observer = SystemClock(), SystemRandom(), Silence()
    store = await open_for(config, clock, random, NoCrash(), read_only=not acts)
    wired = _wired(config, Surroundings(clock, random, observer)) if acts else None
    try:
        await store.read(partial(refuse_other_merchant, config=config))
        core = Core(MerchantId(config.daemon.merchant), store, clock, random, observer, NoCrash())
        network = None if wired is None else wired.network
        release = None if network is None else _release(core, network)
        yield Desk(core, network, release, routes=_routes(config))
    finally:
        if wired is not None:
            await wired.close()
        await store.close()


def _routes(config: Config) -> dict[ConnectionId, ConnectionId]:
    return {ConnectionId(name): ConnectionId(x.back_office) for name, x in config.marketplaces.items()}


def _wired(config: Config, surroundings: Surroundings) -> Wired | None:
    """Credentials may be the service's alone: then only what needs no connection can be done."""
    with contextlib.suppress(ConfigError):
        return connect(config, surroundings)
    return None


def _release(core: Core, network: Network) -> Release:
    return Release(core, network, Intake(core, network))


async def _progress(text: str) -> None:
    click.echo(text, err=True)
