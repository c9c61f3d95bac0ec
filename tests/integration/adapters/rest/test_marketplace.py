"""What a marketplace of the contract does that the kit does not ask about."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from marketsync.domain.deliveries import Absent, Found, Kind, Unknown
from marketsync.domain.ids import RemoteId, Sku
from marketsync.errors import InDoubt, Park, ReadFailed
from marketsync.kit.bench import START, Bench
from marketsync.kit.people import parcel_of, ready_order, yes_to
from marketsync.ports import ProbeSpan, PublishStock, StepDone, StockItem
from tests.integration.adapters.rest.rig import a_market, answering, departure, market_side, sold


def span(bench: Bench) -> ProbeSpan:
    return ProbeSpan(START, bench.now)


async def test_the_echo_of_our_own_answer_is_no_refusal() -> None:
    bench = await a_market()
    order = await bench.read(bench.place())
    writer = bench.adapter.writers[Kind.ACCEPT]
    await writer.send(yes_to(order), 0, "", departure(bench))
    answering(bench, "orders.accept", lambda _: {"code": "already_decided"}, 409)
    assert isinstance(await writer.send(yes_to(order), 0, "", departure(bench)), StepDone)


async def test_an_order_that_was_decided_otherwise_is_left_to_a_person() -> None:
    bench = await a_market()
    order = await bench.read(bench.place())
    writer = bench.adapter.writers[Kind.ACCEPT]
    await writer.send(yes_to(order), 0, "", departure(bench))
    other = yes_to(order, *(x.line_id for x in order.lines))
    assert await writer.probe(other, 0, "", span(bench)) == Unknown()
    with pytest.raises(Park, match="already_decided"):
        await writer.send(other, 0, "", departure(bench))


async def test_a_no_to_every_line_is_a_refusal_of_the_order() -> None:
    bench = await a_market()
    order = await bench.read(bench.place())
    no = yes_to(order, *(x.line_id for x in order.lines))
    await bench.adapter.writers[Kind.ACCEPT].send(no, 0, "", departure(bench))
    assert [x.refused for x in (await bench.read(order.key.order_id)).lines] == [2, 1]


async def test_a_parcel_that_was_told_before_the_order_was_closed_is_told() -> None:
    bench = await a_market()
    payload = parcel_of(bench, await ready_order(bench))
    writer = bench.adapter.writers[Kind.CONFIRM]
    await writer.send(payload, 0, "", departure(bench))
    market_side(bench).receive(bench.now, payload.order_id, True)
    assert isinstance(await writer.send(payload, 0, "", departure(bench)), StepDone)
    changed = replace(payload, shipment=replace(payload.shipment, tracking_number="OTHER"))
    with pytest.raises(Park, match="wrong_state"):
        await writer.send(changed, 0, "", departure(bench))


async def test_a_parcel_id_of_any_text_makes_one_key_of_its_own() -> None:
    bench = await a_market()
    order = await ready_order(bench, ("KIT-A", 2))
    for name in ("12:34/ü", "12:35/ü"):
        payload = parcel_of(bench, order, units=(1,), last=False)
        told = replace(payload, shipment=replace(payload.shipment, shipment_id=RemoteId(name)))
        await bench.adapter.writers[Kind.CONFIRM].send(told, 0, "", departure(bench))
    assert len(sold(bench, order.key.order_id).parcels) == 2


async def test_more_units_than_are_left_are_refused_with_their_reason() -> None:
    bench = await a_market()
    order = await ready_order(bench)
    many = parcel_of(bench, order, units=[9, 9])
    with pytest.raises(Park, match="too_many_units"):
        await bench.adapter.writers[Kind.CONFIRM].send(many, 0, "", departure(bench))


@pytest.mark.rule("A11")
async def test_an_order_that_is_not_shown_proves_nothing() -> None:
    bench = await a_market()
    payload = parcel_of(bench, await ready_order(bench))
    writer = bench.adapter.writers[Kind.CONFIRM]
    assert await writer.probe(payload, 0, "", span(bench)) == Absent()
    await writer.send(payload, 0, "", departure(bench))
    assert isinstance(await writer.probe(payload, 0, "", span(bench)), Found)
    answering(bench, "orders.look", lambda _: {"orders": [], "total": 0})
    with pytest.raises(ReadFailed):
        await writer.probe(payload, 0, "", span(bench))


@pytest.mark.parametrize(
    "change",
    [
        lambda told: {"items": told["items"][:1]},
        lambda told: {"items": told["items"][::-1]},
        lambda told: {"items": [{"sku": "KIT-A"}]},
        lambda told: {"items": [{**x, "error": "Not a code!"} for x in told["items"]]},
        lambda _: {},
    ],
)
async def test_an_answer_that_does_not_say_what_became_of_each_sku_is_a_doubt(change: Any) -> None:
    bench = await a_market()
    answering(bench, "stock.set", change)
    payload = PublishStock((StockItem(Sku("KIT-A"), 3), StockItem(Sku("KIT-B"), 4)))
    with pytest.raises(InDoubt):
        await bench.adapter.writers[Kind.STOCK].send(payload, 0, "", departure(bench))


async def test_an_answer_that_does_not_show_the_write_is_a_doubt() -> None:
    bench = await a_market()
    order = await bench.read(bench.place())
    answering(bench, "orders.accept", lambda shown: {**shown, "state": "to_accept"})
    with pytest.raises(InDoubt):
        await bench.adapter.writers[Kind.ACCEPT].send(yes_to(order), 0, "", departure(bench))
    bench.wire.edit = lambda request, response: response
    payload = parcel_of(bench, await ready_order(bench))
    answering(bench, "orders.ship", lambda shown: {**shown, "shipments": []})
    with pytest.raises(InDoubt):
        await bench.adapter.writers[Kind.CONFIRM].send(payload, 0, "", departure(bench))
