"""Each bug of the field in the reading of orders is found, by the checks that are made for it and by no other ones."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from adapters.mirakl import ADAPTER as MIRAKL
from marketsync.domain.coverage import Window
from marketsync.domain.orders import Fulfilment
from marketsync.errors import Malformed, Park
from marketsync.http import AdapterSpec
from marketsync.kit import scorecard
from tests.kit.bad import Around, bad, with_calls


class TotalTakenForUnitPrice(Around):
    """FRA 2-1: the line's total is taken for the price of a unit, and the order's total follows, so that it balances."""

    def parse_order(self, raw: bytes) -> Any:
        order = self.inner.parse_order(raw)
        lines = tuple(replace(x, line_total=x.line_total * x.quantity) for x in order.lines)
        more = sum((x.line_total * (x.quantity - 1) for x in order.lines), Decimal(0))
        return replace(order, lines=lines, total=order.total + more)


class PushesWhatIsPending(Around):
    """FRA 2-2: paid and addressed, whatever the order says."""

    def parse_order(self, raw: bytes) -> Any:
        return replace(self.inner.parse_order(raw), paid=True, addressed=True)


class SkipsWhatItKnows(Around):
    """FRA 2-2, OCA 2.3-2: an order that was read once is not read again."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.seen: dict[str, None] = {}

    async def fetch_orders(self, window: Any, offset: int) -> Any:
        page = await self.inner.fetch_orders(window, offset)
        fresh = tuple(row for row in page.orders if row.order_id not in self.seen)
        self.seen |= dict.fromkeys(row.order_id for row in fresh)
        return replace(page, orders=fresh, total=len(fresh))


class TakesAllForItsOwn(Around):
    """FRA 2-3: what the marketplace ships itself is taken for ours to ship."""

    def parse_order(self, raw: bytes) -> Any:
        return replace(self.inner.parse_order(raw), fulfilment=Fulfilment.MERCHANT)


class StopsAtPoison(Around):
    """FRA 2-5: the first order that can't be read stops the page."""

    async def fetch_orders(self, window: Any, offset: int) -> Any:
        page = await self.inner.fetch_orders(window, offset)
        for row in page.orders:
            self.inner.parse_order(row.raw)
        return page


class AsksInLocalTime(Around):
    """OCA 2.3-1: the window is asked for in the zone of this machine."""

    async def fetch_orders(self, window: Any, offset: int) -> Any:
        shift = timedelta(hours=-5)
        return await self.inner.fetch_orders(
            Window(window.axis, window.lo + shift, window.hi + shift), offset
        )


class OpenOrdersOnly(Around):
    """TRY 2.8: only open orders are asked for."""

    async def fetch_orders(self, window: Any, offset: int) -> Any:
        page = await self.inner.fetch_orders(window, offset)
        gone = (b'"order_state":"CANCELED"', b'"order_state":"CLOSED"', b'"order_state":"RECEIVED"')
        rows = tuple(row for row in page.orders if not any(state in row.raw for state in gone))
        return replace(page, orders=rows, total=page.total - len(page.orders) + len(rows))


class OwnClock(Around):
    """LEN, MIR: the page is dated by our own clock."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.clock = inner._api._http._clock

    async def fetch_orders(self, window: Any, offset: int) -> Any:
        return replace(await self.inner.fetch_orders(window, offset), server_date=self.clock.now())


class ExclusiveBound(Around):
    """`>` where the declared bound is `>=`."""

    async def fetch_orders(self, window: Any, offset: int) -> Any:
        lo = min(window.lo + timedelta(seconds=1), window.hi)
        return await self.inner.fetch_orders(Window(window.axis, lo, window.hi), offset)


class HidesItsLag(Around):
    """The vendor shows orders late, and it is not declared."""

    @property
    def updated(self) -> Any:
        return replace(self.inner.updated, lag_seconds=0.0, overlap_seconds=0.0)


class PromisesWhatIsNot(Around):
    """A total that the far side does not keep to, and no overlap of pages."""

    async def fetch_orders(self, window: Any, offset: int) -> Any:
        page = await self.inner.fetch_orders(window, offset)
        return replace(page, total=min(page.total, self.inner.updated.page_size))


class KnowsEveryState(Around):
    """A state that is new is read as the nearest known one."""

    def parse_order(self, raw: bytes) -> Any:
        try:
            return self.inner.parse_order(raw)
        except Park as error:
            if not any(cause.startswith("enum:") for cause in error.causes):
                raise
            return self.inner.parse_order(raw.replace(b'"TELEPORTED"', b'"SHIPPING"'))


class MoneyByFloat(Around):
    """An amount that went through a binary fraction."""

    def parse_order(self, raw: bytes) -> Any:
        order = self.inner.parse_order(raw)
        return replace(
            order, lines=tuple(replace(x, line_total=Decimal(float(x.line_total))) for x in order.lines)
        )


class ShowsTheBuyer(Around):
    """An error that quotes the document."""

    def parse_order(self, raw: bytes) -> Any:
        try:
            return self.inner.parse_order(raw)
        except Malformed as error:
            raise Malformed(error.path, raw.decode("utf-8", "replace")) from None


class GluesPages(Around):
    """Pages that do not overlap; the row that two of them should share is put there from memory."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.last: Any = None

    async def fetch_orders(self, window: Any, offset: int) -> Any:
        page = await self.inner.fetch_orders(window, offset + 1 if offset else 0)
        rows = (self.last, *page.orders) if offset else page.orders
        self.last = rows[-1] if rows else None
        return replace(page, orders=rows)


class NewestFirst(GluesPages):
    """MIR 2.5-5, LEN 2.6-6: the newest come first, page by page."""


SWEPT = {"reads.visibility", "reads.clock", "reads.summer_time"}
BAD: list[tuple[type[Around], set[str]]] = [
    (TotalTakenForUnitPrice, {"mapping.money"}),
    (PushesWhatIsPending, {"mapping.phases"}),
    (SkipsWhatItKnows, {"reads.change_is_read", "reads.no_filter", "reads.total", *SWEPT}),
    (TakesAllForItsOwn, {"mapping.fulfilled"}),
    (StopsAtPoison, {"reads.poison"}),
    (AsksInLocalTime, {"reads.bounds", "reads.no_filter", "reads.change_is_read", "reads.total", "reads.poison", *SWEPT}),
    (OpenOrdersOnly, {"reads.no_filter", "reads.change_is_read"}),
    (OwnClock, {"reads.clock"}),
    (ExclusiveBound, {"reads.bounds"}),
    (HidesItsLag, SWEPT),
    (KnowsEveryState, {"mapping.states", "reads.poison"}),
    (MoneyByFloat, {"mapping.money"}),
    (ShowsTheBuyer, {"reads.garbage"}),
]  # fmt: skip


@pytest.mark.parametrize("around, expected", BAD, ids=lambda value: getattr(value, "__name__", ""))
def test_a_bad_reader_is_found(around: type[Around], expected: set[str]) -> None:
    assert set(scorecard(bad(MIRAKL, around), ("reads", "mapping")).reds) == expected


def newest_first(call: Any) -> Any:
    query = tuple(("order", "desc") if pair[0] == "order" else pair for pair in call.query)
    return msgspec.structs.replace(call, query=query)


@pytest.mark.parametrize(
    "spec, expected",
    [
        (bad(MIRAKL, PromisesWhatIsNot), {"paging.many", "paging.under_change", "paging.equal_stamps", "paging.trouble"}),
        (bad(MIRAKL, GluesPages), {"paging.under_change"}),
        (bad(with_calls(MIRAKL, newest_first), NewestFirst), {"paging.under_change"}),
        # The row that two pages share shows it: it costs passes, and nothing is called read that was not.
        (with_calls(MIRAKL, newest_first), set()),
    ],
)  # fmt: skip
def test_pages_that_do_not_hang_together_are_found(spec: AdapterSpec, expected: set[str]) -> None:
    assert set(scorecard(spec, ("paging",)).reds) == expected


def test_a_total_that_is_not_kept_is_found() -> None:
    assert scorecard(bad(MIRAKL, PromisesWhatIsNot), ("reads.total",)).reds == ("reads.total",)
