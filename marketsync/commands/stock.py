"""`stock show`: what the shop reported, what orders take from it, and what each marketplace lists."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from marketsync.commands.connections import known_connection
from marketsync.commands.desk import Desk, UsageError
from marketsync.domain.ids import ConnectionId
from marketsync.domain.publishing import drift, rate_free_cap
from marketsync.domain.stock import need, shortfall, subtracts
from marketsync.engine.levels import Picture, picture
from marketsync.store import Unit, connections, listings, stock
from marketsync.store.rows import ListingRow

LIST_MAX = 500


class ListedRow(msgspec.Struct, frozen=True):
    """`listed` None: unknown, since a sale or another write may have changed it. `drift`: units above what should be."""

    connection: str
    published: int | None
    listed: int | None
    state: str
    drift: int | None
    error: str


class StockRow(msgspec.Struct, frozen=True):
    """`low` and `high` bound what is available. `oversell_cap`: units that what is listed now could oversell at most,
    whatever the rate of sales; None while a listing is unknown (C20)."""

    sku: str
    back_office: str
    reported: dict[str, int]
    tracked: bool
    claimed: int
    waiting: int
    low: int | None
    high: int | None
    short: int
    oversell_cap: int | None
    listings: tuple[ListedRow, ...]


class StockArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sku: str | None = None
    back_office: str | None = None
    after: str = ""
    limit: int = 100


async def show_stock(desk: Desk, args: StockArgs) -> tuple[StockRow, ...]:
    """One SKU, or so many that were reported, by SKU; each in every shop that knows it."""
    if not 1 <= args.limit <= LIST_MAX:
        raise UsageError(f"a list has 1 to {LIST_MAX} SKUs")

    async def look(unit: Unit) -> tuple[StockRow, ...]:
        pools = await _pools(unit, desk, args.back_office)
        known = {pool: await _known(unit, desk, pool, args) for pool in pools}
        page = sorted({sku for skus in known.values() for sku in skus})[: args.limit]
        rows: list[StockRow] = []
        for pool, skus in known.items():
            rows += await _rows(unit, desk, pool, [sku for sku in skus if sku in page])
        return tuple(sorted(rows, key=lambda row: row.sku))

    rows = await desk.core.store.read(look)
    if args.sku is None:
        return rows
    known = tuple(row for row in rows if row.reported or row.claimed or row.waiting)
    if not known:
        raise UsageError(f"SKU {args.sku!r} is not known")
    return known


async def _known(unit: Unit, desk: Desk, pool: ConnectionId, args: StockArgs) -> Sequence[str]:
    if args.sku is not None:
        return [args.sku]
    return await stock.reported_skus(unit, desk.merchant, pool, args.after, args.limit)


async def _pools(unit: Unit, desk: Desk, name: str | None) -> list[ConnectionId]:
    if name is not None:
        return [await known_connection(unit, desk, name, "back_office")]
    rows = await connections.all(unit, desk.merchant)
    return [row.connection for row in rows if row.role == "back_office"]


async def _rows(unit: Unit, desk: Desk, pool: ConnectionId, skus: Sequence[str]) -> list[StockRow]:
    scene = await picture(unit, desk.merchant, pool, skus)
    listed: dict[str, list[ListingRow]] = {}
    for row in await listings.of_skus(unit, desk.merchant, skus):
        if _feeds(desk, row.connection, pool):
            listed.setdefault(row.sku, []).append(row)
    return [_row(desk, pool, sku, scene, listed.get(sku, [])) for sku in skus]


def _feeds(desk: Desk, connection: ConnectionId, pool: ConnectionId) -> bool:
    """Whether this pool is what that marketplace sells; of one that is not configured any more, any may be."""
    return desk.shop_of(connection) in {None, pool}


def _row(desk: Desk, pool: ConnectionId, sku: str, scene: Picture, rows: Sequence[ListingRow]) -> StockRow:
    level, claims, reports = scene.levels.get(sku), scene.claims.get(sku, []), scene.reports.get(sku, [])
    article = next((a for name, a in scene.articles.items() if name == sku), None)
    low = None if level is None else level.low
    cap = None if low is None else rate_free_cap([row.listing.presumed for row in rows], low, 0)
    return StockRow(
        sku=sku,
        back_office=pool,
        reported={report.location: report.value for report in reports},
        tracked=article is not None and article.tracked,
        claimed=sum(need(claim) for claim in claims if subtracts(claim) and not claim.closed),
        waiting=sum(claim.target for claim in claims if not subtracts(claim) and not claim.closed),
        low=low,
        high=None if level is None else level.high,
        short=shortfall(reports, claims, scene.facts(sku)).known if reports else 0,
        oversell_cap=cap,
        listings=tuple(_listed(desk, row, low) for row in rows),
    )


def _listed(desk: Desk, row: ListingRow, low: int | None) -> ListedRow:
    link = None if desk.network is None else desk.network.marketplaces.get(row.connection)
    off = None if link is None or low is None else drift(row.listing, low, link.settings.stock)
    return ListedRow(
        row.connection, row.listing.value, row.listing.presumed, row.listing.state.value, off, row.error
    )
