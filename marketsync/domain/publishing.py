"""What a marketplace is told to list, when, and how far it can be wrong (C15-C20). One `Listing` per (marketplace, SKU).

Marketplaces lower their own listing when they sell, and an absolute write may overwrite a sale that we have not seen:
so we keep what the marketplace is presumed to list, or that it is unknown. `coverage_until` is always the marketplace's
own coverage, in its time: server now less its visibility lag.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from datetime import datetime
from typing import assert_never

import msgspec
from msgspec.structs import replace


class WriteState(enum.Enum):
    NONE = "none"  # nothing was written yet; a write moves it on
    IN_FLIGHT = "in_flight"  # sent, no outcome; its outcome, or the watchdog, moves it on
    IN_DOUBT = "in_doubt"  # may still land; the end of send_by + lands_within moves it on
    SETTLED = "settled"  # nothing of ours can land any more; the next write moves it on


class WriteOutcome(enum.Enum):
    DONE = "done"
    NOT_APPLIED = "not_applied"
    IN_DOUBT = "in_doubt"


class ListingEvent(enum.Enum):
    SALE = "sale"
    CANCEL = "cancel"
    REVISION = "revision"


class SendReason(enum.Enum):
    COVERED = "covered"
    ZERO = "zero"
    LOWER_EARLY = "lower_early"


class Listing(msgspec.Struct, frozen=True):
    """`value` was computed at `compute_seq`; `done_at` is the latest moment, in the marketplace's time, at which a write
    of ours may have landed; `presumed` None = UNKNOWN; `event_seq` is the last sale, cancel or revision committed."""

    value: int | None = None
    compute_seq: int = 0
    done_at: datetime | None = None
    presumed: int | None = None
    state: WriteState = WriteState.NONE
    event_seq: int = 0

    @property
    def may_land(self) -> bool:
        return self.state in (WriteState.IN_FLIGHT, WriteState.IN_DOUBT)

    def covered(self, coverage_until: datetime | None) -> bool:
        """Has every sale that the last write may have overwritten been read?"""
        return coverage_until is not None and (self.done_at is None or coverage_until > self.done_at)


class Policy(msgspec.Struct, frozen=True):
    """The marketplace's share of what is available: `buffer` units are kept back, fewer than `threshold` left are not
    offered, more than `cap` never."""

    threshold: int = 0
    buffer: int = 0
    cap: int | None = None

    def __post_init__(self) -> None:
        if min(self.threshold, self.buffer, 0 if self.cap is None else self.cap) < 0:
            raise ValueError("threshold, buffer and cap of a stock policy are not negative")

    def publishes(self, low: int) -> int:
        """C15: P(max(0, low)), with 0 <= P(x) <= x."""
        value = max(0, low - self.buffer)
        if value < self.threshold:
            return 0
        return value if self.cap is None else min(value, self.cap)


def begin_write(listing: Listing, low: int, policy: Policy, seq: int) -> Listing:
    """C15: the value, computed in the transaction that marks this attempt as sent. ValueError while one may still land."""
    if listing.may_land:
        raise ValueError("a stock write for this listing may still land")
    return replace(listing, value=policy.publishes(low), compute_seq=seq, state=WriteState.IN_FLIGHT)


def after_write(listing: Listing, outcome: WriteOutcome, at: datetime) -> Listing:
    """C16: what is listed once the write's outcome is known. `at`: an upper bound of when it landed."""
    if outcome is WriteOutcome.DONE:
        undisturbed = listing.event_seq <= listing.compute_seq
        presumed = listing.value if undisturbed else None
        return replace(listing, state=WriteState.SETTLED, done_at=_latest(listing, at), presumed=presumed)
    if outcome is WriteOutcome.NOT_APPLIED:
        return replace(listing, state=WriteState.SETTLED)
    if outcome is WriteOutcome.IN_DOUBT:
        return replace(listing, state=WriteState.IN_DOUBT, presumed=None)
    assert_never(outcome)


def after_doubt(listing: Listing, at: datetime) -> Listing:
    """C16: send_by + lands_within are over, `at`: nothing can land any more, and what is listed is UNKNOWN. No probe."""
    return replace(listing, state=WriteState.SETTLED, done_at=_latest(listing, at), presumed=None)


def _latest(listing: Listing, at: datetime) -> datetime:
    """An earlier write that is put in place long after its answer may still land behind a later one that was quicker."""
    return at if listing.done_at is None else max(at, listing.done_at)


def after_event(
    listing: Listing,
    event: ListingEvent,
    quantity: int,
    seq: int,
    coverage_until: datetime | None,
    sold_at: datetime | None = None,
) -> Listing:
    """C17: an event of this marketplace is committed. `coverage_until` is from before this commit: the page that brings
    the event may be the one that passes `done_at`, and the write may have overwritten just this sale. `sold_at` says so
    too, in the marketplace's time: an order that was updated since it was sold is in a later window (B4)."""
    listing = replace(listing, event_seq=seq)
    if event is ListingEvent.SALE:
        overwritten = sold_at is not None and listing.done_at is not None and sold_at <= listing.done_at
        if listing.presumed is None or listing.may_land or overwritten or not listing.covered(coverage_until):
            return replace(listing, presumed=None)
        left = listing.presumed - quantity
        return replace(listing, presumed=left if left >= 0 else None)
    if event is ListingEvent.CANCEL or event is ListingEvent.REVISION:
        return replace(listing, presumed=None)
    assert_never(event)


def after_read_back(
    listing: Listing, listed: int, begin_seq: int, began_at: datetime, ended_at: datetime
) -> Listing:
    """A23, R16: the marketplace's own figure. Like a write, it says nothing of the sales that we have not seen until
    coverage has passed it. A read that a write or an event overtook proves nothing."""
    if listing.may_land or (listing.done_at is not None and listing.done_at >= began_at):
        return listing
    presumed = listed if listing.event_seq < begin_seq else None
    return replace(listing, presumed=presumed, done_at=ended_at)


def should_send(
    listing: Listing,
    low: int | None,
    coverage_until: datetime | None,
    policy: Policy,
    *,
    may_overwrite: int | None = None,
    others_fresh: bool = True,
) -> SendReason | None:
    """C18: is a write due, and why may it go? None = not now. `low` None (unknown) publishes nothing.

    `may_overwrite`: the sales on this marketplace that the write may overwrite, at most; None = not estimated.
    `others_fresh` False holds a raise back until the pool's other sellers are covered again.
    """
    if low is None or listing.may_land:
        return None
    wanted = policy.publishes(low)
    if listing.presumed == wanted:
        return None
    raises = wanted > 0 and (listing.presumed is None or wanted > listing.presumed)
    if listing.covered(coverage_until) and (others_fresh or not raises):
        return SendReason.COVERED
    if wanted == 0:
        return SendReason.ZERO
    if listing.presumed is None or raises or may_overwrite is None:
        return None
    return SendReason.LOWER_EARLY if listing.presumed - wanted > may_overwrite else None


def may_spend(listing: Listing, wanted: int, written: int, a_day: int) -> bool:
    """Of so many writes `a_day` the last fifth is kept for what must go down, so that nobody sells what is gone."""
    left = a_day - written
    if left > a_day // 5:
        return True
    lowers = wanted == 0 or (listing.presumed is not None and wanted < listing.presumed)
    return left > 0 and lowers


def drift(listing: Listing, low: int, policy: Policy) -> int | None:
    """R16: units listed above (below: negative) what should be; None while what is listed is UNKNOWN."""
    return None if listing.presumed is None else listing.presumed - policy.publishes(low)


def bound_at_computation(free: int, outflow: int, unseen: Iterable[int]) -> int:
    """C19: the most that may be published: U (the shop's true stock less all live sales), the shop's net other outflow
    since the snapshot, and for each marketplace the units sold there that we have not committed."""
    return max(0, free + outflow + sum(unseen))


def bound_at_sale(outflow: int, others_unknown: Iterable[int], own_unknown: int, low: int) -> int:
    """C20: units short at an oversold sale on A, at most.

    `outflow`: the shop's, from the snapshot of A's last landed computation to the sale; `others_unknown`: for each other
    marketplace its sales unknown at that computation; `own_unknown`: A's, unknown then and made before that write landed;
    `low`: as known at that computation.
    """
    return max(0, outflow + sum(others_unknown) + own_unknown + max(0, -low))


def rate_free_cap(presumed: Iterable[int | None], low: int, shop_sales: int) -> int | None:
    """C20, last line: the oversell that is possible now, without any rate of sale; None while a listing is UNKNOWN."""
    total = shop_sales - low
    for listed in presumed:
        if listed is None:
            return None
        total += listed
    return max(0, total)
