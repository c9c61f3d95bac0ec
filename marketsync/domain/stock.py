"""Stock as arithmetic over facts: what the shop reported, and the claims its report cannot contain yet.

Rules C1-C12 and C21. All quantities are units. Every `seq` comes from the one global sequence of the store: an event
is numbered after its answer is in hand, a read before its request leaves (C1). Nothing is stored as "absorbed": it is
derived here, each time.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import assert_never

import msgspec

from marketsync.domain.ids import POOL


class Event(enum.Enum):
    CREATE = "create"
    RELEASE = "release"
    RAISE = "raise"
    LOWER = "lower"
    CANCEL = "cancel"
    PARCEL = "parcel"
    ADJUSTMENT = "adjustment"
    COUNT = "count"


class Effect(enum.Enum):
    TAKES = "takes"
    GIVES_BACK = "gives_back"
    NOTHING = "nothing"


class StockFacts(msgspec.Struct, frozen=True):
    """C3: what each event does to the shop's own figure; an event that is not named does nothing."""

    effects: Mapping[Event, Effect]
    read_lag_seconds: float = 0.0
    floors_at_zero: bool = False
    pooled: bool = False

    def takes(self, event: Event) -> bool:
        return self.effects.get(event, Effect.NOTHING) is Effect.TAKES


class ClaimStep(msgspec.Struct, frozen=True):
    """One write to the shop: the units its figure has lost for the claim before and after. `sent_seq` None = queued,
    `done_seq` None = in flight or in doubt. A step proved Absent, or refused, is taken out of the claim (C4).

    `held_after` is what the shop's order holds once the step applied; None = as many as were taken.
    """

    event: Event
    taken_before: int
    taken_after: int
    sent_seq: int | None = None
    done_seq: int | None = None
    mature_seq: int | None = None
    in_doubt: bool = False
    held_after: int | None = None

    @property
    def unsettled(self) -> bool:
        return self.sent_seq is not None and (self.done_seq is None or self.in_doubt)

    @property
    def may_hold(self) -> int:
        return self.taken_after if self.held_after is None else self.held_after


class Parcel(msgspec.Struct, frozen=True):
    """A parcel of the claim's units, read back from the shop."""

    quantity: int
    seq: int
    mature_seq: int | None = None


class Claim(msgspec.Struct, frozen=True):
    """What one order line takes from one (SKU, location); `location` is "pool" where the shop picks it.

    `held` is what the shop's order is known to hold, shipped units too. `accepted` is set in the transaction that marks
    the accept as sent, and taken back if it is proved absent or refused: an accept in flight keeps its units.
    """

    merchant: str
    order_ref: str
    line_id: str
    sku: str
    location: str
    connection: str
    arrival_seq: int
    target: int
    held: int = 0
    steps: tuple[ClaimStep, ...] = ()
    parcels: tuple[Parcel, ...] = ()
    allocated: bool = False
    needs_acceptance: bool = False
    accepted: bool = False
    closed: bool = False


class Report(msgspec.Struct, frozen=True):
    """The shop's figure for one (SKU, location), read between `begin_seq` and `end_seq`."""

    sku: str
    location: str
    value: int
    begin_seq: int
    end_seq: int


class Level(msgspec.Struct, frozen=True):
    """Available units: publish and accept on `low`, refuse on `high`. Not clamped: below zero is a debt (C6)."""

    low: int
    high: int


class Span(msgspec.Struct, frozen=True):
    """The two ends of a quantity of which only the range is known."""

    min: int
    max: int


def availability(reports: Sequence[Report], claims: Iterable[Claim], facts: StockFacts) -> Level | None:
    """C6, C12: the reports of one SKU's locations less the holds of its claims.

    None where it is unknown: no report at all, or a claim on a location that was never reported. What is unknown
    publishes nothing.
    """
    if not reports:
        return None
    pool = _pool_report(reports)
    by_location = {report.location: report for report in reports}
    low = high = pool.value
    for claim in claims:
        if not subtracts(claim):
            continue
        report = pool if facts.pooled or claim.location == POOL else by_location.get(claim.location)
        if report is None:
            return None
        hold_low, hold_high = _holds(claim, report, facts)
        low -= hold_low
        high -= hold_high
        if report is not pool and len(reports) > 1:
            low -= _hidden_debt(claim, report, facts)
    return Level(low=low, high=high)


def subtracts(claim: Claim) -> bool:
    """C13: an order that waits for its acceptance takes nothing from others until it is allocated."""
    return claim.allocated or claim.accepted or not claim.needs_acceptance


def hold_range(claim: Claim, report: Report, facts: StockFacts) -> Span:
    """C6: units held back from the report, at least and at most. Never negative: what comes back comes by a report."""
    hold_low, hold_high = _holds(claim, report, facts)
    return Span(min=hold_high, max=hold_low)


def _holds(claim: Claim, report: Report, facts: StockFacts) -> tuple[int, int]:
    taken, needed = taken_range(claim, report, facts), need(claim)
    return max(0, needed - taken.min), max(0, needed - taken.max)


def taken_range(claim: Claim, report: Report, facts: StockFacts) -> Span:
    """C4: the units that the reported figure has lost for this claim, at least and at most."""
    low = high = claim.steps[0].taken_before if claim.steps else 0
    for step in claim.steps:
        if not step.unsettled and _certain(step.mature_seq, report):
            low = high = step.taken_after
        elif step.sent_seq is not None and step.sent_seq < report.end_seq:
            low, high = min(low, step.taken_after), max(high, step.taken_after)
    if facts.takes(Event.PARCEL):
        for parcel in claim.parcels:
            # The shop packed it at some time before we saw it, so the figure may hold it though the read is older.
            high += parcel.quantity
            if _certain(parcel.mature_seq, report):
                low += parcel.quantity
    return Span(min=low, max=high)


def need(claim: Claim) -> int:
    """C5: the most that the figure will have lost for this claim when its queued and in-doubt steps are over.

    A cancel or a lower frees nothing before the shop's answer is committed; a refused one keeps the unit.
    """
    may_hold = max((step.may_hold for step in claim.steps if step.unsettled), default=0)
    settled = [step.taken_after for step in claim.steps if step.done_seq is not None and not step.in_doubt]
    not_given_back = max(0, settled[-1] - claim.held) if settled else 0
    return max(claim.target, claim.held, may_hold) + not_given_back


def _certain(mature_seq: int | None, report: Report) -> bool:
    return mature_seq is not None and mature_seq < report.begin_seq


def _pool_report(reports: Sequence[Report]) -> Report:
    """C12: the sum over the locations is as old as the oldest of them."""
    return Report(
        sku=reports[0].sku,
        location=POOL,
        value=sum(report.value for report in reports),
        begin_seq=min(report.begin_seq for report in reports),
        end_seq=max(report.end_seq for report in reports),
    )


def _hidden_debt(claim: Claim, report: Report, facts: StockFacts) -> int:
    """C21: what a figure floored at zero may owe for this claim and does not show."""
    if not facts.floors_at_zero or report.value > 0 or claim.closed:
        return 0
    shipped = sum(parcel.quantity for parcel in claim.parcels)
    return max(0, min(taken_range(claim, report, facts).max, claim.held) - shipped)


def newer_report(held: Report | None, read: Report | None) -> Report | None:
    """C2: a read that began later replaces the held one; absence from an answer (None) is not a report."""
    if read is None or (held is not None and read.begin_seq <= held.begin_seq):
        return held
    return read


def matures(
    committed_mono: float | None, lag_seconds: float, mono: float, started_mono: float = float("-inf")
) -> bool:
    """C7: may an event take its `mature_seq` now? Monotonic seconds; None = committed by an earlier process.

    After a restart what had not matured waits the whole lag again, from `started_mono`.
    """
    since = started_mono if committed_mono is None else max(committed_mono, started_mono)
    return mono - since >= lag_seconds


def due_by_name(reports: Sequence[Report], claims: Iterable[Claim], facts: StockFacts) -> bool:
    """C8: is there a committed event that a fresh read by name would make certain? Due until low == high.

    An event inside its read lag is not due yet, for a read that begins now could not prove it; one in doubt needs a
    probe.
    """
    if not reports:
        return True
    pool = _pool_report(reports)
    by_location = {report.location: report for report in reports}
    for claim in claims:
        report = pool if facts.pooled else by_location.get(claim.location, pool)
        hold_low, hold_high = _holds(claim, report, facts)
        marks = [step.mature_seq for step in claim.steps] + [parcel.mature_seq for parcel in claim.parcels]
        if hold_low > hold_high and any(mark is not None and mark >= report.begin_seq for mark in marks):
            return True
    return False


def may_publish(facts: StockFacts, claims: Iterable[Claim] = ()) -> bool:
    """C9: every unit sold must leave the figure in the end: by the shop itself, an adjustment of ours, or a count."""
    if any(facts.takes(event) for event in (Event.ADJUSTMENT, Event.COUNT, Event.PARCEL)):
        return True
    if not (facts.takes(Event.CREATE) or facts.takes(Event.RELEASE)):
        return False
    return facts.takes(Event.RAISE) or not any(_raised(claim) for claim in claims)


def _raised(claim: Claim) -> bool:
    return any(step.event is Event.RAISE and step.taken_after < step.may_hold for step in claim.steps)


def plan_step(claim: Claim, event: Event, held_after: int, facts: StockFacts) -> ClaimStep:
    """C3: the step, still queued, after which the shop's order holds `held_after`, and what it does to the figure.

    A count and an adjustment make the figure agree with the order. ValueError for a parcel, which is read back.
    """
    if event is Event.PARCEL:
        raise ValueError("a parcel is read back, it is not a step")
    before = _planned_taken(claim)
    change = held_after - (claim.steps[-1].may_hold if claim.steps else claim.held)
    effect = facts.effects.get(event, Effect.NOTHING)
    if effect is Effect.NOTHING:
        after = before
    elif effect is Effect.GIVES_BACK:
        after = max(0, before + min(0, change))
    elif effect is Effect.TAKES:
        after = before + max(0, change) if event is Event.RAISE else held_after
    else:
        assert_never(effect)
    return ClaimStep(event=event, taken_before=before, taken_after=after, held_after=held_after)


def _planned_taken(claim: Claim) -> int:
    return claim.steps[-1].taken_after if claim.steps else 0


def adjustment_due(claim: Claim, facts: StockFacts) -> int:
    """C9: units that an adjustment of ours must still take from the figure (below zero: give back). 0 while a step is
    unsettled, and where the shop's own later event takes them."""
    if not facts.takes(Event.ADJUSTMENT) or facts.takes(Event.PARCEL):
        return 0
    released = any(step.event is Event.RELEASE for step in claim.steps)
    if facts.takes(Event.RELEASE) and not released:
        return 0
    if any(step.done_seq is None or step.in_doubt for step in claim.steps):
        return 0
    return claim.held - _planned_taken(claim)


class RelativeAdjustment(msgspec.Struct, frozen=True):
    """Add `delta` to the figure, once per `key`, which the far side enforces."""

    delta: int
    key: str


class CompareAndSet(msgspec.Struct, frozen=True):
    """Set the figure to `value` if it still is `expected`; else read and plan again."""

    expected: int
    value: int


def adjustment_write(units: int, key: str, read: Report | None) -> RelativeAdjustment | CompareAndSet:
    """C10: take `units` relatively under a key, or against the figure `read` where the shop can compare.

    A bare absolute set is not offered: it would erase a web sale made since the read.
    """
    if read is None:
        return RelativeAdjustment(delta=-units, key=key)
    return CompareAndSet(expected=read.value, value=read.value - units)


def close_claim(claim: Claim, seq: int, facts: StockFacts) -> Claim:
    """C11: the order is over (nothing left to ship, nothing refused): the remainder is settled as a step of its own, so
    that reports older than the closing still hold it back. Parked orders are not closed."""
    needed = need(claim)
    in_parcels = sum(parcel.quantity for parcel in claim.parcels) if facts.takes(Event.PARCEL) else 0
    before = _planned_taken(claim)
    step = ClaimStep(
        event=Event.COUNT,
        taken_before=before,
        taken_after=max(before, needed - in_parcels),
        sent_seq=seq,
        done_seq=seq,
        mature_seq=None if facts.read_lag_seconds > 0 else seq,
        held_after=needed,
    )
    return msgspec.structs.replace(claim, held=needed, steps=(*claim.steps, step), closed=True)


def kit_level(components: Iterable[tuple[int, Level | None]]) -> Level | None:
    """C12: whole kits from (units per kit, level of the component); unknown if one component is."""
    low: list[int] = []
    high: list[int] = []
    for per_kit, level in components:
        if level is None:
            return None
        low.append(level.low // per_kit)
        high.append(level.high // per_kit)
    return Level(low=min(low), high=min(high)) if low else None


class Shortfall(msgspec.Struct, frozen=True):
    """Units sold and not there: `known` from the arithmetic, `hidden` the most that floored figures may owe besides."""

    known: int
    hidden: int
    orders: tuple[str, ...]


def shortfall(reports: Sequence[Report], claims: Sequence[Claim], facts: StockFacts) -> Shortfall:
    """C21: the debt of one SKU, from its claims, and the orders that it falls on, the last to arrive first."""
    live = [claim for claim in claims if subtracts(claim) and not claim.closed]
    level = availability(reports, claims, msgspec.structs.replace(facts, floors_at_zero=False))
    if level is None:
        return Shortfall(known=0, hidden=0, orders=())
    known, pool = max(0, -level.low), _pool_report(reports)
    by_location = {} if facts.pooled else {report.location: report for report in reports}
    hidden = sum(_hidden_debt(claim, by_location.get(claim.location, pool), facts) for claim in live)
    owed = known
    orders: list[str] = []
    for claim in sorted(live, key=lambda claim: (-claim.arrival_seq, claim.order_ref)):
        if owed <= 0:
            break
        units = need(claim) - sum(parcel.quantity for parcel in claim.parcels)
        if units > 0:
            orders.append(claim.order_ref)
            owed -= units
    return Shortfall(known=known, hidden=hidden, orders=tuple(dict.fromkeys(orders)))
