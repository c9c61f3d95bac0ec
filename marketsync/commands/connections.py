"""`pause`, `resume`: a person stops a connection, and lets it run again."""

from __future__ import annotations

import msgspec

from marketsync.commands.desk import Desk, UsageError
from marketsync.domain.ids import ConnectionId
from marketsync.store import Unit, connections

REASON_LENGTH_MAX = 200


class PauseArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    connection: str
    reason: str = "paused by a person"


class ResumeArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    connection: str


class Gated(msgspec.Struct, frozen=True):
    connection: str
    paused: str


async def pause(desk: Desk, args: PauseArgs) -> Gated:
    """Nothing more is read or sent; what is under way ends."""
    reason = args.reason.strip()[:REASON_LENGTH_MAX] or "paused by a person"

    async def work(unit: Unit) -> None:
        await known_connection(unit, desk, args.connection)
        await connections.pause(unit, desk.merchant, ConnectionId(args.connection), reason, "person")

    await desk.core.store.write(work)
    link = None if desk.network is None else desk.network.link(args.connection)
    if link is not None:
        link.gate.pause(reason)
    return Gated(args.connection, reason)


async def resume(desk: Desk, args: ResumeArgs) -> Gated:
    async def work(unit: Unit) -> None:
        await known_connection(unit, desk, args.connection)
        await connections.resume(unit, desk.merchant, ConnectionId(args.connection))

    await desk.core.store.write(work)
    link = None if desk.network is None else desk.network.link(args.connection)
    if link is not None:
        link.gate.resume()
        desk.wake_all()
    return Gated(args.connection, "")


async def known_connection(unit: Unit, desk: Desk, name: str, role: str | None = None) -> ConnectionId:
    rows = [row for row in await connections.all(unit, desk.merchant) if role in {None, row.role}]
    if name not in {row.connection for row in rows}:
        names = (
            ", ".join(row.connection for row in rows) or "none yet; the first start of the daemon enters them"
        )
        raise UsageError(
            f"no {(role or 'connection').replace('_', '-')} {name!r} is known; there are: {names}"
        )
    return ConnectionId(name)
