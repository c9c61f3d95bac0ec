"""Stock on Amazon: absolute quantities, a few by patches of their listings, many by a feed. Both are done some time later."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from adapters.amazon import wire
from adapters.amazon.api import Api, refusal, shown_code
from adapters.amazon.feeds import POLL_SECONDS, SEND_SECONDS, Feeds
from marketsync.domain.deliveries import ProbeAnswer, StepSpec, Unknown, WriteClass
from marketsync.errors import InDoubt, Park, ReadFailed, Refused
from marketsync.http import decode, segment
from marketsync.ports import (
    Batch,
    Departure,
    ItemResult,
    ProbeSpan,
    PublishStock,
    StepDone,
    StepResult,
    StepWaiting,
    StockItem,
)

PATCHED_AT_ONCE = 4
FEED_ITEMS_MAX = 500
FEED_TYPE = "JSON_LISTINGS_FEED"
FEED_KIND = "application/json; charset=UTF-8"


class Account(msgspec.Struct, frozen=True):
    """`patched_max`: up to so many due listings are patched one by one. The times are assumptions about the far side."""

    seller_id: str
    marketplace_ids: tuple[str, ...]
    patched_max: int
    patch_lands_within_seconds: float
    feed_lands_within_seconds: float
    applied_after_seconds: float


class StockWriter:
    """One item is a patch, several are a feed: a function of the payload alone."""

    def __init__(self, api: Api, feeds: Feeds, account: Account) -> None:
        self._api = api
        self._feeds = feeds
        self._account = account

    def operation(self, step: int) -> str:
        return "patchListingsItem"

    def batch(self, due: int) -> Batch:
        if due <= self._account.patched_max:
            return Batch(1, "patchListingsItem", PATCHED_AT_ONCE)
        return Batch(FEED_ITEMS_MAX, "createFeed")

    def steps(self, payload: PublishStock) -> tuple[StepSpec, ...]:
        account = self._account
        if _is_patch(payload):
            return (
                StepSpec(
                    "patch", WriteClass.UPSERT, account.patch_lands_within_seconds,
                    applied_after_seconds=account.applied_after_seconds,
                ),
            )  # fmt: skip
        return (
            StepSpec(
                "feed", WriteClass.UPSERT, account.feed_lands_within_seconds, send_by_seconds=SEND_SECONDS,
                applied_after_seconds=account.applied_after_seconds,
            ),
        )  # fmt: skip

    async def send(
        self, payload: PublishStock, step: int, checkpoint: str, departure: Departure
    ) -> StepResult:
        if _is_patch(payload):
            return await self._patch(payload.items[0], departure)
        return await self._feed(payload.items, departure)

    async def probe(self, payload: PublishStock, step: int, checkpoint: str, span: ProbeSpan) -> ProbeAnswer:
        """A listing can't be told from a sale since, so nothing is looked up: after the wait it is set anew (C16)."""
        return Unknown()

    async def poll(self, payload: PublishStock, step: int, receipt: str) -> StepResult:
        """A feed that ended badly may have done a part, and does no more; one that was cancelled has done nothing."""
        feed = await self._feeds.state(receipt)
        match feed.processing_status:
            case "IN_QUEUE" | "IN_PROGRESS":
                return StepWaiting(receipt, POLL_SECONDS)
            case "DONE" if feed.result_feed_document_id:
                return _done(_Outcome(feed=receipt, report=feed.result_feed_document_id))
            case "CANCELLED":
                raise Park("the feed was cancelled at Amazon before it was begun")
            case "FATAL" | "DONE":
                return _done(
                    _Outcome(feed=receipt, error="the feed was aborted: Amazon does not say what it did")
                )
            case _:
                raise InDoubt("the feed is in a state that is not known")

    async def results(self, payload: PublishStock, checkpoint: str) -> tuple[ItemResult, ...]:
        outcome = msgspec.json.decode(checkpoint, type=_Outcome)
        if not outcome.report:
            unsure = bool(outcome.feed)
            return tuple(ItemResult(item.sku, outcome.error, unsure) for item in payload.items)
        report = await self._feeds.report(outcome.report)
        return read_report(report, payload.items, outcome.feed)

    async def _patch(self, item: StockItem, departure: Departure) -> StepDone:
        """A 200 may refuse. A refusal is this listing's alone, and certain."""
        account = self._account
        path = f"/listings/2021-08-01/items/{segment(account.seller_id)}/{segment(item.sku)}"
        body = wire.Patch("PRODUCT", [_operation(item)])
        query = (("marketplaceIds", ",".join(account.marketplace_ids)),)
        try:
            answer = await self._api.write("patchListingsItem", "PATCH", path, body, departure, query)
        except Refused as refused:
            return _done(_Outcome(error=refusal(refused).reason))
        taken = decode(answer, wire.Submission, write=True)
        if taken.sku != item.sku:
            raise InDoubt("patchListingsItem answered for another listing")
        match taken.status:
            case "ACCEPTED" | "VALID":
                return _done(_Outcome())
            case "INVALID":
                return _done(_Outcome(error=f"INVALID: {_first_error(taken.issues)}"))
            case _:
                raise InDoubt("patchListingsItem answered with a status that is not known")

    async def _feed(self, items: Sequence[StockItem], departure: Departure) -> StepWaiting:
        account = self._account
        feed = wire.FeedBody(
            wire.FeedHeader(account.seller_id),
            [
                wire.Message(i, item.sku, "PATCH", "PRODUCT", [_operation(item)])
                for i, item in enumerate(items, 1)
            ],
        )
        content = msgspec.json.encode(feed)
        return StepWaiting(
            await self._feeds.create(FEED_TYPE, account.marketplace_ids, content, FEED_KIND, departure),
            POLL_SECONDS,
        )


class _Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    feed: str = ""
    report: str = ""
    error: str = ""


def _done(outcome: _Outcome) -> StepDone:
    return StepDone(checkpoint=msgspec.json.encode(outcome).decode())


def _is_patch(payload: PublishStock) -> bool:
    return len(payload.items) == 1


def _operation(item: StockItem) -> wire.PatchOperation:
    """`merge`, never `replace`: that wipes the handling time beside the quantity."""
    quantity = wire.Quantity("DEFAULT", item.quantity)
    return wire.PatchOperation("merge", "/attributes/fulfillment_availability", [quantity])


def _first_error(issues: Sequence[wire.Issue] | None) -> str:
    codes = [shown_code(issue.code) for issue in issues or () if issue.severity == "ERROR"]
    return next(filter(None, codes), "without a code")


def read_report(body: bytes, items: Sequence[StockItem], feed_id: str) -> tuple[ItemResult, ...]:
    """Every item with its error, "" where the report has none for it: then it was taken.

    A report of another feed, or one whose sums its issues do not explain, is none: ReadFailed. All are unsure where the feed
    as a whole has an error and some of it was taken all the same.
    """
    try:
        report = msgspec.json.decode(body, type=wire.Report)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ReadFailed("the feed's report is not the JSON that the contract describes") from None
    errors = [issue for issue in report.issues or () if issue.severity == "ERROR"]
    named = {issue.message_id: _first_error([issue]) for issue in reversed(errors) if issue.message_id}
    summary = report.summary
    if report.header.feed_id != feed_id or summary.messages_processed > len(items):
        raise ReadFailed("the report is of another feed")
    if any(issue.message_id is None for issue in errors):
        if summary.messages_accepted:
            whole = f"the feed has an error as a whole, and a part of it was taken: {_first_error(errors)}"
            return tuple(ItemResult(item.sku, whole, unsure=True) for item in items)
        return tuple(ItemResult(item.sku, _first_error(errors)) for item in items)
    if summary.messages_accepted + len(named) < len(items) or not set(named) <= set(range(1, len(items) + 1)):
        raise ReadFailed("the report does not say what became of every message")
    return tuple(ItemResult(item.sku, named.get(i, "")) for i, item in enumerate(items, 1))
