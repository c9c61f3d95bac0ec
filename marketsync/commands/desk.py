"""Where a command works: at a running daemon, or at the store alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

import msgspec

from marketsync.domain.ids import ConnectionId, MerchantId, OrderId
from marketsync.engine.context import BackOfficeLink, Core, MarketplaceLink, Network
from marketsync.engine.release import Release
from marketsync.errors import MarketsyncError

Progress = Callable[[str], Awaitable[None]]


class UsageError(MarketsyncError):
    """The command was asked for something that does not exist or make sense. Exit code 2."""


class NeedsDaemon(MarketsyncError):
    """Only a running daemon can do this. Exit code 69."""


class Desk(msgspec.Struct, frozen=True):
    """`network` and `release` are None where the connections could not be put together (no credentials here).

    `ask` has the running daemon read one order by its id soon; None says that no daemon runs: what a command
    writes is acted upon at the next start. `routes`: the shop of each marketplace, where there is no network to ask.
    """

    core: Core
    network: Network | None = None
    release: Release | None = None
    ask: Callable[[ConnectionId, OrderId], None] | None = None
    routes: Mapping[ConnectionId, ConnectionId] = {}

    @property
    def merchant(self) -> MerchantId:
        return self.core.merchant

    @property
    def running(self) -> bool:
        return self.ask is not None

    def now(self) -> datetime:
        return self.core.clock.now()

    def shop_of(self, marketplace: ConnectionId) -> ConnectionId | None:
        """Where new orders of it go, and whose stock it sells; None where that is not known here."""
        link = None if self.network is None else self.network.marketplaces.get(marketplace)
        return self.routes.get(marketplace) if link is None else link.settings.back_office

    def need_network(self, what: str) -> Network:
        if self.network is None:
            raise NeedsDaemon(f"{what} needs the running daemon")
        return self.network

    def need_release(self, what: str) -> Release:
        if self.release is None:
            raise NeedsDaemon(f"{what} needs the running daemon")
        return self.release

    def wake_all(self) -> None:
        """There may be something to do for everybody."""
        if self.release is not None:
            self.release.wake_all()


def links_of(network: Network) -> list[MarketplaceLink | BackOfficeLink]:
    """All connections, marketplaces first."""
    return [*network.marketplaces.values(), *network.back_offices.values()]
