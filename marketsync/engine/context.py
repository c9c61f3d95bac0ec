"""What the engine's parts share: the ports, the store and the connections, put together by bootstrap."""

from __future__ import annotations

import asyncio
from datetime import datetime
from decimal import Decimal
from functools import partial

import msgspec

from marketsync.domain.ids import ConnectionId, MerchantId
from marketsync.domain.lifecycle import Switches
from marketsync.domain.publishing import Policy
from marketsync.engine.gate import Gate
from marketsync.http import Http
from marketsync.ports import (
    AlarmClock,
    BackOffice,
    CrashPoints,
    HintSource,
    Marketplace,
    Observer,
    Pushes,
    Random,
)
from marketsync.store import Store


class Core(msgspec.Struct, frozen=True):
    merchant: MerchantId
    store: Store
    clock: AlarmClock
    random: Random
    observer: Observer
    crash: CrashPoints


class Wake:
    """Something to do: set by whoever made the work, waited for by the one loop that does it. `times` counts."""

    def __init__(self) -> None:
        self._is_set = False
        self._woken: asyncio.Future[None] | None = None
        self.times = 0

    def set(self) -> None:
        self._is_set = True
        self.times += 1
        _wake(self._woken)

    async def wait(self, clock: AlarmClock, seconds: float) -> None:
        """Until woken, or for `seconds` of the clock."""
        if not self._is_set:
            woken = asyncio.get_running_loop().create_future()
            call_off = clock.call_later(seconds, partial(_wake, woken))
            self._woken = woken
            try:
                await woken
            finally:
                self._woken = None
                call_off()
        self._is_set = False


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


class AcceptPolicy(msgspec.Struct, frozen=True):
    """`price_tolerance_percent`: how far under the shop's own price a line may be sold; None accepts any price."""

    automatic: bool = True
    price_tolerance_percent: Decimal | None = None


class MarketplaceSettings(msgspec.Struct, frozen=True):
    """The core's settings of one marketplace connection; durations in seconds. `writes_per_day` of one listing, counted by the
    days of `day_zone`; None counts nothing."""

    back_office: ConnectionId
    import_from: datetime
    poll_seconds: float = 60.0
    deep_span_seconds: float = 3 * 86400.0
    deep_period_seconds: float = 6 * 3600.0
    open_read_seconds: float = 12 * 3600.0
    publish_seconds: float = 60.0
    in_flight_max: int = 8
    switches: Switches = Switches()
    accept: AcceptPolicy = AcceptPolicy()
    stock: Policy = Policy()
    writes_per_day: int | None = None
    day_zone: str = "UTC"


class BackOfficeSettings(msgspec.Struct, frozen=True):
    shipments_seconds: float = 60.0
    stock_sweep_seconds: float = 900.0
    stock_by_name_seconds: float = 5.0
    in_flight_max: int = 8
    skew_seconds: float = 300.0


class MarketplaceLink(msgspec.Struct, frozen=True):
    """One marketplace connection at work. `sweep`, `dispatch` and `publish` wake its loops. `hints` where a queue tells of
    changes, `pushes` where the marketplace itself does."""

    name: ConnectionId
    adapter: Marketplace
    http: Http
    gate: Gate
    settings: MarketplaceSettings
    sweep: Wake
    dispatch: Wake
    publish: Wake
    probe: Wake
    hints: HintSource | None = None
    pushes: Pushes | None = None


class BackOfficeLink(msgspec.Struct, frozen=True):
    name: ConnectionId
    adapter: BackOffice
    http: Http
    gate: Gate
    settings: BackOfficeSettings
    dispatch: Wake
    stock: Wake
    parcels: Wake
    probe: Wake


class Network(msgspec.Struct, frozen=True):
    """All connections of the merchant."""

    marketplaces: dict[ConnectionId, MarketplaceLink]
    back_offices: dict[ConnectionId, BackOfficeLink]

    @property
    def all(self) -> list[MarketplaceLink | BackOfficeLink]:
        return [*self.marketplaces.values(), *self.back_offices.values()]

    def link(self, name: str) -> MarketplaceLink | BackOfficeLink | None:
        connection = ConnectionId(name)
        return self.marketplaces.get(connection) or self.back_offices.get(connection)
