from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.amazon.shipments import reference
from marketsync.domain.deliveries import Absent, Found, Kind, Record, Unknown, WriteClass
from marketsync.domain.ids import LineId, OrderId, Reference, RemoteId
from marketsync.domain.shipments import Shipment, ShippedLine
from marketsync.errors import InDoubt, Park, ReadFailed, Retry, TooLate
from marketsync.ports import ConfirmShipment, Departure, StepDone

DE = "A1PA6795UKMFR9"


def parcel(
    rig: Any, order_id: str, *, units: int = 1, carrier: str = "DHL", number: str = "T-1", mark: str = "p1",
    channel: str = DE,
) -> ConfirmShipment:  # fmt: skip
    line = rig.sandbox.world.orders[order_id].lines[0]
    shipment = Shipment(
        ref=Reference("ms-abc-defg-hijklmnopqrstu"),
        shipment_id=RemoteId(mark),
        lines=(ShippedLine(LineId(line.item_id), units),),
        carrier="as the shop says",
        tracking_number=number,
        shipped_at=datetime(2026, 3, 1, 12, 10, tzinfo=UTC),
    )
    return ConfirmShipment(OrderId(order_id), shipment, carrier, completes_order=True, channel=channel)


def writer(rig: Any) -> Any:
    return rig.adapter.writers[Kind.CONFIRM]


def told(rig: Any, payload: ConfirmShipment) -> Found:
    return Found((Record(reference(payload), 1),))


async def test_a_parcel_is_a_package_under_a_reference_of_ours(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.paid(("TEA-1", 2))
    payload = parcel(rig, order_id, units=2)
    (step,) = writer(rig).steps(payload)
    assert (step.write_class, step.lands_within_seconds, step.visible_within_seconds) == (
        WriteClass.UPSERT,
        120.0,
        300.0,
    )
    assert await writer(rig).probe(payload, 0, "", rig.span()) == Absent()
    done = await writer(rig).send(payload, 0, "", rig.departure())
    assert done == StepDone(remote_id=reference(payload))
    body = json.loads(rig.transport.sent[-1].body)
    assert body == {
        "marketplaceId": DE,
        "packageDetail": {
            "packageReferenceId": reference(payload),
            "carrierCode": "DHL",
            "trackingNumber": "T-1",
            "shipDate": "2026-03-01T12:10:00Z",
            "orderItems": [
                {"orderItemId": rig.sandbox.world.orders[order_id].lines[0].item_id, "quantity": 2}
            ],
        },
    }
    assert isinstance(body["packageDetail"]["packageReferenceId"], str)
    assert reference(payload).isdigit()
    assert rig.sold(order_id).status == "SHIPPED"
    assert await writer(rig).probe(payload, 0, "", rig.span()) == told(rig, payload)


@pytest.mark.failure(32)
@pytest.mark.rule("A11")
async def test_a_lost_answer_is_found_again_and_telling_it_twice_is_one_package(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.paid(("TEA-1", 2))
    payload = parcel(rig, order_id)
    rig.transport.lose_answers = 1
    with pytest.raises(InDoubt):
        await writer(rig).send(payload, 0, "", rig.departure())
    assert await writer(rig).probe(payload, 0, "", rig.span()) == told(rig, payload)
    await writer(rig).send(payload, 0, "", rig.departure(2))
    assert len(rig.sold(order_id).packages) == 1
    assert rig.sandbox.count("package", order_id) == 1


@pytest.mark.rule("A13")
async def test_an_edit_that_has_not_landed_is_told_from_what_landed_before(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.paid(("TEA-1", 2))
    before, after = parcel(rig, order_id), parcel(rig, order_id, number="T-2")
    await writer(rig).send(before, 0, "", rig.departure())
    assert reference(before) == reference(after)
    assert await writer(rig).probe(after, 0, "", rig.span()) == Found((Record(reference(after), 0),))
    await writer(rig).send(after, 0, "", rig.departure())
    assert await writer(rig).probe(after, 0, "", rig.span()) == told(rig, after)
    assert [package.tracking for package in rig.sold(order_id).packages] == ["T-2"]


@pytest.mark.failure(21)
async def test_each_parcel_is_a_package_of_its_own(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.paid(("TEA-1", 2))
    first, second = parcel(rig, order_id), parcel(rig, order_id, mark="p2", number="T-2")
    for payload in (first, second):
        await writer(rig).send(payload, 0, "", rig.departure())
        assert await writer(rig).probe(payload, 0, "", rig.span()) == told(rig, payload)
    assert rig.sold(order_id).status == "SHIPPED"


async def test_what_was_confirmed_by_hand_with_our_number_is_ours(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.paid(("TEA-1", 1))
    by_hand = parcel(rig, order_id, mark="by hand", number="t 1")
    await writer(rig).send(by_hand, 0, "", rig.departure())
    ours = parcel(rig, order_id)
    assert await writer(rig).probe(ours, 0, "", rig.span()) == told(rig, ours)
    assert await writer(rig).send(ours, 0, "", rig.departure()) == StepDone(remote_id=reference(ours))


async def test_two_parcels_under_one_number_are_two_packages(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.paid(("TEA-1", 2))
    first, second = parcel(rig, order_id), parcel(rig, order_id, mark="p2")
    await writer(rig).send(first, 0, "", rig.departure())
    assert await writer(rig).probe(second, 0, "", rig.span()) == Absent()
    await writer(rig).send(second, 0, "", rig.departure())
    assert rig.sold(order_id).status == "SHIPPED"


async def test_an_order_that_was_confirmed_otherwise_waits_for_a_person(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.paid(("TEA-1", 1))
    await writer(rig).send(parcel(rig, order_id, mark="other", number="X-9"), 0, "", rig.departure())
    ours = parcel(rig, order_id)
    with pytest.raises(Park, match="confirmed already"):
        await writer(rig).send(ours, 0, "", rig.departure())
    assert await writer(rig).probe(ours, 0, "", rig.span()) == Unknown()


async def test_confirmed_already_and_not_shown_yet_is_a_doubt_but_not_for_ever(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.paid(("TEA-1", 1))
    text = "order already fulfilled: PackageToUpdateNotFound. Ada Beispiel"
    body = json.dumps({"errors": [{"code": "InvalidInput", "message": text}]}).encode()
    for attempt, expected in ((1, InDoubt), (2, InDoubt), (3, Park)):
        rig.transport.instead["confirmShipment"] = (400, body)
        with pytest.raises(expected) as held:
            await writer(rig).send(parcel(rig, order_id), 0, "", rig.departure(attempt))
        assert "Beispiel" not in str(held.value)
    rig.transport.instead |= {"confirmShipment": (400, body), "getOrder": (404, b"<html>")}
    with pytest.raises(InDoubt):
        await writer(rig).send(parcel(rig, order_id), 0, "", rig.departure())


@pytest.mark.requirement("R19")
async def test_a_refusal_parks_with_its_code_and_never_with_its_text(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.place(("TEA-1", 1))
    with pytest.raises(Park, match=r"^confirmShipment was refused: InvalidInput$"):
        await writer(rig).send(parcel(rig, order_id), 0, "", rig.departure())
    rig.transport.instead["confirmShipment"] = (409, b'{"errors":[{"code":"Ada Beispiel"}]}')
    with pytest.raises(Park, match=r"^confirmShipment was refused: HTTP 409$"):
        await writer(rig).send(parcel(rig, order_id), 0, "", rig.departure())


async def test_a_cancelled_order_is_not_confirmed_and_nothing_is_guessed(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.paid(("TEA-1", 1))
    rig.sandbox.cancel_order(rig.now, order_id)
    with pytest.raises(Park):
        await writer(rig).send(parcel(rig, order_id), 0, "", rig.departure())
    assert await writer(rig).probe(parcel(rig, order_id), 0, "", rig.span()) == Unknown()
    rig.sandbox.spoilt[order_id] = {"unknown_state": "TELEPORTED"}
    with pytest.raises(ReadFailed):
        await writer(rig).probe(parcel(rig, order_id), 0, "", rig.span())


async def test_carriers_go_by_code_or_by_name(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.paid(("TEA-1", 1))
    for carrier, code, name in (
        ("royal mail", "Royal Mail", None),
        ("Bike Courier", "Other", "Bike Courier"),
    ):
        await writer(rig).send(parcel(rig, order_id, carrier=carrier), 0, "", rig.departure())
        detail = json.loads(rig.transport.sent[-1].body)["packageDetail"]
        assert (detail["carrierCode"], detail.get("carrierName")) == (code, name)
    assert rig.sold(order_id).status == "SHIPPED"


@pytest.mark.parametrize("changes", [{"carrier": " "}, {"number": ""}])
async def test_without_carrier_or_number_nothing_leaves(make_rig: Any, changes: dict[str, Any]) -> None:
    rig = make_rig()
    order_id = rig.paid(("TEA-1", 1))
    with pytest.raises(Park) as held:
        await writer(rig).send(parcel(rig, order_id, **changes), 0, "", rig.departure())
    assert held.value.causes == (("carrier:@amazon",) if "carrier" in changes else ())
    assert rig.transport.sent == []


async def test_the_store_is_the_orders_own_or_the_only_one(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.paid(("TEA-1", 1))
    await writer(rig).send(parcel(rig, order_id, channel=""), 0, "", rig.departure())
    assert json.loads(rig.transport.sent[-1].body)["marketplaceId"] == DE
    two = make_rig(marketplace_ids=(DE, "A13V1IB3VIYZZH"))
    order_id = two.paid(("TEA-1", 1))
    with pytest.raises(Park, match="store"):
        await writer(two).send(parcel(two, order_id, channel=""), 0, "", two.departure())


async def test_what_is_certain_not_to_have_left_is_tried_again(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.paid(("TEA-1", 1))
    payload = parcel(rig, order_id)
    with pytest.raises(TooLate):
        await writer(rig).send(payload, 0, "", Departure(1, rig.clock.monotonic()))
    quota = json.dumps({"errors": [{"code": "QuotaExceeded", "message": "no"}]}).encode()
    rig.transport.instead["confirmShipment"] = (429, quota)
    with pytest.raises(Retry) as held:
        await writer(rig).send(payload, 0, "", rig.departure())
    assert not held.value.counted
    rig.sandbox.expire_tokens(rig.now)
    with pytest.raises(Retry):
        await writer(rig).send(payload, 0, "", rig.departure())
    assert rig.sold(order_id).packages == ()
    for status, body in ((500, b""), (200, b"<html>Sign in"), (200, b"")):
        rig.transport.instead["confirmShipment"] = (status, body)
        with pytest.raises(InDoubt):
            await writer(rig).send(payload, 0, "", rig.departure())
