"""A sale cancelled, and money given back: by feeds of one request each, whose report says later what became of it."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from adapters.amazon.api import Api
from adapters.amazon.feeds import POLL_SECONDS, SEND_SECONDS, Feeds
from adapters.amazon.flat_files import (
    CANCEL_FEED,
    CONTENT_TYPE,
    REFUND_FEED,
    cancel_file,
    cancel_objection,
    first_error,
    refund_file,
    refund_objection,
    rows_of,
)
from adapters.amazon.mapping import Rules, parse_order
from marketsync.domain.aftersales import CancelSale, RefundSale, is_over
from marketsync.domain.deliveries import Absent, Found, ProbeAnswer, Record, StepSpec, Unknown, WriteClass
from marketsync.domain.orders import Order
from marketsync.domain.unmarked import Unmarked
from marketsync.errors import InDoubt, Malformed, Park, ReadFailed
from marketsync.ports import Departure, ProbeSpan, StepDone, StepResult, StepWaiting

FEED, OUTCOME = 0, 1
# Amazon's clock beside ours: what it made a moment before our request left, by its own time, may still be of it.
CLOCKS = timedelta(seconds=60)
WORKING = frozenset({"IN_QUEUE", "IN_PROGRESS"})
AGAIN = "give it up with `parked skip`, and ask for it again"


class Times(msgspec.Struct, frozen=True):
    """Assumptions about the far side, in seconds: until a feed's request lands, until what it asks for shows where it is
    looked for."""

    lands_within: float
    cancel_visible_within: float
    refund_visible_within: float


class CancelWriter:
    """LOOKUP by the order itself: to cancel it twice cancels it once."""

    def __init__(self, api: Api, feeds: Feeds, rules: Rules, stores: tuple[str, ...], times: Times) -> None:
        self._api = api
        self._feeds = feeds
        self._rules = rules
        self._stores = stores
        self._steps = (
            StepSpec(
                "feed", WriteClass.LOOKUP, times.lands_within, times.cancel_visible_within, send_by_seconds=SEND_SECONDS
            ),
            StepSpec(
                "outcome", WriteClass.LOOKUP, times.lands_within, times.cancel_visible_within, carries_content=False
            ),
        )  # fmt: skip

    def objection(self, payload: CancelSale) -> str:
        return cancel_objection(payload)

    def operation(self, step: int) -> str:
        return _operation(step)

    def steps(self, payload: CancelSale) -> tuple[StepSpec, ...]:
        return self._steps

    async def send(self, payload: CancelSale, step: int, checkpoint: str, departure: Departure) -> StepResult:
        """The order is the record: which feed cancelled it is nobody's business afterwards."""
        if step == OUTCOME:
            return StepWaiting(checkpoint, POLL_SECONDS)
        stores = _stores(payload.channel, self._stores)
        feed = await self._feeds.create(CANCEL_FEED, stores, cancel_file(payload), CONTENT_TYPE, departure)
        return StepDone(payload.order_id, _checkpoint(feed))

    async def poll(self, payload: CancelSale, step: int, receipt: str) -> StepResult:
        feed = _feed_of(receipt)
        error = "" if feed in ("", payload.order_id) else await _outcome(self._feeds, feed, rows_of(payload))
        if error is None:
            return StepWaiting(receipt, POLL_SECONDS)
        # What was refused may have been cancelled before, by an earlier feed of ours or by the buyer.
        if (error or not feed) and not is_over(await self._order(payload), payload.lines):
            raise Park(f"Amazon did not cancel it: {error or 'the order is as it was'}; {AGAIN}")
        return StepDone()

    async def probe(self, payload: CancelSale, step: int, checkpoint: str, span: ProbeSpan) -> ProbeAnswer:
        order = await self._order(payload)
        if is_over(order, payload.lines):
            return Found((Record(payload.order_id, OUTCOME + 1),))
        chosen = [x for x in order.lines if not payload.lines or x.line_id in payload.lines]
        if any(line.shipped for line in chosen):
            raise Park("it was shipped before it was cancelled")
        if step == FEED:
            return Absent()
        feed = _feed_of(checkpoint)
        if feed and await _is_working(self._feeds, feed):
            return Found((Record(payload.order_id, OUTCOME),))
        raise Park(f"the feed is over, and the order is not cancelled: {AGAIN}")

    async def _order(self, payload: CancelSale) -> Order:
        raw, _ = await self._api.order(payload.order_id)
        if raw is None:
            raise Park(f"Amazon does not know order {payload.order_id} any more")
        try:
            return parse_order(raw.raw, self._rules)
        except Malformed as error:
            raise ReadFailed(f"order {payload.order_id} can't be read: {error.path}") from None


class RefundWriter:
    """SCAN: a feed says nothing of what it was made from, so that all feeds of the sort are looked through."""

    def __init__(self, feeds: Feeds, stores: tuple[str, ...], times: Times) -> None:
        self._feeds = feeds
        self._stores = stores
        self._steps = (
            StepSpec(
                "feed", WriteClass.SCAN, times.lands_within, times.refund_visible_within, send_by_seconds=SEND_SECONDS,
                second_probe=True,
            ),
            StepSpec("outcome", WriteClass.LOOKUP, times.lands_within, carries_content=False),
        )  # fmt: skip

    def objection(self, payload: RefundSale) -> str:
        return refund_objection(payload)

    def operation(self, step: int) -> str:
        return _operation(step)

    def steps(self, payload: RefundSale) -> tuple[StepSpec, ...]:
        return self._steps

    async def send(self, payload: RefundSale, step: int, checkpoint: str, departure: Departure) -> StepResult:
        if step == OUTCOME:
            return StepWaiting(checkpoint, POLL_SECONDS)
        stores = _stores(payload.channel, self._stores)
        feed = await self._feeds.create(REFUND_FEED, stores, refund_file(payload), CONTENT_TYPE, departure)
        return StepDone(feed, _checkpoint(feed))

    async def poll(self, payload: RefundSale, step: int, receipt: str) -> StepResult:
        feed = _feed_of(receipt)
        error = await _outcome(self._feeds, feed, rows_of(payload)) if feed else ""
        if error is None:
            return StepWaiting(receipt, POLL_SECONDS)
        if error:
            raise Park(f"Amazon did not give it back: {error}; {AGAIN}")
        return StepDone()

    async def probe(
        self, payload: RefundSale, step: int, checkpoint: str, span: ProbeSpan
    ) -> ProbeAnswer | Unmarked:
        if step == OUTCOME:
            return await self._told(payload, _feed_of(checkpoint))
        since = span.since - CLOCKS
        made = await self._feeds.made_since(REFUND_FEED, since)
        if not made.whole:
            return Unknown()
        return Unmarked(made.names, OUTCOME, since.timestamp(), span.now.timestamp())

    async def _told(self, payload: RefundSale, feed: str) -> ProbeAnswer:
        """Once its feed is known, only that feed can tell, and one that ended without a report tells nothing."""
        try:
            error = await _outcome(self._feeds, feed, rows_of(payload)) if feed else ""
        except InDoubt:
            return Unknown()
        if error:
            raise Park(f"Amazon did not give it back: {error}; {AGAIN}")
        return Found((Record(feed or payload.key, OUTCOME if error is None else OUTCOME + 1),))


async def _outcome(feeds: Feeds, feed_id: str, rows: int) -> str | None:
    """Why the far side did not do it all, "" if it did; None while it works on it. One that ended without a report may have
    done it."""
    feed = await feeds.state(feed_id)
    match feed.processing_status:
        case status if status in WORKING:
            return None
        case "DONE" if feed.result_feed_document_id:
            report = await feeds.report(feed.result_feed_document_id)
            code = first_error(report, rows)
            return f"error {code}" if code else ""
        case "CANCELLED":
            return "the feed was cancelled before it was done"
        case _:
            raise InDoubt("the feed ended without a report")


async def _is_working(feeds: Feeds, feed_id: str) -> bool:
    """False also where it is not known any more: that is no reason to look for ever."""
    try:
        feed = await feeds.state(feed_id)
    except InDoubt:
        return False
    return feed.processing_status in WORKING


def _operation(step: int) -> str:
    return "createFeed" if step == FEED else "getFeed"


def _stores(channel: str, stores: tuple[str, ...]) -> tuple[str, ...]:
    return (channel,) if channel else stores


def _checkpoint(feed_id: str) -> str:
    return msgspec.json.encode({"remote_id": feed_id}).decode()


def _feed_of(checkpoint: str) -> str:
    """ "" where a person has said that it was done, and not by which feed."""
    if not checkpoint:
        return ""
    return msgspec.json.decode(checkpoint, type=dict[str, str]).get("remote_id", "")
