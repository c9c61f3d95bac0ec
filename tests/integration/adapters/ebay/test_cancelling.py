"""Sales cancelled on eBay: the seller's own cancel, the buyer's that is granted, and each of them in doubt."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from adapters.ebay.cancels import APPROVE, CREATE
from marketsync.domain.aftersales import CancelSale
from marketsync.domain.deliveries import Absent, Found, Kind, Record, Unknown, WriteClass
from marketsync.domain.ids import LineId, OrderId
from marketsync.domain.orders import Phase, phase
from marketsync.errors import InDoubt, Park, ReadFailed, Retry, TooLate
from marketsync.ports import Departure, StepDone
from tests.integration.adapters.ebay.test_writing import parcel

STOCK = "OUT_OF_STOCK_OR_CANNOT_FULFILL"


def cancel(order_id: str, reason: str = STOCK, site: str = "EBAY_GB") -> CancelSale:
    return CancelSale(OrderId(order_id), (), reason, site)


def writer(rig: Any) -> Any:
    return rig.adapter.writers[Kind.CANCEL_SALE]


async def read(rig: Any, order_id: str) -> Any:
    page = await rig.adapter.fetch_orders_by_ids([OrderId(order_id)])
    return rig.adapter.parse_order(page.orders[0].raw)


async def send(rig: Any, payload: CancelSale, attempt: int = 1) -> Any:
    return await writer(rig).send(payload, 0, "", Departure(attempt, rig.clock.monotonic() + 20))


async def look(rig: Any, order_id: str) -> Any:
    return await writer(rig).probe(cancel(order_id), 0, "", rig.span())


async def test_the_seller_cancels_a_sale_that_is_paid_and_not_shipped(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.place()
    assert (await read(rig, order_id)).channel == "EBAY_GB"
    (step,) = writer(rig).steps(cancel(order_id))
    assert (step.write_class, step.send_by_seconds) == (WriteClass.LOOKUP, 20.0)
    assert await look(rig, order_id) == Absent()
    assert await send(rig, cancel(order_id)) == StepDone(order_id)
    sent = rig.transport.sent[-1]
    headers = dict(sent.headers)
    assert (headers["X-EBAY-C-MARKETPLACE-ID"], headers["Authorization"].partition(" ")[0]) == (
        "EBAY_GB",
        "IAF",
    )
    body = json.loads(sent.body)
    assert body.pop("buyerPaidDate")["value"].endswith("Z")
    assert body == {"legacyOrderId": order_id, "cancelReason": STOCK, "buyerPaid": True}
    assert await look(rig, order_id) == Found((Record(order_id, 1),))
    assert phase(await read(rig, order_id)) is Phase.CANCELLED
    assert all(
        dict(x.headers)["Authorization"].startswith("Bearer ")
        for x in rig.transport.sent
        if x.operation == "getOrder"
    )


async def test_an_unpaid_sale_says_so(make_rig: Any) -> None:
    rig = make_rig(pay_seconds=3600.0)
    order_id = rig.place()
    await send(rig, cancel(order_id))
    assert json.loads(rig.transport.sent[-1].body) == {
        "legacyOrderId": order_id, "cancelReason": STOCK, "buyerPaid": False,
    }  # fmt: skip


@pytest.mark.failure(19)
async def test_a_buyer_who_waits_for_an_answer_gets_a_yes(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.place()
    rig.sandbox.ask_to_cancel(rig.now, order_id)
    assert await look(rig, order_id) == Absent()
    assert await send(rig, cancel(order_id, "BUYER_ASKED_CANCEL")) == StepDone(order_id)
    sent = rig.transport.sent[-1]
    request_id = rig.sandbox.world.orders[order_id].cancel_requests[0].request_id
    assert urlsplit(sent.url).path == f"/post-order/v2/cancellation/{request_id}/approve"
    assert (sent.operation, sent.body) == (APPROVE, b"")
    assert await look(rig, order_id) == Found((Record(order_id, 1),))


@pytest.mark.rule("A8")
async def test_a_page_in_place_of_an_answer_is_no_yes(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.place()
    rig.sandbox.ask_to_cancel(rig.now, order_id)
    rig.reply(APPROVE, 200, b"<html>")
    with pytest.raises(InDoubt):
        await send(rig, cancel(order_id, "BUYER_ASKED_CANCEL"))
    assert await look(rig, order_id) == Absent()


@pytest.mark.failure(32)
@pytest.mark.rule("A11")
@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("seconds", [0.0, 600.0])
async def test_a_lost_answer_is_seen_in_the_order_and_nothing_is_sent_twice(
    make_rig: Any, asked: bool, seconds: float
) -> None:
    rig = make_rig(cancel_seconds=seconds)
    order_id = rig.place()
    if asked:
        rig.sandbox.ask_to_cancel(rig.now, order_id)
    rig.transport.lose_answers = 1
    with pytest.raises(InDoubt):
        await send(rig, cancel(order_id))
    assert await look(rig, order_id) == Found((Record(order_id, 1),))
    assert not (await read(rig, order_id)).cancel_asked
    assert await send(rig, cancel(order_id), 2) == StepDone(order_id)
    assert sum(x in {CREATE, APPROVE} for x in rig.operations()) == 1
    rig.wait(700)
    assert phase(await read(rig, order_id)) is Phase.CANCELLED
    assert rig.sandbox.count("cancel_taken", order_id) == rig.sandbox.count("cancelled", order_id) == 1


async def test_what_somebody_cancelled_meanwhile_is_done(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.place()
    rig.sandbox.cancel_order(rig.now, order_id)
    assert await send(rig, cancel(order_id)) == StepDone(order_id)
    assert CREATE not in rig.operations()


async def test_what_is_shipped_is_not_cancelled_and_says_why(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.place()
    await rig.adapter.writers[Kind.CONFIRM].send(parcel(rig, order_id), 0, "", rig.departure())
    with pytest.raises(Park, match="does not let this order be cancelled: ORDER_SHIPPED"):
        await send(rig, cancel(order_id))
    with pytest.raises(Park, match="shipped before it was cancelled"):
        await look(rig, order_id)


async def test_without_the_signature_that_is_needed_a_person_cancels(make_rig: Any) -> None:
    rig = make_rig(needs_signature=True)
    order_id = rig.place()
    with pytest.raises(Park, match=r"createCancellation was refused: error 215000.*Seller Hub"):
        await send(rig, cancel(order_id))
    assert await look(rig, order_id) == Absent()
    # The rest of the connection has its rights.
    assert (await read(rig, order_id)).paid


async def test_an_access_that_is_refused_here_alone_does_not_stop_the_connection(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.place()
    for _ in range(2):
        rig.reply(CREATE, 401)
    with pytest.raises(Retry):
        await send(rig, cancel(order_id))
    with pytest.raises((Park, Retry)):
        await send(rig, cancel(order_id))
    assert (await read(rig, order_id)).paid


async def test_a_refusal_because_it_was_taken_before_is_looked_at(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.place()

    class Meanwhile:
        """Between the look and the request somebody cancels it."""

        def __init__(self, inner: Any) -> None:
            self.inner = inner

        async def send(self, request: Any) -> Any:
            if request.operation == CREATE:
                rig.sandbox.cancel_order(rig.now, order_id)
                rig.reply(CREATE, 400, b'{"errors":[{"errorId":1613}]}')
            return await self.inner.send(request)

    http = rig.adapter._api._http
    http._transport = Meanwhile(http._transport)
    with pytest.raises(InDoubt):
        await send(rig, cancel(order_id))
    assert await look(rig, order_id) == Found((Record(order_id, 1),))


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"{}", InDoubt),
        (b"<html>", InDoubt),
        (b'{"orderEligibilityResult":{"failureReason":"Ada Beispiel"}}', Park),
        (b'{"orderEligibilityResult":{}}', Park),
    ],
)
async def test_an_answer_without_an_id_is_no_cancel(
    make_rig: Any, body: bytes, error: type[Exception]
) -> None:
    rig = make_rig()
    order_id = rig.place()
    rig.reply(CREATE, 200, body)
    with pytest.raises(error) as held:
        await send(rig, cancel(order_id))
    assert "Ada" not in str(held.value)


def document(order_id: str, state: str, *requests: dict[str, str]) -> bytes:
    status = {"cancelState": state, "cancelRequests": list(requests)}
    order = {"orderId": order_id, "orderFulfillmentStatus": "NOT_STARTED", "orderPaymentStatus": "PAID"}
    return json.dumps({**order, "cancelStatus": status}).encode()


def asked(by: str, state: str, name: str = "51") -> dict[str, str]:
    return {"cancelRequestId": name, "cancelInitiator": by, "cancelRequestState": state}


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (document("1", "CANCELED"), Found((Record("1", 1),))),
        (document("1", "IN_PROGRESS", asked("SELLER", "REQUESTED")), Found((Record("1", 1),))),
        (document("1", "IN_PROGRESS", asked("Buyer", "COMPLETED")), Found((Record("1", 1),))),
        (document("1", "IN_PROGRESS", asked("Buyer", "REQUESTED")), Absent()),
        (document("1", "NONE_REQUESTED", asked("Buyer", "REJECTED")), Absent()),
        (document("1", "IN_PROGRESS", asked("Buyer", "REJECTED")), Unknown()),
        (document("1", "IN_PROGRESS"), Unknown()),
    ],
)
async def test_only_what_is_under_way_by_the_sellers_word_is_found(
    make_rig: Any, body: bytes, answer: Any
) -> None:
    rig = make_rig()
    rig.reply("getOrder", 200, body)
    assert await look(rig, "1") == answer


@pytest.mark.parametrize(
    "body",
    [
        document("2", "CANCELED"),
        document("1", "TELEPORTED"),
        document("1", "IN_PROGRESS", asked("Seller", "TELEPORTED")),
        b"{}",
    ],
)
async def test_what_is_not_known_decides_nothing(make_rig: Any, body: bytes) -> None:
    rig = make_rig()
    for ask in (look(rig, "1"), send(rig, cancel("1"))):
        rig.reply("getOrder", 200, body)
        with pytest.raises(ReadFailed):
            await ask
    assert CREATE not in rig.operations()


async def test_an_order_that_ebay_does_not_know_is_a_persons(make_rig: Any) -> None:
    rig = make_rig()
    assert await look(rig, "01-00000-00000") == Unknown()
    with pytest.raises(Park, match="does not know"):
        await send(rig, cancel("01-00000-00000"))
    order_id = rig.place()
    rig.reply("getOrder", 200, document(order_id, "IN_PROGRESS", asked("Buyer", "REQUESTED", "../../x")))
    with pytest.raises(Park, match="names no request"):
        await send(rig, cancel(order_id))


async def test_it_leaves_in_time_or_not_at_all(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.place()
    with pytest.raises(TooLate):
        await writer(rig).send(cancel(order_id), 0, "", Departure(1, rig.clock.monotonic() - 1))
    assert CREATE not in rig.operations()


def test_what_ebay_never_takes_is_said_without_a_call(make_rig: Any) -> None:
    rig = make_rig()
    objection = writer(rig).objection
    assert objection(cancel("1")) == ""
    assert "whole orders only" in objection(CancelSale(OrderId("1"), (LineId("2"),), STOCK, "EBAY_GB"))
    assert "EBAY_US" in objection(cancel("1", site="EBAY_FR"))
    for reason in ("", "NoInventory"):
        assert "BUYER_ASKED_CANCEL" in objection(cancel("1", reason))
    assert not rig.transport.sent
    assert Kind.CANCEL_SALE not in make_rig({"cancels": False}).adapter.writers
    assert Kind.REFUND not in rig.adapter.writers
