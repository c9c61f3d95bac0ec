from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import unquote

import pytest

from marketsync.domain.coverage import Axis, Window
from marketsync.domain.deliveries import Kind
from marketsync.domain.ids import OrderId
from marketsync.domain.lifecycle import fingerprint
from marketsync.domain.orders import Phase, phase
from marketsync.errors import Park, PauseConnection, ReadFailed, Retry


def window(rig: Any, axis: Axis = Axis.UPDATED, seconds: float = 3600.0) -> Window:
    return Window(axis, rig.now - timedelta(seconds=seconds), rig.now)


async def by_id(rig: Any, order_id: str) -> Any:
    return (await rig.adapter.fetch_orders_by_ids([OrderId(order_id)])).orders


@pytest.mark.parametrize("axis", list(Axis))
async def test_a_window_is_asked_for_by_one_axis_alone_and_nothing_else_is_filtered(
    make_rig: Any, axis: Axis
) -> None:
    rig = make_rig()
    order_id = rig.place()
    page = await rig.adapter.fetch_orders(window(rig, axis), 0)
    assert ([order.order_id for order in page.orders], page.total, page.more) == ([order_id], 1, False)
    assert page.server_date is not None
    url = rig.transport.sent[-1].url
    name = "lastmodifieddate" if axis is Axis.UPDATED else "creationdate"
    assert f"filter={name}%3A%5B2026-" in url
    assert unquote(url).count("filter=") == 1
    assert {"limit=200", "offset=0", "fieldGroups=TAX_BREAKDOWN"} <= set(url.partition("?")[2].split("&"))


@pytest.mark.rule("B2")
async def test_both_ends_of_a_window_belong_to_it_to_the_millisecond(make_rig: Any) -> None:
    rig = make_rig(pay_seconds=0.0)
    rig.sandbox.place_order(rig.now + timedelta(microseconds=7_900), [("TEA-1", 1)])
    rig.wait(10)
    stamp = rig.sandbox.world.orders[next(iter(rig.sandbox.world.orders))].updated
    assert stamp.microsecond == 7000
    for lo, hi, count in (
        (stamp, stamp, 1),
        (stamp, rig.now, 1),
        (stamp + timedelta(milliseconds=1), rig.now, 0),
    ):
        page = await rig.adapter.fetch_orders(Window(Axis.UPDATED, lo, hi), 0)
        assert page.total == count


async def test_an_order_reads_the_same_by_list_and_by_id(make_rig: Any) -> None:
    """Else each look by id would be another content under the same stamp (B13)."""
    rig = make_rig()
    plain, asked, gone = (rig.place(("TEA-1", 1)) for _ in range(3))
    rig.sandbox.ask_to_cancel(rig.now, asked)
    rig.sandbox.cancel_order(rig.now, gone)
    listed = await rig.adapter.fetch_orders(window(rig), 0)
    looked_at = [await by_id(rig, x) for x in (plain, asked, gone)]
    by_list = {x.order_id: fingerprint(rig.adapter.parse_order(x.raw)) for x in listed.orders}
    named = {x.order_id: fingerprint(rig.adapter.parse_order(x.raw)) for (x,) in looked_at}
    assert by_list == named
    assert len(named) == 3
    assert "orderIds" not in "".join(request.url for request in rig.transport.sent)


async def test_a_row_with_a_wish_to_cancel_is_read_by_itself(make_rig: Any) -> None:
    rig = make_rig()
    rig.sandbox.cancel_order(rig.now, rig.place(("TEA-1", 1)))
    asked = rig.place(("TEA-1", 1))
    rig.sandbox.ask_to_cancel(rig.now, asked)
    page = await rig.adapter.fetch_orders(window(rig), 0)
    assert rig.operations() == ["getOrders", "getOrder"]
    wishes = {x.order_id: rig.adapter.parse_order(x.raw).cancel_asked for x in page.orders}
    assert wishes[asked] is True
    assert sum(wishes.values()) == 1
    rig.sandbox.decline_cancel(rig.now, asked)
    page = await rig.adapter.fetch_orders(window(rig), 0)
    assert not any(rig.adapter.parse_order(x.raw).cancel_asked for x in page.orders)


@pytest.mark.parametrize("status", [400, 404, 429, 503])
async def test_a_row_whose_order_cannot_be_read_stays_as_it_was_listed(make_rig: Any, status: int) -> None:
    rig = make_rig()
    rig.sandbox.ask_to_cancel(rig.now, rig.place(("TEA-1", 1)))
    for _ in range(1 if status < 500 else 3):
        rig.reply("getOrder", status, b'{"errors":[{"errorId":30500}]}')
    page = await rig.adapter.fetch_orders(window(rig), 0)
    assert rig.operations().count("getOrder") >= 1
    assert rig.adapter.parse_order(page.orders[0].raw).cancel_asked


async def test_where_one_row_can_not_be_read_for_trouble_the_others_are_not_tried(make_rig: Any) -> None:
    rig = make_rig()
    for _ in range(5):
        rig.sandbox.ask_to_cancel(rig.now, rig.place(("TEA-1", 1)))
    for _ in range(15):
        rig.reply("getOrder", 503)
    page = await rig.adapter.fetch_orders(window(rig), 0)
    assert len(page.orders) == 5
    assert rig.operations().count("getOrder") <= 3


async def test_an_id_is_a_call_and_one_that_ebay_does_not_know_is_left_out(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.place()
    assert await by_id(rig, "01-00000-00000") == ()
    assert [x.order_id for x in await by_id(rig, order_id)] == [order_id]
    assert rig.operations() == ["getOrder", "getOrder"]
    assert rig.adapter.ids_max == 1


async def test_a_full_page_states_the_whole(make_rig: Any) -> None:
    rig = make_rig()
    for _ in range(205):
        rig.sandbox.place_order(rig.now, [("TEA-1", 1)])
    rig.wait(60)
    first = await rig.adapter.fetch_orders(window(rig), 0)
    rest = await rig.adapter.fetch_orders(window(rig), 200)
    assert (len(first.orders), first.total, len(rest.orders), rest.total) == (200, 205, 5, 205)
    assert rig.adapter.updated.states_total
    assert not rig.adapter.updated.stable_order


async def test_one_unknown_value_parks_its_order_alone(make_rig: Any) -> None:
    rig = make_rig()
    good, bad = rig.place(("TEA-1", 1)), rig.place(("TEA-1", 1))
    rig.sandbox.spoilt[bad] = {"unknown_state": "TELEPORTED"}
    raws = {x.order_id: x.raw for x in (await rig.adapter.fetch_orders(window(rig), 0)).orders}
    assert phase(rig.adapter.parse_order(raws[good])) is Phase.READY
    with pytest.raises(Park) as held:
        rig.adapter.parse_order(raws[bad])
    assert held.value.causes == ("enum:ebay.orderPaymentStatus=TELEPORTED",)


@pytest.mark.failure(13)
@pytest.mark.parametrize("spoilt", ["html_page", "malformed_page"])
async def test_a_page_that_is_no_page_is_a_failed_read(make_rig: Any, spoilt: str) -> None:
    rig = make_rig(**{spoilt: True})
    rig.place()
    with pytest.raises(ReadFailed):
        await rig.adapter.fetch_orders(window(rig), 0)


async def test_an_order_that_is_no_document_is_a_failed_read(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.place()
    rig.reply("getOrder", 200, b"<html>")
    with pytest.raises(ReadFailed):
        await by_id(rig, order_id)


async def test_no_day_has_more_calls_than_were_granted(make_rig: Any) -> None:
    """500 a day: ten at once, then one in three minutes. Midnight comes twice while 900 are asked for."""
    rig = make_rig({"daily_calls": 500})
    counted: dict[str, int] = {}
    for _ in range(900):
        while True:
            try:
                await rig.adapter.fetch_orders(window(rig), 0)
            except Retry as wait:
                rig.wait(wait.after_seconds or 0.0)
            else:
                break
        counted[rig.sandbox.world.day(rig.now)] = rig.sandbox.access.calls("fulfillment", rig.now)
    assert sum(counted.values()) == 900
    assert len(counted) == 3
    assert max(counted.values()) <= 500


@pytest.mark.failure(36)
async def test_a_spent_day_stops_for_a_minute_at_a_time(make_rig: Any) -> None:
    rig = make_rig(daily=(("fulfillment", 1),))
    await rig.adapter.fetch_orders(window(rig), 0)
    with pytest.raises(Retry) as wait:
        await rig.adapter.fetch_orders(window(rig), 0)
    assert wait.value.counted is False
    assert (wait.value.after_seconds or 0.0) >= 60.0


async def test_a_token_that_ended_is_renewed_within_the_call(make_rig: Any) -> None:
    rig = make_rig(token_seconds=600)
    rig.place()
    await rig.adapter.fetch_orders(window(rig), 0)
    rig.wait(3600)
    assert (await rig.adapter.fetch_orders(window(rig, seconds=9000.0), 0)).total == 1
    assert rig.sandbox.access.renewals == 2


async def test_a_withdrawn_consent_and_a_missing_scope_pause_the_connection(make_rig: Any) -> None:
    rig = make_rig()
    rig.sandbox.access.consent = False
    with pytest.raises(PauseConnection, match="withdrawn"):
        await rig.adapter.fetch_orders(window(rig), 0)
    rig = make_rig(scopes=("https://api.ebay.com/oauth/api_scope",))
    with pytest.raises(PauseConnection, match="scope"):
        await rig.adapter.fetch_orders(window(rig), 0)


async def test_traits_try_each_consent(make_rig: Any) -> None:
    rig = make_rig()
    rig.place()
    traits = await rig.adapter.probe_traits()
    assert traits.facts == {"inventory_items": "2"}
    assert traits.server_date is not None
    no_stock = make_rig({"publish_stock": False})
    assert (await no_stock.adapter.probe_traits()).facts == {}
    assert Kind.STOCK not in no_stock.adapter.writers
