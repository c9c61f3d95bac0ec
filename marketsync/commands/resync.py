"""`resync`: read a window, an order or a whole connection once more. Safe beside everything else: reads are idempotent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from marketsync.commands.connections import known_connection
from marketsync.commands.desk import Desk, NeedsDaemon, Progress, UsageError
from marketsync.domain.coverage import Axis
from marketsync.domain.ids import ConnectionId, OrderId
from marketsync.store import Unit, connections, coverage, orders
from marketsync.store.rows import Resync

LOOK_SECONDS = 1.0
DAYS_MAX = 3660


class ResyncArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An `order`, or a window of a `connection` (of all marketplaces without one): `since` a time or `recent_days` ago,
    without either from `import_from` on. `wait` reports progress until it is read.
    """

    connection: str | None = None
    order: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    recent_days: float | None = None
    axis: Literal["updated", "created"] = "updated"
    wait: bool = False


class Request(msgspec.Struct, frozen=True):
    id: int
    connection: str
    axis: str
    since: datetime
    until: datetime


class Resyncing(msgspec.Struct, frozen=True):
    """`order` is asked for by its id; `requests` are windows that the sweep reads."""

    requests: tuple[Request, ...]
    order: str = ""
    finished: bool = False


async def resync(desk: Desk, args: ResyncArgs, progress: Progress) -> Resyncing:
    if args.order is not None:
        return await _order(desk, args.order, args.connection)
    _check(args)

    async def work(unit: Unit) -> list[Resync]:
        names = await _marketplaces(unit, desk, args.connection)
        rows = [_row(unit, desk, name, args) for name in names]
        for row in rows:
            await coverage.add_resync(unit, row)
        return rows

    rows = await desk.core.store.write(work)
    requests = tuple(Request(row.id, row.connection, row.axis, row.lo, row.hi) for row in rows)
    if desk.network is None or not desk.running:
        return Resyncing(requests)
    for row in rows:
        desk.network.marketplaces[row.connection].sweep.set()
    if args.wait:
        await _finished(desk, rows, progress)
    return Resyncing(requests, finished=args.wait)


def _check(args: ResyncArgs) -> None:
    for moment in (args.since, args.until):
        if moment is not None and moment.tzinfo is None:
            raise UsageError("give the time with its zone, such as 2026-01-01T00:00:00Z")
    if args.recent_days is not None and (args.since or not 0 < args.recent_days <= DAYS_MAX):
        raise UsageError(
            f"the recent days are more than 0 and at most {DAYS_MAX}, and take the place of --from"
        )
    if args.since and args.until and args.since > args.until:
        raise UsageError("the window ends before it begins")


async def _marketplaces(unit: Unit, desk: Desk, connection: str | None) -> list[ConnectionId]:
    if connection is not None:
        names = [await known_connection(unit, desk, connection, "marketplace")]
    else:
        names = [
            row.connection for row in await connections.all(unit, desk.merchant) if row.role == "marketplace"
        ]
    if desk.network is None or not desk.running:
        return names
    absent = [name for name in names if name not in desk.network.marketplaces]
    if connection is not None and absent:
        raise UsageError(f"{connection} is not in the daemon's configuration")
    return [name for name in names if name not in absent]


def _row(unit: Unit, desk: Desk, name: ConnectionId, args: ResyncArgs) -> Resync:
    since = args.since
    if args.recent_days is not None:
        since = desk.now() - timedelta(days=args.recent_days)
    link = None if desk.network is None else desk.network.marketplaces.get(name)
    if since is None and link is not None:
        since = link.settings.import_from
    if since is None:
        raise UsageError(f"{name} is not in the configuration: say --from")
    until = (args.until or desk.now()).astimezone(UTC)
    return Resync(
        id=unit.seq(),
        merchant=desk.merchant,
        connection=name,
        axis=Axis(args.axis).value,
        lo=since.astimezone(UTC),
        hi=max(until, since),
        done_to=None,
        finished_at=None,
    )


async def _order(desk: Desk, text: str, connection: str | None) -> Resyncing:
    """An order that is not held yet is named by its connection and the marketplace's id."""

    async def look(unit: Unit) -> tuple[ConnectionId, OrderId]:
        held = [row for row in await orders.find(unit, text) if row.key.merchant == desk.merchant]
        held = [row for row in held if connection in {None, row.key.connection}]
        if len(held) == 1:
            return held[0].key.connection, held[0].key.order_id
        if held:
            raise UsageError(f"{text!r} is several orders: say --connection")
        name, _, order_id = text.rpartition("/")
        if not (connection or name):
            raise UsageError(f"no order {text!r} is held: say --connection too")
        return await known_connection(unit, desk, connection or name, "marketplace"), OrderId(order_id)

    name, order_id = await desk.core.store.read(look)
    if desk.ask is None:
        raise NeedsDaemon("reading an order again needs the running daemon")
    desk.ask(name, order_id)
    return Resyncing((), order=f"{name}/{order_id}")


async def _finished(desk: Desk, rows: list[Resync], progress: Progress) -> None:
    told: dict[int, datetime | None] = {}
    pending = {row.id: row for row in rows}
    while pending:
        for number in list(pending):
            now = await _current(desk, number)
            if now is None or now.finished_at is not None:
                pending.pop(number)
            elif now.done_to is not None and told.get(number) != now.done_to:
                told[number] = now.done_to
                await progress(
                    f"{now.connection}: read up to {now.done_to.isoformat()} of {now.hi.isoformat()}"
                )
        if pending:
            await desk.core.clock.sleep(LOOK_SECONDS)


async def _current(desk: Desk, number: int) -> Resync | None:
    async def look(unit: Unit) -> Resync | None:
        return await coverage.resync(unit, number)

    return await desk.core.store.read(look)
