"""Publishing against a world that knows the truth: sellers of one stock, writes that land late or get lost, cancels."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from marketsync.domain.publishing import (
    Listing,
    ListingEvent,
    Policy,
    WriteOutcome,
    after_doubt,
    after_event,
    after_write,
    begin_write,
    bound_at_computation,
    bound_at_sale,
    should_send,
)
from marketsync.domain.stock import Claim, Effect, Event, Report, StockFacts, availability, plan_step
from tests.unit.domain.model_runs import runs

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
LANDS_WITHIN = 3


class Sale:
    def __init__(self, at: int) -> None:
        self.at = at
        self.cancelled_at: int | None = None
        self.committed_seq: int | None = None
        self.cancel_committed = self.pushed = False
        self.claim: Claim | None = None


class Landed:
    """What was known when the write that landed last was computed."""

    def __init__(self, seq: int, low: int, outflow: int) -> None:
        self.seq, self.low, self.outflow, self.at = seq, low, outflow, -1


class Seller:
    def __init__(self, visibility: int, policy: Policy) -> None:
        self.visibility, self.policy = visibility, policy
        self.listed = 0
        self.sales: list[Sale] = []
        self.listing = Listing()
        self.covered: datetime | None = None
        self.write: tuple[int, Landed] | None = None
        self.landed: Landed | None = None
        self.lands_until: int | None = None


class Market:
    """Sellers of one stock. The shop's pushes and reads are immediate here: the world above is about those."""

    def __init__(self, stock: int, sellers: list[Seller]) -> None:
        self.figure, self.outflow, self.now, self.seq = stock, 0, 100, 0
        self.sellers = sellers
        self.facts = StockFacts(effects={Event.CREATE: Effect.TAKES})
        self.report = Report("A", "pool", stock, 0, 0)
        self.snapshot_outflow = 0
        self.oversold = 0

    def next_seq(self) -> int:
        self.seq += 1
        return self.seq

    def at(self, time: int) -> datetime:
        return START + timedelta(seconds=time)

    def low(self) -> int:
        claims = [sale.claim for seller in self.sellers for sale in seller.sales if sale.claim is not None]
        level = availability([self.report], claims, self.facts)
        assert level is not None
        return level.low

    def free(self) -> int:
        live = [s for seller in self.sellers for s in seller.sales if s.cancelled_at is None and not s.pushed]
        return self.figure - len(live)

    def act(self, op: int, arg: int) -> None:
        seller = self.sellers[arg % len(self.sellers)]
        if op == 0:
            self.sell(seller)
        elif op == 1:
            self.poll(seller)
        elif op == 2:
            self.send(seller, may_overwrite=arg // 2)
        elif op == 3:
            self.land(seller)
        elif op == 4:
            self.settle(seller, lost=arg > 5)
        elif op == 5:
            self.figure, self.outflow = self.figure - 1, self.outflow + 1
        elif op == 6:
            self.report = Report("A", "pool", self.figure, self.next_seq(), self.next_seq())
            self.snapshot_outflow = self.outflow
        elif op == 7:
            self.cancel(seller, relists=arg > 3)
        elif op == 8:
            self.push(seller)
        elif op == 9:
            self.figure, self.outflow = self.figure + 1, self.outflow - 1
        elif op == 10:  # a sale that a write overwrites before anybody has read it
            for step in (0, 9, 6, 2, 3, 4):
                self.act(step, arg % len(self.sellers))
        self.now += 1

    def sell(self, seller: Seller) -> None:
        if seller.listed < 1:
            return
        seller.listed -= 1
        seller.sales.append(Sale(self.now))
        short = -self.free()
        if short <= 0:
            return
        self.oversold += 1
        known = seller.landed
        assert known is not None
        others = [_unknown(other, known.seq) for other in self.sellers if other is not seller]
        own = sum(1 for s in seller.sales if _unseen(s, known.seq) and s.at < known.at)
        assert short <= bound_at_sale(self.outflow - known.outflow, others, own, known.low)

    def poll(self, seller: Seller) -> None:
        upto, before = self.now - seller.visibility, seller.covered
        for sale in seller.sales:
            if sale.committed_seq is None and sale.at <= upto:
                sale.committed_seq = self.next_seq()
                sale.claim = Claim("main", f"o{self.seq}", "1", "A", "pool", "m", self.seq, target=1)
                self.note(seller, ListingEvent.SALE, before)
            if (
                sale.claim is not None
                and not sale.cancel_committed
                and (sale.cancelled_at or upto + 1) <= upto
            ):
                sale.cancel_committed = True
                sale.claim = replace(sale.claim, target=0)
                self.note(seller, ListingEvent.CANCEL, before)
        seller.covered = self.at(upto)

    def note(self, seller: Seller, kind: ListingEvent, covered: datetime | None) -> None:
        seller.listing = after_event(seller.listing, kind, 1, self.next_seq(), covered)

    def send(self, seller: Seller, may_overwrite: int) -> None:
        low = self.low()
        why = should_send(seller.listing, low, seller.covered, seller.policy, may_overwrite=may_overwrite)
        if why is None:
            return
        seq = self.next_seq()
        seller.listing = begin_write(seller.listing, low, seller.policy, seq)
        value = seller.listing.value
        assert value is not None
        unseen = [_unknown(other, seq) for other in self.sellers]
        assert value <= bound_at_computation(self.free(), self.outflow - self.snapshot_outflow, unseen)
        seller.write = (value, Landed(seq, low, self.snapshot_outflow))

    def land(self, seller: Seller) -> None:
        if seller.write is None or (seller.lands_until is not None and self.now > seller.lands_until):
            return
        seller.listed, seller.landed = seller.write[0], seller.write[1]
        seller.landed.at = self.now
        seller.write = None

    def settle(self, seller: Seller, *, lost: bool) -> None:
        if not seller.listing.may_land:
            return
        if seller.lands_until is not None:
            if self.now > seller.lands_until:
                seller.listing = after_doubt(seller.listing, self.at(self.now))
                seller.lands_until = seller.write = None
        elif lost or seller.write is not None:
            seller.lands_until = self.now + LANDS_WITHIN
            seller.listing = after_write(seller.listing, WriteOutcome.IN_DOUBT, self.at(self.now))
        else:
            seller.listing = after_write(seller.listing, WriteOutcome.DONE, self.at(self.now))

    def cancel(self, seller: Seller, *, relists: bool) -> None:
        open_sales = [sale for sale in seller.sales if sale.cancelled_at is None and not sale.pushed]
        if open_sales:
            open_sales[-1].cancelled_at = self.now
            seller.listed += 1 if relists else 0

    def push(self, seller: Seller) -> None:
        for sale in seller.sales:
            if sale.claim is not None and sale.cancelled_at is None and not sale.pushed:
                sale.pushed = True
                self.figure -= 1
                sent, done = self.next_seq(), self.next_seq()
                step = plan_step(sale.claim, Event.CREATE, 1, self.facts)
                step = replace(step, sent_seq=sent, done_seq=done, mature_seq=done)
                sale.claim = replace(sale.claim, steps=(step,), held=1)
                return

    def drain(self) -> None:
        for _ in range(5):
            for index, seller in enumerate(self.sellers):
                self.now += 20
                self.settle(seller, lost=False)
                self.now += 20
                self.settle(seller, lost=False)
                self.poll(seller)
                self.act(6, 0)
                self.act(2, index)
                self.act(3, index)
                self.settle(seller, lost=False)


def _unseen(sale: Sale, seq: int) -> bool:
    return sale.committed_seq is None or sale.committed_seq > seq


def _unknown(seller: Seller, seq: int) -> int:
    return sum(1 for sale in seller.sales if _unseen(sale, seq))


MARKET_OPS = st.lists(
    st.tuples(st.sampled_from([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 6, 7, 8, 9, 10, 10]), st.integers(0, 7)),
    min_size=20,
    max_size=80,
)
POLICIES = st.builds(
    Policy, threshold=st.integers(0, 1), buffer=st.integers(0, 1), cap=st.sampled_from([None, 1, 3])
)


@pytest.mark.rule("C16")
@pytest.mark.rule("C17")
@pytest.mark.rule("C18")
@pytest.mark.rule("C19")
@pytest.mark.rule("C20")
@settings(max_examples=runs(200, 10_000))
@given(
    stock=st.integers(1, 4),
    lags=st.lists(st.sampled_from([0, 3]), min_size=2, max_size=3),
    policy=POLICIES,
    ops=MARKET_OPS,
)
def test_bounds_hold_and_every_listing_converges(
    stock: int, lags: list[int], policy: Policy, ops: list[tuple[int, int]]
) -> None:
    market = Market(stock, [Seller(lag, policy) for lag in lags])
    for index in range(len(lags)):
        for op in (1, 2, 3, 4):
            market.act(op, index)
    for op, arg in ops:
        market.act(op, arg)
    event(f"oversold: {min(market.oversold, 1)}")
    market.drain()
    for seller in market.sellers:
        assert seller.listed == policy.publishes(market.low())
        assert should_send(seller.listing, market.low(), seller.covered, policy) is None
