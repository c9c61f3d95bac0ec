"""Which listings are to be written now, and which of them first (C18)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace

from marketsync.domain.ids import ConnectionId
from marketsync.domain.publishing import SendReason, may_spend, should_send
from marketsync.domain.stock import may_publish
from marketsync.engine.context import Core, MarketplaceLink, Network
from marketsync.engine.levels import Picture, picture
from marketsync.errors import InDoubt, MarketsyncError, Retry
from marketsync.ports import Batch
from marketsync.store import Unit, listings
from marketsync.store.rows import ListingRow

BATCH_MAX = 500
SOON_SECONDS = 0.5
TROUBLE_SECONDS = 30.0

CoverageUntil = Callable[[ConnectionId], datetime | None]


class Due(msgspec.Struct, frozen=True):
    """`wanted` units are to be listed, computed from `low`."""

    row: ListingRow
    low: int
    wanted: int
    reason: SendReason


class Found(msgspec.Struct, frozen=True):
    """Of one slice of listings: what is to be sent now, what need not be looked at again, and the SKU behind which the next
    slice begins, None if there is none."""

    due: list[Due]
    quiet: list[ListingRow]
    following: str | None


class Way(msgspec.Struct, frozen=True):
    """How a batch may leave, and the SKU behind which the slice begins that it is made of."""

    batch: Batch
    after: str


class Choice:
    """What is due on one marketplace, in slices. `coverage_until` says up to when each marketplace of the pool was read."""

    def __init__(
        self, core: Core, network: Network, link: MarketplaceLink, coverage_until: CoverageUntil
    ) -> None:
        self._core = core
        self._network = network
        self._link = link
        self._coverage_until = coverage_until

    async def marked(self, unit: Unit, after: str) -> Found:
        """As `look`; what need not be looked at again before something changes is marked so."""
        found = await self.look(unit, after)
        await listings.put(unit, found.quiet)
        return found

    async def look(self, unit: Unit, after: str) -> Found:
        """Of one slice, the SKUs behind `after`. A whole slice that has to wait, such as raises without fresh coverage, holds no
        zero behind it back (C18)."""
        merchant, link = self._core.merchant, self._link
        dirty = await listings.dirty(unit, merchant, link.name, BATCH_MAX, after)
        following = None if len(dirty) < BATCH_MAX else dirty[-1].sku
        # Of what is under way nothing can be said before its answer.
        rows = [row for row in dirty if not row.listing.may_land]
        if not rows:
            return Found([], [], following)
        scene = await picture(unit, merchant, link.settings.back_office, [row.sku for row in rows])
        due, quiet = self._judged(rows, scene)
        return Found(await affordable(unit, self._core, link, due), quiet, following)

    def _judged(self, rows: Sequence[ListingRow], scene: Picture) -> tuple[list[Due], list[ListingRow]]:
        """C18: what is due now, and what need not be looked at again before something changes."""
        due: list[Due] = []
        quiet: list[ListingRow] = []
        policy, until = self._link.settings.stock, self._coverage_until(self._link.name)
        fresh = others_fresh(self._network, self._link, self._coverage_until, self._core.clock.now())
        for row in rows:
            low = _low(row.sku, scene)
            reason = should_send(row.listing, low, until, policy, others_fresh=fresh)
            if reason is not None and low is not None:
                due.append(Due(row, low, policy.publishes(low), reason))
            elif low is None or row.listing.presumed == policy.publishes(low):
                quiet.append(replace(row, dirty=False))
        return due, quiet


def _low(sku: str, scene: Picture) -> int | None:
    level = scene.levels.get(sku)
    if level is None or not may_publish(scene.facts(sku), scene.claims.get(sku, ())):
        return None
    return level.low


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
    network: Network, link: MarketplaceLink, coverage_until: CoverageUntil, now: datetime
) -> bool:
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
