from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.amazon.mapping import ORDER_BYTES_MAX, Rules, parse_order
from marketsync.domain.ids import ConnectionId, MerchantId
from marketsync.domain.orders import Fulfilment, Order, Phase, TaxCollector, imbalance, payable, phase
from marketsync.errors import Malformed, Park

FIXTURES = Path(__file__).parents[4] / "fixtures" / "amazon"
RULES = Rules(MerchantId("main"), ConnectionId("amazon"))


def load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text())
    return loaded


def parsed(body: dict[str, Any]) -> Order:
    return parse_order(json.dumps(body).encode(), RULES)


def put(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(body: Any) -> None:
        for step in path[:-1]:
            body = body[step]
        body[path[-1]] = value

    return change


def spoilt(change: Callable[[dict[str, Any]], Any], name: str = "unshipped_de_vat") -> dict[str, Any]:
    body = load(name)
    change(body)
    return body


# Phase; wanted and shipped of each line; whether prices include tax; what the buyer pays.
FACTS = {
    "cancel_asked": (Phase.READY, [(1, 0)], True, "19.90"),
    "cancelled_nothing_ordered": (Phase.CANCELLED, [(0, 0)], True, "0"),
    "de_discount": (Phase.READY, [(2, 0)], True, "36.00"),
    "fba_shipped": (Phase.SHIPPED, [(1, 1)], True, "19.90"),
    "gb_gift_wrap": (Phase.READY, [(1, 0)], True, "22.50"),
    "out_of_balance": (Phase.READY, [(1, 0)], True, "19.90"),
    "partly_cancelled": (Phase.READY, [(2, 0)], True, "20.00"),
    "partly_shipped": (Phase.PARTLY_SHIPPED, [(3, 1)], True, "30.00"),
    "pending_no_money": (Phase.PENDING, [(2, 0)], True, "0"),
    "replacement": (Phase.READY, [(1, 0)], True, "0.00"),
    "unfulfillable": (Phase.CANCELLED, [(0, 0)], True, "0"),
    "unshipped_de_vat": (Phase.READY, [(3, 0), (1, 0)], True, "69.60"),
    "us_facilitator": (Phase.READY, [(1, 0)], False, "27.00"),
    "us_mixed_collectors": (Phase.READY, [(1, 0), (1, 0)], False, "32.50"),
    "us_tip": (Phase.READY, [(1, 0)], False, "26.00"),
}


@pytest.mark.parametrize("name", sorted(FACTS))
def test_the_facts_of_each_fixture(name: str) -> None:
    order = parsed(load(name))
    expected, lines, includes, pays = FACTS[name]
    assert phase(order) is expected
    assert [(x.wanted, x.shipped) for x in order.lines] == lines
    assert (order.prices_include_tax, payable(order)) == (includes, Decimal(pays))
    # 21.00 is neither 19.90 nor 19.90 + 3.18.
    assert imbalance(order) == (Decimal("1.10") if name == "out_of_balance" else 0)


def test_every_fixture_is_covered() -> None:
    assert sorted(path.stem for path in FIXTURES.glob("*.json")) == sorted(FACTS)


def test_the_order_keeps_what_was_stated() -> None:
    order = parsed(load("unshipped_de_vat"))
    assert (order.created_at, order.updated_at) == (
        datetime(2026, 2, 10, 8, 15, 30, tzinfo=UTC),
        datetime(2026, 2, 10, 9, 0, tzinfo=UTC),
    )
    assert order.ship_by == datetime(2026, 2, 12, 22, 59, 59, tzinfo=UTC)
    assert (order.channel, order.state_as_stated, order.shipping_method) == (
        "A1PA6795UKMFR9",
        "UNSHIPPED",
        "STANDARD",
    )
    assert (order.currency, order.total) == ("EUR", Decimal("69.60"))
    assert order.ship_to is not None
    assert (order.ship_to.first_name, order.ship_to.last_name) == ("Ada Maria", "Beispiel")
    assert (order.ship_to.street2, order.ship_to.country) == ("Flat 2", "DE")
    assert order.buyer is not None
    assert order.buyer.email == "buyer-1@marketplace.example"


def test_line_total_is_not_unit_price() -> None:
    line = parsed(load("unshipped_de_vat")).lines[0]
    assert (line.quantity, line.unit_price, line.line_total) == (3, Decimal("19.90"), Decimal("59.70"))
    assert (line.shipping, line.taxes[0].amount, line.shipping_taxes[0].amount) == (
        Decimal("4.90"),
        Decimal("9.53"),
        Decimal("0.78"),
    )


def test_pending_has_no_price_and_is_completed_later() -> None:
    pending = parsed(load("pending_no_money"))
    assert (pending.paid, pending.total, pending.currency, pending.ship_to) == (False, 0, "EUR", None)
    later = {**load("unshipped_de_vat"), "orderId": pending.key.order_id}
    assert phase(parsed(later)) is Phase.READY
    assert parsed(later).key == pending.key


def test_fulfilled_by_marketplace_touches_no_stock_and_has_no_address() -> None:
    order = parsed(load("fba_shipped"))
    assert (order.fulfilment, order.ship_to) == (Fulfilment.MARKETPLACE, None)
    assert parsed(load("partly_shipped")).fulfilment is Fulfilment.MERCHANT


def test_a_pending_order_counts_nothing_as_left_and_is_not_cancelled_by_that() -> None:
    counted = load("pending_no_money")["orderItems"][0]["fulfillment"]
    assert counted == {"quantityFulfilled": 0, "quantityUnfulfilled": 0}
    assert parsed(load("pending_no_money")).lines[0].cancelled == 0


def test_what_is_shipped_has_left_whatever_was_counted() -> None:
    none = {"quantityFulfilled": 0, "quantityUnfulfilled": 0}
    shipped = spoilt(put("orderItems", 0, "fulfillment", value=none), "fba_shipped")
    assert parsed(shipped).lines[0].shipped == 1
    short = spoilt(put("fulfillment", "fulfillmentStatus", value="SHIPPED"), "partly_shipped")
    short["orderItems"][0]["fulfillment"] = {"quantityFulfilled": 2, "quantityUnfulfilled": 0}
    line = parsed(short).lines[0]
    assert (line.shipped, line.cancelled) == (2, 1)


def test_a_buyers_wish_to_cancel_ends_when_it_was_answered() -> None:
    assert parsed(load("cancel_asked")).cancel_asked
    done = {"cancelledBy": "MERCHANT", "cancelReason": "Buyer requested cancellation"}
    answered = spoilt(
        put("orderItems", 0, "cancellation", "cancellationExecution", value=done), "cancel_asked"
    )
    assert not parsed(answered).cancel_asked
    assert not parsed(load("partly_cancelled")).cancel_asked


@pytest.mark.failure(24)
def test_a_discount_is_taken_off_what_it_is_on() -> None:
    line = parsed(load("de_discount")).lines[0]
    # 40.00 - 4.00, and 4.90 - 4.90 of shipping
    assert (line.line_total, line.shipping) == (Decimal("36.00"), Decimal("0.00"))

    def unsigned(body: dict[str, Any]) -> None:
        discount = body["orderItems"][0]["proceeds"]["breakdowns"][2]
        discount["subtotal"]["amount"] = "8.90"
        for detail in discount["detailedBreakdowns"]:
            detail["value"]["amount"] = detail["value"]["amount"].lstrip("-")

    assert parsed(spoilt(unsigned, "de_discount")).lines == parsed(load("de_discount")).lines


def test_a_discount_that_the_goods_are_already_net_of_is_not_taken_off_again() -> None:
    order = parsed(spoilt(put("proceeds", "grandTotal", "amount", value="44.90"), "de_discount"))
    assert (order.lines[0].line_total, imbalance(order)) == (Decimal("40.00"), 0)


@pytest.mark.failure(24)
def test_tax_that_amazon_collects_is_told_apart() -> None:
    collectors = [x.taxes[0].collector for x in parsed(load("us_mixed_collectors")).lines]
    assert collectors == [TaxCollector.MARKETPLACE, TaxCollector.SELLER]
    order = parsed(load("us_facilitator"))
    assert {x.collector for x in (*order.lines[0].taxes, *order.lines[0].shipping_taxes)} == {
        TaxCollector.MARKETPLACE
    }
    kept = spoilt(put("proceeds", "grandTotal", "amount", value="25.00"), "us_facilitator")
    assert (imbalance(parsed(kept)), payable(parsed(kept))) == (0, Decimal("27.00"))


def test_a_tip_and_gift_wrap_are_fees() -> None:
    assert parsed(load("us_tip")).fees == Decimal("5.00")
    wrapped = parsed(load("gb_gift_wrap"))
    assert wrapped.fees == Decimal("2.50")
    assert [(tax.code, tax.amount) for tax in wrapped.lines[0].taxes] == [
        ("ITEM", Decimal("3.33")),
        ("GIFT_WRAP", Decimal("0.42")),
    ]


def test_tax_without_details_is_a_tax_of_the_whole_line() -> None:
    bare = spoilt(lambda x: x["orderItems"][0]["proceeds"]["breakdowns"][2].pop("detailedBreakdowns"))
    assert [(tax.code, tax.amount) for tax in parsed(bare).lines[0].taxes] == [("TAX", Decimal("10.31"))]


def breakdown(**changes: Any) -> Callable[[dict[str, Any]], None]:
    def change(body: dict[str, Any]) -> None:
        body["orderItems"][0]["proceeds"]["breakdowns"][0] |= changes

    return change


FIRST = "$.orderItems[0]"
MALFORMED = [
    (lambda x: x.pop("fulfillment"), "$"),
    (lambda x: x.pop("proceeds"), "$.proceeds.grandTotal"),
    (lambda x: x["proceeds"].pop("grandTotal"), "$.proceeds.grandTotal"),
    (lambda x: x.pop("recipient"), "$.recipient.deliveryAddress.addressLine1"),
    (lambda x: x["salesChannel"].pop("marketplaceId"), "$.salesChannel"),
    (lambda x: x["orderItems"][1]["product"].pop("sellerSku"), "$.orderItems[1].product"),
    (put("orderItems", 0, "quantityOrdered", value=-1), f"{FIRST}.quantityOrdered"),
    (put("orderItems", 0, "quantityOrdered", value=10**9), f"{FIRST}.quantityOrdered"),
    (put("orderItems", 0, "quantityOrdered", value="two"), f"{FIRST}.quantityOrdered"),
    (
        put("orderItems", 0, "fulfillment", "quantityFulfilled", value=-1),
        f"{FIRST}.fulfillment.quantityFulfilled",
    ),
    (put("orderItems", 0, "product", "sellerSku", value=""), f"{FIRST}.product.sellerSku"),
    (put("orderItems", 0, "product", "sellerSku", value="A\x00B"), f"{FIRST}.product.sellerSku"),
    (put("orderItems", 1, "orderItemId", value="60000000000001"), "$.orderItems"),
    (put("orderItems", value=[]), "$.orderItems"),
    (put("orderId", value=" "), "$.orderId"),
    (put("proceeds", "grandTotal", "amount", value="1e30"), "$.proceeds.grandTotal.amount"),
    (put("proceeds", "grandTotal", "amount", value="-1.00"), "$.proceeds.grandTotal.amount"),
    (put("proceeds", "grandTotal", "amount", value="NaN"), "$.proceeds.grandTotal.amount"),
    (
        put("proceeds", "grandTotal", "currencyCode", value="eur"),
        f"{FIRST}.proceeds.breakdowns[0].subtotal.currencyCode",
    ),
    (
        breakdown(subtotal={"amount": "59.70", "currencyCode": "USD"}),
        f"{FIRST}.proceeds.breakdowns[0].subtotal.currencyCode",
    ),
    (
        breakdown(subtotal={"amount": "-1", "currencyCode": "EUR"}),
        f"{FIRST}.proceeds.breakdowns[0].subtotal.amount",
    ),
    (put("createdTime", value="2026-02-10T08:15:30"), "$.createdTime"),
    (put("createdTime", value="0001-01-01T00:00:00+14:00"), "$.createdTime"),
    (put("lastUpdatedTime", value=None), "$.lastUpdatedTime"),
    (
        put("recipient", "deliveryAddress", "countryCode", value="Germany"),
        "$.recipient.deliveryAddress.countryCode",
    ),
]


@pytest.mark.failure(25)
@pytest.mark.failure(5)
@pytest.mark.failure(14)
@pytest.mark.parametrize("change, path", MALFORMED)
def test_what_is_out_of_range_is_parked_with_its_path(change: Any, path: str) -> None:
    with pytest.raises(Malformed) as held:
        parsed(spoilt(change))
    assert held.value.path == path


@pytest.mark.failure(14)
@pytest.mark.parametrize(
    "change, cause",
    [
        (put("fulfillment", "fulfillmentStatus", value="TELEPORTED"), "amazon.fulfillmentStatus=TELEPORTED"),
        (
            put("fulfillment", "fulfillmentStatus", value="UNFULFILLABLE"),
            "amazon.fulfillmentStatus=UNFULFILLABLE",
        ),
        (put("fulfillment", "fulfilledBy", value="ROBOT"), "amazon.fulfilledBy=ROBOT"),
        (put("salesChannel", "marketplaceId", value="A0NEW"), "amazon.marketplaceId=A0NEW"),
        (
            put("orderItems", 0, "measurement", value={"unit": "GRAMS", "value": 5}),
            "amazon.measurement_unit=GRAMS",
        ),
        (breakdown(type="SURCHARGE"), "amazon.proceeds_type=SURCHARGE"),
        (
            breakdown(
                type="TAX",
                detailedBreakdowns=[{"subtype": "NEW", "value": {"amount": "1", "currencyCode": "EUR"}}],
            ),
            "amazon.proceeds_subtype=NEW",
        ),
        (
            put("orderItems", 0, "tax", value={"taxCollections": [{"model": "STATE"}]}),
            "amazon.tax_model=STATE",
        ),
        (
            put("orderItems", 0, "cancellation", value={"cancellationRequest": {"requester": "AMAZON"}}),
            "amazon.cancellation_requester=AMAZON",
        ),
        (
            put("fulfillment", "fulfillmentStatus", value="<b>ü"),
            "amazon.fulfillmentStatus=an unprintable value",
        ),
    ],
)
def test_a_new_value_of_an_enum_waits_for_its_mapping(change: Any, cause: str) -> None:
    with pytest.raises(Park) as held:
        parsed(spoilt(change))
    assert held.value.causes == (f"enum:{cause}",)


def test_a_new_part_of_the_whole_order_waits_too() -> None:
    with pytest.raises(Park) as held:
        parsed(spoilt(put("proceeds", "breakdowns", 0, "type", value="SURCHARGE")))
    assert held.value.causes == ("enum:amazon.proceeds_type=SURCHARGE",)


@pytest.mark.failure(14)
def test_new_fields_are_ignored_and_nulls_are_absences() -> None:
    def change(body: dict[str, Any]) -> None:
        body["brand_new"] = {"deep": [1, 2]}
        body["buyer"] = None
        body["orderItems"][0]["cancellation"] = None
        body["orderItems"][0]["product"]["price"] = None
        body["packages"] = [{"packageStatus": {"status": "EATEN"}}]

    order = parsed(spoilt(change))
    assert order.lines[0].unit_price is None
    assert order.buyer is not None
    assert order.buyer.name == "Ada Maria Beispiel"


@pytest.mark.failure(25)
def test_texts_are_bounded_and_cleaned_and_the_rest_is_kept() -> None:
    def change(body: dict[str, Any]) -> None:
        address = body["recipient"]["deliveryAddress"]
        address["name"] = "\u202eאב 🙂 O\x00'Brien"
        address["addressLine1"] = "s" * 5000
        body["buyer"]["buyerName"] = "\ud83d"

    order = parsed(spoilt(change))
    assert order.ship_to is not None
    assert order.ship_to.last_name == "O'Brien"
    assert len(order.ship_to.street1) == 500


@pytest.mark.failure(25)
def test_an_order_of_ten_megabytes_is_parked() -> None:
    with pytest.raises(Malformed) as held:
        parsed(spoilt(put("note", value="n" * 10 * ORDER_BYTES_MAX)))
    assert held.value.path == "$"


@pytest.mark.parametrize("raw", [b"", b"\xff\xfe", b"[]", b'{"orderId": "x"', b"[" * 5000, b'{"a":' * 5000])
def test_what_is_no_order_is_malformed_and_never_a_crash(raw: bytes) -> None:
    with pytest.raises(Malformed):
        parse_order(raw, RULES)


@pytest.mark.requirement("R19")
def test_a_parking_reason_never_holds_what_was_read() -> None:
    for change in (
        put("buyer", "buyerName", value=["Ada Beispiel"]),
        put("recipient", "deliveryAddress", "countryCode", value="Beispiel"),
    ):
        with pytest.raises(Malformed) as held:
            parsed(spoilt(change))
        assert "Beispiel" not in str(held.value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.floats(), lambda x: st.lists(x, max_size=3)
    )
)
def test_any_value_in_any_field_is_an_order_or_parked(value: Any) -> None:
    for name in ("orderItems", "buyer", "recipient", "proceeds", "createdTime", "fulfillment", "orderId"):
        body = load("unshipped_de_vat")
        body[name] = value
        for change in (body, {**load("unshipped_de_vat"), "orderItems": [value]}):
            try:
                parsed(change)
            except Park:
                continue
