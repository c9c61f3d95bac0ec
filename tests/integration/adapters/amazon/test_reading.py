from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from adapters.amazon import ADAPTER
from adapters.amazon.adapter import USAGE
from adapters.amazon.api import FORBIDDEN_SECONDS, INCLUDED
from adapters.amazon.sandbox_http import RATES
from marketsync.domain.coverage import Axis, Window
from marketsync.domain.deliveries import Kind
from marketsync.domain.ids import OrderId, Sku
from marketsync.domain.orders import Fulfilment, Phase, imbalance, phase
from marketsync.errors import ConfigError, Park, PauseConnection, ReadFailed, Refused, Retry
from marketsync.ports import PublishStock, Request, StockItem

ORDER = "/orders/2026-01-01/orders"


def window(rig: Any, axis: Axis = Axis.UPDATED, before: float = 7200.0) -> Window:
    return Window(axis, rig.now - timedelta(seconds=before), rig.now - timedelta(seconds=125))


def query_of(request: Any) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(request.url).query))


async def read(rig: Any, order_id: str) -> Any:
    page = await rig.adapter.fetch_orders_by_ids([OrderId(order_id)])
    return rig.adapter.parse_order(page.orders[0].raw)


@pytest.mark.rule("B6")
async def test_reads_a_window_of_updates_without_any_filter_of_state(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.paid()
    page = await rig.adapter.fetch_orders(window(rig), 0)
    assert [raw.order_id for raw in page.orders] == [order_id]
    assert (page.total, page.more) == (None, False)
    assert query_of(rig.transport.sent[-1]) == {
        "lastUpdatedAfter": "2026-03-01T10:31:40Z",
        "lastUpdatedBefore": "2026-03-01T12:29:35Z",
        "marketplaceIds": "A1PA6795UKMFR9",
        "maxResultsPerPage": "100",
        "includedData": INCLUDED,
    }
    headers = dict(rig.transport.sent[-1].headers)
    assert headers["x-amz-access-token"] == "sandbox-access-1"


async def test_reads_by_creation_on_the_other_axis(make_rig: Any) -> None:
    rig = make_rig(pending_seconds=(600.0, 600.0))
    rig.place()
    rig.wait(1000)
    old = Window(Axis.CREATED, rig.now - timedelta(seconds=1100), rig.now - timedelta(seconds=900))
    assert len((await rig.adapter.fetch_orders(old, 0)).orders) == 1
    # The page of updates holds it at a later time: it was paid since.
    assert (await rig.adapter.fetch_orders(Window(Axis.UPDATED, old.lo, old.hi), 0)).orders == ()
    with pytest.raises(ValueError, match="paged"):
        await rig.adapter.fetch_orders(old, 100)


@pytest.mark.rule("B1")
async def test_a_window_ends_early_enough_for_amazon_and_by_its_own_clock(make_rig: Any) -> None:
    rig = make_rig(clock_skew_seconds=-300.0)
    traits = await rig.adapter.probe_traits()
    assert traits.server_date == rig.now.replace(microsecond=0) - timedelta(seconds=300)
    for listed in (rig.adapter.updated, rig.adapter.created):
        behind = timedelta(seconds=listed.lag_seconds + listed.extra_behind_seconds)
        hi = rig.http.server_now() - behind
        await rig.adapter.fetch_orders(Window(listed.axis, hi - timedelta(hours=1), hi), 0)
        rig.wait(180)
    hi = rig.http.server_now() - timedelta(seconds=100)
    with pytest.raises(Refused):
        await rig.adapter.fetch_orders(Window(Axis.UPDATED, hi - timedelta(hours=1), hi), 0)


@pytest.mark.rule("B7")
async def test_a_short_page_with_a_next_one_says_that_there_is_more(make_rig: Any) -> None:
    rig = make_rig(short_page_every=1)
    for _ in range(4):
        rig.paid(("TEA-1", 1))
    page = await rig.adapter.fetch_orders(window(rig, before=20_000), 0)
    assert (len(page.orders), page.total, page.more) == (2, None, True)
    assert "paginationToken" not in query_of(rig.transport.sent[-1])


async def test_by_id_each_costs_a_call_and_who_is_unknown_is_left_out(make_rig: Any) -> None:
    rig = make_rig()
    placed = [rig.place(("TEA-1", 1)) for _ in range(2)]
    page = await rig.adapter.fetch_orders_by_ids([OrderId(x) for x in (placed[0], "302-9-9", placed[1])])
    assert [raw.order_id for raw in page.orders] == placed
    assert rig.operations() == ["getOrder"] * 3
    assert page.server_date is not None
    with pytest.raises(ValueError, match="at most"):
        await rig.adapter.fetch_orders_by_ids([OrderId(str(i)) for i in range(rig.adapter.ids_max + 1)])


async def test_the_list_and_the_read_by_id_say_the_same_of_an_order(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.paid()
    listed = await rig.adapter.fetch_orders(window(rig), 0)
    single = await rig.adapter.fetch_orders_by_ids([OrderId(order_id)])
    assert rig.adapter.parse_order(listed.orders[0].raw) == rig.adapter.parse_order(single.orders[0].raw)
    asked = {
        query_of(request).get("includedData") for request in rig.transport.sent if request.method == "GET"
    }
    assert asked == {INCLUDED}


async def test_an_order_goes_through_its_phases(make_rig: Any) -> None:
    rig = make_rig(pending_seconds=(90.0, 90.0))
    order_id = rig.place()
    order = await read(rig, order_id)
    assert (phase(order), order.total, order.ship_to) == (Phase.PENDING, 0, None)
    assert [line.wanted for line in order.lines] == [2, 1]
    rig.wait(90)
    order = await read(rig, order_id)
    assert (phase(order), imbalance(order), order.channel) == (Phase.READY, 0, "A1PA6795UKMFR9")
    assert order.ship_to is not None
    rig.sandbox.ask_cancel(rig.now, order_id)
    assert (await read(rig, order_id)).cancel_asked
    rig.sandbox.cancel_order(rig.now, order_id)
    assert phase(await read(rig, order_id)) is Phase.CANCELLED


async def test_an_order_whose_address_is_not_shown_is_held_with_the_role_that_is_missing(
    make_rig: Any,
) -> None:
    rig = make_rig(hides_addresses=True)
    order_id = rig.paid()
    with pytest.raises(Park, match="Direct-to-Consumer Delivery"):
        await read(rig, order_id)
    rig.sandbox.cancel_order(rig.now, order_id)
    assert phase(await read(rig, order_id)) is Phase.CANCELLED


async def test_a_us_order_has_its_tax_on_top_and_amazon_collects_it(make_rig: Any) -> None:
    rig = make_rig(marketplace_ids=("ATVPDKIKX0DER",))
    order = await read(rig, rig.paid())
    assert (order.currency, order.prices_include_tax, imbalance(order)) == ("USD", False, 0)


async def test_amazons_own_orders_are_told_apart(make_rig: Any) -> None:
    rig = make_rig(fba_every=1)
    rig.paid(("TEA-1", 1))
    page = await rig.adapter.fetch_orders(window(rig), 0)
    orders = [rig.adapter.parse_order(raw.raw) for raw in page.orders]
    assert {order.fulfilment for order in orders} == set(Fulfilment)


@pytest.mark.failure(14)
async def test_one_order_that_is_new_to_us_stops_no_other(make_rig: Any) -> None:
    rig = make_rig()
    first, second = rig.paid(("TEA-1", 1)), rig.paid(("TEA-1", 1))
    rig.sandbox.spoilt[first] = {"unknown_state": "TELEPORTED"}
    page = await rig.adapter.fetch_orders(window(rig), 0)
    by_id = {raw.order_id: raw.raw for raw in page.orders}
    with pytest.raises(Park, match="TELEPORTED"):
        rig.adapter.parse_order(by_id[first])
    assert phase(rig.adapter.parse_order(by_id[second])) is Phase.READY


@pytest.mark.failure(25)
async def test_a_page_with_one_broken_order_loses_only_that_one(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.paid()
    whole = json.loads(rig.sandbox.handle(await_list(rig), rig.now).body)["orders"][0]
    good = json.dumps(whole)
    bad = '{"orderId":"302-0000009-0000009","buyer":{"buyerName":"\\ud83d"}}'
    body = f'{{"orders":[{good},{bad}],"pagination":{{"nextToken":"x"}}}}'.encode()
    for shape in (body, body.replace(b"\\ud83d", b"\xff")):
        rig.transport.instead["searchOrders"] = (200, shape)
        page = await rig.adapter.fetch_orders(window(rig), 0)
        assert [raw.order_id for raw in page.orders] == [order_id, "302-0000009-0000009"]
        assert page.more
        rig.wait(200)
    rig.transport.instead["getOrder"] = (200, b'{"order": %b }' % bad.encode().replace(b"\\ud83d", b"\xff"))
    (raw,) = (await rig.adapter.fetch_orders_by_ids([OrderId("302-0000009-0000009")])).orders
    assert raw.order_id == "302-0000009-0000009"


def await_list(rig: Any) -> Any:
    """A list as the adapter would ask for it, with a token of the sandbox's."""
    rig.sandbox._tokens["t"] = rig.now + timedelta(hours=1)
    query = f"lastUpdatedAfter=2026-03-01T00:00:00Z&includedData={INCLUDED}"
    return Request("amazon", "", "GET", f"https://x.example{ORDER}?{query}", (("x-amz-access-token", "t"),))


@pytest.mark.parametrize("behaviour", [{"html_page": True}, {"malformed_page": True}])
async def test_what_is_no_list_is_read_again(make_rig: Any, behaviour: dict[str, bool]) -> None:
    rig = make_rig()
    rig.paid()
    rig.sandbox.set_behaviour(**behaviour)
    with pytest.raises(ReadFailed):
        await rig.adapter.fetch_orders(window(rig), 0)


async def test_a_token_that_is_over_is_renewed(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.place()
    await read(rig, order_id)
    rig.sandbox.expire_tokens(rig.now)
    assert (await read(rig, order_id)).key.order_id == order_id
    assert [x.operation for x in rig.transport.sent] == ["token", "getOrder", "getOrder", "token", "getOrder"]


async def test_forbidden_is_waited_out_for_an_hour_and_then_a_person_is_asked(make_rig: Any) -> None:
    rig = make_rig(forbids=True)
    began = rig.clock.time
    while rig.clock.time - began <= FORBIDDEN_SECONDS - 300:
        with pytest.raises(Retry) as held:
            await rig.adapter.probe_traits()
        assert not isinstance(held.value, PauseConnection)
        rig.wait(300)
    rig.wait(600)
    with pytest.raises(PauseConnection, match="role"):
        await rig.adapter.probe_traits()


async def test_one_operation_that_stays_forbidden_is_not_hidden_by_others_that_work(make_rig: Any) -> None:
    rig = make_rig()
    order_id = rig.paid()
    stock, payload = rig.adapter.writers[Kind.STOCK], PublishStock((StockItem(Sku("TEA-1"), 1),))
    raised: list[type[Exception]] = []
    for _ in range(16):
        rig.transport.always = {"patchListingsItem": (403, b'{"errors":[{"code":"Unauthorized"}]}')}
        try:
            await stock.send(payload, 0, "", rig.departure())
        except (Retry, PauseConnection) as error:
            raised.append(type(error))
        await read(rig, order_id)
        rig.wait(300)
    assert raised[:5] == [Retry] * 5
    assert raised[-1] is PauseConnection


async def test_stores_in_which_the_seller_does_not_sell_are_a_problem(make_rig: Any) -> None:
    rig = make_rig({"marketplace_ids": ("A1PA6795UKMFR9", "A13V1IB3VIYZZH")})
    traits = await rig.adapter.probe_traits()
    assert (traits.facts["stores"], traits.problems) == ("DE", ("the seller does not sell in FR",))


@pytest.mark.parametrize("ids", [(), ("A1PA6795UKMFR9", "ATVPDKIKX0DER"), ("NOWHERE",)])
def test_the_stores_of_a_connection_are_known_and_of_one_region(ids: tuple[str, ...]) -> None:
    settings = ADAPTER.settings(
        client_id="c", client_secret="s", refresh_token="r", seller_id="A", marketplace_ids=ids
    )
    with pytest.raises(ConfigError, match="marketplace_ids"):
        ADAPTER.plan(settings, {"client_secret": "s", "refresh_token": "r"})


@pytest.mark.parametrize(
    ("name", "said"),
    [("DE", "DE is a country; its store is A1PA6795UKMFR9"), ("NOWHERE", "see Amazon's page")],
)
def test_a_store_that_amazon_does_not_have_is_refused_with_what_to_write(name: str, said: str) -> None:
    settings = ADAPTER.settings(
        client_id="c", client_secret="s", refresh_token="r", seller_id="A", marketplace_ids=(name,)
    )
    with pytest.raises(ConfigError, match=said):
        ADAPTER.plan(settings, {"client_secret": "s", "refresh_token": "r"})


def test_the_host_is_that_of_the_stores_and_secrets_are_not_shown() -> None:
    settings = ADAPTER.settings(
        client_id="c",
        client_secret="s",
        refresh_token="r",
        seller_id="A",
        marketplace_ids=("A1VC38T7YXB528",),
    )
    plan = ADAPTER.plan(settings, {"client_secret": "canary-1", "refresh_token": "canary-2"})
    assert plan.base_url == "https://sellingpartnerapi-fe.amazon.com"
    assert "canary" not in repr(plan)


def test_every_budget_is_within_the_published_one() -> None:
    assert set(USAGE) == set(RATES)
    for name, (seconds, burst) in USAGE.items():
        rate, most = RATES[name]
        assert 1 / seconds <= rate
        assert burst <= most
