"""Exact amounts for any order, and what a difference is."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from adapters.woocommerce import wire
from adapters.woocommerce.orders import amounts, content_hash, create_body, split_id
from adapters.woocommerce.settings import Settings
from adapters.woocommerce.wire import meta_text
from marketsync.domain.ids import (
    ConnectionId,
    LineId,
    MerchantId,
    OrderId,
    OrderKey,
    Reference,
    RemoteId,
    Sku,
)
from marketsync.domain.money import decimals
from marketsync.domain.orders import Order, OrderLine, Tax, TaxCollector, payable
from marketsync.ports import CreateOrder, ResolvedLine, UpdateOrder

FIXTURES = Path(__file__).resolve().parents[4] / "fixtures" / "woocommerce"
SETTINGS = Settings(url="https://shop.example", consumer_key="k", consumer_secret="s")
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def an_order(*lines: OrderLine, **changes: Any) -> Order:
    key = OrderKey(MerchantId("main"), ConnectionId("conn"), OrderId("M-1"))
    order = Order(key, NOW, NOW, "EUR", Decimal(0), True, lines)
    return replace(order, **changes)


def payload(order: Order) -> CreateOrder:
    resolved = tuple(ResolvedLine(x.line_id, x.sku, RemoteId("12/34")) for x in order.lines)
    return CreateOrder(Reference("ms-abc123-conn-order000000001"), order, resolved)


cents = st.integers(0, 10**7).map(lambda x: Decimal(x).scaleb(-2))
mills = st.integers(0, 10**8).map(lambda x: Decimal(x).scaleb(-4))
taxes = st.lists(
    st.builds(lambda amount, by: Tax("VAT", amount, collector=by), mills, st.sampled_from(TaxCollector)),
    max_size=3,
).map(tuple)
lines = st.lists(
    st.builds(
        lambda total, shipping, own, sent, units: OrderLine(
            LineId(""), Sku("A"), units, total, shipping=shipping, taxes=own, shipping_taxes=sent
        ),
        mills, cents, taxes, taxes, st.integers(1, 9),
    ),
    min_size=1, max_size=5,
).map(lambda rows: tuple(replace(row, line_id=LineId(str(n))) for n, row in enumerate(rows)))  # fmt: skip


@given(lines, mills, st.booleans(), st.sampled_from(["EUR", "JPY", "KWD"]))
def test_the_parts_add_up_to_what_the_buyer_pays(
    rows: tuple[OrderLine, ...], fees: Decimal, included: bool, currency: str
) -> None:
    order = an_order(*rows, fees=fees, prices_include_tax=included, currency=currency)
    body: Any = create_body(payload(order), SETTINGS)
    texts = [x["total"] for key in ("line_items", "shipping_lines", "fee_lines") for x in body[key]]
    assert all(len(x.partition(".")[2]) == decimals(currency) for x in texts)
    total = sum((Decimal(x) for x in texts), Decimal(0))
    assert total == amounts(order, SETTINGS).total
    assert abs(total - payable(order)) <= Decimal("0.5").scaleb(-decimals(currency))


def test_what_is_not_wanted_any_more_costs_nothing() -> None:
    kept = OrderLine(LineId("1"), Sku("A"), 2, Decimal("20.00"))
    gone = OrderLine(LineId("2"), Sku("B"), 1, Decimal("5.00"), shipping=Decimal("1.00"), cancelled=1)
    assert amounts(an_order(kept, gone), SETTINGS).total == Decimal("20.00")


def test_create_and_update_of_one_content_have_one_mark() -> None:
    create = payload(an_order(OrderLine(LineId("1"), Sku("A"), 2, Decimal("20.00"))))
    update = UpdateOrder(create.ref, RemoteId("7"), create.order, create.lines)
    assert content_hash(create, SETTINGS) == content_hash(update, SETTINGS)
    other = replace(create, order=replace(create.order, lines=(replace(create.order.lines[0], quantity=3),)))
    assert content_hash(other, SETTINGS) != content_hash(create, SETTINGS)


@pytest.mark.parametrize("text, ids", [("12", (12, 0)), ("12/34", (12, 34))])
def test_an_article_s_id_names_product_and_variation(text: str, ids: tuple[int, int]) -> None:
    assert split_id(RemoteId(text)) == ids


@pytest.mark.parametrize(
    "name, type_",
    [
        ("order.json", wire.WireOrder),
        ("orders.json", list[wire.WireOrder]),
        ("products.json", list[wire.Product]),
        ("fulfillments.json", list[wire.Fulfillment]),
        ("shipment-trackings.json", list[wire.Tracking]),
        ("error.json", wire.Error),
    ],
)
def test_example_payloads_are_read(name: str, type_: Any) -> None:
    assert msgspec.json.decode((FIXTURES / name).read_bytes(), type=type_)


def test_metadata_with_gaps_is_an_object_and_is_read() -> None:
    order = msgspec.json.decode((FIXTURES / "order.json").read_bytes(), type=wire.WireOrder)
    assert meta_text(order.meta_data, "_marketsync_ref") == "ms-abc123-conn-order000000001"


def test_an_error_is_named_by_code_and_parameters_and_never_by_its_text() -> None:
    body = (FIXTURES / "error.json").read_bytes()
    assert wire.error_code(body) == "rest_invalid_param (billing)"
    assert json.loads(body)["message"] not in wire.error_code(body)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"\xff", b'{"code": {}}'])
def test_what_is_no_error_of_woocommerce_has_no_code(body: bytes) -> None:
    assert wire.error_code(body) == ""
