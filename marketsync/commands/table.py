"""All commands by name, with their arguments: the one list behind the command line and the control socket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from marketsync.commands import (
    aftersales,
    backup,
    connections,
    explain,
    maps,
    orders,
    parked,
    restored,
    resync,
    status,
    stock,
)
from marketsync.commands.desk import Desk, Progress, UsageError
from marketsync.domain.deliveries import IllegalTransition

Run = Callable[[Desk, Any, Progress], Awaitable[Any]]


class Command(msgspec.Struct, frozen=True):
    """`acts`: it writes, so without a daemon it needs the lock of the store."""

    args: type[msgspec.Struct]
    run: Run
    acts: bool


def _plain(run: Callable[[Desk, Any], Awaitable[Any]]) -> Run:
    async def with_progress(desk: Desk, args: Any, _: Progress) -> Any:
        return await run(desk, args)

    return with_progress


COMMANDS: Mapping[str, Command] = {
    "status": Command(status.StatusArgs, _plain(status.status), acts=False),
    "orders.list": Command(orders.ListArgs, _plain(orders.list_orders), acts=False),
    "orders.show": Command(orders.OrderArgs, _plain(orders.show_order), acts=False),
    "explain": Command(orders.OrderArgs, _plain(explain.explain), acts=False),
    "stock.show": Command(stock.StockArgs, _plain(stock.show_stock), acts=False),
    "map.list": Command(maps.MapListArgs, _plain(maps.list_maps), acts=False),
    "parked.list": Command(parked.ParkedListArgs, _plain(parked.list_parked), acts=False),
    "resync": Command(resync.ResyncArgs, resync.resync, acts=True),
    "orders.cancel": Command(aftersales.CancelArgs, _plain(aftersales.cancel), acts=True),
    "orders.refund": Command(aftersales.RefundArgs, _plain(aftersales.refund), acts=True),
    "parked.retry": Command(parked.RetryArgs, _plain(parked.retry), acts=True),
    "parked.found": Command(parked.FoundArgs, _plain(parked.found), acts=True),
    "parked.absent": Command(parked.AbsentArgs, _plain(parked.absent), acts=True),
    "parked.skip": Command(parked.SkipArgs, _plain(parked.skip), acts=True),
    "map.set": Command(maps.MapSetArgs, _plain(maps.set_map), acts=True),
    "map.drop": Command(maps.MapDropArgs, _plain(maps.drop_map), acts=True),
    "pause": Command(connections.PauseArgs, _plain(connections.pause), acts=True),
    "resume": Command(connections.ResumeArgs, _plain(connections.resume), acts=True),
    "restored": Command(restored.RestoredArgs, _plain(restored.restored), acts=True),
    "backup": Command(backup.BackupArgs, _plain(backup.backup), acts=False),
}


async def run(desk: Desk, name: str, args: Mapping[str, Any], progress: Progress) -> Any:
    """What JSON can say of the command's result. UsageError for an unknown command or argument."""
    command = COMMANDS.get(name)
    if command is None:
        raise UsageError(f"there is no command {name!r}")
    try:
        typed = msgspec.convert(dict(args), command.args)
    except msgspec.ValidationError as error:
        raise UsageError(f"{name}: {error}") from None
    try:
        result = await command.run(desk, typed, progress)
    except IllegalTransition as error:
        raise UsageError(str(error)) from None
    return msgspec.json.decode(msgspec.json.encode(result))
