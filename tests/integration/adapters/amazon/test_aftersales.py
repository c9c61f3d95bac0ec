"""Sales cancelled and money given back at Amazon: what leaves, what its report says, and every write in doubt."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from adapters.amazon.flat_files import (
    CANCEL_FEED,
    REFUND_COLUMNS,
    REFUND_FEED,
    cancel_file,
    first_error,
    refund_file,
)
from marketsync.domain.aftersales import CancelSale, RefundLine, RefundSale
from marketsync.domain.deliveries import Absent, Found, Kind, Record, Unknown, WriteClass
from marketsync.domain.ids import LineId, OrderId
from marketsync.domain.orders import Phase, phase
from marketsync.domain.unmarked import Unmarked
from marketsync.errors import InDoubt, Park, ReadFailed, Retry, TooLate
from marketsync.ports import ConfirmShipment, Departure, StepDone, StepWaiting
from tests.integration.adapters.amazon.test_confirming import parcel

DE = "A1PA6795UKMFR9"
DONE, WORKING = 2, 1


def cancelling(rig: Any) -> Any:
    return rig.adapter.writers[Kind.CANCEL_SALE]


def refunding(rig: Any) -> Any:
    return rig.adapter.writers[Kind.REFUND]


def cancel(order_id: str, *lines: str, reason: str = "") -> CancelSale:
    return CancelSale(OrderId(order_id), tuple(LineId(x) for x in lines), reason, DE)


def refund(rig: Any, order_id: str, amount: str, shipping: str = "0", reason: str = "") -> RefundSale:
    item = rig.sandbox.world.orders[order_id].lines[0].item_id
    line = RefundLine(LineId(item), Decimal(amount), Decimal(shipping))
    return RefundSale("ref/refund/1", OrderId(order_id), "EUR", (line,), reason, DE)


async def shipped(rig: Any) -> str:
    order_id: str = rig.paid(("TEA-1", 2))
    told: ConfirmShipment = parcel(rig, order_id, units=2)
    await rig.adapter.writers[Kind.CONFIRM].send(told, 0, "", rig.departure())
    return order_id


async def made(rig: Any, writer: Any, payload: Any) -> StepDone:
    done = await writer.send(payload, 0, "", rig.departure())
    assert isinstance(done, StepDone)
    return done


async def through(rig: Any, writer: Any, payload: Any, checkpoint: str) -> Any:
    """The second step, polled to its end."""
    waiting = await writer.send(payload, 1, checkpoint, rig.departure())
    for _ in range(100):
        assert isinstance(waiting, StepWaiting)
        rig.wait(waiting.poll_after_seconds)
        result = await writer.poll(payload, 1, waiting.receipt)
        if isinstance(result, StepDone):
            return result
        waiting = result
    raise AssertionError("the feed does not end")


async def phase_of(rig: Any, order_id: str) -> Phase:
    page = await rig.adapter.fetch_orders_by_ids([OrderId(order_id)])
    return phase(rig.adapter.parse_order(page.orders[0].raw))


def body_of(rig: Any, operation: str) -> Any:
    return next(x for x in reversed(rig.transport.sent) if x.operation == operation).body


# Cancel


async def test_a_cancel_is_a_feed_of_one_order_and_its_outcome_is_waited_for(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.paid(("TEA-1", 2))
    payload, writer = cancel(order_id), cancelling(rig)
    feed, outcome = writer.steps(payload)
    assert (feed.write_class, feed.visible_within_seconds, feed.send_by_seconds) == (
        WriteClass.LOOKUP,
        3600.0,
        15.0,
    )
    # It sends nothing that could land: after the end of a process its report is soon asked for again.
    assert (outcome.write_class, outcome.lands_within_seconds) == (WriteClass.LOOKUP, 120.0)
    assert [writer.operation(step) for step in (0, 1)] == ["createFeed", "getFeed"]
    done = await made(rig, writer, payload)
    assert done.remote_id == order_id
    assert body_of(rig, "uploadFeedDocument") == cancel_file(payload)
    assert json.loads(body_of(rig, "createFeed"))["feedType"] == CANCEL_FEED
    assert json.loads(body_of(rig, "createFeed"))["marketplaceIds"] == [DE]
    before = len(rig.transport.sent)
    assert isinstance(await writer.send(payload, 1, done.checkpoint, rig.departure()), StepWaiting)
    assert len(rig.transport.sent) == before
    assert await writer.probe(payload, 0, "", rig.span()) == Absent()
    await through(rig, writer, payload, done.checkpoint)
    assert rig.sandbox.count("cancelled_by_seller", order_id) == 1
    assert await phase_of(rig, order_id) is Phase.CANCELLED
    assert await writer.probe(payload, 0, "", rig.span()) == Found((Record(order_id, DONE),))


def test_the_file_of_a_cancel_names_the_order_and_its_items() -> None:
    text = cancel_file(cancel("302-1", "61", "62", reason="BuyerCanceled")).decode()
    assert text.split("\r\n")[1:] == [
        "order-id\tcancellation-reason-code\tamazon-order-item-code",
        "302-1\tBuyerCanceled\t61",
        "302-1\tBuyerCanceled\t62",
        "",
    ]
    assert cancel_file(cancel("302-1")).decode().endswith("302-1\tNoInventory\t\r\n")


async def test_a_line_alone_is_cancelled_and_the_rest_goes_on(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.paid(("TEA-1", 2), ("MUG-2", 1))
    tea = rig.sandbox.world.orders[order_id].lines[0].item_id
    payload, writer = cancel(order_id, tea), cancelling(rig)
    done = await made(rig, writer, payload)
    assert await writer.probe(payload, 0, "", rig.span()) == Absent()
    await through(rig, writer, payload, done.checkpoint)
    assert [line.cancelled for line in rig.sold(order_id).lines] == [2, 0]
    assert await writer.probe(payload, 0, "", rig.span()) == Found((Record(order_id, DONE),))
    assert await phase_of(rig, order_id) is Phase.READY


@pytest.mark.failure(32)
@pytest.mark.rule("A11")
async def test_a_cancel_whose_answer_was_lost_is_seen_in_the_order(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.paid()
    payload, writer = cancel(order_id), cancelling(rig)
    rig.transport.lose_answers = 1
    with pytest.raises(InDoubt):
        await writer.send(payload, 0, "", rig.departure())
    rig.wait(3700)
    assert await writer.probe(payload, 0, "", rig.span()) == Found((Record(order_id, DONE),))


@pytest.mark.rule("A13")
async def test_a_second_feed_for_an_order_cancelled_by_the_first_is_no_failure(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.paid()
    payload, writer = cancel(order_id), cancelling(rig)
    rig.transport.lose_answers = 1
    with pytest.raises(InDoubt):
        await writer.send(payload, 0, "", rig.departure())
    # It is worked on for longer than was assumed.
    assert await writer.probe(payload, 0, "", rig.span()) == Absent()
    done = await made(rig, writer, payload)
    await through(rig, writer, payload, done.checkpoint)
    assert rig.sandbox.count("cancelled_by_seller", order_id) == 1


async def test_a_cancel_that_came_too_late_says_so(make_rig: Any) -> None:
    rig = make_rig()
    order_id = await shipped(rig)
    payload, writer = cancel(order_id), cancelling(rig)
    done = await made(rig, writer, payload)
    with pytest.raises(Park, match=r"did not cancel it: error 18028.*parked skip"):
        await through(rig, writer, payload, done.checkpoint)
    for step in (0, 1):
        with pytest.raises(Park, match="shipped before"):
            await writer.probe(payload, step, done.checkpoint, rig.span())


@pytest.mark.rule("A8")
async def test_a_feed_that_ends_badly_is_no_cancel(make_rig: Any) -> None:
    gone = make_rig(feed_ends="CANCELLED")
    order_id = gone.paid()
    done = await made(gone, cancelling(gone), cancel(order_id))
    with pytest.raises(Park, match="cancelled before it was done"):
        await through(gone, cancelling(gone), cancel(order_id), done.checkpoint)
    fatal = make_rig(feed_ends="FATAL")
    order_id = fatal.paid()
    payload, writer = cancel(order_id), cancelling(fatal)
    done = await made(fatal, writer, payload)
    assert await writer.probe(payload, 1, done.checkpoint, fatal.span()) == Found(
        (Record(order_id, WORKING),)
    )
    with pytest.raises(InDoubt):
        await through(fatal, writer, payload, done.checkpoint)
    with pytest.raises(Park, match="the feed is over, and the order is not cancelled"):
        await writer.probe(payload, 1, done.checkpoint, fatal.span())
    # A part may have been done all the same.
    fatal.sandbox.cancel_order(fatal.now, order_id)
    assert await writer.probe(payload, 1, done.checkpoint, fatal.span()) == Found((Record(order_id, DONE),))


async def test_what_a_person_vouches_for_is_compared_with_the_order(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.paid()
    payload, writer = cancel(order_id), cancelling(rig)
    with pytest.raises(Park, match="the order is as it was"):
        await writer.poll(payload, 1, "")
    rig.sandbox.cancel_order(rig.now, order_id)
    assert await writer.poll(payload, 1, "") == StepDone()


async def test_an_order_that_can_not_be_read_decides_nothing(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.paid()
    writer = cancelling(rig)
    with pytest.raises(Park, match="does not know order"):
        await writer.probe(cancel("302-0000000-0000000"), 0, "", rig.span())
    rig.transport.instead["getOrder"] = (200, b'{"order":{"orderId":"x"}}')
    with pytest.raises(ReadFailed):
        await writer.probe(cancel(order_id), 0, "", rig.span())
    rig.transport.instead["getOrder"] = (500, b"")
    rig.transport.always["getOrder"] = (500, b"")
    with pytest.raises(Retry):
        await writer.probe(cancel(order_id), 0, "", rig.span())


async def test_a_feed_is_sent_in_time_or_not_at_all(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.paid()
    with pytest.raises(TooLate):
        await cancelling(rig).send(cancel(order_id), 0, "", Departure(1, rig.clock.monotonic() - 1))
    rig.transport.instead["createFeed"] = (400, b'{"errors":[{"code":"InvalidInput","message":"Ada"}]}')
    with pytest.raises(Park, match="createFeed was refused: InvalidInput"):
        await cancelling(rig).send(cancel(order_id), 0, "", rig.departure())
    assert not rig.sandbox.stock.feeds


def test_reasons_and_ids_are_judged_without_a_call(make_rig: Any) -> None:
    rig = make_rig()
    assert cancelling(rig).objection(cancel("302-1", reason="NoInventory")) == ""
    assert cancelling(rig).objection(cancel("302-1")) == ""
    assert "NoInventory" in cancelling(rig).objection(cancel("302-1", reason="Whim"))
    assert "can't be told in a feed" in cancelling(rig).objection(cancel("302-1", "6\t1"))
    given = RefundSale("k", OrderId("302-1"), "EUR", (RefundLine(LineId("6"), Decimal(1)),), "Whim", DE)
    assert "CustomerReturn" in refunding(rig).objection(given)
    assert not rig.transport.sent
    bare = make_rig({"aftersales": False})
    assert not {Kind.CANCEL_SALE, Kind.REFUND} & set(bare.adapter.writers)


# Refund


async def test_a_refund_is_a_feed_of_one_row_and_its_report_is_read(make_rig: Any) -> None:
    rig = make_rig()
    order_id = await shipped(rig)
    payload, writer = refund(rig, order_id, "12.50", "4.9"), refunding(rig)
    feed, outcome = writer.steps(payload)
    assert (feed.write_class, feed.second_probe, feed.visible_within_seconds) == (
        WriteClass.SCAN,
        True,
        900.0,
    )
    assert (outcome.lands_within_seconds, outcome.visible_within_seconds) == (120.0, 0.0)
    done = await made(rig, writer, payload)
    assert json.loads(body_of(rig, "createFeed"))["feedType"] == REFUND_FEED
    assert done.remote_id in rig.sandbox.stock.feeds
    await through(rig, writer, payload, done.checkpoint)
    events = [x for x in rig.sandbox.log if x.what == "refunded"]
    assert [(x.subject, x.detail) for x in events] == [(order_id, "12.50+4.90")]
    through_it = Found((Record(done.remote_id, DONE),))
    assert await writer.probe(payload, 1, done.checkpoint, rig.span()) == through_it


def test_the_file_of_a_refund_states_sums_in_their_columns(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.place()
    head, row, end = refund_file(refund(rig, order_id, "12.5", reason="PriceError")).decode().split("\r\n")
    assert (tuple(head.split("\t")), end) == (REFUND_COLUMNS, "")
    stated = dict(zip(REFUND_COLUMNS, row.split("\t"), strict=True))
    assert {name: value for name, value in stated.items() if value} == {
        "order-id": order_id,
        "order-item-id": rig.sandbox.world.orders[order_id].lines[0].item_id,
        "adjustment-reason-code": "PriceError",
        "currency": "EUR",
        "item-price-adj": "12.50",
    }


@pytest.mark.failure(32)
@pytest.mark.rule("A12")
async def test_a_refund_whose_answer_was_lost_is_among_the_feeds_made_since(make_rig: Any) -> None:
    rig = make_rig()
    order_id = await shipped(rig)
    payload, writer = refund(rig, order_id, "1"), refunding(rig)
    span = rig.span()
    empty = await writer.probe(payload, 0, "", span)
    assert isinstance(empty, Unmarked)
    assert empty.remote_ids == ()
    assert empty.read_from_at <= span.since.timestamp()
    assert empty.read_to_at == span.now.timestamp()
    query = parse_qs(urlsplit(rig.transport.sent[-1].url).query)
    assert (query["feedTypes"], query["pageSize"]) == ([REFUND_FEED], ["100"])
    rig.transport.lose_answers = 1
    with pytest.raises(InDoubt):
        await writer.send(payload, 0, "", rig.departure())
    rig.wait(1000)
    found = await writer.probe(payload, 0, "", rig.span())
    assert (found.remote_ids, found.step) == (tuple(rig.sandbox.stock.feeds), WORKING)
    await through(rig, writer, payload, json.dumps({"remote_id": found.remote_ids[0]}))
    assert rig.sandbox.count("refunded", order_id) == 1


async def test_feeds_of_another_sort_and_of_before_are_not_counted(make_rig: Any) -> None:
    rig = make_rig()
    order_id, other = await shipped(rig), rig.paid()
    await made(rig, cancelling(rig), cancel(other))
    await made(rig, refunding(rig), refund(rig, order_id, "1"))
    rig.wait(3600)
    late = rig.span()
    late = type(late)(rig.now, late.now)
    assert (await refunding(rig).probe(refund(rig, order_id, "1"), 0, "", late)).remote_ids == ()
    assert len((await refunding(rig).probe(refund(rig, order_id, "1"), 0, "", rig.span())).remote_ids) == 1


@pytest.mark.rule("A12")
async def test_a_page_that_has_a_next_one_proves_nothing(make_rig: Any) -> None:
    rig = make_rig()
    payload = refund(rig, rig.place(), "1")
    page = {"feeds": [{"feedId": "1", "feedType": REFUND_FEED}], "nextToken": "more"}
    rig.transport.instead["getFeeds"] = (200, json.dumps(page).encode())
    assert await refunding(rig).probe(payload, 0, "", rig.span()) == Unknown()
    for status, body in ((400, b"{}"), (200, b"<html>")):
        rig.transport.instead["getFeeds"] = (status, body)
        with pytest.raises(ReadFailed):
            await refunding(rig).probe(payload, 0, "", rig.span())


async def test_more_than_was_paid_is_refused_by_amazon_too(make_rig: Any) -> None:
    rig = make_rig()
    order_id = await shipped(rig)
    for _ in range(2):
        payload = refund(rig, order_id, "30")
        done = await made(rig, refunding(rig), payload)
        if not rig.sandbox.count("refunded", order_id):
            await through(rig, refunding(rig), payload, done.checkpoint)
            continue
        with pytest.raises(Park, match="did not give it back: error 18041"):
            await through(rig, refunding(rig), payload, done.checkpoint)
        with pytest.raises(Park, match="error 18041"):
            await refunding(rig).probe(payload, 1, done.checkpoint, rig.span())
    assert rig.sandbox.count("refunded", order_id) == 1


async def test_a_refund_before_the_shipment_is_refused(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.paid(("TEA-1", 2))
    done = await made(rig, refunding(rig), refund(rig, order_id, "1"))
    with pytest.raises(Park, match="error 18030"):
        await through(rig, refunding(rig), refund(rig, order_id, "1"), done.checkpoint)


@pytest.mark.rule("A8")
async def test_a_feed_that_ends_badly_says_nothing_of_the_money(make_rig: Any) -> None:
    fatal = make_rig(feed_ends="FATAL")
    order_id = await shipped(fatal)
    payload, writer = refund(fatal, order_id, "1"), refunding(fatal)
    done = await made(fatal, writer, payload)
    working = await writer.probe(payload, 1, done.checkpoint, fatal.span())
    assert working == Found((Record(done.remote_id, WORKING),))
    with pytest.raises(InDoubt):
        await through(fatal, writer, payload, done.checkpoint)
    assert await writer.probe(payload, 1, done.checkpoint, fatal.span()) == Unknown()
    assert await writer.probe(payload, 1, '{"remote_id":"7"}', fatal.span()) == Unknown()
    assert await writer.poll(payload, 1, "") == StepDone()


# Reports

REPORT = (
    b"Feed Processing Summary:\n\tNumber of records processed\t\t1\n\tNumber of records successful\t\t%d\n\n"
    b"original-record-number\torder-id\terror-code\terror-type\terror-message\n1\t302-1\t%s\tError\tAda Beispiel\n"
)


def test_a_report_says_what_became_of_every_row_or_nothing() -> None:
    assert first_error(REPORT % (1, b"99"), 1) == ""
    assert first_error(REPORT % (0, b"99001"), 1) == "99001"
    assert first_error(REPORT % (0, b"Ada Beispiel"), 1) == "without a code"
    for report in (b"", b"<html>", REPORT % (1, b"9"), b"Number of records processed 1"):
        with pytest.raises(ReadFailed):
            first_error(report, 2)


async def test_a_report_that_can_not_be_read_is_read_again(make_rig: Any) -> None:
    rig = make_rig()
    order_id = await shipped(rig)
    payload, writer = refund(rig, order_id, "1"), refunding(rig)
    done = await made(rig, writer, payload)
    rig.wait(1300)
    rig.transport.instead["downloadFeedDocument"] = (200, gzip.compress(b"nothing"))
    with pytest.raises(ReadFailed):
        await writer.poll(payload, 1, done.checkpoint)
    rig.wait(60)
    assert await writer.poll(payload, 1, done.checkpoint) == StepDone()
