"""Which listings are to be written now, and which of them first (C18)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from marketsync.domain.ids import ConnectionId
from marketsync.domain.publishing import SendReason, may_spend
from marketsync.engine.context import Core, MarketplaceLink, Network
from marketsync.errors import InDoubt, MarketsyncError, Retry
from marketsync.store import Unit, listings
from marketsync.store.rows import ListingRow

SOON_SECONDS = 0.5
TROUBLE_SECONDS = 30.0


class Due(msgspec.Struct, frozen=True):
    """`wanted` units are to be listed, computed from `low`."""

    row: ListingRow
    low: int
    wanted: int
    reason: SendReason


def first_to_go(due: Sequence[Due], names: Mapping[str, Sequence[str]], items_max: int) -> list[Due]:
    """As many as one write takes, but one at least; what must not be sold any more before all else.

    `names` are the marketplace's own, where it sells one of our SKUs under several: each is an item.
    """
    items, chosen = 0, list[Due]()
    for one in sorted(due, key=lambda x: x.wanted > 0):
        items += len(names.get(one.row.sku, (one.row.sku,)))
        if chosen and items > items_max:
            break
        chosen.append(one)
    return chosen


def others_fresh(
    network: Network, link: MarketplaceLink, coverage_until: Callable[[ConnectionId], datetime | None], now: datetime
) -> bool:  # fmt: skip
    """A raise waits until the pool's other sellers were read within two of their turns."""
    for other in network.marketplaces.values():
        if other.name == link.name or other.settings.back_office != link.settings.back_office:
            continue
        if other.gate.paused or other.gate.is_open:
            continue
        allowed = 2 * other.settings.poll_seconds + other.adapter.updated.lag_seconds + 60
        until = coverage_until(other.name)
        if until is None or (other.http.server_now() or now) - until > timedelta(seconds=allowed):
            return False
    return True


def after_trouble(error: MarketsyncError, often: float) -> float:
    """Seconds to the next write, negative where the marketplace did not say that it is well. What was certainly not applied
    is due again at once: it must not be sent as fast as it can be computed."""
    if isinstance(error, InDoubt):
        return -SOON_SECONDS
    if not isinstance(error, Retry):
        return min(often, TROUBLE_SECONDS)
    seconds = TROUBLE_SECONDS if error.after_seconds is None else error.after_seconds + SOON_SECONDS
    return -min(often, seconds)


async def affordable(unit: Unit, core: Core, link: MarketplaceLink, due: list[Due]) -> list[Due]:
    """Where a listing may be written so many times a day only, those that may be written now."""
    a_day = link.settings.writes_per_day
    if a_day is None or not due:
        return due
    skus = [x.row.sku for x in due]
    spent = await listings.writes_of(unit, core.merchant, link.name, _day(core, link), skus)
    return [x for x in due if may_spend(x.row.listing, x.wanted, spent.get(x.row.sku, 0), a_day)]


async def count(unit: Unit, core: Core, link: MarketplaceLink, rows: Sequence[ListingRow]) -> None:
    if link.settings.writes_per_day is not None:
        skus = [row.sku for row in rows]
        await listings.count_writes(unit, core.merchant, link.name, _day(core, link), skus)


def _day(core: Core, link: MarketplaceLink) -> str:
    """The marketplace's, by its own clock."""
    now = link.http.server_now() or core.clock.now()
    return now.astimezone(ZoneInfo(link.settings.day_zone)).date().isoformat()
