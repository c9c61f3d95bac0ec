"""Odoo's own oddities, over its simulated server by the real client."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.odoo import ADAPTER
from adapters.odoo.rehearsal import OdooSide
from adapters.odoo.sandbox import OdooSandbox
from adapters.odoo.sandbox_shop import OdooShop, Order
from marketsync.domain.deliveries import Found, Kind
from marketsync.domain.ids import Sku
from marketsync.domain.orders import Tax, TaxCollector
from marketsync.errors import InDoubt, Park, PauseConnection, Retry
from marketsync.kit import quality
from marketsync.kit.bench import START, Bench, Fresh
from marketsync.kit.people import HOME, an_order, created, line, open_order, to_cancel, to_create, to_update
from marketsync.ports import Departure, ProbeSpan, ReadsAftersales, StepDone
from marketsync.sandbox.roles import ShopOrder

RPC = {"protocol": "json-rpc"}


@pytest.fixture
def fresh() -> Fresh:
    return Fresh(ADAPTER, quality.of(ADAPTER))


def side(bench: Bench) -> OdooSide:
    assert isinstance(bench.side, OdooSide)
    return bench.side


async def send(
    bench: Bench,
    payload: Any,
    step: int = 0,
    checkpoint: str = "",
    kind: Kind = Kind.CREATE,
    attempt: int = 1,
) -> StepDone:
    departure = Departure(attempt, bench.clock.monotonic() + 60.0)
    done = await bench.adapter.writers[kind].send(payload, step, checkpoint, departure)
    assert isinstance(done, StepDone)
    return done


def held(bench: Bench) -> Order:
    (order,) = (order for order in side(bench).shop.orders.values() if order.by_api)
    return order


def shown(bench: Bench) -> ShopOrder:
    (order,) = bench.shop_side.orders()
    return order


# Errors


@pytest.mark.parametrize("settings", [RPC, {**RPC, "create_by": "create"}])
async def test_a_fault_on_a_write_that_happened_is_no_failure(fresh: Fresh, settings: dict[str, str]) -> None:
    bench = await fresh(settings=settings)
    payload = await to_create(bench)
    side(bench).sandbox.faults.unsaid = 2
    made = await send(bench, payload)
    await send(bench, payload, 1, made.checkpoint)
    assert (shown(bench).released, len(bench.wire.writes)) == (True, 2)


@pytest.mark.failure(43)
async def test_busy_rows_are_tried_again_and_the_quotation_is_resumed(fresh: Fresh) -> None:
    bench = await fresh(settings=RPC)
    payload = await to_create(bench)
    made = await send(bench, payload)
    side(bench).sandbox.faults.busy = 1
    with pytest.raises(Retry, match="SerializationFailure"):
        await send(bench, payload, 1, made.checkpoint)
    assert held(bench).state == "draft"
    again = await fresh(settings=RPC, side=bench.side, clock=bench.clock, traits=False)
    await send(again, payload, 1, made.checkpoint, attempt=2)
    assert (held(bench).state, shown(bench).released) == ("sale", True)


async def test_an_error_whose_effect_can_not_be_asked_for_is_a_doubt(fresh: Fresh) -> None:
    bench = await fresh(settings=RPC)
    payload = await to_create(bench)
    side(bench).sandbox.faults.unsaid = 1
    bench.wire.before = lambda request: _close_behind_a_write(bench, request.write)
    with pytest.raises(InDoubt):
        await send(bench, payload)


def _close_behind_a_write(bench: Bench, write: bool) -> None:
    """What was just asked still arrives; from the next call on the key is an old one."""
    if bench.wire.writes and not write:
        side(bench).sandbox._key = "another"


@pytest.mark.parametrize("settings", [{}, RPC])
async def test_a_key_that_has_ended_stops_the_connection(fresh: Fresh, settings: dict[str, str]) -> None:
    bench = await fresh(settings=settings)
    side(bench).sandbox._key = "another"
    with pytest.raises((PauseConnection, Retry)):
        await bench.shop.sweep_stock("")
    with pytest.raises(PauseConnection):
        await bench.shop.sweep_stock("")


async def test_a_buyer_who_writes_our_mark_is_told_no_secret(fresh: Fresh) -> None:
    bench = await fresh(settings=RPC)
    await created(bench, an_order(ship_to=replace(HOME, street1="\0api_key", street2="api_key")))
    (secret,) = side(bench).secrets().values()
    partner = next(iter(side(bench).shop.partners.values()))
    assert secret not in str(partner.values)


# Money


async def test_a_default_tax_is_never_added(fresh: Fresh) -> None:
    bench = await fresh()
    await created(bench)
    order = held(bench)
    assert (side(bench).shop.total(order), [x.taxes for x in order.lines]) == (Decimal("25.90"), [(), (), ()])
    # 20.00 - 3.33 = 16.67 is two of 8.34; 5.90 - 0.98 = 4.92; what is left of 25.90 is the tax
    assert [(int(x.quantity), str(x.price)) for x in order.lines] == [(2, "8.34"), (1, "4.92"), (1, "4.30")]


async def test_a_server_that_is_told_no_taxes_adds_its_own() -> None:
    shop = OdooShop()
    mug = shop.add_product("MUG", 5)
    writes = OdooSandbox(shop)._writes
    line_ = {"product_id": mug.id, "product_uom_qty": 1, "price_unit": 12.5}
    writes.create(
        "res.partner", [{"name": "x", "sale_order_ids": [[0, 0, {"order_line": [[0, 0, line_]]}]]}], START
    )
    (order,) = shop.orders.values()
    assert str(shop.total(order)) == "14.38"  # 12.50 and 15 %


async def test_another_total_parks_with_both(fresh: Fresh) -> None:
    bench = await fresh()
    payload = await to_create(bench)
    made = await send(bench, payload)
    held(bench).lines[0].taxes = (1,)
    with pytest.raises(Park, match=r"Odoo's total is 28\.4 and the marketplace's 25\.90") as parked:
        await send(bench, payload, 1, made.checkpoint)
    assert (held(bench).state, parked.value.causes) == ("draft", (f"total:{payload.ref}",))


@pytest.mark.parametrize(("tax", "unit"), [(2, "10.00"), (4, "8.34")])
async def test_taxes_are_records_where_the_merchant_names_them(fresh: Fresh, tax: int, unit: str) -> None:
    """Two for 20.00 with 20 % in it: price-included as stated; price-excluded 8.34 each, and 16.68 with 3.34 of tax is
    20.02, so two cents are taken off again."""
    bench = await fresh(settings={"taxes": {"20": tax}})
    await created(
        bench,
        an_order(line("1", "KIT-A", 2, "20.00", "3.33", taxes=(Tax("VAT", Decimal("3.33"), Decimal(20)),))),
    )
    order = held(bench)
    assert (order.lines[0].taxes, str(order.lines[0].price)) == ((tax,), unit)
    assert side(bench).shop.total(order) == Decimal("20.00")


async def test_a_rate_without_a_record_waits_for_one(fresh: Fresh) -> None:
    bench = await fresh(settings={"taxes": {"20": 2}})
    order = an_order(
        line("1", "KIT-A", 1, "10.55", "0.55", taxes=(Tax("VAT", Decimal("0.55"), Decimal("5.5")),))
    )
    with pytest.raises(Park) as parked:
        await send(bench, await to_create(bench, order))
    assert parked.value.causes == ("tax:5.5",)
    assert not bench.shop_side.orders()


async def test_what_the_marketplace_collects_is_no_tax_of_the_merchants(fresh: Fresh) -> None:
    bench = await fresh(settings={"taxes": {"20": 2}})
    mine = line("1", "KIT-A", 1, "12.00", "2.00")
    theirs = line("2", "KIT-B", 1, "7.70", "0.70", collector=TaxCollector.MARKETPLACE)
    await created(bench, an_order(mine, theirs))
    assert [(x.taxes, str(x.price)) for x in held(bench).lines] == [
        ((2,), "12.00"),
        ((), "7.00"),
        ((), "0.70"),
    ]


async def test_another_currency_parks(fresh: Fresh) -> None:
    bench = await fresh()
    payload = await to_create(bench, an_order(currency="USD"))
    made = await send(bench, payload)
    with pytest.raises(Park, match="the currency is EUR instead of USD"):
        await send(bench, payload, 1, made.checkpoint)
    priced = await fresh(settings={"pricelists": {"USD": 2}})
    await created(priced, an_order(currency="USD"))
    assert held(priced).currency == "USD"


# Orders


async def test_the_same_order_loaded_twice_is_one(fresh: Fresh) -> None:
    bench = await fresh()
    payload = await to_create(bench)
    first = await send(bench, payload)
    (request,) = bench.wire.writes
    side(bench).handle(request, bench.now)
    assert len(bench.shop_side.orders()) == 1
    assert (await send(bench, payload)).remote_id == first.remote_id
    assert [int(x.quantity) for x in held(bench).lines] == [2, 1, 1]


async def test_a_create_that_leaves_again_looks_first(fresh: Fresh) -> None:
    bench = await fresh(settings={"create_by": "create"})
    payload = await to_create(bench)
    await send(bench, payload)
    await send(bench, payload, attempt=2)
    assert (len(bench.shop_side.orders()), len(bench.wire.writes)) == (1, 1)


async def test_a_confirmed_order_is_not_confirmed_again(fresh: Fresh) -> None:
    bench = await fresh()
    payload = await created(bench)
    before = len(bench.wire.writes)
    checkpoint = f'{{"remote_id": "{held(bench).id}"}}'
    await send(bench, payload, 1, checkpoint)
    assert len(bench.wire.writes) == before


async def test_a_person_who_confirms_between_our_look_and_our_write_is_no_trouble(fresh: Fresh) -> None:
    bench = await fresh()
    payload = await to_create(bench)
    made = await send(bench, payload)
    bench.wire.before = lambda request: _confirm(bench) if request.write else None
    await send(bench, payload, 1, made.checkpoint)
    assert shown(bench).lines[0].taken == 2


def _confirm(bench: Bench) -> None:
    if held(bench).state == "draft":
        side(bench).shop.confirm(held(bench), bench.now)


async def test_confirming_moves_the_date_of_the_order(fresh: Fresh) -> None:
    bench = await fresh()
    payload = await to_create(bench)
    made = await send(bench, payload)
    await bench.wait(3600.0)
    await send(bench, payload, 1, made.checkpoint)
    assert (held(bench).date_order - held(bench).created).total_seconds() == 3600.0


@pytest.mark.parametrize("state", ["cancelled", "deleted"])
async def test_a_quotation_that_is_gone_is_not_confirmed(fresh: Fresh, state: str) -> None:
    bench = await fresh()
    payload = await to_create(bench)
    made = await send(bench, payload)
    if state == "cancelled":
        side(bench).shop.cancel(held(bench), bench.now)
    else:
        side(bench).shop.orders.clear()
    with pytest.raises(Park, match=f"was {state}") as parked:
        await send(bench, payload, 1, made.checkpoint)
    assert parked.value.causes == (f"gone:{payload.ref}",)


async def test_what_the_marketplace_ships_is_never_written(fresh: Fresh) -> None:
    bench = await fresh()
    payload = await to_create(bench)
    for other in (replace(payload, takes_stock=False), replace(payload, ships=False)):
        with pytest.raises(Park):
            await send(bench, other)
    assert not bench.wire.writes


async def test_a_persons_edit_of_the_lines_text_or_order_is_no_conflict_of_content(fresh: Fresh) -> None:
    bench = await fresh()
    payload = await created(bench)
    held(bench).lines.reverse()
    answer = await bench.adapter.writers[Kind.CREATE].probe(payload, 0, "", ProbeSpan(START, bench.now))
    assert isinstance(answer, Found)
    assert [record.content_hash for record in answer.records] == [None]


async def test_the_merchants_own_contact_is_left_alone(fresh: Fresh) -> None:
    bench = await fresh()
    await created(bench)
    shop = side(bench).shop
    contact = shop.partners[held(bench).partner_id]
    await send(bench, await to_update(bench, an_order(ship_to=replace(HOME, city="Lyon"))), kind=Kind.UPDATE)
    assert contact.values["city"] == "Lyon"
    contact.values["ref"] = "CUST-1"
    await send(bench, await to_update(bench, an_order(ship_to=replace(HOME, city="Nice"))), kind=Kind.UPDATE)
    assert contact.values["city"] == "Lyon"
    assert held(bench).origin.startswith("KIT-ORDER-1 ")


async def test_a_locked_order_waits_for_a_person(fresh: Fresh) -> None:
    bench = await fresh()
    await created(bench)
    held(bench).locked = True
    with pytest.raises(Park, match="UserError"):
        await send(bench, to_cancel(bench, an_order()), kind=Kind.CANCEL)
    assert held(bench).state == "sale"


async def test_a_buyers_address_of_mail_is_written_where_it_is_wanted(fresh: Fresh) -> None:
    for wanted in (False, True):
        bench = await fresh(settings={"buyer_email": wanted})
        await created(bench)
        (partner,) = side(bench).shop.partners.values()
        assert bool(partner.values.get("email")) is wanted


async def test_a_bill_to_another_address_is_a_contact_below(fresh: Fresh) -> None:
    bench = await fresh()
    elsewhere = replace(HOME, street1="1 Other Road", state="CA", country="US")
    await created(bench, an_order(bill_to=elsewhere, ship_to=replace(HOME, state="Seine")))
    first = side(bench).shop.partners[held(bench).partner_id]
    (child,) = first.children
    assert (child.values["type"], child.values["street"], child.values["state_id"]) == (
        "invoice",
        "1 Other Road",
        1,
    )
    assert (first.values["city"], first.values.get("state_id")) == ("Paris, Seine", None)


# Stock and parcels


async def test_what_is_sold_and_not_there_is_a_debt_not_a_zero(fresh: Fresh) -> None:
    bench = await fresh()
    side(bench).shop.web_sale("KIT-A", 45, bench.now)
    product = side(bench).shop.product_of("KIT-A")
    assert side(bench).shop.free(product) == 0
    page = await bench.shop.sweep_stock("")
    assert [x.value for x in page.figures if x.sku == "KIT-A"] == [-5]


async def test_what_is_reserved_for_nobody_lowers_the_figure_until_odoo_ends_it(fresh: Fresh) -> None:
    bench = await fresh()

    async def value() -> int:
        return next(x.value for x in (await bench.shop.sweep_stock("")).figures if x.sku == "KIT-A")

    before = await value()
    side(bench).shop.stuck["KIT-A"] = 4
    low = await value()
    side(bench).shop.tidy()
    assert (low, await value()) == (before - 4, before)


async def test_articles_that_share_a_reference_are_nobodys_wherever_the_page_ends(fresh: Fresh) -> None:
    bench = await fresh()
    for number in range(150):
        bench.side.shop.add_product(f"S-{number // 2:03d}", 1)  # type: ignore[union-attr]
    found, cursor = [], ""
    for _ in range(5):
        page = await bench.shop.sweep_stock(cursor)
        found += [figure.sku for figure in page.figures]
        cursor = page.next_cursor
        if not cursor:
            break
    assert found == ["KIT-A", "KIT-B"]
    assert not await bench.shop.resolve_skus([Sku("S-001")])


async def test_a_parcel_waits_for_its_number_and_keeps_its_id(fresh: Fresh) -> None:
    bench = await fresh()
    payload = await created(bench)
    order = held(bench)
    picking = side(bench).shop.ship(order.id, bench.now, {x.id: 1 for x in order.lines}, "")
    wanted = [open_order(bench, payload.order)]
    assert not await bench.shop.fetch_shipments(wanted)
    picking.tracking = "LATE1"
    (parcel,) = await bench.shop.fetch_shipments(wanted)
    assert (parcel.tracking_number, parcel.carrier, parcel.shipment_id) == (
        "LATE1",
        "DHL",
        f"{order.id}:{picking.id}",
    )
    assert [(x.line_id, x.quantity) for x in parcel.lines] == [("1", 1), ("2", 1)]


async def test_a_transaction_is_stamped_at_its_start(fresh: Fresh) -> None:
    bench = await fresh(options={"transaction_seconds": 90.0})
    payload = await created(bench)
    await bench.wait(600.0)
    order = held(bench)
    picking = side(bench).shop.ship(order.id, bench.now, {x.id: int(x.quantity) for x in order.lines}, "T1")
    assert (bench.now - picking.write_date).total_seconds() == 90.0
    assert len(await bench.shop.fetch_shipments([open_order(bench, payload.order)])) == 1


@pytest.fixture
async def lagging(fresh: Fresh) -> Bench:
    """Orders are read from a copy that is 20 s behind, as is stated."""
    return await fresh(visibility_lag_seconds=20.0, settings={**RPC, "visible_within_seconds": 30.0})


async def test_a_clock_that_is_set_back_hides_no_order_of_a_lagging_copy(lagging: Bench) -> None:
    payload = await to_create(lagging)
    side(lagging).move_clock(30.0)
    await send(lagging, payload)
    side(lagging).move_clock(-60.0)
    found = await lagging.adapter.writers[Kind.CREATE].probe(payload, 0, "", ProbeSpan(START, lagging.now))
    assert isinstance(found, Found)


async def test_a_confirm_that_a_lagging_copy_does_not_show_yet_is_no_refusal(lagging: Bench) -> None:
    payload = await to_create(lagging)
    made = await send(lagging, payload)
    side(lagging).sandbox.faults.unsaid = 1
    await send(lagging, payload, 1, made.checkpoint)
    assert (shown(lagging).released, len(lagging.wire.writes)) == (True, 2)


async def test_a_change_that_a_lagging_copy_does_not_show_yet_is_no_conflict(lagging: Bench) -> None:
    payload = await created(lagging)
    await lagging.wait(60.0)
    order = replace(payload.order, lines=payload.order.lines[:1])
    changed = await send(lagging, await to_update(lagging, order), kind=Kind.UPDATE)
    assert changed.conflict == ""
    assert [line.quantity for line in held(lagging).lines][:2] == [Decimal(2), Decimal(0)]


async def test_a_cancel_that_a_lagging_copy_does_not_show_yet_is_done(lagging: Bench) -> None:
    payload = await created(lagging)
    await lagging.wait(60.0)
    cancelled = await send(lagging, to_cancel(lagging, payload.order), kind=Kind.CANCEL)
    assert (cancelled.conflict, shown(lagging).cancelled) == ("", True)


async def test_who_is_asked_before_a_cancel_is_a_person(
    fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = await fresh()
    payload = await created(bench)
    monkeypatch.setattr("adapters.odoo.writers._QUIET", {})
    with pytest.raises(Park, match="asks a person first"):
        await send(bench, to_cancel(bench, payload.order), kind=Kind.CANCEL)


async def test_what_people_cancel_is_told_and_what_the_marketplace_cancelled_is_not(fresh: Fresh) -> None:
    bench = await fresh()
    await created(bench)
    order, adapter = an_order(), bench.shop
    assert isinstance(adapter, ReadsAftersales)
    assert await adapter.fetch_aftersales([open_order(bench, order)]) == []
    side(bench).cancel(bench.now, str(held(bench).id))
    (told,) = await adapter.fetch_aftersales([open_order(bench, order)])
    assert told.what == f"order {held(bench).id} was cancelled"
    gone = replace(order, lines=tuple(replace(x, cancelled=x.quantity) for x in order.lines))
    assert list(await adapter.fetch_aftersales([open_order(bench, gone)])) == []


# The account


async def test_check_names_what_is_lacking(fresh: Fresh) -> None:
    bench = await fresh(traits=False)
    for sku in ("MARKETPLACE-TAX", "MARKETPLACE-FEES"):
        side(bench).forget_article(bench.now, sku)
    traits = await bench.shop.probe_traits()
    assert [problem.split("`")[1] for problem in traits.problems] == ["MARKETPLACE-FEES", "MARKETPLACE-TAX"]
    named = await fresh(settings={"taxes": {"20": 99, "19": 2}}, traits=False)
    assert len((await named.shop.probe_traits()).problems) == 2


async def test_an_older_server_is_asked_by_the_older_protocol(fresh: Fresh) -> None:
    bench = await fresh(traits=False)
    side(bench).sandbox._version = 18
    assert "JSON-2 begins with Odoo 19" in (await bench.shop.probe_traits()).problems[0]
    older = await fresh(side=bench.side, settings=RPC, traits=False)
    assert not (await older.shop.probe_traits()).problems


async def test_an_unknown_call_is_refused_by_the_simulated_server(fresh: Fresh) -> None:
    sandbox = side(await fresh()).sandbox
    for model, method, arguments in (
        ("res.nobody", "search_read", {}), ("sale.order", "_action_cancel", {"ids": [1]}), ("sale.order", "search_read", {"domain": []}),
        ("sale.order", "search_read", {"domain": [["nope", "=", 1]], "fields": ["id"]}),
    ):  # fmt: skip
        with pytest.raises(Exception, match=r"builtins|werkzeug|odoo"):
            sandbox._called(model, method, dict(arguments), START)
