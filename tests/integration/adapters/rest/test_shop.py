"""What a shop of the contract does that the kit does not ask about."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, repeat
from typing import Any

import pytest
from msgspec.structs import replace

from marketsync.domain.deliveries import Absent, Found, Kind
from marketsync.domain.ids import Sku
from marketsync.domain.shipments import Shipment
from marketsync.errors import InDoubt, Park, PauseConnection, ReadFailed, Retry
from marketsync.kit.bench import START, Bench
from marketsync.kit.people import an_order, created, line, open_order, ref_of, to_cancel, to_create, to_update
from marketsync.ports import ProbeSpan
from tests.integration.adapters.rest.rig import a_shop, answering, departure, shop_side


async def parcels(bench: Bench, *orders: Any) -> list[Shipment]:
    wanted = [open_order(bench, order) for order in orders or (an_order(),)]
    return list(await bench.shop.fetch_shipments(wanted))


def ship(bench: Bench, order: Any = None, tracking: str = "T1") -> str:
    (held,) = bench.held(ref_of(order or an_order()))
    bench.shop_side.ship(bench.now, held.remote_id, [(held.lines[0].key, 1)], tracking)
    return list(shop_side(bench).shop.parcels)[-1]


def asked(bench: Bench) -> list[str]:
    return [x.url.partition("?")[2] for x in bench.wire.sent if x.operation == "shipments.list"]


def span(bench: Bench) -> ProbeSpan:
    return ProbeSpan(START, bench.now)


async def test_parcels_are_asked_for_by_reference_once_and_then_as_news() -> None:
    bench = await a_shop()
    await created(bench)
    assert await parcels(bench) == []
    ship(bench)
    await bench.wait(60.0)
    assert [x.tracking_number for x in await parcels(bench)] == ["T1"]
    await bench.wait(60.0)
    assert [x.tracking_number for x in await parcels(bench)] == ["T1"]
    assert [x.partition("=")[0] for x in asked(bench)] == ["refs", "since", "since"]


async def test_a_number_that_is_noted_later_and_a_parcel_that_is_taken_back_are_read() -> None:
    bench = await a_shop()
    await created(bench)
    parcel = ship(bench, tracking="")
    assert await parcels(bench) == []
    await bench.wait(60.0)
    shop_side(bench).shop.change_parcel(parcel, bench.now, tracking="T9")
    assert [x.tracking_number for x in await parcels(bench)] == ["T9"]
    await bench.wait(60.0)
    shop_side(bench).shop.change_parcel(parcel, bench.now, tracking="", voided=True)
    assert [(x.shipment_id, x.voided) for x in await parcels(bench)] == [(parcel, True)]


async def test_an_order_in_the_place_of_a_deleted_one_takes_its_units_once() -> None:
    bench = await a_shop()
    await created(bench)
    (first,), stock = bench.held(ref_of(an_order())), bench.shop_side.stock()
    shop_side(bench).trash(bench.now, first.remote_id)
    await created(bench)
    shop_side(bench).restore(bench.now, first.remote_id)
    (second,) = bench.held(ref_of(an_order()))
    assert second.remote_id != first.remote_id
    assert bench.shop_side.stock() == stock


async def test_a_clock_that_goes_back_hides_no_parcel() -> None:
    bench = await a_shop()
    await created(bench)
    assert await parcels(bench) == []
    shop_side(bench).move_clock(-3 * 3600.0)
    ship(bench)
    await bench.wait(60.0)
    assert [x.tracking_number for x in await parcels(bench)] == ["T1"]
    assert [x.partition("=")[0] for x in asked(bench)] == ["refs", "since", "refs"]


async def test_a_stamp_that_went_wrong_hides_a_parcel_for_six_hours_at_most() -> None:
    bench = await a_shop()
    await created(bench)
    assert await parcels(bench) == []
    parcel = ship(bench)
    held = shop_side(bench).shop.parcels[parcel]
    shop_side(bench).shop.change_parcel(parcel, held.updated.replace(year=2020))
    await bench.wait(60.0)
    found = []
    for _ in range(14):
        found.append(len(await parcels(bench)))
        await bench.wait(1800.0)
    assert found[0] == 0
    assert found[-1] == 1


async def test_parcels_come_in_as_many_pages_as_there_are_and_none_is_endless() -> None:
    bench = await a_shop()
    shop_side(bench).sandbox._page = 2
    orders = [an_order(line("1", "KIT-A", 1, "1.00"), order_id=f"M-{n}") for n in range(5)]
    for number, order in enumerate(orders):
        await created(bench, order)
        ship(bench, order, f"T{number}")
    assert sorted(x.tracking_number for x in await parcels(bench, *orders)) == ["T0", "T1", "T2", "T3", "T4"]
    for cursors, said in ((repeat("again"), "itself"), (map(str, count()), "no end")):

        def endless(page: Any, cursors: Iterator[str] = cursors) -> Any:
            return {**page, "next": next(cursors)}

        answering(bench, "shipments.list", endless)
        await bench.wait(60.0)
        with pytest.raises(ReadFailed, match=said):
            await parcels(bench, *orders)


@pytest.mark.rule("A11")
async def test_a_bare_404_proves_nothing() -> None:
    """Anybody between may answer it; only the shop itself can say that there is no such order."""
    bench = await a_shop()
    payload = await to_create(bench)
    writer = bench.adapter.writers[Kind.CREATE]
    assert await writer.probe(payload, 0, "", span(bench)) == Absent()
    answering(bench, "orders.look", lambda _: {"message": "no page here"})
    with pytest.raises(ReadFailed):
        await writer.probe(payload, 0, "", span(bench))


@pytest.mark.rule("A11")
async def test_other_content_under_our_reference_is_a_doubt_and_then_a_conflict() -> None:
    bench = await a_shop()
    await created(bench)
    writer = bench.adapter.writers[Kind.CREATE]
    other = await to_create(bench, an_order(line("1", "KIT-A", 1, "9.00")))
    with pytest.raises(InDoubt):
        await writer.send(other, 0, "", departure(bench))
    answer = await writer.probe(other, 0, "", span(bench))
    assert isinstance(answer, Found)
    assert [bool(record.content_hash) for record in answer.records] == [True]


async def test_what_the_shop_made_otherwise_a_person_sees() -> None:
    bench = await a_shop()
    answering(bench, "orders.create", lambda order: {**order, "total": "1.00", "currency": "USD"})
    done: Any = await bench.adapter.writers[Kind.CREATE].send(await to_create(bench), 0, "", departure(bench))
    assert "the total is 1.00 instead of 25.90" in done.conflict
    assert "the currency is not EUR" in done.conflict
    assert done.remote_id


async def test_an_answer_of_another_order_is_a_doubt() -> None:
    bench = await a_shop()
    answering(bench, "orders.create", lambda order: {**order, "ref": "ms-other"})
    with pytest.raises(InDoubt):
        await bench.adapter.writers[Kind.CREATE].send(await to_create(bench), 0, "", departure(bench))
    answering(bench, "orders.look", lambda order: {**order, "ref": "ms-other"})
    with pytest.raises(ReadFailed):
        await bench.adapter.writers[Kind.CREATE].probe(await to_create(bench), 0, "", span(bench))


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (409, {"code": "order_exists"}, Park),
        (422, {"code": "unknown_article"}, Park),
        (400, {}, Park),
        (403, {"code": "forbidden"}, PauseConnection),
        (403, {}, Retry),
        (404, {"code": "unknown_path"}, Park),
        (429, {}, Retry),
        (500, {"code": "internal"}, InDoubt),
    ],
)
async def test_what_a_refused_create_means(status: int, body: Any, expected: type[Exception]) -> None:
    bench = await a_shop()
    payload = await to_create(bench)
    answering(bench, "orders.create", lambda _: body, status)
    shop_side(bench).sandbox.shop.articles.clear()
    with pytest.raises(expected):
        await bench.adapter.writers[Kind.CREATE].send(payload, 0, "", departure(bench))


async def test_exists_already_under_our_own_reference_is_an_echo() -> None:
    bench = await a_shop()
    payload = await created(bench)
    answering(bench, "orders.create", lambda _: {"code": "order_exists"}, 409)
    with pytest.raises(InDoubt):
        await bench.adapter.writers[Kind.CREATE].send(payload, 0, "", departure(bench))


async def test_an_order_that_a_person_deleted() -> None:
    bench = await a_shop()
    await created(bench)
    update, cancel = await to_update(bench, an_order()), to_cancel(bench, an_order())
    shop_side(bench).trash(bench.now, update.remote_id)
    with pytest.raises(Park, match="deleted"):
        await bench.adapter.writers[Kind.UPDATE].send(update, 0, "", departure(bench))
    done: Any = await bench.adapter.writers[Kind.CANCEL].send(cancel, 0, "", departure(bench))
    assert "deleted" in done.conflict


async def test_another_version_of_the_contract_keeps_the_connection_from_starting() -> None:
    bench = await a_shop()
    answering(bench, "about", lambda about: {**about, "contract": "2"})
    assert "version 2" in (await bench.adapter.probe_traits()).problems[0]
    answering(bench, "about", lambda _: {}, 404)
    assert "url" in (await bench.adapter.probe_traits()).problems[0]


async def test_an_order_from_the_marketplaces_own_stock_moves_no_figure() -> None:
    bench = await a_shop()
    before = dict(bench.shop_side.stock())
    payload = await to_create(bench)
    own = replace(payload, takes_stock=False, ships=False)
    await bench.adapter.writers[Kind.CREATE].send(own, 0, "", departure(bench))
    assert dict(bench.shop_side.stock()) == before


async def test_an_article_without_stock_is_not_tracked_and_has_no_figure() -> None:
    bench = await a_shop()
    shop_side(bench).shop.article_of("KIT-A").available = None
    found = await bench.shop.resolve_skus([Sku("KIT-A")])
    assert found[Sku("KIT-A")].tracked is False
    assert await bench.shop.read_stock(list(found.values())) == []


async def test_a_sweep_that_leads_to_itself_is_a_read_that_failed() -> None:
    bench = await a_shop()
    answering(bench, "articles.list", lambda page: {**page, "next": "here"})
    assert (await bench.shop.sweep_stock("")).next_cursor == "here"
    with pytest.raises(ReadFailed):
        await bench.shop.sweep_stock("here")


async def test_an_article_whose_name_no_store_takes_costs_only_itself() -> None:
    bench = await a_shop()
    shop_side(bench).add_article(bench.now, "KIT\0C", 3)
    page = await bench.shop.sweep_stock("")
    assert sorted(x.sku for x in page.articles) == sorted(x.sku for x in page.figures) == ["KIT-A", "KIT-B"]
