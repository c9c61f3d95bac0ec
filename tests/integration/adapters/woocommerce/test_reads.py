"""Parcels, stock and the shop's own traits, read from the simulated shop."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from adapters.woocommerce.adapter import plan
from adapters.woocommerce.sandbox import WooSandbox
from adapters.woocommerce.sandbox_shop import WooShop
from adapters.woocommerce.settings import Settings
from marketsync.domain.deliveries import Kind
from marketsync.domain.ids import POOL, LineId, Sku
from marketsync.domain.shipments import ShippedLine
from marketsync.domain.stock import Effect, Event, may_publish
from marketsync.errors import ConfigError, ReadFailed
from marketsync.http import Basic, OAuth1
from marketsync.ports import StockFigure

NewBench = Callable[..., Any]


async def test_parcels_carry_our_lines_and_an_id_that_stays(bench: Any) -> None:
    held = await bench.released()
    first, second = held.of_kind("line")
    bench.shop.ship(held.id, bench.clock.now(), quantities={first.id: 1}, tracking="T1")
    bench.shop.ship(held.id, bench.clock.now(), quantities={first.id: 1, second.id: 1}, tracking="T2")
    parcels = await bench.adapter.fetch_shipments([bench.open(held)])
    assert [(x.tracking_number, x.carrier, x.lines) for x in parcels] == [
        ("T1", "dhl", (ShippedLine(LineId("1"), 1),)),
        ("T2", "dhl", (ShippedLine(LineId("1"), 1), ShippedLine(LineId("2"), 1))),
    ]
    assert parcels[0].shipped_at == bench.clock.now()
    again = await bench.adapter.fetch_shipments([bench.open(held)])
    assert [x.shipment_id for x in again] == [x.shipment_id for x in parcels]
    assert len({x.shipment_id for x in parcels}) == 2


@pytest.mark.requirement("R27")
async def test_a_parcel_waits_for_its_tracking_number(bench: Any) -> None:
    held = await bench.released()
    parcel = bench.shop.ship(held.id, bench.clock.now(), tracking="")
    assert await bench.adapter.fetch_shipments([bench.open(held)]) == []
    bench.shop.set_tracking(parcel, "T9", bench.clock.now())
    assert [x.tracking_number for x in await bench.adapter.fetch_shipments([bench.open(held)])] == ["T9"]


async def test_a_parcel_that_was_not_sent_is_none(bench: Any) -> None:
    held = await bench.released()
    bench.shop.ship(held.id, bench.clock.now(), fulfilled=False)
    assert await bench.adapter.fetch_shipments([bench.open(held)]) == []


async def test_a_parcel_without_tracking_is_told_where_the_merchant_wants_it(new_bench: NewBench) -> None:
    bench = new_bench(wait_for_tracking=False)
    held = await bench.released()
    bench.shop.ship(held.id, bench.clock.now(), tracking="")
    assert len(await bench.adapter.fetch_shipments([bench.open(held)])) == 1


async def test_many_open_orders_are_asked_for_in_batches_of_a_hundred(bench: Any) -> None:
    held = await bench.released()
    bench.shop.ship(held.id, bench.clock.now())
    others = [bench.shop.web_sale("A", 1, bench.clock.now()) for _ in range(120)]
    wanted = [bench.open(order) for order in (*others, held)]
    assert len(await bench.adapter.fetch_shipments(wanted)) == 1
    lists = [x for x in bench.wire.sent if "include=" in x.url]
    assert len(lists) == 2


async def test_the_tracking_extension_tells_of_the_whole_order_once_it_is_completed(
    new_bench: NewBench,
) -> None:
    bench = new_bench(shipments="tracking")
    held = await bench.released()
    bench.shop.add_tracking(held.id, "TX")
    assert await bench.adapter.fetch_shipments([bench.open(held)]) == []
    bench.shop.set_status(held.id, "completed", bench.clock.now())
    (parcel,) = await bench.adapter.fetch_shipments([bench.open(held)])
    assert (parcel.shipment_id, parcel.tracking_number, parcel.carrier) == (f"{held.id}:all", "TX", "DHL")
    assert parcel.lines == (ShippedLine(LineId("1"), 2), ShippedLine(LineId("2"), 1))


async def test_the_state_and_the_merchant_s_own_fields_tell_of_a_parcel(new_bench: NewBench) -> None:
    bench = new_bench(shipments="status", tracking_meta="my_tracking")
    held = await bench.released()
    bench.shop.set_status(held.id, "completed", bench.clock.now())
    assert await bench.adapter.fetch_shipments([bench.open(held)]) == []
    held.meta += bench.shop.metas({"my_tracking": "TM", "_tracking_provider": "UPS"})
    (parcel,) = await bench.adapter.fetch_shipments([bench.open(held)])
    assert (parcel.shipment_id, parcel.tracking_number, parcel.carrier) == (f"{held.id}:all", "TM", "UPS")


async def test_a_feature_that_is_switched_off_is_not_read_as_no_parcels(bench: Any) -> None:
    held = await bench.released()
    bench.shop.fulfillments_enabled = False
    with pytest.raises(ReadFailed, match="shipments"):
        await bench.adapter.fetch_shipments([bench.open(held)])


@pytest.mark.failure(22)
async def test_skus_become_articles_and_unknown_ones_are_left_out(bench: Any) -> None:
    parent = bench.shop.add_product("P", 7, bench.clock.now(), type="variable")
    child = bench.shop.add_product("P-RED", 3, bench.clock.now(), parent_id=parent.id, price="12.50")
    found = await bench.adapter.resolve_skus([Sku("A"), Sku("P-RED"), Sku("P"), Sku("NOPE"), Sku("a")])
    assert sorted(found) == [
        "A",
        "P-RED",
    ]  # a parent can't be ordered, and SKUs are compared letter by letter
    assert (found[Sku("P-RED")].remote_id, found[Sku("P-RED")].price) == (
        f"{parent.id}/{child.id}",
        Decimal("12.50"),
    )


async def test_a_sku_that_two_products_have_is_nobody_s(bench: Any) -> None:
    bench.shop.add_product("A", 3, bench.clock.now())
    assert await bench.adapter.resolve_skus([Sku("A")]) == {}


async def test_many_skus_are_asked_for_together(bench: Any) -> None:
    skus = [Sku(f"S{number}") for number in range(100)]
    for sku in skus:
        bench.shop.add_product(sku, 1, bench.clock.now())
    assert len(await bench.adapter.resolve_skus(skus)) == 100
    assert len(bench.wire.sent) == 3  # 40 in a call


@pytest.mark.rule("C3")
async def test_the_facts_of_a_counted_article_say_what_each_event_does(bench: Any) -> None:
    facts = (await bench.adapter.resolve_skus([Sku("A")]))[Sku("A")].facts
    named = {event: facts.effects.get(event, Effect.NOTHING) for event in Event}
    assert named == {
        Event.CREATE: Effect.NOTHING, Event.RELEASE: Effect.TAKES, Event.RAISE: Effect.TAKES,
        Event.LOWER: Effect.GIVES_BACK, Event.CANCEL: Effect.GIVES_BACK, Event.PARCEL: Effect.NOTHING,
        Event.ADJUSTMENT: Effect.NOTHING, Event.COUNT: Effect.NOTHING,
    }  # fmt: skip
    assert may_publish(facts)
    assert not facts.floors_at_zero


@pytest.mark.rule("C3")
async def test_the_sandbox_keeps_the_declared_facts(bench: Any) -> None:
    payload, done = await bench.created()
    seen = [bench.shop.stock_of("A")]
    await bench.send(Kind.CREATE, payload, 1, done.checkpoint)
    seen.append(bench.shop.stock_of("A"))
    for quantity in (3, 1):
        order = bench.order(bench.line("1", "A", quantity, "20.00"), bench.line("2", "B", 1, "5.90"))
        await bench.send(Kind.UPDATE, bench.update(order, done.remote_id))
        seen.append(bench.shop.stock_of("A"))
    await bench.send(Kind.CANCEL, bench.cancel(done.remote_id))
    seen.append(bench.shop.stock_of("A"))
    assert seen == [10, 8, 7, 9, 10]


async def test_an_article_that_is_not_counted_has_no_figure(bench: Any) -> None:
    bench.shop.add_product("FREE", None, bench.clock.now(), manage_stock=False)
    found = await bench.adapter.resolve_skus([Sku("FREE")])
    assert not found[Sku("FREE")].tracked
    assert await bench.adapter.read_stock(list(found.values())) == []


@pytest.mark.rule("C8")
@pytest.mark.rule("C21")
async def test_stock_is_read_by_name_and_below_zero(bench: Any) -> None:
    parent = bench.shop.add_product("P", 7, bench.clock.now(), type="variable")
    bench.shop.add_product("P-RED", None, bench.clock.now(), parent_id=parent.id, manage_stock="parent")
    bench.shop.web_sale("A", 13, bench.clock.now())
    found = await bench.adapter.resolve_skus([Sku("A"), Sku("P-RED")])
    figures = await bench.adapter.read_stock(list(found.values()))
    assert sorted(figures, key=lambda x: x.sku) == [
        StockFigure(Sku("A"), POOL, -3),
        StockFigure(Sku("P-RED"), POOL, 7),
    ]


async def swept(bench: Any) -> tuple[list[StockFigure], int]:
    figures: list[StockFigure] = []
    cursor = ""
    for calls in range(1, 100):
        page = await bench.adapter.sweep_stock(cursor)
        figures += page.figures
        assert {x.sku for x in page.figures} <= {x.sku for x in page.articles}
        cursor = page.next_cursor
        if not cursor:
            return figures, calls
    raise AssertionError("the sweep has no end")


async def test_a_sweep_sees_every_article_once(bench: Any) -> None:
    for number in range(150):
        bench.shop.add_product(f"S{number}", number, bench.clock.now())
    parent = bench.shop.add_product("P", None, bench.clock.now(), type="variable", manage_stock=False)
    for number in range(130):
        bench.shop.add_product(f"V{number}", 2, bench.clock.now(), parent_id=parent.id)
    figures, calls = await swept(bench)
    assert sorted(x.sku for x in figures) == sorted(
        ["A", "B", *(f"S{n}" for n in range(150)), *(f"V{n}" for n in range(130))]
    )
    assert calls == 4  # two pages of products, two of variations


async def test_a_sweep_meets_a_parent_that_was_deleted_meanwhile(bench: Any) -> None:
    parent = bench.shop.add_product("P", None, bench.clock.now(), type="variable", manage_stock=False)
    page = await bench.adapter.sweep_stock("")
    del bench.shop.products[parent.id]
    assert (await bench.adapter.sweep_stock(page.next_cursor)).next_cursor == ""


async def test_variations_that_show_their_parent_s_sku_are_nobody_s(bench: Any) -> None:
    parent = bench.shop.add_product("P", 7, bench.clock.now(), type="variable")
    for _ in range(2):
        bench.shop.add_product("", 3, bench.clock.now(), parent_id=parent.id)
    figures, _ = await swept(bench)
    assert [x.sku for x in figures] == ["A", "B"]


async def test_a_sale_that_moves_no_stamp_is_in_the_next_sweep(bench: Any) -> None:
    bench.shop.web_sale("A", 4, bench.clock.now())
    bench.shop.plugin_adjusts("B", -2, bench.clock.now())
    assert (await swept(bench))[0] == [StockFigure(Sku("A"), POOL, 6), StockFigure(Sku("B"), POOL, 3)]


async def test_a_sound_shop_has_no_problems(bench: Any) -> None:
    traits = await bench.adapter.probe_traits()
    assert traits.problems == ()
    assert traits.facts == {
        "currency": "EUR", "calc_taxes": "yes", "prices_include_tax": "no", "shipping_tax_class": "inherit",
    }  # fmt: skip
    assert traits.server_date == bench.clock.now()


async def test_each_problem_of_a_shop_is_named(new_bench: NewBench) -> None:
    shop = WooShop(shipping_tax_class="reduced-rate")
    shop.fulfillments_enabled = False
    bench = new_bench(WooSandbox(shop), zero_tax_class="no-tax")
    problems = (await bench.adapter.probe_traits()).problems
    assert [any(word in text for text in problems) for word in ("no-tax", "shipping", "fulfilment")] == [
        True
    ] * 3
    assert len(problems) == 3


async def test_plain_permalinks_are_named(bench: Any) -> None:
    bench.sandbox.faults.plain_permalinks = True
    assert "permalinks" in (await bench.adapter.probe_traits()).problems[0]


async def test_a_refused_key_is_named(new_bench: NewBench) -> None:
    bench = new_bench(WooSandbox(secret="another"))
    assert "the key was refused" in (await bench.adapter.probe_traits()).problems[0]


async def test_a_missing_tracking_extension_is_named(new_bench: NewBench) -> None:
    shop = WooShop()
    shop.tracking_enabled = False
    bench = new_bench(WooSandbox(shop), shipments="tracking")
    assert "Shipment Tracking" in (await bench.adapter.probe_traits()).problems[0]


async def test_a_firewall_before_a_read_is_no_wrong_key(bench: Any) -> None:
    bench.sandbox.faults.waf = 1
    with pytest.raises(ReadFailed, match="firewall"):
        await bench.adapter.resolve_skus([Sku("A")])


SECRETS = {"consumer_key": "ck", "consumer_secret": "cs"}


def settings(**changes: Any) -> Settings:
    return Settings(
        **{"url": "https://shop.example/store/", "consumer_key": "k", "consumer_secret": "s", **changes}
    )


def test_the_plan_signs_by_the_scheme() -> None:
    https = plan(settings(), SECRETS)
    assert (https.base_url, type(https.auth)) == ("https://shop.example/store/wp-json", Basic)
    assert isinstance(plan(settings(url="http://shop.example"), SECRETS).auth, OAuth1)
    assert "cs" not in https.credential.split(":")


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "shop.example"},
        {"url": "ftp://shop.example"},
        {"url": "https://shop.example/?a=1"},
        {"url": "https://shop.example/wp-json/wc/v3"},
        {"calls_per_minute": 0},
        {"released_status": "completed", "shipments": "status"},
    ],
)
def test_settings_that_can_t_work_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        plan(settings(**changes), SECRETS)
