"""What an order is in the shop's words: to the cent, whatever it is made of."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from adapters.shopify import orders
from adapters.shopify.settings import Settings
from marketsync.domain.ids import RemoteId, Sku
from marketsync.domain.orders import Order, Tax, TaxCollector, payable
from marketsync.kit.people import an_order, line, ref_of
from marketsync.ports import CreateOrder, ResolvedLine

SETTINGS = Settings(url="https://shop.example", access_token="token")


def payload(order: Order, **changes: Any) -> CreateOrder:
    lines = tuple(ResolvedLine(x.line_id, Sku(x.sku), RemoteId("501")) for x in order.lines)
    return CreateOrder(ref_of(order), order, lines, **changes)


def reckoned(body: dict[str, Any]) -> Decimal:
    """As Shopify reckons: unit times quantity, less the discount, shipping, and taxes where they come on top."""
    total = Decimal(0)
    for row in body["lineItems"]:
        total += amount(row["priceSet"]) * row["quantity"]
    for row in (*body["lineItems"], *body["shippingLines"]):
        if not body["taxesIncluded"]:
            total += sum((amount(x["priceSet"]) for x in row["taxLines"]), Decimal(0))
    total += sum((amount(x["priceSet"]) for x in body["shippingLines"]), Decimal(0))
    if "discountCode" in body:
        total -= amount(body["discountCode"]["itemFixedDiscountCode"]["amountSet"])
    return total


def amount(bag: dict[str, Any]) -> Decimal:
    return Decimal(bag["shopMoney"]["amount"])


MINE = line("1", "A", 3, "10.00", "2.00", shipping=Decimal("3.50"))


@pytest.mark.parametrize(
    ("order", "units", "extra"),
    [
        # 10.00 / 3 = 3.33, and a cent is left over.
        (an_order(line("1", "A", 3, "10.00")), ["3.33"], "0.01"),
        (an_order(line("1", "A", 3, "10.00", "1.67")), ["3.33"], "0.01"),
        # 3 x 3.33 + 3.50 + 2.00 of tax + 0.65 of fees and the cent = 16.15.
        (an_order(MINE, prices_include_tax=False, fees=Decimal("0.65")), ["3.33"], "0.66"),
        (an_order(line("1", "A", 2, "5.00")), ["2.50"], ""),
        (an_order(line("1", "A", 3, "20.00", cancelled=1)), ["10.00"], ""),
    ],
)
def test_what_is_left_over_is_a_line_of_its_own(order: Order, units: list[str], extra: str) -> None:
    body: dict[str, Any] = orders.create_input(payload(order), SETTINGS)
    assert [x["priceSet"]["shopMoney"]["amount"] for x in body["lineItems"]] == units
    found = [x for x in body["shippingLines"] if x["title"] == SETTINGS.fee_name]
    assert [x["priceSet"]["shopMoney"]["amount"] for x in found] == ([extra] if extra else [])
    assert reckoned(body) == orders.total_of(order) == amount(body["transactions"][0]["amountSet"])


def test_fees_below_zero_are_a_discount() -> None:
    body: dict[str, Any] = orders.create_input(payload(an_order(fees=Decimal("-1.50"))), SETTINGS)
    assert amount(body["discountCode"]["itemFixedDiscountCode"]["amountSet"]) == Decimal("1.50")
    assert reckoned(body) == orders.total_of(an_order(fees=Decimal("-1.50")))


amounts = st.decimals(min_value="0.00", max_value="9999.99", places=2)


@given(
    st.lists(st.tuples(st.integers(1, 9), amounts, amounts, amounts), min_size=1, max_size=5),
    st.booleans(),
    st.decimals(min_value="-5.00", max_value="99.99", places=2),
)
def test_the_total_is_what_the_buyer_pays(
    rows: list[tuple[int, Decimal, Decimal, Decimal]], included: bool, fees: Decimal
) -> None:
    lines = [
        line(str(n), "A", units, str(total), str(min(tax, total) if included else tax), shipping=shipping)
        for n, (units, total, tax, shipping) in enumerate(rows)
    ]
    order = an_order(*lines, prices_include_tax=included, fees=fees)
    if payable(order) < 0:
        return
    body: dict[str, Any] = orders.create_input(payload(order), SETTINGS)
    assert reckoned(body) == payable(order)
    shown = [amount(x["priceSet"]) for x in (*body["lineItems"], *body["shippingLines"])]
    assert min(shown) >= 0


def test_taxes_go_as_stated_with_who_collects_them() -> None:
    theirs = replace(
        line("1", "A", 1, "11.00"),
        taxes=(
            Tax("VAT", Decimal("1.00"), rate=Decimal(10)),
            Tax("STATE", Decimal("0.50"), collector=TaxCollector.MARKETPLACE),
        ),
    )
    body: dict[str, Any] = orders.create_input(payload(an_order(theirs)), SETTINGS)
    (row,) = body["lineItems"]
    told = [
        (x["title"], x["rate"], x["priceSet"]["shopMoney"]["amount"], x["channelLiable"])
        for x in row["taxLines"]
    ]
    # The rate that nobody stated is what the amounts come to: 0.50 of 10.50.
    assert told == [("VAT", "0.1000", "1.00", False), ("STATE", "0.0476", "0.50", True)]


@pytest.mark.parametrize(
    ("inventory", "takes_stock", "behaviour", "mark"),
    [
        ("decrement_ignoring_policy", True, "DECREMENT_IGNORING_POLICY", "taken"),
        ("decrement_obeying_policy", True, "DECREMENT_OBEYING_POLICY", "taken"),
        ("decrement_ignoring_policy", False, "BYPASS", "untouched"),
        ("bypass", True, "BYPASS", "untouched"),
    ],
)
def test_who_decrements_is_settled_with_the_order(
    inventory: Any, takes_stock: bool, behaviour: str, mark: str
) -> None:
    settings = replace(SETTINGS, inventory=inventory)
    sale = payload(an_order(), takes_stock=takes_stock)
    assert orders.create_options(sale, settings)["inventoryBehaviour"] == behaviour
    body: dict[str, Any] = orders.create_input(sale, settings)
    assert [x["value"] for x in body["customAttributes"]] == [mark]


def test_what_the_marketplace_ships_needs_no_parcel() -> None:
    body: dict[str, Any] = orders.create_input(payload(an_order(), ships=False), SETTINGS)
    assert body["fulfillmentStatus"] == "FULFILLED"
    assert not any(row["requiresShipping"] for row in body["lineItems"])


def test_the_reference_goes_into_both_places_and_the_email_into_none() -> None:
    order = an_order()
    body: dict[str, Any] = orders.create_input(payload(order), SETTINGS)
    (reference, content) = body["metafields"]
    assert (reference["type"], reference["value"]) == ("id", ref_of(order))
    assert body["sourceIdentifier"] == ref_of(order)
    assert body["poNumber"] == order.key.order_id
    assert content["value"] == orders.content_hash(payload(order), SETTINGS)
    assert order.buyer is not None
    assert order.buyer.email not in str(body)


def test_another_address_is_another_content() -> None:
    order = an_order()
    assert order.ship_to is not None
    moved = an_order(ship_to=replace(order.ship_to, city="Lyon"))
    assert orders.content_hash(payload(order), SETTINGS) != orders.content_hash(payload(moved), SETTINGS)
