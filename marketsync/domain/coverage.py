"""What was read of a list of orders, and what to read next (rules B1-B5, B14-B17, B19, B20).

Every time here is an aware UTC datetime on the far side's own clock.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import msgspec

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DATE_SECONDS = 2.0
PAGE_FILL = 0.7
# An overfull step of unknown size: quarters found a fitting one in the fewest calls.
OVERFULL_PARTS = 4


class Axis(enum.Enum):
    """The stamp that a window bounds."""

    UPDATED = "updated"
    CREATED = "created"


class Paging(enum.Enum):
    """How the next page is named. Only OFFSET lets two pages share a row."""

    OFFSET = "offset"
    NUMBER = "number"
    TOKEN = "token"  # noqa: S105 - a word of the far side's, not a secret


class ListTraits(msgspec.Struct, frozen=True, kw_only=True):
    """What an adapter declares about one list of orders; the defaults promise nothing. `operation`: whose budget a page spends."""

    axis: Axis
    page_size: int
    operation: str = ""
    granule_seconds: float = 1.0
    lag_seconds: float = 0.0
    overlap_seconds: float = 0.0
    lower_exclusive: bool = False
    states_total: bool = False
    stable_order: bool = False
    shortest_seconds: float = 1.0
    offset_cap: int | None = None
    history_days: int | None = None
    extra_behind_seconds: float = 0.0
    paging: Paging = Paging.OFFSET
    token_is_snapshot: bool = False
    passes_max: int = 12
    pages_max: int = 2_000

    def __post_init__(self) -> None:
        if self.page_size < 1 or self.granule < timedelta.resolution or self.shortest_seconds <= 0:
            raise ValueError("page size, granule and shortest interval must be positive")
        if min(self.lag_seconds, self.overlap_seconds, self.extra_behind_seconds) < 0:
            raise ValueError("lag, overlap and extra distance must not be negative")

    @property
    def granule(self) -> timedelta:
        return timedelta(seconds=self.granule_seconds)

    @property
    def shortest(self) -> timedelta:
        """Never under one granule: a finer window could hold no stamp at all."""
        return max(timedelta(seconds=self.shortest_seconds), self.granule)


class Window(msgspec.Struct, frozen=True):
    """A closed interval of stamps; both ends stay frozen while it is read."""

    axis: Axis
    lo: datetime
    hi: datetime

    def __post_init__(self) -> None:
        _check_ends(self.lo, self.hi)

    @property
    def seconds(self) -> float:
        return (self.hi - self.lo).total_seconds()


class Interval(msgspec.Struct, frozen=True):
    """A covered closed interval; no part of it was last read before `read_at`."""

    lo: datetime
    hi: datetime
    read_at: datetime

    def __post_init__(self) -> None:
        _check_ends(self.lo, self.hi)


class Coverage(msgspec.Struct, frozen=True):
    """The set union of the windows read on one axis (B4, B14).

    Every order whose current stamp lies in it was read at that version or a later one. Nothing else.
    Update intervals join where they touch. Creation intervals join only where they were also read at
    the same time, since the deep sweep asks how old each part is (B15).
    """

    axis: Axis
    intervals: tuple[Interval, ...] = ()

    def add(self, window: Window, read_at: datetime) -> Coverage:
        """The union with a window that was proved; of two reads of one part the newer is kept."""
        if window.axis is not self.axis:
            raise ValueError(f"a {window.axis.value} window cannot enter {self.axis.value} coverage")
        fresh = Interval(window.lo, window.hi, read_at)
        newer = [i for i in self.intervals if i.read_at >= read_at]
        older = [i for i in self.intervals if i.read_at < read_at]
        pieces = [*newer, *_without(fresh, newer)]
        pieces += [piece for i in older for piece in _without(i, [fresh])]
        return Coverage(self.axis, _joined(pieces, alike_only=self.axis is Axis.CREATED))

    def holes(self, lo: datetime, hi: datetime) -> tuple[Window, ...]:
        """What is missing of [lo, hi]; a hole shares its ends with what surrounds it (B3)."""
        found, at = [], lo
        for interval in self.intervals:
            if interval.hi < lo or interval.lo > hi:
                continue
            if interval.lo > at:
                found.append(Window(self.axis, at, interval.lo))
            at = max(at, interval.hi)
        if at < hi or (lo == hi and not self.covers(lo)):
            found.append(Window(self.axis, at, hi))
        return tuple(found)

    def covers(self, t: datetime) -> bool:
        return any(i.lo <= t <= i.hi for i in self.intervals)

    def newest(self) -> Interval | None:
        return self.intervals[-1] if self.intervals else None

    def covered_until(self, t: datetime) -> datetime | None:
        """The end of the unbroken coverage that contains `t`."""
        until = None
        for interval in self.intervals:
            if interval.lo <= (until or t) <= interval.hi:
                until = interval.hi
        return until

    def cut_after(self, t: datetime) -> Coverage:
        """Forget what lies beyond `t`: a far side's clock that ran ahead claimed what nobody read."""
        kept = [Interval(i.lo, min(i.hi, t), i.read_at) for i in self.intervals if i.lo <= t]
        return Coverage(self.axis, tuple(kept))

    def compacted(self, before: datetime) -> Coverage:
        """Join what touches and ends at or before `before`, whenever it was read."""
        old = [i for i in self.intervals if i.hi <= before]
        rest = [i for i in self.intervals if i.hi > before]
        return Coverage(self.axis, (*_joined(old, alike_only=False), *rest))


def parse_date_header(text: str) -> datetime | None:
    """The instant of an HTTP `Date` header, None if it is not one."""
    try:
        parsed = parsedate_to_datetime(text)
    except (ValueError, IndexError, OverflowError):
        return None
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


def server_now(last_date_header: datetime, received_mono: float, mono: float) -> datetime:
    """B1: the far side's clock, never ahead of it: its last `Date` plus monotonic seconds since."""
    return last_date_header + timedelta(seconds=max(0.0, mono - received_mono))


def floor_to(t: datetime, granule: timedelta) -> datetime:
    return EPOCH + (t - EPOCH) // granule * granule


def is_ahead_of(window: Window, date: datetime | None, traits: ListTraits) -> bool:
    """B1: whether a window ends later than the Date of its own answer allows: the far side's clock went back since the
    answer before. A Date is cut to its second."""
    return date is not None and window.hi + timedelta(seconds=traits.lag_seconds - DATE_SECONDS) > date


def upper_bound(server_now: datetime, traits: ListTraits) -> datetime:
    """B1: the newest stamp that may be claimed. The running granule is not over."""
    behind = timedelta(seconds=traits.lag_seconds + traits.extra_behind_seconds)
    return floor_to(server_now - behind, traits.granule) - traits.granule


def lower_bound(server_now: datetime, traits: ListTraits, import_from: datetime) -> datetime:
    """The oldest stamp worth asking for: where history begins, or as far back as the far side shows."""
    if traits.history_days is None:
        return import_from
    return max(import_from, server_now - timedelta(days=traits.history_days))


def asked_bounds(window: Window, traits: ListTraits) -> tuple[datetime, datetime]:
    """B2: the bounds to send, so that the closed window is answered whole."""
    return (window.lo - traits.granule if traits.lower_exclusive else window.lo), window.hi


def next_live_window(
    coverage: Coverage,
    server_now: datetime,
    traits: ListTraits,
    import_from: datetime,
    density: float | None = None,
    *,
    read_to: datetime | None = None,
) -> Window | None:
    """The next forward step of the live sweep, None when it is up to date (B1, B17, B20).

    `density` is rows per second of the step before. `read_to` is the end of what this sweep tried last,
    covered or left as a hole: it goes on from there, without reading the overlap again.
    """
    hi = upper_bound(server_now, traits)
    oldest = lower_bound(server_now, traits, import_from)
    newest = coverage.newest()
    start = oldest if newest is None else max(newest.hi, oldest)
    if read_to is not None:
        start = max(read_to, oldest)
    if hi < start or (hi == start and (newest is not None or read_to is not None)):
        return None
    # What begins a history, or follows what this sweep just read, has nothing to overlap with.
    overlaps = read_to is None and newest is not None and newest.hi == start
    lo = start - timedelta(seconds=traits.overlap_seconds) if overlaps else start
    lo = min(lo, hi - traits.shortest)
    step = first_step(Window(traits.axis, lo, hi), density, traits)
    return step if step.hi > start else Window(traits.axis, lo, min(hi, start + traits.shortest))


def next_hole_window(
    coverage: Coverage, lo: datetime, hi: datetime, traits: ListTraits, density: float | None = None
) -> Window | None:
    """The next step of a resync or backfill of [lo, hi]: into its oldest hole."""
    holes = coverage.holes(lo, hi)
    return first_step(holes[0], density, traits) if holes else None


def resync_window(lo: datetime, hi: datetime, server_now: datetime, traits: ListTraits) -> Window | None:
    """What a person asked to read again, never beyond what may be claimed (B1)."""
    end = min(hi, upper_bound(server_now, traits))
    return Window(traits.axis, lo, end) if lo <= end else None


def density_of(window: Window, rows: int, traits: ListTraits) -> float:
    """Rows per second; an empty window counts one row, so that the next step grows but stays finite."""
    return max(rows, 1) / max(window.seconds, traits.granule_seconds)


def first_step(window: Window, density: float | None, traits: ListTraits) -> Window:
    """The first part of a range that should come in one answer (B19)."""
    if density is None:
        return window
    seconds = PAGE_FILL * traits.page_size / density
    if seconds >= window.seconds:
        return window
    length = timedelta(seconds=seconds) // traits.granule * traits.granule
    return Window(window.axis, window.lo, min(window.hi, window.lo + max(length, traits.shortest)))


def split(window: Window, traits: ListTraits) -> tuple[Window, Window] | None:
    """Two halves that share their end point (B3); None when it is an atom, to be paged (B8)."""
    if window.hi - window.lo < 2 * traits.shortest:
        return None
    half = (window.hi - window.lo) / 2 // traits.granule * traits.granule
    middle = window.lo + half
    return Window(window.axis, window.lo, middle), Window(window.axis, middle, window.hi)


def narrowed(window: Window, total: int | None, traits: ListTraits) -> Window | None:
    """The first part of an overfull step; forward steps go on behind it (B20). None when it is an atom."""
    halves = split(window, traits)
    if halves is None:
        return None
    rows = math.ceil(PAGE_FILL * traits.page_size * OVERFULL_PARTS) if total is None else total
    step = first_step(window, density_of(window, rows, traits), traits)
    return step if step.hi < window.hi else halves[0]


def density_ahead(window: Window, rows: int, overfull_to: datetime | None, traits: ListTraits) -> float:
    """The density to expect behind a covered step, inside a step that was overfull up to `overfull_to`.

    What filled a page and is not in the covered part lies ahead (B19): without this a step that follows
    an empty part would be as overfull as the one before.
    """
    density = density_of(window, rows, traits)
    if overfull_to is None or overfull_to <= window.hi:
        return density
    ahead = Window(window.axis, window.hi, overfull_to)
    return max(density, density_of(ahead, traits.page_size - rows, traits))


def is_cleared(coverage: Coverage, hole: Window, upper: datetime) -> bool:
    """B5: its orders may have moved on since, so coverage must be unbroken from the hole to now."""
    until = coverage.covered_until(hole.lo)
    return until is not None and until >= upper


def deep_windows(
    coverage_created: Coverage,
    server_now: datetime,
    span_seconds: float,
    period_seconds: float,
    traits: ListTraits,
) -> tuple[Window, ...]:
    """B15: what of the last `span_seconds` of creation is due, each part every `period_seconds`.

    The guarantee is for what becomes visible within span - period of its creation.
    """
    if coverage_created.axis is not Axis.CREATED or not 0 < period_seconds < span_seconds:
        raise ValueError("a deep sweep needs the creation axis and a period shorter than its span")
    period = timedelta(seconds=period_seconds)
    hi = upper_bound(server_now, traits)
    lo = lower_bound(server_now, traits, hi - timedelta(seconds=span_seconds))
    if lo > hi:
        return ()
    due = [hole for hole in coverage_created.holes(lo, hi) if hole.hi < hi or hole.lo <= hi - period]
    due += [
        Window(Axis.CREATED, max(lo, part.lo), min(hi, part.hi))
        for part in coverage_created.intervals
        if part.hi > lo and part.lo < hi and part.read_at <= server_now - period
    ]
    return tuple(sorted(due, key=lambda window: (window.lo, window.hi)))


class OpenOrder(msgspec.Struct, frozen=True):
    """An order that can still change, and when it was last read."""

    order_id: str
    read_at: datetime


def due_open_reads(
    open_orders: Iterable[OpenOrder], now: datetime, period_seconds: float, limit: int
) -> tuple[str, ...]:
    """B16: the open orders to read by id, the longest unread first."""
    before = now - timedelta(seconds=period_seconds)
    due = sorted((o.read_at, o.order_id) for o in open_orders if o.read_at <= before)
    return tuple(order_id for _, order_id in due[:limit])


def _check_ends(lo: datetime, hi: datetime) -> None:
    if lo.utcoffset() is None or hi.utcoffset() is None:
        raise ValueError("a window needs aware times")
    if hi < lo:
        raise ValueError("a window ends before it begins")


def _without(interval: Interval, cuts: Iterable[Interval]) -> list[Interval]:
    """What is left of an interval; the pieces keep the end points of the cuts (B3)."""
    pieces = [interval]
    for cut in cuts:
        left: list[Interval] = []
        for piece in pieces:
            if cut.hi < piece.lo or cut.lo > piece.hi:
                left.append(piece)
                continue
            if piece.lo < cut.lo:
                left.append(Interval(piece.lo, cut.lo, piece.read_at))
            if cut.hi < piece.hi:
                left.append(Interval(cut.hi, piece.hi, piece.read_at))
        pieces = left
    return pieces


def _joined(pieces: Iterable[Interval], *, alike_only: bool) -> tuple[Interval, ...]:
    """Sorted, joined where they touch, never because they are close (B3)."""
    joined: list[Interval] = []
    for piece in sorted(pieces, key=lambda i: (i.lo, i.hi)):
        last = joined[-1] if joined else None
        if last and piece.lo <= last.hi and (not alike_only or piece.read_at == last.read_at):
            end, read_at = max(last.hi, piece.hi), min(last.read_at, piece.read_at)
            joined[-1] = Interval(last.lo, end, read_at)
        else:
            joined.append(piece)
    return tuple(joined)
