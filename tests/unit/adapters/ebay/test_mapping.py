from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.ebay.mapping import LINES_MAX, ORDER_BYTES_MAX, PAGES, Rules, parse_order
from adapters.ebay.sandbox import EbaySandbox
from adapters.ebay.sandbox_json import order_json
from adapters.ebay.sandbox_world import Behaviour
from marketsync.domain.ids import ConnectionId, MerchantId
from marketsync.domain.orders import Fulfilment, Order, Phase, TaxCollector, imbalance, payable, phase
from marketsync.errors import Malformed, Park

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
FIXTURES = Path(__file__).parents[4] / "fixtures" / "ebay"
RULES = Rules(MerchantId("main"), ConnectionId("ebay"))


def load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text())
    return loaded


def parsed(body: dict[str, Any]) -> Order:
    return parse_order(json.dumps(body).encode(), RULES)


def made(change: Callable[[dict[str, Any]], Any] = lambda _: None, **behaviour: Any) -> dict[str, Any]:
    """A paid order of three lines' units as the sandbox shows it, changed."""
    prices = {"TEA-1": Decimal("10.00"), "MUG-2": Decimal("7.55")}
    sandbox = EbaySandbox({"TEA-1": 9, "MUG-2": 9}, Behaviour(pay_seconds=0.0, **behaviour), prices)
    order_id = sandbox.place_order(NOW, [("TEA-1", 2), ("MUG-2", 1)])
    assert order_id is not None
    order = sandbox.world.orders[order_id]
    body = order_json(order, sandbox.behaviour, breakdown=True, requests=True)
    change(body)
    decoded: dict[str, Any] = json.loads(json.dumps(body, default=str))
    return decoded


# phase; per line: wanted, shipped, refunded; fulfilment
FACTS = {
    "us_remitted_tax": (Phase.READY, [(1, 0, 0)], Fulfilment.MERCHANT),
    "de_vat_partly_shipped": (Phase.PARTLY_SHIPPED, [(3, 1, 0), (1, 0, 0)], Fulfilment.MERCHANT),
    "hub_shipping": (Phase.READY, [(1, 0, 0)], Fulfilment.MERCHANT),
    "no_sku_unpaid": (Phase.PENDING, [(2, 0, 0)], Fulfilment.MERCHANT),
    "cancel_asked": (Phase.READY, [(1, 0, 0)], Fulfilment.MERCHANT),
    "cancelled": (Phase.CANCELLED, [(0, 0, 0)], Fulfilment.MERCHANT),
    "refunded": (Phase.REFUNDED, [(2, 2, 2)], Fulfilment.MERCHANT),
    "fulfilled_by_ebay": (Phase.READY, [(1, 0, 0)], Fulfilment.MARKETPLACE),
}


@pytest.mark.parametrize("name", sorted(FACTS))
def test_the_facts_of_each_fixture(name: str) -> None:
    order = parsed(load(name))
    expected_phase, lines, fulfilment = FACTS[name]
    assert phase(order) is expected_phase
    assert [(x.wanted, x.shipped, x.refunded) for x in order.lines] == lines
    assert order.fulfilment is fulfilment
    assert imbalance(order) == 0


def test_the_fixtures_are_all_listed() -> None:
    assert {path.stem for path in FIXTURES.glob("*.json")} == {*FACTS, "page"}


def test_what_is_told_of_an_order() -> None:
    order = parsed(made())
    assert (order.created_at, order.currency, order.channel) == (NOW, "GBP", "EBAY_GB")
    assert order.shipping_method == "UK_RoyalMailTracked"
    assert order.state_as_stated == "PAID/NOT_STARTED/NONE_REQUESTED"
    assert order.ship_by == datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
    assert order.buyer is not None
    assert (order.buyer.name, order.buyer.email) == ("Example Buyer 1", "buyer1@buyers.example")
    assert order.ship_to is not None
    assert (order.ship_to.first_name, order.ship_to.last_name) == ("Example Buyer", "1")
    assert (order.ship_to.street2, order.ship_to.country) == ("Flat 2", "GB")
    assert [x.sku for x in order.lines] == ["TEA-1", "MUG-2"]


@pytest.mark.parametrize("tax", ["remit", "seller", "none"])
def test_every_kind_of_tax_balances_and_is_counted_once(tax: str) -> None:
    order = parsed(made(tax=tax))
    # 2 x 10.00 + 3.90 of delivery, and 7.55; 20 % of each, rounded: 4.78 and 1.51.
    goods = Decimal("31.45")
    taxes = [t for line in order.lines for t in line.taxes]
    assert imbalance(order) == 0
    if tax == "none":
        assert (order.total, taxes) == (goods, [])
        return
    assert [t.amount for t in taxes] == [Decimal("4.78"), Decimal("1.51")]
    assert order.total == payable(order) == goods + Decimal("6.29")
    collector = TaxCollector.MARKETPLACE if tax == "remit" else TaxCollector.SELLER
    assert {t.collector for t in taxes} == {collector}


def test_taxes_of_both_collectors_on_one_line() -> None:
    def both(body: dict[str, Any]) -> None:
        local = {"taxType": "GST", "amount": {"value": "1.00", "currency": "GBP"}}
        body["lineItems"][0]["taxes"].append(local)
        body["pricingSummary"]["total"]["value"] = "38.74"

    order = parsed(made(both))
    assert [(t.code, t.collector) for t in order.lines[0].taxes] == [
        ("VAT", TaxCollector.MARKETPLACE),
        ("GST", TaxCollector.SELLER),
    ]
    assert imbalance(order) == 0


def test_fees_of_the_law_are_no_taxes() -> None:
    def tyres(body: dict[str, Any]) -> None:
        fee = {"value": "2.50", "currency": "GBP"}
        body["lineItems"][0]["taxes"].append({"taxType": "TIRE_RECYCLING_FEE", "amount": fee})
        body["pricingSummary"]["total"]["value"] = "40.24"

    def summed(body: dict[str, Any]) -> None:
        tyres(body)
        body["pricingSummary"]["fee"] = {"value": "2.50", "currency": "GBP"}

    for change in (tyres, summed):
        order = parsed(made(change))
        assert (order.fees, imbalance(order)) == (Decimal("2.50"), 0)
        assert [t.code for t in order.lines[0].taxes] == ["VAT"]


def test_an_adjustment_has_a_sign() -> None:
    def lowered(body: dict[str, Any]) -> None:
        body["pricingSummary"]["adjustment"] = {"value": "-1.45", "currency": "GBP"}
        body["pricingSummary"]["total"]["value"] = "30.00"

    order = parsed(made(lowered, tax="none"))
    assert (order.fees, imbalance(order)) == (Decimal("-1.45"), 0)


def test_a_discounted_line_counts_as_it_is_paid() -> None:
    order = parsed(made(discount=Decimal("2.00")))
    assert [x.line_total for x in order.lines] == [Decimal("18.00"), Decimal("5.55")]
    assert imbalance(order) == 0


@pytest.mark.parametrize("sign", ["1.90", "-1.90"])
@pytest.mark.parametrize(
    "total, shipping, off",
    [("29.55", "2.00", "0"), ("31.45", "3.90", "0"), ("30.00", "2.00", "0.45")],
)
def test_a_delivery_discount_is_read_as_the_total_has_it(
    sign: str, total: str, shipping: str, off: str
) -> None:
    """The contract does not say whether the stated cost is before or after it."""

    def discounted(body: dict[str, Any]) -> None:
        body["lineItems"][0]["deliveryCost"]["discountAmount"] = {"value": sign, "currency": "GBP"}
        body["pricingSummary"]["total"]["value"] = total

    order = parsed(made(discounted, tax="none"))
    assert order.lines[0].shipping == Decimal(shipping)
    assert imbalance(order) == Decimal(off)


def test_what_does_not_add_up_is_out_of_balance_by_what_is_missing() -> None:
    assert imbalance(parsed(made(bad_totals=True, tax="none"))) == Decimal(1)


@pytest.mark.parametrize(
    "payment, paid", [("PENDING", False), ("FAILED", False), ("PAID", True), ("PARTIALLY_REFUNDED", True)]
)
def test_only_what_is_paid_may_leave(payment: str, paid: bool) -> None:
    order = parsed(made(unknown_state=payment))
    assert order.paid is paid
    assert phase(order) is (Phase.READY if paid else Phase.PENDING)


@pytest.mark.parametrize(
    "states, asked",
    [(["REQUESTED"], True), (["REJECTED"], False), (["REJECTED", "REQUESTED"], True), ([], True)],
)
def test_who_wants_to_cancel_is_not_served_before_he_is_answered(states: list[str], asked: bool) -> None:
    def wish(body: dict[str, Any]) -> None:
        requests = [{"cancelRequestState": state} for state in states]
        body["cancelStatus"] = {"cancelState": "IN_PROGRESS", "cancelRequests": requests}

    assert parsed(made(wish)).cancel_asked is asked


UNKNOWN: dict[str, Callable[[dict[str, Any]], Any]] = {
    "orderPaymentStatus": lambda b: b.update(orderPaymentStatus="NOT_APPLICABLE"),
    "orderFulfillmentStatus": lambda b: b.update(orderFulfillmentStatus="NEW"),
    "cancelState": lambda b: b["cancelStatus"].update(cancelState="NEW"),
    "cancelRequestState": lambda b: b["cancelStatus"].update(cancelRequests=[{"cancelRequestState": "NEW"}]),
    "lineItemFulfillmentStatus": lambda b: b["lineItems"][1].update(lineItemFulfillmentStatus="NEW"),
    "fulfillmentInstructionsType": lambda b: b["fulfillmentStartInstructions"][0].update(
        fulfillmentInstructionsType="NEW"
    ),
    "fulfilledBy": lambda b: b.update(program={"fulfillmentProgram": {"fulfilledBy": "NEW"}}),
}


@pytest.mark.parametrize("field", sorted(UNKNOWN))
def test_a_value_that_is_new_parks_the_order_by_its_name(field: str) -> None:
    with pytest.raises(Park) as held:
        parsed(made(UNKNOWN[field]))
    assert held.value.causes[0].startswith(f"enum:ebay.{field}=")


@pytest.mark.parametrize("kind", ["DIGITAL", "PREPARE_FOR_PICKUP"])
def test_what_is_not_shipped_is_a_persons(kind: str) -> None:
    change = lambda b: b["fulfillmentStartInstructions"][0].update(fulfillmentInstructionsType=kind)  # noqa: E731
    with pytest.raises(Park, match=kind):
        parsed(made(change))


SMALL = {
    "lineItemId": "1", "quantity": 1, "lineItemFulfillmentStatus": "NOT_STARTED", "sku": "TEA-1",
    "lineItemCost": {"value": "1.00", "currency": "GBP"},
}  # fmt: skip
BROKEN: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no lines": (lambda b: b.update(lineItems=[]), "$.lineItems"),
    "too many": (lambda b: b.update(lineItems=[SMALL] * (LINES_MAX + 1)), "$.lineItems"),
    "same id": (
        lambda b: b["lineItems"][1].update(lineItemId=b["lineItems"][0]["lineItemId"]),
        "$.lineItems",
    ),
    "no units": (lambda b: b["lineItems"][0].update(quantity=0), "$.lineItems[0].quantity"),
    "no SKU at all": (lambda b: b["lineItems"][0].update(sku=" ", legacyItemId=None), "$.lineItems[0].sku"),
    "another currency": (
        lambda b: b["lineItems"][0]["lineItemCost"].update(currency="USD"),
        "$.lineItems[0].lineItemCost.currency",
    ),
    "no currency": (
        lambda b: b["pricingSummary"]["total"].update(currency="QQQ"),
        "$.pricingSummary.total.currency",
    ),
    "no number": (
        lambda b: b["pricingSummary"]["total"].update(value="12,50"),
        "$.pricingSummary.total.value",
    ),
    "negative": (
        lambda b: b["lineItems"][0]["lineItemCost"].update(value="-1.00"),
        "$.lineItems[0].lineItemCost.value",
    ),
    "no zone": (lambda b: b.update(lastModifiedDate="2026-03-01T12:00:00.000"), "$.lastModifiedDate"),
    "no state": (lambda b: b.pop("cancelStatus"), "$"),
    "two plans": (
        lambda b: b.update(fulfillmentStartInstructions=b["fulfillmentStartInstructions"] * 2),
        "$.fulfillmentStartInstructions",
    ),
    "no country": (
        lambda b: b["fulfillmentStartInstructions"][0]["shippingStep"]["shipTo"].update(
            contactAddress={"city": "Exampleton", "countryCode": "England"}
        ),
        "$.fulfillmentStartInstructions[0].shippingStep.shipTo.contactAddress.countryCode",
    ),
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_broken_order_names_the_place_and_never_the_value(name: str) -> None:
    change, path = BROKEN[name]
    with pytest.raises(Malformed) as held:
        parsed(made(change))
    assert held.value.path == path
    assert "Example" not in str(held.value)


def test_an_endless_order_is_not_read() -> None:
    with pytest.raises(Malformed, match="larger"):
        parse_order(b" " * (ORDER_BYTES_MAX + 1), RULES)


def test_after_ninety_days_there_is_no_buyer_left() -> None:
    def faded(body: dict[str, Any]) -> None:
        body["buyer"] = {"username": "example-buyer"}
        body["fulfillmentStartInstructions"] = []

    order = parsed(made(faded))
    assert order.buyer is not None
    assert (order.buyer.name, order.ship_to, order.bill_to) == ("example-buyer", None, None)


def test_a_listing_without_a_sku_is_named_by_its_number() -> None:
    assert [line.sku for line in parsed(load("no_sku_unpaid")).lines] == ["ebay:110000000077/440000000001"]


def test_a_hub_gets_its_reference_and_its_address() -> None:
    ship_to = parsed(load("hub_shipping")).ship_to
    assert ship_to is not None
    assert (ship_to.street2, ship_to.country) == ("Reference #0000000000000042 Dock 3", "US")


def test_a_page_in_which_one_order_is_no_json_keeps_the_others() -> None:
    body = (FIXTURES / "page.json").read_bytes()
    rows, total = PAGES.split(body)
    assert ([row.order_id for row in rows], total) == (["02-10001-07919", "03-10002-15838"], 2)
    spoilt = body.replace(b"Exampleton", b"Ex\xff\xfeton", 1)
    rows, total = PAGES.split(spoilt)
    assert ([row.order_id for row in rows], total) == (["02-10001-07919", "03-10002-15838"], 2)


LEAVES: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just({}) | st.just([])
)


@given(data=st.data())
def test_whatever_a_field_holds_it_is_read_or_refused(data: st.DataObject) -> None:
    """One value anywhere replaced by anything: an Order, Park or Malformed, and nothing else."""
    body = made()
    here: Any = body
    for _ in range(data.draw(st.integers(0, 4))):
        keys = sorted(here) if isinstance(here, dict) else list(range(len(here)))
        if not keys:
            break
        key = data.draw(st.sampled_from(keys))
        if not isinstance(here[key], dict | list) or data.draw(st.booleans()):
            here[key] = data.draw(LEAVES)
            break
        here = here[key]
    with contextlib.suppress(Park):
        assert isinstance(parsed(body), Order)
