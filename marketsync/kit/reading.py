"""Reads orders as the sweep does, by the domain's own functions, and holds what it calls covered against the truth."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from marketsync.domain.coverage import (
    Axis,
    Coverage,
    ListTraits,
    Window,
    asked_bounds,
    floor_to,
    is_ahead_of,
    narrowed,
    next_live_window,
    split,
    upper_bound,
)
from marketsync.domain.orders import Order
from marketsync.domain.paging import (
    Covered,
    Hole,
    NextPage,
    Overfull,
    Restart,
    advance,
    judge_single,
    page_seen,
    start_pass,
)
from marketsync.errors import MarketsyncError
from marketsync.kit.bench import Bench
from marketsync.kit.registry import CannotShow
from marketsync.ports import OrderPage
from marketsync.sandbox.roles import Sale

CALLS_MAX = 400


class ClockWentBack(Exception):
    """What was asked for is ahead of the answer's own clock: it is read again later (B1)."""


class Reading:
    """`rows` are the newest raw orders by id, as they came; `covered` is what they are said to prove."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.rows: dict[str, bytes] = {}
        self.calls = 0
        self.covered = {axis: Coverage(axis) for axis in Axis}
        self.holes: list[tuple[Window, Hole]] = []

    def traits(self, axis: Axis) -> ListTraits:
        market = self.bench.marketplace
        return market.updated if axis is Axis.UPDATED else market.created

    async def window(self, window: Window) -> None:
        """The whole of it: in one answer, in parts, page by page, or with a hole left open."""
        waiting = [window]
        while waiting:
            part = waiting.pop()
            verdict = await self._read(part)
            if isinstance(verdict, Overfull):
                halves = split(part, self.traits(part.axis))
                waiting += reversed(halves or ())

    async def forward(self, import_from: datetime) -> None:
        """Up to the newest stamp that may be claimed now (B1)."""
        traits = self.traits(Axis.UPDATED)
        now = self.bench.http.server_now()
        if now is None:
            await self.bench.patient(self.bench.marketplace.probe_traits)
            now = self.bench.http.server_now() or self.bench.now
        held = self.covered[Axis.UPDATED].cut_after(now)
        self.covered[Axis.UPDATED] = held
        read_to: datetime | None = None
        while True:
            held = self.covered[Axis.UPDATED]
            window = next_live_window(held, now, traits, import_from, None, read_to=read_to)
            if window is None:
                return
            try:
                while isinstance(verdict := await self._read(window), Overfull):
                    window = narrowed(window, verdict.total, traits) or window
            except ClockWentBack:
                return
            read_to = window.hi

    async def _read(self, window: Window) -> Covered | Overfull | Hole:
        traits = self.traits(window.axis)
        page = await self._fetch(window, traits, 0)
        if is_ahead_of(window, page.server_date, traits):
            raise ClockWentBack
        verdict = judge_single(self._seen(page, traits), traits)
        if isinstance(verdict, Overfull):
            if split(window, traits) is not None:
                return verdict
            return self._kept(window, await self._atom(window, traits, page))
        return self._kept(window, verdict)

    async def _atom(self, window: Window, traits: ListTraits, page: OrderPage) -> Covered | Hole:
        state = start_pass(traits)
        while not isinstance(state, Hole):
            verdict = advance(state, self._seen(page, traits), traits)
            if not isinstance(verdict, NextPage | Restart):
                return verdict
            state = verdict.state
            page = await self._fetch(window, traits, state.offset)
        return state

    async def _fetch(self, window: Window, traits: ListTraits, offset: int) -> OrderPage:
        self.calls += 1
        if self.calls > CALLS_MAX:
            raise TimeoutError(f"{CALLS_MAX} lists, and it is not read")
        lo, hi = asked_bounds(window, traits)
        asked = Window(window.axis, lo, hi)
        page = await self.bench.patient(lambda: self.bench.marketplace.fetch_orders(asked, offset))
        self.rows |= {row.order_id: row.raw for row in page.orders}
        return page

    def _seen(self, page: OrderPage, traits: ListTraits) -> Any:
        return page_seen([row.order_id for row in page.orders], page.total, traits, more=page.more)

    def _kept(self, window: Window, verdict: Covered | Hole) -> Covered | Hole:
        if isinstance(verdict, Hole):
            self.holes.append((window, verdict))
        else:
            held = self.covered[window.axis]
            self.covered[window.axis] = held.add(window, self.bench.http.server_now() or self.bench.now)
        return verdict

    def broken(self) -> Iterator[str]:
        """What coverage says: every order whose stamp lies in it was read at that version or a later one. Nothing else."""
        self.bench.wire.catch_up(self.bench.now)
        missing: dict[Axis, int] = {}
        sales = self.bench.market_side.sales(self.bench.now)
        if any(sale.changed_at is None or sale.created_at is None for sale in sales):
            raise CannotShow("the far side does not say its stamps")
        for axis in Axis:
            traits = self.traits(axis)
            for sale in sales:
                stamp = stamp_of(sale, axis)
                if stamp is None or not self.covered[axis].covers(stamp):
                    continue
                if not self._was_read(sale, axis, traits):
                    missing[axis] = missing.get(axis, 0) + 1
        for axis, count in missing.items():
            yield f"{count} of {len(sales)} orders are in what is called read by {axis.value}, and were not read"

    def _was_read(self, sale: Sale, axis: Axis, traits: ListTraits) -> bool:
        raw = self.rows.get(sale.order_id)
        if raw is None or sale.changed_at is None:
            return False
        if axis is Axis.CREATED:
            return True
        order = self.parsed(raw)
        return order is None or order.updated_at >= floor_to(sale.changed_at, traits.granule)

    def parsed(self, raw: bytes) -> Order | None:
        """None where it is held for a person: then it was read."""
        try:
            return self.bench.marketplace.parse_order(raw)
        except MarketsyncError:
            return None


def stamp_of(sale: Sale, axis: Axis) -> datetime | None:
    return sale.changed_at if axis is Axis.UPDATED else sale.created_at


def everything(bench: Bench, axis: Axis = Axis.UPDATED, before_seconds: float = 7200.0) -> Window:
    """From long ago to the newest stamp that may be claimed (B1)."""
    traits = bench.marketplace.updated if axis is Axis.UPDATED else bench.marketplace.created
    hi = upper_bound(bench.http.server_now() or bench.now, traits)
    return Window(axis, hi - timedelta(seconds=before_seconds), hi)
