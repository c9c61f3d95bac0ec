from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from marketsync.domain.coverage import Axis, Window
from marketsync.domain.ids import OrderId
from marketsync.domain.orders import Phase, imbalance, phase
from marketsync.errors import Park, PauseConnection, ReadFailed, Retry


def window(rig: Any, axis: Axis = Axis.UPDATED, before: float = 3600.0) -> Window:
    return Window(axis, rig.now - timedelta(seconds=before), rig.now)


@pytest.mark.rule("B6")
async def test_reads_a_window_of_updates_without_any_filter_of_state(make_rig: Any) -> None:
    rig = make_rig({"shop_id": 2001})
    order_id = rig.place()
    page = await rig.adapter.fetch_orders(window(rig), 0)
    assert [raw.order_id for raw in page.orders] == [order_id]
    assert page.total == 1
    query = dict(parse_qsl(urlsplit(rig.transport.sent[0].url).query))
    assert query == {
        "start_update_date": "2026-03-01T11:00:00Z",
        "end_update_date": "2026-03-01T12:00:00Z",
        "offset": "0",
        "max": "100",
        "paginate": "true",
        "sort": "dateCreated",
        "order": "asc",
        "order_tax_mode": "TAX_INCLUDED",
        "shop_id": "2001",
    }


async def test_reads_by_creation_on_the_other_axis(make_rig: Any) -> None:
    rig = make_rig()
    rig.place()
    rig.wait(600)
    rig.sandbox.touch(rig.now, "SBX-00001-A")
    old = Window(Axis.CREATED, rig.now - timedelta(seconds=700), rig.now - timedelta(seconds=500))
    assert len((await rig.adapter.fetch_orders(old, 0)).orders) == 1
    assert len((await rig.adapter.fetch_orders(Window(Axis.UPDATED, old.lo, old.hi), 0)).orders) == 0


async def test_the_server_date_comes_from_the_answer(make_rig: Any) -> None:
    rig = make_rig(clock_skew_seconds=300.0)
    page = await rig.adapter.fetch_orders(window(rig), 0)
    assert page.server_date == rig.now.replace(microsecond=0) + timedelta(seconds=300)


@pytest.mark.rule("B7")
async def test_pages_are_cut_at_one_hundred_and_the_total_counts_the_whole_window(make_rig: Any) -> None:
    rig = make_rig()
    rig.sandbox.world.offers["TEA-1"] = 1000
    for _ in range(130):
        rig.place(("TEA-1", 1))
    first = await rig.adapter.fetch_orders(window(rig), 0)
    rest = await rig.adapter.fetch_orders(window(rig), 99)
    assert (len(first.orders), first.total, len(rest.orders)) == (100, 130, 31)
    assert first.orders[-1].order_id == rest.orders[0].order_id
    # One list a minute: the second waited for the budget instead of being throttled.
    assert rig.clock.time >= 1060.0


async def test_an_order_goes_through_its_phases(make_rig: Any) -> None:
    rig = make_rig({"accept_within_hours": 48.0}, debit_seconds=90.0)
    order_id = rig.place()

    async def read() -> Any:
        page = await rig.adapter.fetch_orders_by_ids([OrderId(order_id)])
        return rig.adapter.parse_order(page.orders[0].raw)

    order = await read()
    assert phase(order) is Phase.TO_ACCEPT
    assert order.ship_to is None
    assert order.accept_by == order.created_at + timedelta(hours=48)
    # 2 * 19.90 + 4.90 and 19.90 + 4.90
    assert order.total == Decimal("69.50")
    assert imbalance(order) == 0

    sold = rig.sandbox.world.orders[order_id]
    rig.sandbox.world.decide(sold, [line.line_id for line in sold.lines], rig.now)
    assert phase(await read()) is Phase.ACCEPTED
    order = await read()
    assert phase(order) is Phase.READY
    assert order.ship_to is not None
    assert order.ship_to.country == "FR"
    assert order.ship_by is not None

    rig.sandbox.world.ship(rig.sandbox.world.orders[order_id], rig.now)
    assert phase(await read()) is Phase.SHIPPED
    rig.sandbox.receive(rig.now, order_id)
    assert phase(await read()) is Phase.CLOSED
    rig.sandbox.refund_units(rig.now, order_id, f"{order_id}-1", 2)
    assert [line.refunded for line in (await read()).lines] == [2, 0]


async def test_cancelled_units_and_a_cancelled_order_are_read(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.place()
    rig.sandbox.cancel_units(rig.now, order_id, f"{order_id}-1", 1)
    page = await rig.adapter.fetch_orders_by_ids([OrderId(order_id)])
    assert [line.wanted for line in rig.adapter.parse_order(page.orders[0].raw).lines] == [1, 1]
    assert rig.sandbox.cancel_order(rig.now, order_id)
    page = await rig.adapter.fetch_orders_by_ids([OrderId(order_id)])
    assert phase(rig.adapter.parse_order(page.orders[0].raw)) is Phase.CANCELLED


@pytest.mark.parametrize("mode", ["TAX_INCLUDED", "TAX_EXCLUDED"])
async def test_orders_balance_in_both_tax_modes(make_rig: Any, mode: str) -> None:
    rig = make_rig({"order_tax_mode": mode})
    rig.place()
    page = await rig.adapter.fetch_orders(window(rig), 0)
    order = rig.adapter.parse_order(page.orders[0].raw)
    assert order.prices_include_tax is (mode == "TAX_INCLUDED")
    assert imbalance(order) == 0


@pytest.mark.failure(24)
async def test_totals_that_do_not_add_up_are_named_and_not_mended(make_rig: Any) -> None:
    rig = make_rig(bad_totals=True)
    rig.place()
    page = await rig.adapter.fetch_orders(window(rig), 0)
    assert imbalance(rig.adapter.parse_order(page.orders[0].raw)) == Decimal("3.33")


@pytest.mark.failure(14)
async def test_a_state_that_is_new_holds_the_order_with_a_cause(make_rig: Any) -> None:
    rig = make_rig(unknown_state="TELEPORTED")
    rig.place()
    page = await rig.adapter.fetch_orders(window(rig), 0)
    with pytest.raises(Park) as held:
        rig.adapter.parse_order(page.orders[0].raw)
    assert held.value.causes == ("enum:mirakl.order_state=TELEPORTED",)


@pytest.mark.failure(13)
@pytest.mark.parametrize("spoilt", ["html_page", "malformed_page"])
async def test_a_page_that_is_no_page_is_a_failed_read(make_rig: Any, spoilt: str) -> None:
    rig = make_rig(**{spoilt: True})
    rig.place()
    with pytest.raises(ReadFailed):
        await rig.adapter.fetch_orders(window(rig), 0)


@pytest.mark.failure(8)
async def test_a_backdated_update_is_found_by_creation_only(make_rig: Any) -> None:
    rig = make_rig()
    rig.place()
    rig.wait(7200)
    rig.sandbox.touch(rig.now, "SBX-00001-A", backdated_seconds=7100)
    assert (await rig.adapter.fetch_orders(window(rig), 0)).total == 0
    assert (await rig.adapter.fetch_orders(window(rig, Axis.CREATED, 9000), 0)).total == 1


@pytest.mark.failure(7)
async def test_a_late_order_is_absent_until_it_is_visible(make_rig: Any) -> None:
    rig = make_rig(visibility_lag_seconds=90.0)
    rig.place()
    assert (await rig.adapter.fetch_orders(window(rig), 0)).total == 0
    rig.wait(120)
    assert (await rig.adapter.fetch_orders(window(rig), 0)).total == 1


async def test_a_partner_key_is_held_to_one_list_in_fifteen_minutes(make_rig: Any) -> None:
    rig = make_rig({"order_list_class": "partner"}, order_list_seconds=900.0)
    began = rig.clock.monotonic()
    for _ in range(3):
        await rig.adapter.fetch_orders(window(rig), 0)
    assert rig.clock.monotonic() - began == pytest.approx(1800.0, abs=2.0)
    assert len(rig.transport.sent) == 3


@pytest.mark.failure(36)
async def test_a_throttle_says_how_long(make_rig: Any) -> None:
    rig = make_rig(order_list_seconds=900.0)
    await rig.adapter.fetch_orders(window(rig), 0)
    with pytest.raises(Retry) as wait:
        await rig.adapter.fetch_orders(window(rig), 0)
    assert wait.value.after_seconds == pytest.approx(840.0, abs=2.0)


async def test_a_refused_key_and_a_foreign_shop_pause_the_connection(make_rig: Any) -> None:
    rig = make_rig(api_key="another-key")
    with pytest.raises(Retry, match="401"):
        await rig.adapter.fetch_orders(window(rig), 0)
    with pytest.raises(PauseConnection):
        await rig.adapter.fetch_orders(window(rig), 0)
    rig = make_rig({"shop_id": 1})
    with pytest.raises(PauseConnection):
        await rig.adapter.fetch_orders(window(rig), 0)


async def test_traits_say_what_the_account_can_do(make_rig: Any) -> None:
    rig = make_rig(multi_shipment=True, other_carriers=False)
    traits = await rig.adapter.probe_traits()
    assert traits.facts["multi_shipment"] == "yes"
    assert traits.facts["other_carriers"] == "no"
    assert "DHL" in traits.facts["carriers"]
    assert traits.server_date is not None
    assert traits.problems == ()


async def test_at_most_one_hundred_ids_are_asked_for(make_rig: Any) -> None:
    rig = make_rig()
    with pytest.raises(ValueError, match="100"):
        await rig.adapter.fetch_orders_by_ids([OrderId(str(n)) for n in range(101)])
