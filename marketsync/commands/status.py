"""`status`: is everything read, sent and agreed on, connection by connection."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from marketsync import __version__
from marketsync.commands.desk import Desk
from marketsync.domain.coverage import Axis, Coverage
from marketsync.domain.deliveries import Kind, State
from marketsync.domain.ids import ConnectionId
from marketsync.store import Unit, connections, coverage, deliveries, parked
from marketsync.store.rows import ConnectionRow, Hole

Counts = Mapping[tuple[str, Kind, State], int]

COUNTED = ("queued", "sent", "waiting", "in_doubt", "parked")


class StreamStatus(msgspec.Struct, frozen=True):
    """`covered_until` is in the marketplace's time; `lag_seconds` is how far it is behind now, None before the first read."""

    axis: str
    covered_until: datetime | None
    lag_seconds: float | None
    holes: int
    hole_causes: tuple[str, ...] = ()


class ConnectionStatus(msgspec.Struct, frozen=True):
    """`state`: up, down (the circuit is open), paused, or stopped (no daemon runs). `back_office`: where a marketplace's new
    orders go, and whose stock it sells; empty for a shop, and for what is not in the configuration."""

    connection: str
    role: str
    back_office: str
    state: str
    reason: str
    streams: tuple[StreamStatus, ...]
    deliveries: dict[str, int]
    oldest_queued_seconds: float | None


class Status(msgspec.Struct, frozen=True):
    version: str
    merchant: str
    installation: str
    running: bool
    connections: tuple[ConnectionStatus, ...]
    parked: dict[str, int]


class StatusArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


async def status(desk: Desk, _: StatusArgs) -> Status:
    async def look(unit: Unit) -> Status:
        counts = await deliveries.counts(unit, desk.merchant)
        rows = await connections.all(unit, desk.merchant)
        return Status(
            version=__version__,
            merchant=desk.merchant,
            installation=desk.core.store.installation,
            running=desk.running,
            connections=tuple([await _connection(unit, desk, row, counts) for row in rows]),
            parked={
                str(kind): number
                for kind, number in sorted((await parked.counts(unit, desk.merchant)).items())
            },
        )

    return await desk.core.store.read(look)


async def _connection(unit: Unit, desk: Desk, row: ConnectionRow, counts: Counts) -> ConnectionStatus:
    now = desk.now()
    oldest = await deliveries.oldest_queued(unit, desk.merchant, row.connection)
    state, reason = _state(desk, row)
    streams = []
    if row.role == "marketplace":
        streams = [await _stream(unit, desk, row.connection, axis) for axis in Axis]
    return ConnectionStatus(
        connection=row.connection,
        role=row.role,
        back_office=desk.shop_of(row.connection) or "",
        state=state,
        reason=reason,
        streams=tuple(streams),
        deliveries=by_state(row.connection, counts),
        oldest_queued_seconds=None if oldest is None else max(0.0, now.timestamp() - oldest),
    )


def by_state(target: str, counts: Counts) -> dict[str, int]:
    totals = dict.fromkeys(COUNTED, 0)
    for (its_target, _, state), number in counts.items():
        if its_target == target and state.value in totals:
            totals[state.value] += number
    return totals


def _state(desk: Desk, row: ConnectionRow) -> tuple[str, str]:
    if row.paused:
        return "paused", row.paused
    if desk.network is None or not desk.running:
        return "stopped", "no daemon runs"
    link = desk.network.link(row.connection)
    if link is None:
        return "stopped", "it is not in the configuration"
    if link.gate.paused:
        return "paused", link.gate.paused
    failure = link.gate.last_failure
    if link.gate.is_open:
        return "down", f"several calls in a row failed, the last: {failure}"
    return "up", f"the last call failed: {failure}" if failure else ""


async def _stream(unit: Unit, desk: Desk, connection: ConnectionId, axis: Axis) -> StreamStatus:
    covered = await coverage.load(unit, desk.merchant, connection, axis)
    holes = await coverage.holes(unit, desk.merchant, connection)
    return stream_status(covered, [hole for hole in holes if hole.axis == axis.value], desk.now())


def stream_status(covered: Coverage, holes: list[Hole], now: datetime) -> StreamStatus:
    newest = covered.newest()
    until = None if newest is None else newest.hi
    return StreamStatus(
        axis=covered.axis.value,
        covered_until=until,
        lag_seconds=None if until is None else max(0.0, (now - until).total_seconds()),
        holes=len(holes),
        hole_causes=tuple(dict.fromkeys(hole.cause for hole in holes)),
    )
