from __future__ import annotations

from typing import Any

import msgspec
import pytest

from marketsync.domain.deliveries import Absent, Found, Kind, Record, Unknown, WriteClass
from marketsync.domain.ids import LineId, OrderId, Reference, RemoteId, Sku
from marketsync.domain.shipments import Shipment, ShippedLine
from marketsync.errors import InDoubt, Park
from marketsync.ports import (
    AcceptLine,
    AcceptOrder,
    ConfirmShipment,
    ItemResult,
    PublishStock,
    StepDone,
    StepWaiting,
    StockItem,
)


def yes_to(rig: Any, order_id: str, *refused: str) -> AcceptOrder:
    lines = rig.sandbox.world.orders[order_id].lines
    decisions = tuple(AcceptLine(LineId(x.line_id), x.line_id not in refused) for x in lines)
    return AcceptOrder(OrderId(order_id), decisions)


def parcel(
    order_id: str, *, carrier: str = "DHL", number: str = "T-1", last: bool = True, mark: str = "p1"
) -> Any:
    shipment = Shipment(
        ref=Reference("ms-abc-defg-hijklmnopqrstu"),
        shipment_id=RemoteId(mark),
        lines=(ShippedLine(LineId(f"{order_id}-1"), 1),),
        carrier="as the shop says",
        tracking_number=number,
        tracking_url="https://track.example/T-1",
    )
    return ConfirmShipment(OrderId(order_id), shipment, carrier, completes_order=last)


def ready(rig: Any, *lines: tuple[str, int]) -> str:
    """An order that may be shipped."""
    order_id: str = rig.place(*lines)
    order = rig.sandbox.world.orders[order_id]
    rig.sandbox.world.decide(order, [line.line_id for line in order.lines], rig.now)
    rig.wait(60)
    return order_id


async def test_an_accept_names_every_line_and_a_second_one_is_a_doubt(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.place()
    writer = rig.adapter.writers[Kind.ACCEPT]
    payload = yes_to(rig, order_id, f"{order_id}-2")
    assert await writer.send(payload, 0, "", rig.departure()) == StepDone(remote_id=order_id)
    assert [line.state for line in rig.sandbox.world.orders[order_id].lines] == ["WAITING_DEBIT", "REFUSED"]
    with pytest.raises(InDoubt):
        await writer.send(payload, 0, "", rig.departure(2))
    assert rig.sandbox.count("accepted", order_id) == 1


@pytest.mark.parametrize("codes", [True, False])
@pytest.mark.failure(32)
async def test_a_lost_answer_of_an_accept_is_found_again(make_rig: Any, codes: bool) -> None:
    rig = make_rig(errors_have_codes=codes)
    order_id = rig.place()
    writer = rig.adapter.writers[Kind.ACCEPT]
    payload = yes_to(rig, order_id)
    assert await writer.probe(payload, 0, "", rig.span()) == Absent()
    rig.transport.lose_answers = 1
    with pytest.raises(InDoubt):
        await writer.send(payload, 0, "", rig.departure())
    with pytest.raises(InDoubt):
        await writer.send(payload, 0, "", rig.departure(2))
    assert await writer.probe(payload, 0, "", rig.span()) == Found((Record(order_id, 1),))
    assert rig.sandbox.count("accepted", order_id) == 1


async def test_another_decision_than_ours_is_not_taken_for_ours(make_rig: Any) -> None:
    rig = make_rig(accept_within_seconds=3600.0)
    order_id = rig.place()
    rig.wait(4000)
    payload = yes_to(rig, order_id)
    assert await rig.adapter.writers[Kind.ACCEPT].probe(payload, 0, "", rig.span()) == Unknown()
    assert rig.sandbox.count("auto_refused", order_id) == 1


@pytest.mark.failure(19)
async def test_a_cancelled_order_needs_no_decision_any_more(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.place()
    rig.sandbox.cancel_order(rig.now, order_id)
    writer, payload = rig.adapter.writers[Kind.ACCEPT], yes_to(rig, order_id)
    with pytest.raises(InDoubt):
        await writer.send(payload, 0, "", rig.departure())
    assert await writer.probe(payload, 0, "", rig.span()) == Found((Record(order_id, 1),))
    assert rig.sandbox.count("accepted", order_id) == 0


async def test_an_accept_that_the_operator_does_not_allow_is_parked_with_its_code(make_rig: Any) -> None:
    rig = make_rig(partial_acceptance=False)
    order_id = rig.place()
    payload = yes_to(rig, order_id, f"{order_id}-2")
    with pytest.raises(Park, match="ORDER_PARTIAL_ACCEPTANCE_DISABLED"):
        await rig.adapter.writers[Kind.ACCEPT].send(payload, 0, "", rig.departure())


async def test_without_the_module_tracking_goes_first_and_the_order_is_shipped_once(make_rig: Any) -> None:
    rig = make_rig()
    await rig.adapter.probe_traits()
    order_id = ready(rig)
    writer, payload = rig.adapter.writers[Kind.CONFIRM], parcel(order_id)
    steps = writer.steps(payload)
    assert [(step.name, step.write_class) for step in steps] == [
        ("tracking", WriteClass.UPSERT),
        ("ship", WriteClass.LOOKUP),
    ]
    assert await writer.probe(payload, 0, "", rig.span()) == Absent()
    await writer.send(payload, 0, "", rig.departure())
    assert await writer.probe(payload, 0, "", rig.span()) == Found((Record(order_id, 1),))
    # The order is there and not shipped: half-built, so it is resumed and not begun again.
    assert await writer.probe(payload, 1, "{}", rig.span()) == Found((Record(order_id, 1),))
    rig.transport.lose_answers = 1
    with pytest.raises(InDoubt):
        await writer.send(payload, 1, "{}", rig.departure())
    assert await writer.probe(payload, 1, "{}", rig.span()) == Found((Record(order_id, 2),))
    with pytest.raises(InDoubt):
        await writer.send(payload, 1, "{}", rig.departure(2))
    assert rig.sandbox.count("shipped", order_id) == 1
    assert rig.sandbox.world.orders[order_id].carrier_code == "DHL"
    assert rig.sandbox.world.orders[order_id].tracking_number == "T-1"


async def test_a_first_parcel_only_tells_its_tracking(make_rig: Any) -> None:
    rig = make_rig()
    order_id = ready(rig)
    writer, payload = rig.adapter.writers[Kind.CONFIRM], parcel(order_id, last=False)
    assert [step.name for step in writer.steps(payload)] == ["tracking"]
    await writer.send(payload, 0, "", rig.departure())
    assert rig.sandbox.count("shipped", order_id) == 0
    assert rig.sandbox.count("tracked", order_id) == 1


async def test_a_parcel_without_carrier_and_number_is_shipped_without_tracking(make_rig: Any) -> None:
    rig = make_rig()
    order_id = ready(rig)
    writer = rig.adapter.writers[Kind.CONFIRM]
    part = parcel(order_id, carrier="", number="", last=False)
    assert await writer.send(part, 0, "", rig.departure()) == StepDone(remote_id=order_id)
    assert rig.transport.sent == []
    whole = parcel(order_id, carrier="", number="")
    assert [step.name for step in writer.steps(whole)] == ["ship"]
    assert await writer.probe(whole, 0, "", rig.span()) == Absent()
    await writer.send(whole, 0, "", rig.departure())
    assert rig.sandbox.count("shipped", order_id) == 1


async def test_a_carrier_is_sent_by_code_or_by_name_or_waits_for_its_mapping(make_rig: Any) -> None:
    rig = make_rig()
    await rig.adapter.probe_traits()
    order_id = ready(rig)
    writer = rig.adapter.writers[Kind.CONFIRM]
    await writer.send(parcel(order_id, carrier="la poste"), 0, "", rig.departure())
    assert rig.sandbox.world.orders[order_id].carrier_code == "LAPOSTE"
    await writer.send(parcel(order_id, carrier="Bike Courier"), 0, "", rig.departure())
    sold = rig.sandbox.world.orders[order_id]
    assert (sold.carrier_code, sold.carrier_name) == ("", "Bike Courier")
    assert sold.tracking_url == "https://track.example/T-1"

    strict = make_rig(other_carriers=False)
    await strict.adapter.probe_traits()
    order_id = ready(strict)
    with pytest.raises(Park) as held:
        await strict.adapter.writers[Kind.CONFIRM].send(
            parcel(order_id, carrier="Bike Courier"), 0, "", strict.departure()
        )
    assert held.value.causes == ("carrier:Bike Courier@mirakl",)


async def test_a_cancelled_order_is_not_confirmed_and_nothing_is_guessed(make_rig: Any) -> None:
    rig = make_rig()
    order_id = ready(rig)
    rig.sandbox.cancel_order(rig.now, order_id, by="operator")
    writer = rig.adapter.writers[Kind.CONFIRM]
    with pytest.raises(InDoubt):
        await writer.send(parcel(order_id), 0, "", rig.departure())
    assert await writer.probe(parcel(order_id), 0, "", rig.span()) == Unknown()


@pytest.mark.failure(21)
async def test_with_the_module_each_parcel_is_confirmed_once(make_rig: Any) -> None:
    rig = make_rig(multi_shipment=True)
    await rig.adapter.probe_traits()
    order_id = ready(rig, ("TEA-1", 2))
    writer = rig.adapter.writers[Kind.CONFIRM]
    first, second = parcel(order_id, last=False), parcel(order_id, mark="p2", number="T-2")
    assert [step.write_class for step in writer.steps(first)] == [WriteClass.LOOKUP]
    assert writer.steps(first)[0].second_probe
    assert await writer.probe(first, 0, "", rig.span()) == Absent()
    done = await writer.send(first, 0, "", rig.departure())
    assert isinstance(done, StepDone)
    assert await writer.probe(first, 0, "", rig.span()) == Found((Record(done.remote_id, 1),))
    assert await writer.probe(second, 0, "", rig.span()) == Absent()
    assert rig.sandbox.world.orders[order_id].state == "SHIPPING"
    await writer.send(second, 0, "", rig.departure())
    assert rig.sandbox.world.orders[order_id].state == "SHIPPED"
    assert rig.sandbox.count("parcel", order_id) == 2


async def test_a_parcel_that_had_landed_is_adopted_when_the_quantities_are_used_up(make_rig: Any) -> None:
    rig = make_rig(multi_shipment=True)
    await rig.adapter.probe_traits()
    order_id = ready(rig, ("TEA-1", 1))
    writer, payload = rig.adapter.writers[Kind.CONFIRM], parcel(order_id)
    rig.transport.lose_answers = 1
    with pytest.raises(InDoubt):
        await writer.send(payload, 0, "", rig.departure())
    again = await writer.send(payload, 0, "", rig.departure(2))
    assert again == StepDone(remote_id=next(iter(rig.sandbox.world.parcels)))
    assert rig.sandbox.count("parcel", order_id) == 1


async def test_a_refusal_inside_a_201_is_parked(make_rig: Any) -> None:
    rig = make_rig(multi_shipment=True)
    await rig.adapter.probe_traits()
    order_id = rig.place(("TEA-1", 1))
    with pytest.raises(Park, match="ST01"):
        await rig.adapter.writers[Kind.CONFIRM].send(parcel(order_id), 0, "", rig.departure())


async def test_a_duplicate_parcel_is_seen_as_two_records(make_rig: Any) -> None:
    rig = make_rig(multi_shipment=True)
    await rig.adapter.probe_traits()
    order_id = ready(rig, ("TEA-1", 2))
    writer, payload = rig.adapter.writers[Kind.CONFIRM], parcel(order_id)
    await writer.send(payload, 0, "", rig.departure())
    await writer.send(payload, 0, "", rig.departure())
    answer = await writer.probe(payload, 0, "", rig.span())
    assert isinstance(answer, Found)
    assert len(answer.records) == 2


async def test_stock_is_imported_and_each_item_is_settled(make_rig: Any) -> None:
    rig = make_rig()
    writer = rig.adapter.writers[Kind.STOCK]
    payload = PublishStock(
        (StockItem(Sku("TEA-1"), 7), StockItem(Sku('odd;"sku"'), 1), StockItem(Sku("MUG-2"), 0))
    )
    assert [step.write_class for step in writer.steps(payload)] == [WriteClass.UPSERT]
    waiting = await writer.send(payload, 0, "", rig.departure())
    assert waiting == StepWaiting("1", 15.0)
    assert await writer.poll(payload, 0, "1") == waiting
    rig.wait(30)
    done = await writer.poll(payload, 0, "1")
    # Each import has another id: as a Link it would look like a second record of the same SKU.
    assert isinstance(done, StepDone)
    assert done.remote_id == ""
    assert dict(rig.sandbox.offers) == {"TEA-1": 7, "MUG-2": 0}
    results = await writer.results(payload, done.checkpoint)
    assert results == (
        ItemResult(Sku("TEA-1")),
        ItemResult(Sku('odd;"sku"'), "The offer does not exist"),
        ItemResult(Sku("MUG-2")),
    )


async def test_an_import_without_errors_needs_no_report(make_rig: Any) -> None:
    rig = make_rig()
    writer, payload = rig.adapter.writers[Kind.STOCK], PublishStock((StockItem(Sku("TEA-1"), 4),))
    await writer.send(payload, 0, "", rig.departure())
    rig.wait(30)
    done = await writer.poll(payload, 0, "1")
    assert await writer.results(payload, done.checkpoint) == (ItemResult(Sku("TEA-1")),)
    assert rig.operations() == ["STO01", "STO02"]


@pytest.mark.rule("C16")
async def test_an_import_that_nobody_knows_is_in_doubt_and_not_looked_up(make_rig: Any) -> None:
    rig = make_rig()
    writer, payload = rig.adapter.writers[Kind.STOCK], PublishStock((StockItem(Sku("TEA-1"), 4),))
    with pytest.raises(InDoubt):
        await writer.poll(payload, 0, "no-such-import")
    assert await writer.probe(payload, 0, "", rig.span()) == Unknown()


@pytest.mark.rule("C15")
async def test_an_absolute_import_lists_again_what_was_sold_meanwhile(make_rig: Any) -> None:
    rig = make_rig()
    writer, payload = rig.adapter.writers[Kind.STOCK], PublishStock((StockItem(Sku("TEA-1"), 10),))
    await writer.send(payload, 0, "", rig.departure())
    rig.place(("TEA-1", 3))
    assert rig.sandbox.offers["TEA-1"] == 7
    rig.wait(30)
    await writer.poll(payload, 0, "1")
    assert rig.sandbox.offers["TEA-1"] == 10
    assert rig.sandbox.units_sold("TEA-1") == 3


async def test_a_shop_may_publish_its_stock_elsewhere(make_rig: Any) -> None:
    assert Kind.STOCK not in make_rig({"stock_imports": False}).adapter.writers


@pytest.mark.rule("A13")
async def test_the_same_stock_makes_the_same_bytes(make_rig: Any) -> None:
    payload = PublishStock((StockItem(Sku("TEA-1"), 4),))
    bodies = []
    for _ in range(2):
        rig = make_rig()
        await rig.adapter.writers[Kind.STOCK].send(payload, 0, "", rig.departure())
        bodies.append(rig.transport.sent[0].body)
    assert bodies[0] == bodies[1]


async def test_nothing_is_written_twice_by_a_writer_itself(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.place()
    rig.transport.lose_answers = 1
    with pytest.raises(InDoubt):
        await rig.adapter.writers[Kind.ACCEPT].send(yes_to(rig, order_id), 0, "", rig.departure())
    assert rig.operations() == ["OR21"]
    body = msgspec.json.decode(rig.transport.sent[0].body)
    assert body == {"order_lines": [{"id": f"{order_id}-{n}", "accepted": True} for n in (1, 2)]}
