from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.ebay.stock import CLEAN_CALLS, UPDATE
from marketsync.domain.deliveries import Absent, Found, Kind, Record, Unknown, WriteClass
from marketsync.domain.ids import LineId, OrderId, Reference, RemoteId, Sku
from marketsync.domain.shipments import Shipment, ShippedLine
from marketsync.errors import InDoubt, Park, PauseConnection, ReadFailed
from marketsync.ports import Batch, ConfirmShipment, ItemResult, PublishStock, StepDone, StockItem

CREATE = "createShippingFulfillment"
LEFT_AT = datetime(2026, 3, 1, 11, 30, tzinfo=UTC)


def parcel(
    rig: Any, order_id: str, *, carrier: str = "DHL", number: str = "T-1 a", units: int = 1, mark: str = "p1",
    at: datetime | None = LEFT_AT,
) -> ConfirmShipment:  # fmt: skip
    line = rig.sandbox.world.orders[order_id].lines[0]
    shipment = Shipment(
        ref=Reference("ms-abc-defg-hijklmnopqrstu"),
        shipment_id=RemoteId(mark),
        lines=tuple(ShippedLine(LineId(line.line_id), 1) for _ in range(units)),
        carrier="as the shop says",
        tracking_number=number,
        shipped_at=at,
    )
    return ConfirmShipment(OrderId(order_id), shipment, carrier, completes_order=False)


def confirm(rig: Any) -> Any:
    return rig.adapter.writers[Kind.CONFIRM]


async def test_a_parcel_is_told_with_letters_and_digits_alone_and_each_line_once(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.place()
    payload = parcel(rig, order_id, units=2)
    (step,) = confirm(rig).steps(payload)
    assert (step.write_class, step.second_probe) == (WriteClass.LOOKUP, True)
    assert await confirm(rig).send(payload, 0, "", rig.departure()) == StepDone(remote_id="T1a")
    line = rig.sandbox.world.orders[order_id].lines[0].line_id
    assert json.loads(rig.transport.sent[-1].body) == {
        "lineItems": [{"lineItemId": line, "quantity": 2}],
        "shippedDate": "2026-03-01T11:30:00.000Z",
        "shippingCarrierCode": "DHL",
        "trackingNumber": "T1a",
    }
    assert await confirm(rig).probe(payload, 0, "", rig.span()) == Found((Record("T1a", 1),))


@pytest.mark.failure(21)
@pytest.mark.rule("A11")
async def test_a_lost_answer_is_found_again_and_nothing_is_sent_twice(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.place()
    payload, writer = parcel(rig, order_id), confirm(rig)
    assert await writer.probe(payload, 0, "", rig.span()) == Absent()
    rig.transport.lose_answers = 1
    with pytest.raises(InDoubt):
        await writer.send(payload, 0, "", rig.departure())
    assert await writer.probe(payload, 0, "", rig.span()) == Found((Record("T1a", 1),))
    assert await writer.send(payload, 0, "", rig.departure(2)) == StepDone(remote_id="T1a")
    assert rig.operations().count(CREATE) == 1
    assert rig.sandbox.count("package", order_id) == 1


async def test_a_number_is_compared_without_its_spaces_and_its_case(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.place()
    await confirm(rig).send(parcel(rig, order_id), 0, "", rig.departure())
    same = parcel(rig, order_id, number="t 1-A")
    assert await confirm(rig).probe(same, 0, "", rig.span()) == Found((Record("T1a", 1),))
    other = parcel(rig, order_id, number="T-1 b")
    assert await confirm(rig).probe(other, 0, "", rig.span()) == Absent()


async def test_a_parcel_that_was_changed_since_is_a_conflict_and_not_a_second_one(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.place()
    await confirm(rig).send(parcel(rig, order_id), 0, "", rig.departure())
    changed = parcel(rig, order_id, units=2)
    done = await confirm(rig).send(changed, 0, "", rig.departure(2))
    assert (done.remote_id, bool(done.conflict)) == ("T1a", True)
    # 34500: the same number for other units, at the first attempt.
    again = await confirm(rig).send(changed, 0, "", rig.departure())
    assert (again.remote_id, bool(again.conflict)) == ("T1a", True)
    (record,) = (await confirm(rig).probe(changed, 0, "", rig.span())).records
    assert record.content_hash is not None


async def test_a_number_that_was_corrected_after_it_was_told_makes_no_second_package(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.place()
    await confirm(rig).send(parcel(rig, order_id), 0, "", rig.departure())
    with pytest.raises(Park, match="T1a"):
        await confirm(rig).send(parcel(rig, order_id, number="T-2"), 0, "", rig.departure(2))
    later = parcel(rig, order_id, number="T-3", mark="p2", at=LEFT_AT + timedelta(minutes=1))
    assert await confirm(rig).send(later, 0, "", rig.departure(2)) == StepDone(remote_id="T3")
    assert rig.sandbox.count("package", order_id) == 2


async def test_a_conflict_that_is_not_seen_yet_is_a_doubt_and_the_second_time_a_persons(
    make_rig: Any,
) -> None:
    rig = make_rig()
    order_id = rig.place()
    payload, writer = parcel(rig, order_id), confirm(rig)
    rig.reply(CREATE, 409, b"")
    with pytest.raises(InDoubt):
        await writer.send(payload, 0, "", rig.departure())
    rig.reply(CREATE, 409, b"")
    with pytest.raises(Park, match="409"):
        await writer.send(payload, 0, "", rig.departure(2))


async def test_a_conflict_with_what_is_there_is_done(make_rig: Any) -> None:
    """An attempt that landed between the look and the call."""
    rig = make_rig()
    order_id = rig.place()
    payload, writer = parcel(rig, order_id), confirm(rig)
    await writer.send(payload, 0, "", rig.departure())
    rig.reply("getShippingFulfillments", 200, b'{"fulfillments":[],"total":0}')
    assert await writer.send(payload, 0, "", rig.departure(2)) == StepDone(remote_id="T1a")
    assert rig.sandbox.count("package", order_id) == 1


@pytest.mark.parametrize(
    "status, body, headers",
    [
        (201, b"{}", {}),
        (201, b"{}", {"location": "https://api.ebay.com/other/T1a"}),
        (201, b"<html>", {"location": "https://x.example/shipping_fulfillment/T1a"}),
        (200, b"<!doctype html>", {}),
        (200, b"{}", {"location": "https://x.example/shipping_fulfillment/T1a"}),
        (201, b"{}", {"location": "https://x.example/shipping_fulfillment/"}),
    ],
)
async def test_an_answer_that_names_no_package_is_a_doubt(
    make_rig: Any, status: int, body: bytes, headers: dict[str, str]
) -> None:
    rig = make_rig()
    payload = parcel(rig, rig.place())
    rig.reply(CREATE, status, body, **headers)
    with pytest.raises(InDoubt):
        await confirm(rig).send(payload, 0, "", rig.departure())


async def test_an_answer_without_a_body_is_one_if_it_says_where(make_rig: Any) -> None:
    rig = make_rig()
    payload = parcel(rig, rig.place())
    rig.reply(CREATE, 201, b"", location="https://x.example/shipping_fulfillment/T%31a")
    assert await confirm(rig).send(payload, 0, "", rig.departure()) == StepDone(remote_id="T1a")


async def test_a_carrier_that_ebay_does_not_know_waits_for_its_mapping(make_rig: Any) -> None:
    rig = make_rig()
    first, second = rig.place(("TEA-1", 1)), rig.place(("TEA-1", 1))
    await confirm(rig).send(parcel(rig, first), 0, "", rig.departure())
    for payload in (parcel(rig, second, carrier=" "), parcel(rig, second)):
        with pytest.raises(Park) as held:
            await confirm(rig).send(payload, 0, "", rig.departure())
        assert held.value.causes == ("carrier:as the shop says@ebay",)


async def test_a_refusal_is_parked_by_its_number_and_never_by_its_text(make_rig: Any) -> None:
    rig = make_rig()
    payload = parcel(rig, rig.place())
    rig.reply(CREATE, 400, b'{"errors":[{"errorId":32400,"message":"Jo Example, 1 Test Lane"}]}')
    with pytest.raises(Park) as held:
        await confirm(rig).send(payload, 0, "", rig.departure())
    assert "32400" in str(held.value)
    assert "Example" not in str(held.value)
    rig.reply(CREATE, 403, b"{}")
    with pytest.raises(PauseConnection):
        await confirm(rig).send(payload, 0, "", rig.departure())


# Without a number


async def test_without_a_number_lines_and_date_tell_a_package(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.place()
    payload, writer = parcel(rig, order_id, number=" - "), confirm(rig)
    assert await writer.probe(payload, 0, "", rig.span()) == Absent()
    rig.transport.lose_answers = 1
    with pytest.raises(InDoubt):
        await writer.send(payload, 0, "", rig.departure())
    assert "shippingCarrierCode" not in json.loads(rig.transport.sent[-1].body)
    assert await writer.probe(payload, 0, "", rig.span()) == Found((Record("999", 1),))
    assert await writer.send(payload, 0, "", rig.departure(2)) == StepDone(remote_id="999")
    assert rig.sandbox.count("package", order_id) == 1


@pytest.mark.parametrize("at", [None, datetime(2026, 3, 1, 11, 45, tzinfo=UTC)])
async def test_another_package_with_the_same_lines_proves_nothing(make_rig: Any, at: datetime | None) -> None:
    rig = make_rig()
    order_id = rig.place()
    writer = confirm(rig)
    await writer.send(parcel(rig, order_id, number=""), 0, "", rig.departure())
    second = parcel(rig, order_id, number="", mark="p2", at=at)
    assert await writer.probe(second, 0, "", rig.span()) == Unknown()
    with pytest.raises(InDoubt):
        await writer.send(second, 0, "", rig.departure(2))
    assert rig.sandbox.count("package", order_id) == 1


async def test_a_parcel_that_left_in_the_future_is_told_without_its_date(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.place()
    await rig.adapter.probe_traits()
    payload = parcel(rig, order_id, at=rig.now + timedelta(minutes=5))
    await confirm(rig).send(payload, 0, "", rig.departure())
    assert "shippedDate" not in json.loads(rig.transport.sent[-1].body)
    assert rig.sandbox.count("package", order_id) == 1


async def test_packages_that_cannot_be_read_are_looked_at_again(make_rig: Any) -> None:
    rig = make_rig()
    payload = parcel(rig, rig.place())
    for status, body in ((400, b"{}"), (200, b"{}"), (200, b'{"fulfillments":[{"fulfillmentId":" "}]}')):
        rig.reply("getShippingFulfillments", status, body)
        with pytest.raises(ReadFailed):
            await confirm(rig).probe(payload, 0, "", rig.span())


# Stock


def stock(rig: Any) -> Any:
    return rig.adapter.writers[Kind.STOCK]


def quantities(*items: tuple[str, int]) -> PublishStock:
    return PublishStock(tuple(StockItem(Sku(sku), quantity) for sku, quantity in items))


async def test_each_item_is_settled_by_its_own_answer(make_rig: Any) -> None:
    rig = make_rig(auctions={"MUG-2": 2})
    payload = quantities(("TEA-1", 7), ("NONE", 1), ("MUG-2", 0))
    assert [step.write_class for step in stock(rig).steps(payload)] == [WriteClass.UPSERT]
    done = await stock(rig).send(payload, 0, "", rig.departure())
    assert done.remote_id == ""
    results = await stock(rig).results(payload, done.checkpoint)
    assert results[0] == ItemResult("TEA-1")
    assert [("257" in x.error, x.subject) for x in results[1:]] == [(True, "NONE"), (True, "MUG-2")]
    assert rig.sandbox.world.listings == {"TEA-1": 7, "MUG-2": 3}
    assert await stock(rig).probe(payload, 0, "", rig.span()) == Unknown()


def item(sku: str, status: int) -> dict[str, Any]:
    return {"sku": sku, "statusCode": status}


@pytest.mark.parametrize(
    "responses",
    [
        [item("TEA-1", 200)],
        [item("TEA-1", 200), item("MUG-2", 500)],
        [item("TEA-1", 200), item("MUG-2", 429)],
        [item("TEA-1", 200), item("MUG-2", 200), item("MUG-2", 503)],
        [item("TEA-1", 200), item("mug-2", 200)],
        [],
    ],
)
async def test_an_item_whose_answer_does_not_say_what_became_of_it_is_a_doubt(
    make_rig: Any, responses: list[dict[str, Any]]
) -> None:
    rig = make_rig()
    rig.reply(UPDATE, 207, json.dumps({"responses": responses}).encode())
    with pytest.raises(InDoubt):
        await stock(rig).send(quantities(("TEA-1", 1), ("MUG-2", 2)), 0, "", rig.departure())


async def test_a_call_that_is_refused_as_a_whole_is_a_doubt_and_the_next_are_smaller(make_rig: Any) -> None:
    """The contract's prose lets one SKU into a call, its schema 25."""
    rig = make_rig(skus_per_call=1)
    writer = stock(rig)
    assert writer.batch(100) == Batch(25, UPDATE)
    payload = quantities(("TEA-1", 5), ("MUG-2", 2))
    with pytest.raises(InDoubt):
        await writer.send(payload, 0, "", rig.departure())
    assert writer.batch(100) == Batch(1, UPDATE)
    await writer.send(quantities(("TEA-1", 5)), 0, "", rig.departure())
    assert rig.sandbox.world.listings["TEA-1"] == 5
    assert writer.batch(100) == Batch(1, UPDATE)
    for _ in range(CLEAN_CALLS):
        await writer.send(quantities(("TEA-1", 5)), 0, "", rig.departure())
    assert writer.batch(100) == Batch(2, UPDATE)


async def test_one_item_that_is_refused_as_a_call_is_settled_with_the_reason(make_rig: Any) -> None:
    rig = make_rig()
    payload = quantities(("TEA-1", 5))
    rig.reply(UPDATE, 400, b'{"errors":[{"errorId":25707}]}')
    done = await stock(rig).send(payload, 0, "", rig.departure())
    (result,) = await stock(rig).results(payload, done.checkpoint)
    assert "25707" in result.error


async def test_a_listing_that_was_revised_too_often_says_so(make_rig: Any) -> None:
    rig = make_rig(revisions_a_day=1)
    payload = quantities(("TEA-1", 5))
    for expected in ("", "often"):
        done = await stock(rig).send(payload, 0, "", rig.departure())
        (result,) = await stock(rig).results(payload, done.checkpoint)
        assert expected in result.error
        assert bool(result.error) == bool(expected)


async def test_the_configured_size_is_never_passed(make_rig: Any) -> None:
    rig = make_rig({"stock_items_max": 1})
    await stock(rig).send(quantities(("TEA-1", 5)), 0, "", rig.departure())
    assert stock(rig).batch(9) == Batch(1, UPDATE)
