"""Counts what stands in the store, for the gauges that no single transition knows; and the daily broom."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from marketsync.commands.desk import Desk, links_of
from marketsync.commands.status import Counts, StreamStatus, stream_status
from marketsync.commands.stock import ListedRow, StockArgs, StockRow, show_stock
from marketsync.domain.coverage import Axis, Coverage
from marketsync.domain.deliveries import State
from marketsync.ops.observe import Observations
from marketsync.store import Unit, coverage, deliveries, parked, upkeep
from marketsync.store.rows import Hole

CENSUS_SECONDS = 15.0
STOCK_CENSUS_SECONDS = 300.0
BROOM_SECONDS = 3600.0
SLICE_SKUS = 500
SLICES_MAX = 1000


class Seen(msgspec.Struct, frozen=True):
    counts: Counts
    oldest_queued: dict[str, float | None]
    parked: dict[str, int]
    streams: dict[str, list[StreamStatus]]


async def census(desk: Desk, observations: Observations) -> None:
    """Once: every gauge is set anew, so that what is gone is not shown any more."""
    seen = await _look(desk)
    _deliveries(desk, seen, observations)
    _reading(seen, observations)
    observations.metrics.clear("marketsync_parked")
    for kind, number in seen.parked.items():
        observations.gauge("marketsync_parked", number, kind=kind)
    for file, size in (await upkeep.sizes(desk.core.store)).items():
        observations.gauge("marketsync_store_bytes", size, file=file)
    _gates(desk, observations)


async def stock_census(desk: Desk, observations: Observations) -> None:
    """Once over all SKUs, in slices: what is listed against what is there."""
    tallies: dict[str, _Tally] = {}
    listed: dict[str, _Tally] = {}
    for pool in desk.need_network("a census").back_offices:
        tally = tallies.setdefault(str(pool), _Tally())
        after = ""
        for _ in range(SLICES_MAX):
            rows = await show_stock(desk, StockArgs(back_office=pool, after=after, limit=SLICE_SKUS))
            for row in rows:
                tally.add(row)
                for entry in row.listings:
                    listed.setdefault(entry.connection, _Tally()).add_listing(entry)
            if len(rows) < SLICE_SKUS:
                break
            after = rows[-1].sku
    for name, tally in tallies.items():
        observations.gauge("marketsync_stock_open_skus", tally.open, back_office=name)
        observations.gauge("marketsync_stock_short_units", tally.short, back_office=name)
        observations.gauge("marketsync_oversell_cap_units", tally.cap, back_office=name)
    for connection, tally in listed.items():
        observations.gauge("marketsync_stock_drift_units", tally.drift, connection=connection)
        observations.gauge("marketsync_stock_unknown_listings", tally.unknown, connection=connection)


class _Tally(msgspec.Struct):
    open: int = 0
    short: int = 0
    cap: int = 0
    drift: int = 0
    unknown: int = 0

    def add(self, row: StockRow) -> None:
        self.open += row.low != row.high
        self.short += row.short
        self.cap += row.oversell_cap or 0

    def add_listing(self, row: ListedRow) -> None:
        self.unknown += row.listed is None
        self.drift += abs(row.drift or 0)


async def sweep_up(desk: Desk, keep_days: int) -> int:
    """Deliveries and history older than `keep_days` whose order is over; never links, open claims or coverage."""
    return await upkeep.prune(desk.core.store, desk.now() - timedelta(days=keep_days))


async def _look(desk: Desk) -> Seen:
    network = desk.need_network("a census")

    async def look(unit: Unit) -> Seen:
        names = [*network.marketplaces, *network.back_offices]
        covered = await coverage.all_coverage(unit, desk.merchant)
        holes = await coverage.holes(unit, desk.merchant)
        return Seen(
            counts=await deliveries.counts(unit, desk.merchant),
            oldest_queued={name: await deliveries.oldest_queued(unit, desk.merchant, name) for name in names},
            parked=await parked.counts(unit, desk.merchant),
            streams={
                name: [
                    _stream(covered.get((name, axis)), axis, [h for h in holes if h.connection == name], desk)
                    for axis in Axis
                ]
                for name in network.marketplaces
            },
        )

    return await desk.core.store.read(look)


def _stream(covered: Coverage | None, axis: Axis, holes: list[Hole], desk: Desk) -> StreamStatus:
    own = [hole for hole in holes if hole.axis == axis.value]
    return stream_status(covered or Coverage(axis), own, desk.now())


def _deliveries(desk: Desk, seen: Seen, observations: Observations) -> None:
    observations.metrics.clear("marketsync_deliveries_unfinished")
    for (target, kind, state), number in seen.counts.items():
        observations.gauge(
            "marketsync_deliveries_unfinished", number, target=target, kind=kind.value, state=state.value
        )
    for target, oldest in seen.oldest_queued.items():
        age = 0.0 if oldest is None else max(0.0, desk.now().timestamp() - oldest)
        observations.gauge("marketsync_oldest_undelivered_seconds", age, target=target)
        doubtful = sum(
            n for (name, _, state), n in seen.counts.items() if name == target and state is State.IN_DOUBT
        )
        observations.gauge("marketsync_in_doubt", doubtful, target=target)


def _reading(seen: Seen, observations: Observations) -> None:
    """The lag of a stream is set by the sweep itself: quiet windows reach the store only now and then."""
    for connection, streams in seen.streams.items():
        for stream in streams:
            observations.gauge(
                "marketsync_coverage_holes", stream.holes, connection=connection, stream=stream.axis
            )


def _gates(desk: Desk, observations: Observations) -> None:
    for link in links_of(desk.need_network("a census")):
        paused, is_open = bool(link.gate.paused), link.gate.is_open
        observations.gauge("marketsync_connection_paused", float(paused), connection=link.name)
        observations.gauge(
            "marketsync_connection_up", float(not paused and not is_open), connection=link.name
        )
        for budget, left in link.http.budgets_left().items():
            observations.gauge("marketsync_budget_left", left, connection=link.name, budget=budget)
