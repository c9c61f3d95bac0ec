"""Create and release, update and cancel against the simulated shop, with what can go wrong between."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.woocommerce.sandbox import WooSandbox
from marketsync.domain.deliveries import Absent, Found, Kind, Record, Unknown, WriteClass
from marketsync.domain.orders import TaxCollector, payable
from marketsync.errors import InDoubt, Park, PauseConnection, Retry, TooLate
from marketsync.ports import Departure

NewBench = Callable[..., Any]


async def test_an_order_is_created_without_effect_and_then_released(bench: Any) -> None:
    payload, done = await bench.created()
    order = bench.shop.orders[int(done.remote_id)]
    assert (order.status, bench.shop.stock_of("A")) == ("pending", 10)
    await bench.send(Kind.CREATE, payload, 1, done.checkpoint)
    assert (order.status, bench.shop.stock_of("A"), bench.shop.stock_of("B")) == ("processing", 8, 4)
    assert bench.wire.writes == ["POST", "PUT"]


async def test_the_total_is_what_the_buyer_pays_and_no_tax_is_added(bench: Any) -> None:
    order = await bench.released()
    assert order.total == payable(bench.order()) == Decimal("25.90")
    # 20.00 - 3.33 and 5.90 - 0.98 without tax; the tax as stated is a fee
    assert [str(item.total) for item in order.of_kind("line")] == ["16.67", "4.92"]
    assert [(item.name, str(item.total)) for item in order.of_kind("fee")] == [("Marketplace tax", "4.31")]
    assert all(item.tax == 0 for item in order.items)


async def test_tax_on_top_shipping_fees_and_marketplace_tax_add_up(bench: Any) -> None:
    mine = bench.line("1", "A", 1, "10.00", "2.00", shipping=Decimal("3.50"))
    theirs = bench.line("2", "B", 1, "7.00", "0.70", collector=TaxCollector.MARKETPLACE)
    stated = bench.order(
        mine, theirs, prices_include_tax=False, fees=Decimal("0.65"), shipping_method="Express"
    )
    order = await bench.released(bench.create(stated))
    assert order.total == payable(stated) == Decimal("23.85")  # 10 + 3.50 + 7 + 0.65 + 2 + 0.70
    assert [(item.name, str(item.total)) for item in order.of_kind("fee")] == [
        ("Marketplace fees", "0.65"),
        ("Marketplace tax", "2.00"),
        ("Marketplace tax (collected by the marketplace)", "0.70"),
    ]
    assert [(item.name, str(item.total)) for item in order.of_kind("shipping")] == [("Express", "3.50")]


async def test_our_marks_and_the_buyer_reach_the_shop_and_no_sku_does(bench: Any) -> None:
    _, done = await bench.created()
    order = bench.shop.orders[int(done.remote_id)]
    assert order.meta_value("_marketsync_ref") == order.transaction_id == bench.create().ref
    assert order.billing["email"] == "ada@buyer.example"
    assert order.shipping["city"] == "Paris"
    post = next(request for request in bench.wire.sent if request.write)
    assert b'"sku"' not in post.body
    assert b"set_paid" not in post.body


async def test_a_buyer_without_an_email_is_no_bad_request(bench: Any) -> None:
    payload = bench.create()
    anonymous = replace(payload, order=replace(payload.order, buyer=None))
    assert (await bench.send(Kind.CREATE, anonymous)).remote_id


async def test_cancelled_units_and_dropped_lines_are_not_ordered(bench: Any) -> None:
    order = bench.order(
        bench.line("1", "A", 3, "30.00", cancelled=1), bench.line("2", "B", 1, "5.00", refused=1)
    )
    held = await bench.released(bench.create(order))
    assert [(item.product_id, item.quantity) for item in held.of_kind("line")] == [(bench.a.id, 2)]


async def test_a_variation_is_ordered_by_both_of_its_ids(bench: Any) -> None:
    parent = bench.shop.add_product("P", 7, bench.clock.now(), type="variable")
    child = bench.shop.add_product(
        "P-RED", None, bench.clock.now(), parent_id=parent.id, manage_stock="parent"
    )
    held = await bench.released(bench.create(bench.order(bench.line("1", "P-RED", 2, "20.00"))))
    item = held.of_kind("line")[0]
    assert (item.product_id, item.variation_id) == (parent.id, child.id)
    assert bench.shop.stock_of("P-RED") == 5


@pytest.mark.parametrize("edit", ["tax", "product", "quantity", "currency", "extra"])
async def test_an_order_that_came_out_wrong_is_not_released(bench: Any, edit: str) -> None:
    payload, done = await bench.created()
    order = bench.shop.orders[int(done.remote_id)]
    line = order.of_kind("line")[0]
    match edit:
        case "tax":
            line.tax = Decimal("1.00")
        case "product":
            line.product_id = 0
        case "quantity":
            line.quantity = 1
        case "currency":
            order.currency = "USD"
        case _:
            order.items.append(replace(line, id=999, total=Decimal(0), meta=[]))
    with pytest.raises(Park) as parked:
        await bench.send(Kind.CREATE, payload, 1, done.checkpoint)
    assert parked.value.causes == (f"total:{payload.ref}",)
    assert (order.status, bench.shop.stock_of("A")) == ("pending", 10)


async def test_what_was_just_made_as_asked_is_released_without_another_look(bench: Any) -> None:
    payload = bench.create()
    done = await bench.send(Kind.CREATE, payload)
    await bench.send(Kind.CREATE, payload, 1, done.checkpoint)
    assert [request.method for request in bench.wire.sent] == ["POST", "PUT"]
    # Once: what comes back to this step is read again.
    await bench.send(Kind.CREATE, payload, 1, done.checkpoint)
    assert bench.wire.sent[-1].method == "GET"


async def test_an_answer_that_is_not_as_asked_is_looked_at_again_and_not_released(bench: Any) -> None:
    bench.shop.shipping_tax_class = ""
    line = bench.line("1", "A", 1, "10.00", shipping=Decimal("5.00"))
    payload = bench.create(bench.order(line))
    done = await bench.send(Kind.CREATE, payload)
    with pytest.raises(Park, match="the total is"):
        await bench.send(Kind.CREATE, payload, 1, done.checkpoint)
    assert [request.method for request in bench.wire.sent] == ["POST", "GET"]


async def test_the_difference_in_the_total_is_named(bench: Any) -> None:
    payload, done = await bench.created()
    bench.shop.orders[int(done.remote_id)].of_kind("line")[0].tax = Decimal("1.00")
    with pytest.raises(Park, match=r"the total is 26\.90 instead of 25\.90"):
        await bench.send(Kind.CREATE, payload, 1, done.checkpoint)


async def test_a_shop_that_taxes_shipping_by_a_class_of_its_own_stays_unreleased(bench: Any) -> None:
    bench.shop.shipping_tax_class = ""
    line = bench.line("1", "A", 1, "10.00", shipping=Decimal("5.00"))
    payload, done = await bench.created(bench.create(bench.order(line)))
    with pytest.raises(Park, match=r"16\.00 instead of 15\.00"):
        await bench.send(Kind.CREATE, payload, 1, done.checkpoint)


@pytest.mark.rule("A15")
@pytest.mark.parametrize("how", ["trash", "delete"])
async def test_a_deleted_order_is_not_created_again(bench: Any, how: str) -> None:
    payload, done = await bench.created()
    getattr(bench.shop, how)(int(done.remote_id), bench.clock.now())
    with pytest.raises(Park, match="deleted in the shop"):
        await bench.send(Kind.CREATE, payload, 1, done.checkpoint)
    assert isinstance(await bench.probe(Kind.CREATE, payload, 1, done.checkpoint), Absent)


async def test_an_order_that_a_person_released_is_left_alone(bench: Any) -> None:
    payload, done = await bench.created()
    bench.shop.set_status(int(done.remote_id), "on-hold", bench.clock.now())
    assert await bench.send(Kind.CREATE, payload, 1, done.checkpoint)
    assert bench.wire.writes == ["POST"]


@pytest.mark.failure(33)
async def test_php_notices_before_the_answer_are_a_doubt_and_the_order_is_found(bench: Any) -> None:
    bench.sandbox.faults.notices = 1
    payload = bench.create()
    with pytest.raises(InDoubt):
        await bench.send(Kind.CREATE, payload)
    answer = await bench.probe(Kind.CREATE, payload)
    assert isinstance(answer, Found)
    assert [record.step for record in answer.records] == [1]
    assert len(bench.shop.orders) == 1


@pytest.mark.failure(32)
@pytest.mark.rule("A11")
async def test_a_lost_answer_is_found_by_our_reference_alone(bench: Any) -> None:
    bench.shop.web_sale("A", 1, bench.clock.now())
    bench.wire.lose_answers = 1
    payload = bench.create()
    with pytest.raises(InDoubt):
        await bench.send(Kind.CREATE, payload)
    mine = next(order for order in bench.shop.orders.values() if order.transaction_id)
    assert await bench.probe(Kind.CREATE, payload) == Found((Record(str(mine.id), 1),))


@pytest.mark.rule("A11")
async def test_two_records_of_one_reference_are_both_named(bench: Any) -> None:
    payload, first = await bench.created()
    _, second = await bench.created(payload)
    assert await bench.probe(Kind.CREATE, payload) == Found(
        (Record(first.remote_id, 1), Record(second.remote_id, 1))
    )


@pytest.mark.rule("A22")
async def test_a_record_of_an_older_revision_shows_other_content(bench: Any) -> None:
    await bench.created(bench.create(bench.order(bench.line("1", "A", 1, "10.00"))))
    answer = await bench.probe(Kind.CREATE, bench.create())
    assert isinstance(answer, Found)
    assert answer.records[0].content_hash


async def test_a_released_record_shows_both_steps(bench: Any) -> None:
    held = await bench.released()
    assert await bench.probe(Kind.CREATE, bench.create()) == Found((Record(str(held.id), 2),))


async def test_a_trashed_record_is_found_so_that_nobody_creates_it_again(bench: Any) -> None:
    payload, done = await bench.created()
    bench.shop.trash(int(done.remote_id), bench.clock.now())
    assert await bench.probe(Kind.CREATE, payload) == Found((Record(done.remote_id, 1),))


@pytest.mark.rule("A12")
async def test_a_record_that_a_person_takes_out_of_the_trash_meanwhile_is_found(bench: Any) -> None:
    """It is in no list that was read while it was elsewhere."""
    payload, done = await bench.created()
    bench.shop.trash(int(done.remote_id), bench.clock.now())

    def restore(request: Any) -> None:
        if "status=trash" in request.url:
            bench.shop.orders[int(done.remote_id)].status = "pending"

    bench.wire.before = restore
    assert await bench.probe(Kind.CREATE, payload) == Found((Record(done.remote_id, 1),))


@pytest.mark.rule("A12")
async def test_absent_is_said_of_the_whole_span_over_many_pages(bench: Any) -> None:
    for _ in range(250):
        bench.shop.web_sale("A", 1, bench.clock.now())
    answer = await bench.probe(Kind.CREATE, bench.create())
    assert isinstance(answer, Absent)
    assert answer.read_from_at is not None
    assert answer.read_to_at is not None
    # 60 s before the start, and two minutes more for the clocks
    assert answer.read_to_at - answer.read_from_at == 180
    assert len(bench.wire.sent) == 8  # the clock, 100 + 99 + 51 rows, the trash, and the rows once more


@pytest.mark.rule("A12")
@pytest.mark.trace("A", 12)
async def test_a_record_behind_a_full_page_is_found(bench: Any) -> None:
    for _ in range(150):
        bench.shop.web_sale("A", 1, bench.clock.now())
    payload, done = await bench.created()
    assert await bench.probe(Kind.CREATE, payload) == Found((Record(done.remote_id, 1),))


@pytest.mark.rule("A12")
async def test_a_list_that_moves_while_it_is_paged_proves_nothing(bench: Any) -> None:
    for _ in range(150):
        bench.shop.web_sale("A", 1, bench.clock.now())
    pages: list[int] = []

    def trash_one_between_pages(_: object) -> None:
        pages.append(1)
        if len(pages) == 3:  # the clock, the first page, then
            bench.shop.trash(min(bench.shop.orders), bench.clock.now())
            bench.shop.web_sale("A", 1, bench.clock.now())

    bench.wire.before = trash_one_between_pages
    assert isinstance(await bench.probe(Kind.CREATE, bench.create()), Unknown)


@pytest.mark.rule("A12")
async def test_a_proxy_that_drops_the_total_leaves_the_scan_unproved(bench: Any) -> None:
    bench.wire.headers_lost = ("x-wp-total",)
    assert isinstance(await bench.probe(Kind.CREATE, bench.create()), Unknown)
    assert len(bench.wire.sent) == 2  # the clock and one page: no second one would tell more


async def test_a_shop_whose_clock_is_behind_is_read_further_back(new_bench: NewBench) -> None:
    bench = new_bench(WooSandbox(clock_skew=timedelta(hours=-3)))
    payload, done = await bench.created()
    assert await bench.probe(Kind.CREATE, payload) == Found((Record(done.remote_id, 1),))


async def test_the_shop_s_clock_is_asked_for_after_a_restart(new_bench: NewBench) -> None:
    sandbox = WooSandbox(clock_skew=timedelta(hours=-3))
    payload, done = await new_bench(sandbox).created()
    restarted = new_bench(sandbox)
    assert await restarted.probe(Kind.CREATE, payload) == Found((Record(done.remote_id, 1),))


async def test_over_plain_http_each_request_is_signed_and_accepted(new_bench: NewBench) -> None:
    bench = new_bench(url="http://shop.example")
    held = await bench.released()
    assert held.status == "processing"
    assert all(dict(request.headers)["Authorization"].startswith("OAuth ") for request in bench.wire.sent)


async def test_the_declared_classes_are_those_of_a_shop_without_a_look_up(bench: Any) -> None:
    writer = bench.adapter.writers[Kind.CREATE]
    create, release = writer.steps(bench.create())
    assert (create.write_class, create.second_probe) == (WriteClass.SCAN, True)
    assert (release.write_class, release.carries_content) == (WriteClass.LOOKUP, False)


async def test_a_lost_answer_to_the_release_is_looked_up(bench: Any) -> None:
    payload, done = await bench.created()
    assert await bench.probe(Kind.CREATE, payload, 1, done.checkpoint) == Found((Record(done.remote_id, 1),))
    bench.wire.lose_answers = 1
    with pytest.raises(InDoubt):
        await bench.send(Kind.CREATE, payload, 1, done.checkpoint)
    assert await bench.probe(Kind.CREATE, payload, 1, done.checkpoint) == Found((Record(done.remote_id, 2),))


async def test_a_late_write_does_not_leave(bench: Any) -> None:
    with pytest.raises(TooLate):
        await bench.adapter.writers[Kind.CREATE].send(
            bench.create(), 0, "", Departure(1, bench.clock.monotonic())
        )
    assert bench.wire.sent == []


async def test_a_firewall_that_blocks_a_write_applied_nothing(bench: Any) -> None:
    bench.sandbox.faults.waf = 1
    with pytest.raises(Retry) as error:
        await bench.send(Kind.CREATE, bench.create())
    assert error.value.counted
    assert bench.shop.orders == {}


async def test_a_maintenance_page_leaves_a_write_in_doubt(bench: Any) -> None:
    bench.sandbox.faults.maintenance = 1
    with pytest.raises(InDoubt):
        await bench.send(Kind.CREATE, bench.create())
    assert isinstance(await bench.probe(Kind.CREATE, bench.create()), Absent)


async def test_a_key_without_write_access_pauses_the_connection(new_bench: NewBench) -> None:
    bench = new_bench(WooSandbox(rights="read"))
    with pytest.raises(Retry, match="401"):
        await bench.send(Kind.CREATE, bench.create())
    with pytest.raises(PauseConnection):
        await bench.send(Kind.CREATE, bench.create())


@pytest.mark.failure(41)
async def test_a_refused_order_names_the_parameter_and_no_person(bench: Any) -> None:
    payload = bench.create()
    assert payload.order.buyer is not None
    wrong = replace(payload.order, buyer=replace(payload.order.buyer, email="nobody"))
    with pytest.raises(Park, match=r"rest_invalid_param \(billing\)") as parked:
        await bench.send(Kind.CREATE, replace(payload, order=wrong))
    assert "nobody" not in str(parked.value)


@pytest.mark.failure(18)
async def test_a_revision_changes_lines_total_and_address_in_one_write(bench: Any) -> None:
    held = await bench.released()
    moved = replace(bench.order().ship_to, city="Lyon")
    order = bench.order(
        bench.line("1", "A", 2, "20.00", "3.33", cancelled=1), bench.line("2", "B", 1, "5.90", "0.98", cancelled=1),
        ship_to=moved,
    )  # fmt: skip
    done = await bench.send(Kind.UPDATE, bench.update(order, str(held.id)))
    assert done.conflict == ""
    assert [(item.product_id, item.quantity) for item in held.of_kind("line")] == [(bench.a.id, 1)]
    assert (held.total, held.shipping["city"]) == (Decimal("20.00"), "Lyon")
    assert (bench.shop.stock_of("A"), bench.shop.stock_of("B")) == (9, 5)
    assert bench.wire.writes == ["POST", "PUT", "PUT"]


async def test_a_lost_answer_to_an_update_is_seen_by_the_content(bench: Any) -> None:
    held = await bench.released()
    payload = bench.update(bench.order(bench.line("1", "A", 2, "18.00")), str(held.id))
    assert await bench.probe(Kind.UPDATE, payload) == Found((Record(str(held.id), 0),))
    bench.wire.lose_answers = 1
    with pytest.raises(InDoubt):
        await bench.send(Kind.UPDATE, payload)
    assert await bench.probe(Kind.UPDATE, payload) == Found((Record(str(held.id), 1),))


async def test_an_update_repeated_changes_nothing_more(bench: Any) -> None:
    held = await bench.released()
    payload = bench.update(bench.order(bench.line("1", "A", 1, "9.00", "1.50")), str(held.id))
    await bench.send(Kind.UPDATE, payload)
    await bench.send(Kind.UPDATE, payload)
    assert (held.total, len(held.items), bench.shop.stock_of("A")) == (Decimal("9.00"), 2, 9)


async def test_a_fee_of_the_shop_s_own_survives_an_update_and_is_shown(bench: Any) -> None:
    held = await bench.released()
    bench.shop.orders[held.id].items.append(
        replace(held.of_kind("fee")[0], id=999, name="Gift wrap", total=Decimal("2.00"))
    )
    done = await bench.send(Kind.UPDATE, bench.update(bench.order(), str(held.id)))
    assert "Gift wrap" in [item.name for item in held.items]
    assert "27.90 instead of 25.90" in done.conflict


async def test_a_line_that_is_new_after_the_release_waits_for_a_person(bench: Any) -> None:
    held = await bench.released(bench.create(bench.order(bench.line("1", "A", 1, "10.00"))))
    with pytest.raises(Park, match="line 2"):
        await bench.send(Kind.UPDATE, bench.update(bench.order(), str(held.id)))


@pytest.mark.failure(20)
@pytest.mark.parametrize("kind", [Kind.UPDATE, Kind.CANCEL])
async def test_what_the_shop_has_sent_is_neither_changed_nor_cancelled(bench: Any, kind: Kind) -> None:
    held = await bench.released()
    bench.shop.set_status(held.id, "completed", bench.clock.now())
    payload = bench.update(bench.order(), str(held.id)) if kind is Kind.UPDATE else bench.cancel(str(held.id))
    with pytest.raises(Park):
        await bench.send(kind, payload)
    assert (held.status, bench.shop.stock_of("A")) == ("completed", 8)


async def test_a_cancel_gives_the_stock_back_once(bench: Any) -> None:
    held = await bench.released()
    for _ in range(2):
        await bench.send(Kind.CANCEL, bench.cancel(str(held.id)))
    assert (held.status, bench.shop.stock_of("A"), bench.shop.stock_of("B")) == ("cancelled", 10, 5)
    assert bench.wire.writes == ["POST", "PUT", "PUT"]


async def test_a_half_built_order_is_cancelled_without_touching_stock(bench: Any) -> None:
    _, done = await bench.created()
    await bench.send(Kind.CANCEL, bench.cancel(done.remote_id))
    assert bench.shop.stock_of("A") == 10
    assert not [event for event in bench.shop.log if event.what.startswith("stock_")]


async def test_a_partly_sent_order_is_not_cancelled(bench: Any) -> None:
    held = await bench.released()
    bench.shop.ship(held.id, bench.clock.now(), quantities={held.of_kind("line")[0].id: 1})
    with pytest.raises(Park, match="shipped in the shop"):
        await bench.send(Kind.CANCEL, bench.cancel(str(held.id)))


async def test_a_cancel_is_probed_by_the_state(bench: Any) -> None:
    held = await bench.released()
    payload = bench.cancel(str(held.id))
    assert await bench.probe(Kind.CANCEL, payload) == Found((Record(str(held.id), 0),))
    await bench.send(Kind.CANCEL, payload)
    assert await bench.probe(Kind.CANCEL, payload) == Found((Record(str(held.id), 1),))
    bench.shop.delete(held.id, bench.clock.now())
    assert isinstance(await bench.probe(Kind.CANCEL, payload), Absent)
