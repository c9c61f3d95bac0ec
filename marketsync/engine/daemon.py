"""The daemon: the loops of every connection side by side, and an orderly end (failures 52, 70, 71)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any

from marketsync.domain.ids import ConnectionId
from marketsync.engine.context import BackOfficeLink, Core, MarketplaceLink, Network, Wake
from marketsync.engine.dispatcher import Dispatcher
from marketsync.engine.hints import Hints
from marketsync.engine.intake import Intake
from marketsync.engine.loops import STORE_SECONDS, Loop
from marketsync.engine.parcels import Parcels
from marketsync.engine.prober import Prober
from marketsync.engine.publisher import Publisher
from marketsync.engine.release import Release
from marketsync.engine.stockwatch import StockWatch
from marketsync.engine.sweep import Sweeper
from marketsync.errors import ReadFailed, StoreError
from marketsync.ports import Traits
from marketsync.store import Broken, connections
from marketsync.store.rows import ConnectionRow

DRAIN_SECONDS = 40.0


class Daemon:
    """Built by bootstrap. `run` returns after `stop` and a drain; it raises only where the store itself is broken."""

    def __init__(self, core: Core, network: Network) -> None:
        self.core = core
        self.network = network
        self.intake = Intake(core, network)
        self.release = Release(core, network, self.intake)
        self.sweepers = {
            link.name: Sweeper(core, link, self.intake) for link in network.marketplaces.values()
        }
        self.hints = {
            link.name: Hints(core, link, self.sweepers[link.name].ask)
            for link in network.marketplaces.values()
            if link.hints is not None or link.pushes is not None
        }
        self.dispatchers = {link.name: Dispatcher(core, network, link) for link in network.all}
        self._loops: list[Loop] = []
        self._stopping = asyncio.Event()
        self._learning: dict[ConnectionId, asyncio.Lock] = {}
        self._known: dict[ConnectionId, Traits] = {}

    def coverage_until(self, name: ConnectionId) -> datetime | None:
        sweeper = self.sweepers.get(name)
        return None if sweeper is None else sweeper.coverage_until

    def stop(self) -> None:
        self._stopping.set()

    def progress_mark(self) -> float:
        """Monotonic time of the last real progress: a turn of a loop that ended well."""
        marks = [loop.last_success for loop in self._loops if loop.last_success is not None]
        return max(marks, default=float("-inf"))

    async def run(self) -> None:
        """Work until stopped; what is under way is finished, for a while."""
        await self._load_pauses()
        self._tell_gap()
        async with asyncio.TaskGroup() as group:
            works = [group.create_task(work) for work in self._works(group)]
            await self._stopping.wait()
            self.core.observer.event("daemon.is_draining")
            for task in works:
                task.cancel()
            await asyncio.gather(*(d.drain(DRAIN_SECONDS) for d in self.dispatchers.values()))

    async def probe_all(self) -> dict[str, Traits]:
        """Ask every connection for what depends on its account. Changes nothing."""
        found = {}
        for link in self.network.all:
            found[str(link.name)] = await link.adapter.probe_traits()
        return found

    def _tell_gap(self) -> None:
        store = self.core.store
        if store.restored and store.gap is not None:
            self.core.observer.event(
                "store.was_restored", since=store.gap.since.isoformat(), to=store.gap.until.isoformat()
            )

    async def _load_pauses(self) -> None:
        """Before anything is called; a database that somebody keeps locked is waited for, as it is later."""
        while not self._stopping.is_set():
            try:
                rows = await self.core.store.read(lambda unit: connections.all(unit, self.core.merchant))
            except Broken:
                raise
            except StoreError as error:
                kind = type(error).__name__
                self.core.observer.event(
                    "loop.failed", connection="", loop="start", error=kind, reason=str(error)
                )
                await self.core.clock.sleep(STORE_SECONDS)
            else:
                self._pause(rows)
                return

    def _pause(self, rows: Sequence[ConnectionRow]) -> None:
        for row in rows:
            link = self.network.link(row.connection)
            if link is not None and row.paused:
                link.gate.pause(row.paused)

    async def _learn(self, link: MarketplaceLink | BackOfficeLink) -> None:
        """Nothing is sent before the account's traits are known, for they decide what the writes are, and before what
        a dead life left behind is in doubt."""
        async with self._learning.setdefault(link.name, asyncio.Lock()):
            if link.name in self._known:
                return
            traits = await link.adapter.probe_traits()
            if traits.problems:
                # Not a pause: what looks wrong may be one broken answer, and a mended setting is seen at the next look.
                raise ReadFailed("; ".join(traits.problems))
            self.core.crash.reach("daemon.before_recovery")
            await self._prober(link).recover()
            if isinstance(link, MarketplaceLink):
                await self._publisher(link).recover()
            self.core.crash.reach("daemon.after_recovery")
            self._known[link.name] = traits
            self.core.observer.gauge("marketsync_connection_up", 1, connection=link.name)

    def _works(self, group: asyncio.TaskGroup) -> list[Coroutine[Any, Any, None]]:
        works: list[Coroutine[Any, Any, None]] = []
        for shop in self.network.back_offices.values():
            works += self._of_back_office(shop, group)
        for marketplace in self.network.marketplaces.values():
            works += self._of_marketplace(marketplace, group)
        return works

    def _of_marketplace(
        self, link: MarketplaceLink, group: asyncio.TaskGroup
    ) -> list[Coroutine[Any, Any, None]]:
        publisher = self._publisher(link)
        hints = self.hints.get(link.name)
        return [
            *([self._loop("hints", link, Wake(), hints.round, calls=False)] if hints else []),
            self._loop("sweep", link, link.sweep, self._after_traits(link, self.sweepers[link.name].round)),
            self._loop("publish", link, link.publish, self._after_traits(link, publisher.round)),
            *self._writing(link, group),
        ]

    def _of_back_office(
        self, link: BackOfficeLink, group: asyncio.TaskGroup
    ) -> list[Coroutine[Any, Any, None]]:
        watch = StockWatch(self.core, self.network, link, self.release)
        parcels = Parcels(self.core, self.network, link)
        return [
            self._loop("stock", link, link.stock, self._after_traits(link, watch.round)),
            self._loop("parcels", link, link.parcels, self._after_traits(link, parcels.round)),
            *self._writing(link, group),
        ]

    def _writing(
        self, link: MarketplaceLink | BackOfficeLink, group: asyncio.TaskGroup
    ) -> list[Coroutine[Any, Any, None]]:
        dispatcher = self.dispatchers[link.name]
        prober = self._prober(link)

        async def turn() -> float:
            return -await dispatcher.turn(group)

        return [
            self._loop("dispatch", link, link.dispatch, self._after_traits(link, turn), calls=False),
            self._loop("probe", link, link.probe, self._after_traits(link, prober.round)),
        ]

    def _after_traits(
        self, link: MarketplaceLink | BackOfficeLink, work: Callable[[], Awaitable[float]]
    ) -> Callable[[], Awaitable[float]]:
        async def round_() -> float:
            if link.name not in self._known:
                await self._learn(link)
            return await work()

        return round_

    def _prober(self, link: MarketplaceLink | BackOfficeLink) -> Prober:
        return Prober(self.core, self.network, link, self.dispatchers[link.name])

    def _publisher(self, link: MarketplaceLink) -> Publisher:
        return Publisher(self.core, self.network, link, self.coverage_until)

    def _loop(
        self,
        name: str,
        link: MarketplaceLink | BackOfficeLink,
        wake: Wake,
        work: Callable[[], Awaitable[float]],
        *,
        calls: bool = True,
    ) -> Coroutine[Any, Any, None]:
        loop = Loop(self.core, name, link.name, link.gate, wake)
        self._loops.append(loop)
        return loop.forever(work, calls=calls)
