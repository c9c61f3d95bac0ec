"""Reads one marketplace: forward in windows, what a person asked for again, the deep sweep, open orders by id (rules B)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from msgspec.structs import replace

from marketsync.domain.coverage import (
    Axis,
    Coverage,
    ListTraits,
    Window,
    asked_bounds,
    deep_windows,
    is_ahead_of,
    is_cleared,
    resync_window,
    split,
    upper_bound,
)
from marketsync.domain.ids import OrderId
from marketsync.domain.paging import (
    Covered,
    HoleCause,
    NextPage,
    Overfull,
    PassState,
    Restart,
    Verdict,
    advance,
    judge_single,
    page_seen,
    start_pass,
)
from marketsync.domain.paging import Hole as Unproved
from marketsync.engine.byid import ById
from marketsync.engine.context import Core, MarketplaceLink
from marketsync.engine.holes import Holes, Part, Read
from marketsync.engine.intake import Intake, ReadMark
from marketsync.engine.pace import Pace
from marketsync.errors import Park, ReadFailed, Refused, Retry
from marketsync.ports import OrderPage
from marketsync.store import Unit, coverage
from marketsync.store.rows import Hole, Resync

SAVE_SECONDS = 300.0
PARTS_MAX = 10_000
DEEP_AFTER_SECONDS = 600.0
# Polling alone may spend all that a list is allowed: what else is to be read goes first once it was denied so often.
PASSED_OVER_MAX = 4
# Whether a marketplace can be reached its lists tell: a failed read by id may be one order's trouble.
BY_ID_FAILED_SECONDS = 30.0


class UnclearError(Exception):
    """A window is not read yet: which version of an order is newer is to be asked by its id, in smaller parts; or the
    marketplace's clock turned out to be behind where we took it to be."""


class Sweeper:
    """All reading of one connection happens here, one call after the other: its budget is one."""

    def __init__(self, core: Core, link: MarketplaceLink, intake: Intake) -> None:
        self._core = core
        self._link = link
        self._intake = intake
        self._coverage: dict[Axis, Coverage] = {}
        self._saved_at, self._unsaved, self._beside = 0.0, False, False
        self._by_id = ById(core, link, intake, lambda: self.coverage_until)
        self._holes, self._pace = Holes(core, link), Pace()
        self._deep_refused: list[tuple[Window, datetime]] = []
        self._forward_at = self._holes_tried_at = float("-inf")
        self._free_at: dict[str, float] = {}
        self._parts: list[Part] = []
        self._passed_over = 0
        # Whoever asks for a window wakes this loop: at this wake there was no request left.
        self._nothing_asked = -1
        self._started_at = core.clock.monotonic()

    @property
    def coverage_until(self) -> datetime | None:
        """Up to where this marketplace's changes were read, in its own time (C17, C18)."""
        newest = self._coverage[Axis.UPDATED].newest() if Axis.UPDATED in self._coverage else None
        return None if newest is None else newest.hi

    @property
    def server_now(self) -> datetime:
        """B1: the marketplace's clock; before its first answer nothing can be read."""
        now = self._link.http.server_now()
        if now is None:
            raise ReadFailed("the marketplace has not told its time yet")
        return now

    def ask(self, order_id: OrderId, *, hinted: bool = False) -> None:
        """Read this order by its id soon (a hint, a person, an unclear version)."""
        self._by_id.ask(order_id, hinted=hinted)
        self._link.sweep.set()

    async def load(self) -> None:
        async def both(unit: Unit) -> dict[Axis, Coverage]:
            return {x: await coverage.load(unit, self._core.merchant, self._link.name, x) for x in Axis}

        self._coverage = await self._core.store.read(both)

    async def round(self) -> float:
        """One turn: what is asked for by id, then lists, then open orders. None of them holds another one up."""
        if not self._coverage:
            await self.load()
        self._by_id.report()
        failed: Retry | Refused | None = None
        delays = [await self._paced(self._by_id.asked, BY_ID_FAILED_SECONDS)]
        try:
            delays.append(await self._paced(self._lists))
        except (Retry, Refused) as error:
            failed = error
        delays.append(await self._paced(self._by_id.open_due, BY_ID_FAILED_SECONDS))
        if failed is not None:
            raise failed
        wait = min(map(abs, delays))
        return wait if any(delay >= 0 for delay in delays) else -wait

    async def _paced(self, work: Callable[[], Awaitable[float]], failed_seconds: float = 0.0) -> float:
        """Seconds to its next call; negative where none was made, or none that says how the marketplace is."""
        now = self._core.clock.monotonic
        if (left := self._free_at.get(work.__name__, now()) - now()) > 0:
            return -left
        try:
            return await work()
        except (Retry, Refused) as error:
            throttled = isinstance(error, Retry) and not error.counted and error.after_seconds
            seconds = throttled or failed_seconds
            if not seconds:
                raise
            self._free_at[work.__name__] = now() + seconds
            return -seconds

    async def _lists(self) -> float:
        """Forward first when that is due, then one piece of what else is; before it where that had no turn for long. Where
        lists are scarce, one piece goes between two steps forward, and no second one."""
        now = self._core.clock.monotonic
        due = now() >= self._forward_at
        first = due and self._passed_over < PASSED_OVER_MAX
        if first:
            await self._forward_now()
        behind = now() + self._link.http.behind_seconds(self._link.adapter.updated.operation)
        gives_way = first == due and self._beside and behind > self._forward_at
        more = not gives_way and await self._others()
        self._beside |= more
        if due and not first:
            await self._forward_now()
        await self._save_if_old()
        self._report()
        wait = max(0.0, self._forward_at - now())
        return 0.0 if more else wait if due else -wait

    # Forward

    async def _forward_now(self) -> None:
        if await self._forward():
            self._forward_at = self._core.clock.monotonic() + self._link.settings.poll_seconds
            self._beside = False

    async def _forward(self) -> bool:
        """Up to the newest that may be read. False if an order's version was unclear: that is asked for by id first."""
        traits, now = self._link.adapter.updated, self.server_now
        kept = self._coverage[Axis.UPDATED].cut_after(now)
        self._coverage[Axis.UPDATED] = kept
        while True:
            held = self._coverage[Axis.UPDATED]
            window = self._pace.next_window(held, now, traits, self._link.settings.import_from)
            while window is not None:
                try:
                    read = await self._window(window, traits)
                except UnclearError:
                    return False
                if isinstance(read.verdict, Overfull):
                    window = self._pace.narrowed(window, read.rows, read.verdict.total, traits)
                    continue
                self._pace.was_read(window, read.rows, traits)
                break
            else:
                return True

    async def _window(self, window: Window, traits: ListTraits, resync: Resync | None = None) -> Read:
        """B7, B8: read one window; proved by one answer, or an atom by a pass, or left a hole with its cause."""
        page, mark = await self._fetch(window, traits, 0)
        seen = page_seen([raw.order_id for raw in page.orders], page.total, traits, more=page.more)
        verdict: Verdict = judge_single(seen, traits)
        if isinstance(verdict, Overfull) and split(window, traits) is None:
            return Read(await self._atom(window, traits, page, mark, resync), len(page.orders))
        await self._commit(window, page, mark, verdict, resync)
        assert isinstance(verdict, Covered | Overfull)  # noqa: S101 - what judge_single returns
        return Read(verdict, len(page.orders))

    async def _atom(
        self, window: Window, traits: ListTraits, page: OrderPage, mark: ReadMark, resync: Resync | None
    ) -> Covered | Unproved:
        """B8 to B10: too many rows in the shortest window: paged until a pass proves it, or a hole."""
        start = start_pass(traits)
        if isinstance(start, Unproved):
            await self._commit(window, page, mark, start, resync)
            return start
        state: PassState = start
        known: dict[str, bytes] = {}
        while True:
            seen = page_seen([raw.order_id for raw in page.orders], page.total, traits, more=page.more)
            verdict = advance(state, seen, traits)
            # Pages overlap: what is on the next one as it was on this is committed already.
            fresh = tuple(raw for raw in page.orders if known.get(raw.order_id) != raw.raw)
            known = {raw.order_id: raw.raw for raw in page.orders}
            await self._commit(window, replace(page, orders=fresh), mark, verdict, resync)
            if not isinstance(verdict, NextPage | Restart):
                return verdict
            state = verdict.state
            page, mark = await self._fetch(window, traits, state.offset)

    async def _fetch(self, window: Window, traits: ListTraits, offset: int) -> tuple[OrderPage, ReadMark]:
        lo, hi = asked_bounds(window, traits)
        begin = self._core.store.next_seq()
        self._core.crash.reach("sweep.before_fetch")
        page = await self._link.adapter.fetch_orders(Window(window.axis, lo, hi), offset)
        return page, ReadMark(begin, self._core.store.next_seq(), self._core.clock.now())

    async def _commit(
        self, window: Window, page: OrderPage, mark: ReadMark, verdict: Verdict, resync: Resync | None
    ) -> None:
        """D2, B12: rows are committed whatever the verdict; the claim of coverage only with its proof, and with them."""
        self._core.crash.reach("sweep.before_page")
        proves = isinstance(verdict, Covered)
        held = self._coverage[window.axis]
        after = held.add(window, self.server_now) if proves else held
        quiet = not page.orders and not isinstance(verdict, Unproved) and resync is None

        async def progress(unit: Unit) -> None:
            if proves:
                await self._write_coverage(unit, window.axis, after, window)
            if isinstance(verdict, Unproved):
                cause = verdict.cause.value
                row = Hole(
                    self._core.merchant, self._link.name, window.axis.value, window.lo, window.hi, cause
                )
                await coverage.put_hole(unit, row)
            if resync is not None and not isinstance(verdict, NextPage | Restart | Overfull):
                await coverage.move_resync(unit, resync.id, window.hi, None)

        until = self.coverage_until
        live = self._coverage[Axis.UPDATED] if window.axis is Axis.CREATED or resync is not None else None
        ahead = is_ahead_of(window, page.server_date, self._traits(window.axis))
        also = None if quiet or ahead else progress
        taken = await self._intake.take(self._link, page, mark, until, also, live=live)
        self._core.crash.reach("sweep.after_page")
        if not await self._by_id.told(taken.read_again) or ahead:
            raise UnclearError
        if taken.read_again and not quiet:
            await self._core.store.write(progress)
        if isinstance(verdict, Unproved):
            self._core.observer.event(
                "window.left_a_hole", connection=self._link.name, cause=verdict.cause.value
            )
        if proves:
            self._coverage[window.axis] = after
            self._unsaved = self._unsaved or quiet

    async def _write_coverage(self, unit: Unit, axis: Axis, after: Coverage, window: Window) -> None:
        """With the whole stretch that it belongs to now, quiet windows before it too."""
        for interval in after.intervals:
            if interval.lo <= window.hi and interval.hi >= window.lo:
                stretch = Window(axis, interval.lo, interval.hi)
                await coverage.add(unit, self._core.merchant, self._link.name, stretch, interval.read_at)

    async def _save_if_old(self) -> None:
        """A quiet marketplace costs no write at each poll: what was read quietly is saved now and then."""
        newest = self._coverage[Axis.UPDATED].newest()
        if (
            not self._unsaved
            or newest is None
            or self._core.clock.monotonic() - self._saved_at < SAVE_SECONDS
        ):
            return
        window = Window(Axis.UPDATED, newest.lo, newest.hi)
        merchant, name = self._core.merchant, self._link.name
        await self._core.store.write(lambda unit: coverage.add(unit, merchant, name, window, newest.read_at))
        self._saved_at, self._unsaved = self._core.clock.monotonic(), False

    # Everything else

    async def _others(self) -> bool:
        """One call's worth of the reading that may wait, so that reading forward never waits behind a long backlog.
        True if there is more of it."""
        if not self._parts:
            await self._plan()
        if not self._parts:
            return False
        denied, self._passed_over = self._passed_over, 0
        try:
            await self._part(self._parts[-1])
        except Retry as error:
            self._passed_over = 0 if error.counted else denied + 1
            raise
        return True

    async def _plan(self) -> None:
        """What is to be read next besides: what a person asked for, old holes, the deep sweep, which may never end."""
        merchant, name, asked = self._core.merchant, self._link.name, self._link.sweep.times
        if asked != self._nothing_asked:
            if requests := await self._core.store.read(lambda x: coverage.open_resyncs(x, merchant, name)):
                return await self._plan_resync(requests[0])
            self._nothing_asked = asked
        await self._plan_holes()
        if not self._parts and (deep := self._deep_due()):
            since = self.server_now - timedelta(seconds=self._link.settings.deep_span_seconds)
            self._parts = [Part(deep[0], None)]
            self._coverage[Axis.CREATED] = self._coverage[Axis.CREATED].compacted(since)
        return None

    async def _plan_resync(self, request: Resync) -> None:
        """Any window, again, whatever is covered: what it reads is judged like every read (B13, B14)."""
        lo = request.lo if request.done_to is None else max(request.lo, request.done_to)
        traits = self._traits(Axis(request.axis))
        window = resync_window(lo, request.hi, self.server_now, traits)
        if window is None or (window.hi == lo and request.done_to is not None):
            await self._finish_resync(request)
        else:
            self._parts = [Part(window, request)]

    async def _part(self, part: Part) -> None:
        """Read one part, or halve it (B3, B8); the oldest first, so that progress is one point. What fails stays planned,
        but for what is refused: it is a hole from then on, and the others go on."""
        try:
            read = await self._window(part.window, self._traits(part.window.axis), part.resync)
        except UnclearError:
            return
        except (Refused, Park):
            await self._leave_out(part)
            read = Read(Unproved(HoleCause.REFUSED), 0)
        self._parts.pop()
        halves = None
        if isinstance(read.verdict, Covered):
            await self._holes.fill(part.window, self._coverage[part.window.axis])
        if isinstance(read.verdict, Overfull) and len(self._parts) < PARTS_MAX:
            halves = split(part.window, self._traits(part.window.axis))
        if halves is not None:
            self._parts += [Part(half, part.resync, part.hole) for half in reversed(halves)]
            if part.hole == HoleCause.REFUSED.value:
                await self._holes.put(part.window, halves)
        elif not self._parts and part.resync is not None:
            await self._finish_resync(part.resync)

    async def _leave_out(self, part: Part) -> None:
        if part.window.axis is Axis.CREATED and part.resync is None and not part.hole:
            self._deep_refused.append((part.window, self.server_now))
        await self._holes.put(part.window, (part.window,), part.resync)
        self._core.observer.event("window.left_a_hole", connection=self._link.name, cause="refused")

    async def _finish_resync(self, request: Resync) -> None:
        self._core.crash.reach("sweep.before_resync_end")
        await self._core.store.write(
            lambda unit: coverage.move_resync(unit, request.id, request.hi, self._core.clock.now())
        )
        self._core.observer.event("resync.was_finished", connection=self._link.name, resync=request.id)

    def _deep_due(self) -> Sequence[Window]:
        """B15. Not at once after a start: fresh orders come first where a list may be read once a minute."""
        settings = self._link.settings
        if self._core.clock.monotonic() - self._started_at < DEEP_AFTER_SECONDS:
            return ()
        tried = self._coverage[Axis.CREATED]
        oldest = self.server_now - timedelta(seconds=settings.deep_period_seconds)
        self._deep_refused = [(window, at) for window, at in self._deep_refused if at > oldest]
        for window, at in self._deep_refused:
            tried = tried.add(window, at)
        return deep_windows(
            tried, self.server_now, settings.deep_span_seconds,
            settings.deep_period_seconds, self._link.adapter.created,
        )  # fmt: skip

    async def _plan_holes(self) -> None:
        """B5, B9: a hole is tried again now and then, and dropped when unbroken coverage has passed it."""
        if self._core.clock.monotonic() - self._holes_tried_at < self._link.settings.deep_period_seconds:
            return
        self._holes_tried_at = self._core.clock.monotonic()
        merchant, name = self._core.merchant, self._link.name
        for hole in await self._core.store.read(lambda unit: coverage.holes(unit, merchant, name)):
            window = Window(Axis(hole.axis), hole.lo, hole.hi)
            upper = upper_bound(self.server_now, self._traits(window.axis))
            # What was refused is not cleared by coverage around it: a person had asked to read it again.
            refused = hole.cause == HoleCause.REFUSED.value
            if not refused and is_cleared(self._coverage[window.axis], window, upper):
                drop = partial(coverage.drop_holes, merchant=merchant, connection=name, window=window)
                await self._core.store.write(drop)
            else:
                self._parts.append(Part(window, None, hole.cause))

    def _traits(self, axis: Axis) -> ListTraits:
        return self._link.adapter.updated if axis is Axis.UPDATED else self._link.adapter.created

    def _report(self) -> None:
        if (until := self.coverage_until) is not None:
            name, observer = self._link.name, self._core.observer
            lag = (self.server_now - until).total_seconds()
            observer.gauge("marketsync_coverage_lag_seconds", lag, connection=name, stream="updated")
