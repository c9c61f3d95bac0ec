"""`map list|set|drop`: which of the shop's words stands for which of a marketplace's."""

from __future__ import annotations

import enum
from typing import assert_never

import msgspec

from marketsync.commands.connections import known_connection
from marketsync.commands.desk import Desk, UsageError
from marketsync.store import Unit, connections, maps

LENGTH_MAX = 200
LIST_MAX = 10_000


class MapKind(enum.Enum):
    """`sku`: the marketplace's SKU to the shop's. `carrier`: the shop's carrier to the marketplace's."""

    SKU = "sku"
    CARRIER = "carrier"


class MapRow(msgspec.Struct, frozen=True):
    connection: str
    kind: str
    source: str
    value: str


class MapListArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    connection: str | None = None
    kind: MapKind | None = None


class MapSetArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    connection: str
    kind: MapKind
    source: str
    value: str


class MapDropArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    connection: str
    kind: MapKind
    source: str


class MapChange(msgspec.Struct, frozen=True):
    """`woken`: how many parked items this was the cause of."""

    connection: str
    kind: str
    source: str
    value: str
    woken: int


async def list_maps(desk: Desk, args: MapListArgs) -> tuple[MapRow, ...]:
    async def look(unit: Unit) -> tuple[MapRow, ...]:
        return tuple(MapRow(*row) for row in await maps.page(unit, desk.merchant, LIST_MAX))

    rows = await desk.core.store.read(look)
    return tuple(
        row
        for row in rows
        if args.connection in {None, row.connection} and (args.kind is None or args.kind.value == row.kind)
    )


async def set_map(desk: Desk, args: MapSetArgs) -> MapChange:
    """What was parked for want of it goes on."""
    release = desk.need_release("setting a map")
    for text in (args.source, args.value):
        if not text.strip() or len(text) > LENGTH_MAX or not text.isprintable():
            raise UsageError(f"both sides of a map are 1 to {LENGTH_MAX} printable characters")

    async def work(unit: Unit) -> int:
        await known_connection(unit, desk, args.connection, "marketplace")
        kind = args.kind.value
        before = await maps.get(unit, desk.merchant, args.connection, kind, [args.source])
        await maps.put(unit, desk.merchant, args.connection, kind, {args.source: args.value})
        causes = await _causes(unit, desk, args, before.get(args.source, args.source))
        return sum([await release.cause_went(unit, cause) for cause in causes])

    woken = await desk.core.store.write(work)
    desk.wake_all()
    return MapChange(args.connection, args.kind.value, args.source, args.value, woken)


async def drop_map(desk: Desk, args: MapDropArgs) -> MapChange:
    """What was sent by it stays sent; what comes is no longer translated."""

    async def work(unit: Unit) -> None:
        if not await maps.drop(unit, desk.merchant, args.connection, args.kind.value, args.source):
            raise UsageError(f"{args.connection} has no {args.kind.value} map for {args.source!r}")

    await desk.core.store.write(work)
    return MapChange(args.connection, args.kind.value, args.source, "", 0)


async def _causes(unit: Unit, desk: Desk, args: MapSetArgs, before: str) -> list[str]:
    """What may wait for this map: the name as it is translated until now."""
    match args.kind:
        case MapKind.CARRIER:
            return [f"carrier:{args.source}@{args.connection}"]
        case MapKind.SKU:
            # Without a map it is looked for in the shop under its own name.
            rows = await connections.all(unit, desk.merchant)
            return [f"sku:{before}@{row.connection}" for row in rows if row.role == "back_office"]
        case _:
            assert_never(args.kind)
