"""Amazon's published models: their examples can be read, and no value of theirs is new to us."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from adapters.amazon.api import INCLUDED, PACKAGES
from adapters.amazon.hints import read_hint
from adapters.amazon.mapping import FULFILLERS, STATES, Rules, parse_order
from adapters.amazon.money import COLLECTORS, DETAILS, ITEM_PARTS, ORDER_PARTS
from adapters.amazon.sandbox_http import RATES
from adapters.amazon.stock import read_report
from marketsync.domain.ids import ConnectionId, MerchantId, Sku
from marketsync.domain.orders import Phase, imbalance, phase
from marketsync.errors import Malformed
from marketsync.ports import StockItem

MODELS = ("orders_2026-01-01", "ordersV0", "listingsItems_2021-08-01", "feeds_2021-06-30", "sellers")
RULES = Rules(MerchantId("main"), ConnectionId("amazon"))

Json = dict[str, Any]


def loaded(path: Path) -> Json:
    found: Json = json.loads(path.read_text())
    return found


@pytest.fixture(scope="module")
def folder(contracts: Path) -> Path:
    return contracts / "amazon"


@pytest.fixture(scope="module")
def models(folder: Path) -> list[Json]:
    return [loaded(folder / f"{name}.json") for name in MODELS]


@pytest.fixture(scope="module")
def orders(models: list[Json]) -> Json:
    return models[0]


def test_the_published_change_of_an_order_is_read(folder: Path) -> None:
    (example, *_) = loaded(folder / "notifications" / "OrderChangeNotification.json")["examples"]
    change = example["Payload"]["OrderChangeNotification"]
    message = json.dumps(example).encode()
    assert read_hint(message, change["SellerId"]) == (change["AmazonOrderId"],)
    assert read_hint(message, "another") == ()


def test_the_published_report_is_read(folder: Path) -> None:
    body = loaded(folder / "feeds" / "listings-feed-processing-report-schema-v2.example.json")
    summary = body["summary"]
    # Its messages are numbered from 2: the first was not processed.
    items = tuple(StockItem(Sku(f"SKU-{i}"), 1) for i in range(1, summary["messagesProcessed"] + 2))
    body["summary"]["messagesAccepted"] += 1
    found = read_report(json.dumps(body).encode(), items, body["header"]["feedId"])
    assert [result.error for result in found] == ["", "", "", "90220", "99022"]


# The published orders


def examples(model: Json) -> list[Json]:
    listed = model["paths"]["/orders/2026-01-01/orders"]["get"]["responses"]["200"]["examples"]
    single = model["paths"]["/orders/2026-01-01/orders/{orderId}"]["get"]["responses"]["200"]["examples"]
    return [*listed["application/json"]["orders"], single["application/json"]["order"]]


def test_every_published_order_is_read_and_balances(orders: Json, capsys: Any) -> None:
    read = []
    for body in examples(orders):
        order = parse_order(json.dumps(body).encode(), RULES)
        difference = imbalance(order)
        read.append((order.key.order_id, phase(order), difference, order.cancel_asked))
        with capsys.disabled():
            print(
                f"\n{order.key.order_id}: {'balances' if difference == 0 else f'is off by {difference}'}",
                end="",
            )
    assert read == [
        ("123-4567890-1234567", Phase.SHIPPED, 0, False),
        ("202-1234567-8901234", Phase.SHIPPED, 0, False),
    ]


V0_STATES = {
    "Pending": "PENDING",
    "Unshipped": "UNSHIPPED",
    "PartiallyShipped": "PARTIALLY_SHIPPED",
    "Shipped": "SHIPPED",
    "Canceled": "CANCELLED",
    "Unfulfillable": "UNFULFILLABLE",
    "InvoiceUnconfirmed": "SHIPPED",
    "PendingAvailability": "PENDING_AVAILABILITY",
}
V0_PARTS = {
    "ItemPrice": "ITEM",
    "ShippingPrice": "SHIPPING",
    "CODFee": "COD_FEE",
    "GiftWrapPrice": "GIFT_WRAP",
}
V0_DISCOUNTS = ("PromotionDiscount", "ShippingDiscount", "CODFeeDiscount")
V0_TAXES = {"ItemTax": "ITEM", "ShippingTax": "SHIPPING"}


def lifted(order: Json, items: list[Json]) -> Json:
    """An order of the API that is going away, in the words of the one that stays. Only for its examples."""
    by = {"MFN": "MERCHANT", "AFN": "AMAZON"}[order["FulfillmentChannel"]]
    found: Json = {
        "orderId": order["AmazonOrderId"],
        "createdTime": order["PurchaseDate"],
        "lastUpdatedTime": order["LastUpdateDate"],
        "salesChannel": {"channelName": "AMAZON", "marketplaceId": order["MarketplaceId"]},
        "fulfillment": {"fulfillmentStatus": V0_STATES[order["OrderStatus"]], "fulfilledBy": by},
        "orderItems": [lifted_item(item) for item in items],
    }
    if "OrderTotal" in order:
        found["proceeds"] = {"grandTotal": lifted_money(order["OrderTotal"]), "breakdowns": []}
    if "ShippingAddress" in order:
        stated = order["ShippingAddress"]
        names = {
            "Name": "name",
            "AddressLine1": "addressLine1",
            "City": "city",
            "PostalCode": "postalCode",
            "StateOrRegion": "stateOrRegion",
            "CountryCode": "countryCode",
        }
        address = {new: stated[old] for old, new in names.items() if old in stated}
        found["recipient"] = {"deliveryAddress": address}
    return found


def lifted_item(item: Json) -> Json:
    stated = {**item, **item.get("BuyerInfo", {})}
    parts = [
        {"type": kind, "subtotal": lifted_money(stated[name])}
        for name, kind in V0_PARTS.items()
        if name in stated
    ]
    parts += [
        {"type": "DISCOUNT", "subtotal": lifted_money(stated[name])}
        for name in V0_DISCOUNTS
        if name in stated
    ]
    parts += [{"type": "TAX", "subtotal": lifted_money(stated[name])} for name in V0_TAXES if name in stated]
    return {
        "orderItemId": item["OrderItemId"],
        "quantityOrdered": item["QuantityOrdered"],
        "product": {"asin": item["ASIN"], "sellerSku": item["SellerSKU"], "title": item.get("Title")},
        "proceeds": {"breakdowns": parts},
        "fulfillment": {"quantityFulfilled": item.get("QuantityShipped", 0)},
    }


def lifted_money(stated: Json) -> Json:
    return {"amount": stated["Amount"], "currencyCode": stated["CurrencyCode"]}


@pytest.fixture(scope="module")
def old(models: list[Json]) -> tuple[list[Json], list[Json]]:
    """The orders and the items that the old API's model shows."""
    paths = models[1]["paths"]

    def shown(path: str) -> Any:
        return paths[path]["get"]["responses"]["200"]["examples"]["application/json"]["payload"]

    listed, single = shown("/orders/v0/orders")["Orders"], shown("/orders/v0/orders/{orderId}")
    return [*listed, single], shown("/orders/v0/orders/{orderId}/orderItems")["OrderItems"]


def test_the_orders_of_the_old_api_are_read_pending(old: tuple[list[Json], list[Json]]) -> None:
    for body in old[0]:
        order = parse_order(json.dumps(lifted(body, old[1])).encode(), RULES)
        assert (phase(order), imbalance(order), order.total) == (Phase.PENDING, 0, 0)
        assert [(line.sku, line.wanted) for line in order.lines] == [("CBA_OTF_1", 1), ("CBA_OTF_5", 2)]


@pytest.mark.parametrize(
    "total, difference", [("99.18", "0"), ("98.18", "0"), ("105.00", "6.82"), (None, None)]
)
def test_the_items_of_the_old_api_balance_or_say_by_how_much_they_do_not(
    old: tuple[list[Json], list[Json]], total: str | None, difference: str | None
) -> None:
    """25.99 + 1.26 + 10.00 + 41.99 and 17.95 + 1.99, less a discount of 1.00 or not."""
    body: Json = {**old[0][0], "OrderStatus": "Unshipped"}
    if total is not None:
        body["OrderTotal"] = {"CurrencyCode": "JPY", "Amount": total}
    document = lifted(body, old[1])
    with pytest.raises(Malformed) as held:
        parse_order(json.dumps(document).encode(), RULES)
    if total is None:
        assert held.value.path == "$.proceeds.grandTotal"
        return
    # The example has yen, and one pound among them.
    assert held.value.path.endswith("breakdowns[3].subtotal.currencyCode")
    order = parse_order(json.dumps(document).replace('"GBP"', '"JPY"').encode(), RULES)
    assert str(imbalance(order)) == difference


# Every published value


def values_in(text: str) -> set[str]:
    """The values that a description lists after its colon."""
    return set(re.findall(r"`([A-Z_]+)`", text.partition("**Possible values**")[2].partition("**Note")[0]))


@pytest.mark.parametrize(
    "schema, field, known",
    [
        ("OrderProceedsBreakdown", "type", ORDER_PARTS),
        ("ItemProceedsBreakdown", "type", ITEM_PARTS),
        ("ItemProceedsDetailedBreakdown", "subtype", DETAILS),
        ("OrderFulfillment", "fulfilledBy", set(FULFILLERS)),
        ("ItemTaxCollection", "model", COLLECTORS),
        ("ItemCancellationRequest", "requester", {"BUYER"}),
    ],
)
def test_every_published_value_is_known(orders: Json, schema: str, field: str, known: Any) -> None:
    text = orders["definitions"][schema]["properties"][field]["description"]
    assert values_in(text) == set(known)


def test_every_published_state_is_known(models: list[Json]) -> None:
    orders, v0, listings, feeds, _ = (model["definitions"] for model in models)
    assert set(orders["FulfillmentStatus"]["enum"]) == set(STATES)
    assert set(v0["Order"]["properties"]["OrderStatus"]["enum"]) == set(V0_STATES)
    assert set(listings["ListingsItemSubmissionResponse"]["properties"]["status"]["enum"]) == {
        "ACCEPTED",
        "INVALID",
        "VALID",
    }
    assert set(listings["Issue"]["properties"]["severity"]["enum"]) == {"ERROR", "WARNING", "INFO"}
    assert set(feeds["Feed"]["properties"]["processingStatus"]["enum"]) == {
        "IN_QUEUE",
        "IN_PROGRESS",
        "DONE",
        "CANCELLED",
        "FATAL",
    }
    assert "COUNT" in orders["Measurement"]["properties"]["unit"]["enum"]
    datasets = {x["name"]: x for x in models[0]["paths"]["/orders/2026-01-01/orders"]["get"]["parameters"]}
    assert {*INCLUDED.split(","), *PACKAGES.split(",")} <= set(datasets["includedData"]["items"]["enum"])


def test_the_budgets_are_the_published_ones(models: list[Json]) -> None:
    published: dict[str, tuple[float, int]] = {}
    called = (x for model in models for path in model["paths"].values() for x in path.values())
    for operation in called:
        text = operation.get("description", "") if isinstance(operation, dict) else ""
        found = re.search(r"\| *([\d.]+) *\| *(\d+) *\|", text)
        if found and operation["operationId"] in RATES:
            # The model that is named first is the one that is called.
            published.setdefault(operation["operationId"], (float(found.group(1)), int(found.group(2))))
    assert published == RATES
