"""How much may be oversold: rules C19 and C20 of stock, computed from the world's own log (`witness`).

Nobody can prevent every oversale: a listing was computed at some moment from what was known then, and whatever is sold
elsewhere before the listing hears of it is sold twice. The rules say exactly how much that can be. For each quantity
that reached a marketplace A, with T the moment at which its request left:

C19  quantity <= max(0, free(T) + outflow(s, T) + unknown(T))
C20  at a sale on A at t, under the quantity that A lists by: units short <= outflow(s, t) + unknown(t)

- free(T): the shop's true figure less every sale that it has not taken yet (`Moment.free`).
- s: when the shop stated the figure that the daemon had at T. outflow(s, t): what left the shop's figure from s to t
  otherwise: web sales and corrections, less deliveries of goods. It may be below zero.
- unknown(t): units that are sold, or held by the shop, at t, and that the computation at T did not subtract. Those of
  A itself count only if sold before that quantity landed: later ones come out of A's own listing.

Not subtracted is a sale that was not committed at T, and one that waits for its acceptance without being allocated:
rule C13 takes nothing from others for it. A debt (`max(0, -low)` in C20) matters only where a marketplace lists again by
itself after a cancel; then the listing would be above what it can be here, which is reported.

"Committed" is known to the daemon alone, so two accounts are compared: what its file says, and what it was told.
Whatever was told must be committed within `HANDLING_SECONDS`, unless the process ended meanwhile or its disk was in
trouble (`forgotten`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from marketsync.sandbox.audit import Moment, Oversale, Owed
from tests.simulation.witness import Computation, Reading, Telling

HANDLING_SECONDS = 2.0
_HANDLING = timedelta(seconds=HANDLING_SECONDS)

Orders = Mapping[tuple[str, str], datetime]


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """`placed`: when each order was sold. `committed`: when the daemon's file says that it came to know it.
    `unreadable`: orders that were told in a form that nobody can read, for a while. `by_hand`: orders that somebody else accepted in the end,
    because the marketplace had swallowed our answer: we learn of it by reading alone."""

    computations: Sequence[Computation] = ()
    readings: Sequence[Reading] = ()
    tellings: Sequence[Telling] = ()
    troubles: Sequence[tuple[datetime, datetime]] = ()
    unreadable: Collection[tuple[str, str]] = ()
    by_hand: Collection[tuple[str, str]] = ()
    placed: Orders = {}
    committed: Orders = {}
    oversales: Sequence[Oversale] = ()


class Bound(msgspec.Struct, frozen=True):
    """The terms of C20 for one sale, in units. `waiting`: known, and not allocated (C13)."""

    outflow: int
    others: int
    own: int
    waiting: int

    @property
    def units(self) -> int:
        return max(0, self.outflow + self.others + self.own + self.waiting)

    def __str__(self) -> str:
        return (
            f"{self.outflow} left the shop otherwise, {self.others} sold elsewhere and unknown, "
            f"{self.own} sold here and unknown, {self.waiting} waiting for acceptance"
        )


def beyond(log: Log) -> Iterator[str]:
    """Each line is a violation."""
    yield from _published_too_much(log)
    yield from _sold_too_much(log)
    yield from forgotten(log)


def debt(sale: Oversale) -> int:
    """Units short once this sale is made: also those that earlier sales were short of."""
    return sale.quantity - sale.before.free(sale.sku)


def bound(log: Log, sale: Oversale, listed: Computation) -> Bound:
    """C20 at `sale`, under the quantity that its marketplace lists by."""
    terms = {"others": 0, "own": 0, "waiting": 0}
    for owed in sale.before.owed:
        if owed.sku != sale.sku or (owed.seller == sale.seller and not _before_landing(log, owed, listed)):
            continue
        kind = _not_subtracted(log, owed, listed)
        if kind == "unknown":
            terms["own" if owed.seller == sale.seller else "others"] += owed.units
        elif kind:
            terms[kind] += owed.units
    return Bound(_outflow(log, listed, sale.sku, sale.before), **terms)


def in_force(log: Log, sale: Oversale) -> Computation:
    """The last quantity that landed before the sale."""
    landed = [
        x for x in log.computations
        if x.marketplace == sale.seller and sale.sku in x.quantities and x.landed_at and x.landed_at <= sale.at
    ]  # fmt: skip
    return max(landed, key=lambda x: x.landed_at or sale.at)


def forgotten(log: Log) -> Iterator[str]:
    """What was told and not committed soon: else "unknown" would be an excuse."""
    for told in log.tellings:
        order = (told.marketplace, told.order_id)
        known = log.committed.get(order)
        excused = order in log.unreadable or _disturbed(log, told.at)
        if known is not None and known > told.at + _HANDLING and not excused:
            late = (known - told.at).total_seconds()
            yield f"told and forgotten: {told.marketplace}/{told.order_id} was known {late:.0f} s after it was told"


def _published_too_much(log: Log) -> Iterator[str]:
    for made in log.computations:
        for sku, quantity in sorted(made.quantities.items()):
            free, out = made.truth.free(sku), _outflow(log, made, sku, made.truth)
            kinds = [(owed, _not_subtracted(log, owed, made)) for owed in made.truth.owed if owed.sku == sku]
            unknown = sum(owed.units for owed, kind in kinds if kind)
            if quantity > max(0, free + out + unknown):
                yield (
                    f"C19: {made.marketplace} was told to list {quantity} of {sku} at {made.truth.at:%H:%M:%S}: "
                    f"free {free}, {out} left the shop otherwise, {unknown} sold and not subtracted"
                )


def _sold_too_much(log: Log) -> Iterator[str]:
    for sale in log.oversales:
        what = f"{sale.seller} {sale.order_id} at {sale.at:%H:%M:%S}: {debt(sale)} of {sale.sku} short"
        if not sale.order_id:
            # The shop sells by its own figure: it can only be short of what marketplaces sold and it has not taken.
            continue
        listed = in_force(log, sale)
        if sale.quantity > listed.quantities[sale.sku]:
            yield f"C20: {what}, and more sold than was ever listed: it listed again by itself"
            continue
        limit = bound(log, sale, listed)
        if debt(sale) > limit.units:
            yield f"C20: {what}, and at most {limit.units} explained: {limit}"


def _before_landing(log: Log, owed: Owed, listed: Computation) -> bool:
    landed = listed.landed_at
    return landed is not None and log.placed[owed.seller, owed.order_id] < landed


def _not_subtracted(log: Log, owed: Owed, made: Computation) -> str:
    """ "" if the computation subtracted it, else why it did not."""
    known = log.committed.get((owed.seller, owed.order_id))
    if known is None or _written(log, known) >= made.truth.at:
        return "unknown"
    then = [x for x in made.truth.owed if (x.seller, x.order_id) == (owed.seller, owed.order_id)]
    if any(x.decided for x in then) and (owed.seller, owed.order_id) not in log.by_hand:
        return ""
    # A whole order or nothing: where every quantity that was published is as large as its line, it was allocated.
    fits = all(made.quantities.get(x.sku, -1) >= x.units for x in then)
    return "" if then and fits else "waiting"


def _outflow(log: Log, made: Computation, sku: str, until: Moment) -> int:
    """From the figure that was held at the computation. Where it is not certain which one that was: the worst."""
    then = [x.base[sku] for x in _candidates(log, made, sku)]
    return max(then) - until.base.get(sku, 0)


def _candidates(log: Log, made: Computation, sku: str) -> Iterator[Reading]:
    """The newest that was certainly taken in, and what came after it."""
    for reading in reversed(log.readings):
        if sku not in reading.base or reading.told_at > made.truth.at:
            continue
        yield reading
        if (
            reading.whole
            and made.truth.at - reading.told_at >= _HANDLING
            and not _disturbed(log, reading.told_at)
        ):
            return
    # The listing of the beginning is the shop's figure of the beginning.
    first = log.computations[0].truth
    yield Reading(first.at, first.at, first.base)


def _disturbed(log: Log, at: datetime) -> bool:
    """The process may have ended, or waited for its disk, before it had written down what it was told."""
    return any(begin <= at + _HANDLING and at <= end for begin, end in log.troubles)


def _written(log: Log, at: datetime) -> datetime:
    """When what was stamped at `at` was certainly on the disk."""
    return max(
        (end + _HANDLING for begin, end in log.troubles if begin <= at + _HANDLING and at <= end), default=at
    )
