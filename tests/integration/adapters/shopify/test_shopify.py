"""Shopify's odd cases, over its sandbox by the real client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.shopify import ADAPTER
from adapters.shopify.rehearsal import ShopifySide
from adapters.shopify.sandbox_shop import LOCATIONS, Order, ShopifyShop
from marketsync.domain.deliveries import Absent, Found, Kind, State
from marketsync.domain.ids import RemoteId, Sku
from marketsync.domain.shipments import Shipment
from marketsync.domain.stock import StockFacts, may_publish
from marketsync.errors import ConfigError, InDoubt, Park, PauseConnection, ReadFailed, Retry
from marketsync.kit.bench import Bench, Fresh
from marketsync.kit.checks.create import scene
from marketsync.kit.drive import Drive
from marketsync.kit.people import an_order, created, line, open_order, to_cancel, to_create, to_update
from marketsync.kit.quality import of
from marketsync.kit.wire import Trouble
from marketsync.ports import AdjustStock, Departure, ProbeSpan, ReadsAftersales, StepDone
from marketsync.sandbox.kinds import Fault
from marketsync.sandbox.roles import Ware

BYPASS = {"inventory": "bypass", "location": str(LOCATIONS[0])}


async def fresh(settings: dict[str, Any] | None = None, **plan: Any) -> Bench:
    return await Fresh(ADAPTER, of(ADAPTER))(settings=settings, **plan)


def side(bench: Bench) -> ShopifySide:
    assert isinstance(bench.side, ShopifySide)
    return bench.side


def shop(bench: Bench) -> ShopifyShop:
    return side(bench).shop


def only(bench: Bench) -> Order:
    (order,) = [x for x in shop(bench).orders.values() if x.by_api]
    return order


async def driven(bench: Bench) -> Drive:
    return Drive(scene(bench, Kind.CREATE, await to_create(bench)))


def departure(bench: Bench, attempt: int = 1) -> Departure:
    return Departure(attempt, bench.clock.monotonic() + 60.0)


async def probed(bench: Bench, payload: Any) -> Any:
    span = ProbeSpan(bench.now, bench.now)
    return await bench.shop.writers[Kind.CREATE].probe(payload, 0, "", span)


# Pace


@pytest.mark.failure(36)
async def test_a_throttle_under_200_is_waited_out_and_is_no_failure() -> None:
    bench = await fresh()
    side(bench).sandbox.faults.throttle = 1
    with pytest.raises(Retry) as caught:
        await bench.shop.resolve_skus([Sku("KIT-A")])
    assert not caught.value.counted
    assert caught.value.after_seconds == 1.0
    assert list(await bench.patient(lambda: bench.shop.resolve_skus([Sku("KIT-A")]))) == ["KIT-A"]


@pytest.mark.failure(36)
async def test_a_throttled_create_did_nothing_and_goes_again() -> None:
    bench = await fresh()
    drive = await driven(bench)
    side(bench).sandbox.faults.throttle = 1
    await drive.move()
    assert (drive.row.state, drive.row.failures, drive.row.unsettled) == (State.QUEUED, 0, False)
    await drive.to_end(watched=False)
    assert drive.row.state is State.DONE
    assert drive.doubts == 0
    assert len(bench.held(drive.payload.ref)) == 1


@pytest.mark.failure(37)
async def test_who_has_few_points_left_waits_before_he_is_throttled() -> None:
    bench = await fresh()
    asked = 0
    while bench.http.is_ready("orders.read"):
        for _ in range(20):
            side(bench).handle(bench.wire.sent[-1], bench.now)
        await bench.patient(lambda: bench.shop.resolve_skus([Sku("KIT-A")]))
        asked += 1
        assert asked < 100
    assert not bench.http.is_ready("orders.create")
    before = bench.clock.monotonic()
    await bench.ready("orders.create")
    assert 0 < bench.clock.monotonic() - before <= 60.0
    assert not any("throttled" in line for line in bench.ear.said if "outcome" in line)


async def test_at_the_pace_of_the_budgets_nobody_is_throttled_and_who_knows_none_is() -> None:
    bench = await fresh()
    for _ in range(150):
        await bench.patient(lambda: bench.shop.resolve_skus([Sku("KIT-A")]))
    last = bench.wire.sent[-1]
    assert not any(b"THROTTLED" in x.response.body for x in bench.wire.exchanges)
    answers = [side(bench).handle(last, bench.now) for _ in range(1000)]
    assert {x.status for x in answers} == {200}
    assert any(b"THROTTLED" in x.body for x in answers)


async def test_the_cap_of_a_development_store_is_a_wait_and_no_failure() -> None:
    bench = await fresh(options={"creates_per_minute": 5})
    began = bench.now
    for number in range(7):
        order = an_order(order_id=f"KIT-{number}")
        drive = Drive(scene(bench, Kind.CREATE, await to_create(bench, order)))
        await drive.to_end(watched=False)
        assert (drive.row.state, drive.row.failures, drive.doubts) == (State.DONE, 0, 0)
    assert (bench.now - began).total_seconds() >= 60.0
    assert len([x for x in shop(bench).orders.values() if x.by_api]) == 7


# What stands beside a write


async def test_errors_beside_an_order_that_was_made_are_told_and_it_stays_one() -> None:
    bench = await fresh()
    drive = await driven(bench)
    side(bench).sandbox.faults.beside = 1
    await drive.to_end(watched=False)
    assert drive.row.state is State.DONE
    assert drive.conflicts == [f"order {only(bench).id} was made, but Shopify says INVALID at order.tags"]


async def test_errors_of_graphql_beside_an_order_that_was_made_do_not_hide_it() -> None:
    bench = await fresh()
    drive = await driven(bench)
    side(bench).sandbox.faults.top = 1
    await drive.to_end(watched=False)
    assert (drive.row.state, drive.doubts, drive.links) == (State.DONE, 0, [str(only(bench).id)])


@pytest.mark.failure(32)
@pytest.mark.parametrize("unique", [True, False])
async def test_a_refusal_of_what_was_made_all_the_same_is_looked_for(unique: bool) -> None:
    bench = await fresh(options={"unique": unique}, visibility_lag_seconds=0.0)
    drive = await driven(bench)
    side(bench).sandbox.faults.unsaid = 1
    await drive.to_end(watched=False)
    assert (drive.row.state, drive.doubts) == (State.DONE, 1)
    assert len(bench.held(drive.payload.ref)) == 1


async def test_an_answer_that_shows_another_order_is_a_doubt() -> None:
    bench = await fresh()
    await created(bench, an_order(order_id="KIT-OLD"))
    drive = await driven(bench)
    side(bench).sandbox.faults.other = 1
    await drive.move()
    assert drive.row.state is State.IN_DOUBT
    await drive.to_end(watched=False)
    assert drive.row.state is State.DONE
    assert len(bench.held(drive.payload.ref)) == 1


@pytest.mark.rule("A11")
@pytest.mark.parametrize("unique", [True, False])
async def test_a_second_create_never_makes_a_second_order_once_the_first_is_seen(unique: bool) -> None:
    bench = await fresh(options={"unique": unique})
    payload = await created(bench)
    await bench.wait(60.0)
    done = await bench.shop.writers[Kind.CREATE].send(payload, 0, "", departure(bench, 2))
    assert isinstance(done, StepDone)
    assert done.remote_id == str(only(bench).id)


@pytest.mark.rule("A11")
async def test_where_the_reference_is_not_unique_a_look_shows_both() -> None:
    bench = await fresh(options={"unique": False})
    drive = await driven(bench)
    await drive.to_end(Trouble(Fault.DUPLICATE, late=1.0), watched=False)
    await bench.wait(300.0)
    answer = await probed(bench, drive.payload)
    assert isinstance(answer, Found)
    assert len(answer.records) == len(bench.held(drive.payload.ref)) == 2


async def test_the_echo_of_a_reference_that_is_taken_is_looked_for() -> None:
    """The first attempt was lost and is not seen yet; the second is refused for it."""
    bench = await fresh(visibility_lag_seconds=150.0)
    drive = await driven(bench)
    payload = drive.payload
    await drive.move(Trouble(Fault.ANSWER_LOST))
    assert await probed(bench, payload) == Absent()
    with pytest.raises(InDoubt):
        await bench.shop.writers[Kind.CREATE].send(payload, 0, "", departure(bench, 2))
    await drive.to_end(watched=False)
    assert drive.row.state is State.DONE


async def test_stock_that_is_not_there_parks_where_the_shop_may_say_no() -> None:
    bench = await fresh({"inventory": "decrement_obeying_policy"}, wares=(Ware("KIT-A", 1), Ware("KIT-B", 1)))
    drive = await driven(bench)
    await drive.to_end(watched=False)
    assert drive.row.state is State.PARKED
    assert "INVENTORY_CLAIM_FAILED at order.lineItems" in drive.row.error
    assert bench.held(drive.payload.ref) == []


# Answers of every kind


def answering(text: bytes, *, write: bool) -> Callable[..., Any]:
    def edit(request: Any, response: Any) -> Any:
        return replace(response, body=text) if request.write is write else response

    return edit


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"errors":[{"extensions":{"code":"INTERNAL_SERVER_ERROR"}}]}', InDoubt),
        (b'{"data":null,"errors":[{"extensions":{"code":"TIMEOUT"}}]}', InDoubt),
        (b'{"data":{"orderCreate":null},"errors":[{"message":"x"}]}', InDoubt),
        (b'{"data":{"orderCreate":{"order":null,"userErrors":[]}}}', InDoubt),
        (b'{"data":{}}', InDoubt),
        (b"{}", InDoubt),
        (b'{"data":null,"errors":[{"extensions":{"code":"BAD_REQUEST"}}]}', Park),
        (b'{"errors":[{"message":"no such field"}]}', Park),
        (b'{"errors":[{"extensions":{"code":"INVALID_VARIABLE"}}]}', Park),
        (b'{"data":null,"errors":[{"extensions":{"code":"ACCESS_DENIED"}}]}', PauseConnection),
        (b'{"errors":[{"extensions":{"code":"THROTTLED"}}]}', Retry),
    ],
)
async def test_what_an_answer_to_a_create_means(body: bytes, error: type[Exception]) -> None:
    bench = await fresh()
    payload = await to_create(bench)
    bench.wire.edit = answering(body, write=True)
    with pytest.raises(error):
        await bench.shop.writers[Kind.CREATE].send(payload, 0, "", departure(bench))


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"data":{"nodes":[]},"errors":[{"extensions":{"code":"INTERNAL_SERVER_ERROR"}}]}', ReadFailed),
        (b'{"data":null,"errors":[{"extensions":{"code":"ACCESS_DENIED"}}]}', PauseConnection),
        (b'{"errors":"[API] something"}', ReadFailed),
        (b'{"data":null}', ReadFailed),
    ],
)
async def test_a_reading_with_errors_brings_nothing(body: bytes, error: type[Exception]) -> None:
    bench = await fresh()
    await created(bench)
    bench.wire.edit = answering(body, write=False)
    with pytest.raises(error):
        await bench.shop.fetch_shipments([open_order(bench, an_order())])


@pytest.mark.parametrize(("status", "error"), [(402, PauseConnection), (423, PauseConnection), (404, PauseConnection), (403, Retry), (413, Park)])  # fmt: skip
async def test_a_shop_that_is_closed_stops_the_connection(status: int, error: type[Exception]) -> None:
    bench = await fresh()
    payload = await to_create(bench)
    bench.wire.edit = lambda request, response: (
        replace(response, status=status) if request.write else response
    )
    with pytest.raises(error):
        await bench.shop.writers[Kind.CREATE].send(payload, 0, "", departure(bench))


# Parcels


async def parcels(bench: Bench) -> list[Shipment]:
    return list(await bench.patient(lambda: bench.shop.fetch_shipments([open_order(bench, an_order())])))


async def test_a_parcel_without_a_number_waits_for_it() -> None:
    bench = await fresh()
    await created(bench)
    parcel = shop(bench).ship(only(bench).id, bench.now, tracking="")
    assert await parcels(bench) == []
    shop(bench).track(parcel, "UPS", "1Z9", bench.now)
    (read,) = await parcels(bench)
    assert (read.carrier, read.tracking_number, read.voided) == ("UPS", "1Z9", False)
    shop(bench).track(parcel, "UPS", "1Z10", bench.now)
    (again,) = await parcels(bench)
    assert (again.shipment_id, again.tracking_number) == (read.shipment_id, "1Z10")


async def test_a_parcel_may_be_told_without_a_number() -> None:
    bench = await fresh({"wait_for_tracking": False})
    await created(bench)
    shop(bench).ship(only(bench).id, bench.now, tracking="")
    assert [x.tracking_number for x in await parcels(bench)] == [""]


async def test_a_cancelled_parcel_is_void_and_stays_so_although_it_is_numbered_anew() -> None:
    bench = await fresh()
    await created(bench)
    parcel = shop(bench).ship(only(bench).id, bench.now)
    shop(bench).take_back(parcel, bench.now)
    shop(bench).track(parcel, "UPS", "1Z11", bench.now)
    assert [(x.voided, x.tracking_number) for x in await parcels(bench)] == [(True, "1Z11")]
    shop(bench).ship(only(bench).id, bench.now, tracking="ANEW")
    assert [(x.voided, x.tracking_number) for x in await parcels(bench)] == [(True, "1Z11"), (False, "ANEW")]


@pytest.mark.parametrize(("status", "seen"), [("OPEN", 0), ("PENDING", 0), ("ERROR", 1), ("FAILURE", 1)])
async def test_what_is_not_sent_is_no_parcel(status: str, seen: int) -> None:
    bench = await fresh()
    await created(bench)
    shop(bench).ship(only(bench).id, bench.now, status=status)
    assert [x.voided for x in await parcels(bench)] == [True] * seen


async def test_an_order_that_is_split_is_several_parcels() -> None:
    bench = await fresh()
    await created(bench)
    first, second = only(bench).lines
    shop(bench).ship(only(bench).id, bench.now, {first.id: 1}, tracking="A1")
    shop(bench).ship(only(bench).id, bench.now, {first.id: 1, second.id: 1}, tracking="A2")
    told = [(x.tracking_number, [(y.line_id, y.quantity) for y in x.lines]) for x in await parcels(bench)]
    assert told == [("A1", [("1", 1)]), ("A2", [("1", 1), ("2", 1)])]


async def test_a_parcel_of_many_lines_is_read_to_its_end() -> None:
    bench = await fresh()
    order = an_order(*(line(str(n), "KIT-A", 1, "1.00") for n in range(60)))
    await created(bench, order)
    shop(bench).ship(only(bench).id, bench.now)
    wanted = [open_order(bench, order)]
    (read,) = await bench.patient(lambda: bench.shop.fetch_shipments(wanted))
    assert len(read.lines) == 60


# Cancel and edit


async def test_a_cancel_is_done_when_the_shop_has_done_it() -> None:
    bench = await fresh(options={"cancel_seconds": 9.0})
    await created(bench)
    drive = Drive(scene(bench, Kind.CANCEL, to_cancel(bench, an_order())))
    await drive.move()
    assert drive.row.state is State.WAITING
    assert only(bench).cancelled is None
    await drive.to_end(watched=False)
    assert drive.row.state is State.DONE
    assert only(bench).cancelled is not None


async def test_a_parcel_that_leaves_while_the_cancel_is_under_way_is_a_persons_matter() -> None:
    bench = await fresh(options={"cancel_seconds": 9.0})
    await created(bench)
    drive = Drive(scene(bench, Kind.CANCEL, to_cancel(bench, an_order())))
    await drive.move()
    shop(bench).ship(only(bench).id, bench.now)
    await drive.to_end(watched=False)
    assert drive.row.state is State.PARKED
    assert "was not cancelled although the shop began to" in drive.row.error


async def test_what_took_nothing_gives_nothing_back() -> None:
    bench = await fresh(BYPASS)
    before = dict(bench.shop_side.stock())
    await created(bench)
    assert dict(bench.shop_side.stock()) == before
    drive = Drive(scene(bench, Kind.CANCEL, to_cancel(bench, an_order())))
    await drive.to_end(watched=False)
    assert drive.row.state is State.DONE
    assert dict(bench.shop_side.stock()) == before


async def test_what_the_marketplace_ships_takes_nothing_here() -> None:
    bench = await fresh()
    before = dict(bench.shop_side.stock())
    payload = replace(await to_create(bench), takes_stock=False, ships=False)
    drive = Drive(scene(bench, Kind.CREATE, payload))
    await drive.to_end(watched=False)
    assert drive.row.state is State.DONE
    assert dict(bench.shop_side.stock()) == before


async def test_a_price_that_changed_is_told_and_the_units_are_right() -> None:
    bench = await fresh()
    await created(bench)
    cheaper = an_order(line("1", "KIT-A", 1, "4.00"), line("2", "KIT-B", 1, "5.90"))
    drive = Drive(scene(bench, Kind.UPDATE, await to_update(bench, cheaper)))
    await drive.to_end(watched=False)
    assert drive.row.state is State.DONE
    assert [x.current for x in only(bench).lines] == [1, 1]
    assert drive.conflicts == [f"order {only(bench).id} after its update: the total is 15.9 instead of 9.90"]


# What the shop's people did


async def aftersales(bench: Bench) -> list[str]:
    adapter = bench.shop
    assert isinstance(adapter, ReadsAftersales)
    return [x.what for x in await adapter.fetch_aftersales([open_order(bench, an_order())])]


async def test_what_the_shops_people_did_is_told() -> None:
    bench = await fresh()
    await created(bench)
    number, (first, _) = only(bench).id, only(bench).lines
    assert await aftersales(bench) == []
    shop(bench).refund(number, {first.id: 1}, "10.00", bench.now)
    shop(bench).open_return(number, 2, bench.now)
    shop(bench).open_return(number, 1, bench.now, status="DECLINED")
    assert await aftersales(bench) == [
        f"1 units of order {number} were refunded with 10.0 EUR",
        f"a return of 2 units of order {number} was opened",
    ]
    shop(bench).cancel(number, bench.now)
    assert await aftersales(bench) == [f"order {number} was cancelled"]


async def test_nobody_cancels_what_has_left_and_its_units_stay_sold() -> None:
    bench = await fresh()
    await created(bench)
    order, before = only(bench), side(bench).stock()
    parcel = shop(bench).ship(order.id, bench.now, {order.lines[0].id: 1})
    side(bench).cancel(bench.now, str(order.id))
    assert (order.cancelled, side(bench).stock()) == (None, before)
    (held,) = side(bench).orders()
    assert sum(x.taken for x in held.lines) == sum(x.quantity for x in held.lines)
    shop(bench).take_back(parcel, bench.now)
    side(bench).cancel(bench.now, str(order.id))
    assert order.cancelled == bench.now
    assert all(side(bench).stock()[x.sku] == before[x.sku] + x.quantity for x in order.lines)


async def test_of_our_own_cancel_nobody_is_told() -> None:
    bench = await fresh()
    await created(bench)
    drive = Drive(scene(bench, Kind.CANCEL, to_cancel(bench, an_order())))
    await drive.to_end(watched=False)
    assert drive.row.state is State.DONE
    assert await aftersales(bench) == []


# Stock


async def test_who_bypasses_stock_is_not_published_and_nothing_else_takes_it() -> None:
    bench = await fresh(BYPASS)
    found = await bench.shop.resolve_skus([Sku("KIT-A")])
    facts = found[Sku("KIT-A")].facts
    assert isinstance(facts, StockFacts)
    assert not may_publish(facts)
    assert Kind.ADJUST not in (await fresh()).shop.writers


async def test_an_adjustment_goes_against_the_figure_that_was_read() -> None:
    bench = await fresh(BYPASS)
    writer = bench.shop.writers[Kind.ADJUST]
    variant = shop(bench).variant_of("KIT-A")
    payload = AdjustStock("key-1", RemoteId(str(variant.id)), Sku("KIT-A"), -2)
    before = shop(bench).stock_of("KIT-A")
    assert isinstance(await writer.send(payload, 0, "", departure(bench)), StepDone)
    assert shop(bench).stock_of("KIT-A") == before - 2
    bench.wire.before = lambda request: (
        shop(bench).set_stock("KIT-A", 1, bench.now) if request.write else None
    )
    with pytest.raises(Retry):
        await writer.send(payload, 0, "", departure(bench))
    with pytest.raises(InDoubt):
        await writer.send(payload, 0, "", departure(bench, 2))
    assert shop(bench).stock_of("KIT-A") == before - 2 + 2


async def test_the_figure_is_the_sum_of_all_locations_and_what_is_not_counted_has_none() -> None:
    bench = await fresh()
    shop(bench).variant_of("KIT-A").levels = dict(zip(LOCATIONS, (5, -3), strict=True))
    shop(bench).add_variant("KIT-FREE", 9, tracked=False)
    page = await bench.patient(lambda: bench.shop.sweep_stock(""))
    assert {x.sku: x.value for x in page.figures} == {"KIT-A": 2, "KIT-B": 40}
    articles = {x.sku: x for x in page.articles}
    assert not articles[Sku("KIT-FREE")].tracked
    read = await bench.shop.read_stock(list(articles.values()))
    assert {x.sku: x.value for x in read} == {"KIT-A": 2, "KIT-B": 40}


async def test_a_bulk_operation_that_fails_or_is_taken_is_tried_again() -> None:
    bench = await fresh()
    side(bench).sandbox.faults.bulk_fails = 1
    with pytest.raises(ReadFailed, match="INTERNAL_SERVER_ERROR"):
        await bench.shop.sweep_stock("")
    sandbox = side(bench).sandbox
    sandbox.start_bulk("{ shop { currencyCode } }", bench.now)
    with pytest.raises(Retry) as caught:
        await bench.shop.sweep_stock("")
    assert not caught.value.counted
    page = await bench.patient(lambda: bench.shop.sweep_stock(""))
    assert len(page.figures) == 2


async def test_a_file_that_is_not_whole_is_not_taken() -> None:
    bench = await fresh()

    def cut(request: Any, response: Any) -> Any:
        if "/bulk/" not in request.url:
            return response
        return replace(response, body=response.body[: response.body.rindex(b"\n")])

    bench.wire.edit = cut
    with pytest.raises(ReadFailed, match="not whole"):
        await bench.shop.sweep_stock("")


# Account


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"defined": False}, "no order metafield marketsync.reference"),
        ({"scopes": ("read_orders",)}, "lacks the scopes write_orders"),
        ({"key": "other"}, "no order metafield marketsync.reference"),
    ],
)
async def test_what_the_account_lacks_is_said(options: dict[str, Any], said: str) -> None:
    with pytest.raises(PauseConnection, match=said):
        await fresh(options=options)


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "https://shop.example/admin"},
        {"points_per_second": 0},
        {"creates_per_minute": 0},
        {"orders_per_call": 0},
        {"location": "first"},
    ],
)
async def test_settings_that_can_not_work_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        await fresh(settings)
