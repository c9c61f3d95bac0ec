"""Amazon's published models: what we send fits them, their examples can be read, the sandbox obeys them, no value is new."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
from jsonschema import Draft4Validator, Draft7Validator

from adapters.amazon import ADAPTER
from adapters.amazon.adapter import USAGE, Amazon
from adapters.amazon.api import INCLUDED, PACKAGES
from adapters.amazon.mapping import FULFILLERS, STATES, Rules, parse_order
from adapters.amazon.money import COLLECTORS, DETAILS, ITEM_PARTS, ORDER_PARTS
from adapters.amazon.sandbox import AmazonSandbox
from adapters.amazon.sandbox_http import RATES
from adapters.amazon.sandbox_world import Behaviour
from adapters.amazon.stock import read_report
from marketsync.domain.coverage import Axis, Window
from marketsync.domain.deliveries import Kind
from marketsync.domain.ids import ConnectionId, LineId, MerchantId, OrderId, Reference, RemoteId, Sku
from marketsync.domain.orders import Phase, imbalance, phase
from marketsync.domain.shipments import Shipment, ShippedLine
from marketsync.errors import Malformed
from marketsync.http import BuildContext, client_of
from marketsync.ports import (
    ConfirmShipment,
    Departure,
    ProbeSpan,
    PublishStock,
    Request,
    Response,
    StepDone,
    StockItem,
)

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
URL = "https://sellingpartnerapi-eu.example"
MODELS = ("orders_2026-01-01", "ordersV0", "listingsItems_2021-08-01", "feeds_2021-06-30", "sellers")
# The token service and the files' hosts are in no model.
BESIDE = {"token", "uploadFeedDocument", "downloadFeedDocument"}
RULES = Rules(MerchantId("main"), ConnectionId("amazon"))
FEEDS = "listings-feed"

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


def problems(model: Json, schema: Json, body: Any) -> list[str]:
    """Where the body leaves the schema, and fields that it does not name."""
    validator = Draft4Validator({**schema, "definitions": model["definitions"]})
    wrong = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(body)]
    return wrong + [f"{path} is not in the model" for path in strangers(model, schema, body, "$")]


def strangers(model: Json, schema: Json, body: Any, path: str) -> Iterator[str]:
    while "$ref" in schema:
        schema = model["definitions"][schema["$ref"].rpartition("/")[2]]
    if isinstance(body, list):
        for i, entry in enumerate(body):
            yield from strangers(model, schema.get("items", {}), entry, f"{path}[{i}]")
    elif isinstance(body, dict) and "properties" in schema:
        for name, value in body.items():
            if name not in schema["properties"]:
                yield f"{path}.{name}"
            yield from strangers(model, schema["properties"].get(name, {}), value, f"{path}.{name}")


class Exchange(msgspec.Struct):
    request: Request
    response: Response


class Recorder:
    """Carries to the sandbox and keeps both sides of each exchange. Its clock runs past every budget."""

    def __init__(self) -> None:
        behaviour = Behaviour(pending_seconds=(60.0, 60.0), stale_seconds=0.0, short_page_every=1)
        self.sandbox = AmazonSandbox({"TEA-1": 10, "MUG-2": 3}, behaviour)
        self.time = 1000.0
        self.exchanges: list[Exchange] = []

    @property
    def boot_id(self) -> str:
        return "boot"

    def now(self) -> datetime:
        return START + timedelta(seconds=self.time)

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds

    async def send(self, request: Request) -> Response:
        response = self.sandbox.handle(request, self.now())
        response = msgspec.structs.replace(response, received_at=self.time)
        self.exchanges.append(Exchange(request, response))
        return response

    async def close(self) -> None: ...
    def uniform(self, low: float, high: float) -> float:
        return (low + high) / 2

    def token(self, length: int) -> str:
        return "n" * length

    def event(self, name: str, /, **fields: Any) -> None: ...
    def count(self, metric: str, amount: float = 1, /, **labels: str) -> None: ...
    def gauge(self, metric: str, value: float, /, **labels: str) -> None: ...
    def observe(self, metric: str, seconds: float, /, **labels: str) -> None: ...

    def departure(self) -> Departure:
        return Departure(1, self.time + 300.0)

    def adapter(self) -> Amazon:
        settings = ADAPTER.settings(
            client_id="sandbox-client", client_secret="cred:s", refresh_token="cred:r",
            seller_id=self.sandbox.behaviour.seller_id, marketplace_ids=self.sandbox.behaviour.marketplace_ids,
            url=URL, token_url=f"{URL}/auth/o2/token",
        )  # fmt: skip
        secrets = {"client_secret": "sandbox-secret", "refresh_token": "sandbox-refresh"}
        plan = ADAPTER.plan(settings, secrets)
        http = client_of(plan, "amazon", transport=self, clock=self, random=self, observer=self)
        built = ADAPTER.build(BuildContext(MerchantId("main"), ConnectionId("amazon"), http, self), settings)
        assert isinstance(built, Amazon)
        return built

    def place(self, *lines: tuple[str, int]) -> str:
        order_id = self.sandbox.place_order(self.now(), lines)
        assert order_id is not None
        return order_id


def parcel(world: Recorder, order_id: str, carrier: str, mark: str) -> ConfirmShipment:
    line = ShippedLine(LineId(world.sandbox.world.orders[order_id].lines[0].item_id), 1)
    ref = Reference("ms-abc-defg-hijklmnopqrstu")
    shipment = Shipment(ref, RemoteId(mark), (line,), tracking_number=f"T-{mark}")
    return ConfirmShipment(
        OrderId(order_id), shipment, carrier, completes_order=True, channel="A1PA6795UKMFR9"
    )


@pytest.fixture
async def exchanges() -> list[Exchange]:
    """Every call that the adapter knows, once at least, over orders in every state."""
    world = Recorder()
    adapter = world.adapter()
    shipped, gone, asked = (world.place(("TEA-1", 2)) for _ in range(3))
    world.sandbox.place_order(world.now(), [("TEA-1", 1)], by_amazon=True)
    await adapter.probe_traits()
    world.time += 300
    world.sandbox.cancel_order(world.now(), gone)
    world.sandbox.ask_cancel(world.now(), asked)
    world.place(("MUG-2", 1))
    confirm = adapter.writers[Kind.CONFIRM]
    for carrier, mark in (("DHL", "p1"), ("Bike Courier", "p2")):
        payload = parcel(world, shipped, carrier, mark)
        await confirm.send(payload, 0, "", world.departure())
        await adapter.fetch_orders_by_ids([OrderId(x) for x in (shipped, gone, asked, "302-0-0")])
        await confirm.probe(payload, 0, "", ProbeSpan(START, world.now()))
    world.time += 200
    for axis in Axis:
        hi = world.now() - timedelta(seconds=125)
        await adapter.fetch_orders(Window(axis, START, hi), 0)
    await publish(world, adapter)
    return world.exchanges


async def publish(world: Recorder, adapter: Amazon) -> None:
    stock: Any = adapter.writers[Kind.STOCK]
    for sku in ("TEA-1", "NONE"):
        await stock.send(PublishStock((StockItem(Sku(sku), 7),)), 0, "", world.departure())
    payload = PublishStock((StockItem(Sku("TEA-1"), 7), StockItem(Sku("NONE"), 1)))
    for _ in range(2):
        waiting = await stock.send(payload, 0, "", world.departure())
        done = await stock.poll(payload, 0, waiting.receipt)
        while not isinstance(done, StepDone):
            world.time += 300
            done = await stock.poll(payload, 0, waiting.receipt)
        await stock.results(payload, done.checkpoint)


def described(models: list[Json], request: Request) -> tuple[Json, Json, dict[str, str]]:
    """The model, its operation that the request's method and path name, and the values in the path."""
    path = urlsplit(request.url).path
    for model in models:
        for template, operations in model["paths"].items():
            found = re.fullmatch(re.sub(r"\{([^/]+)\}", r"(?P<\1>[^/]+)", template), path)
            if found and request.method.lower() in operations:
                return model, operations[request.method.lower()], found.groupdict()
    raise AssertionError(f"{request.method} {path} is in no model")


def in_models(exchanges: list[Exchange]) -> list[Exchange]:
    return [exchange for exchange in exchanges if exchange.request.operation not in BESIDE]


async def test_every_call_is_played(exchanges: list[Exchange]) -> None:
    assert {exchange.request.operation for exchange in exchanges} == set(USAGE) | BESIDE


async def test_every_request_fits_its_model(models: list[Json], exchanges: list[Exchange]) -> None:
    for exchange in in_models(exchanges):
        request = exchange.request
        model, operation, in_path = described(models, request)
        assert operation["operationId"] == request.operation
        stated = {x["name"]: x for x in operation.get("parameters", [])}
        given = dict(parse_qsl(urlsplit(request.url).query, keep_blank_values=True))
        for name, value in given.items():
            assert stated.get(name, {}).get("in") == "query", f"{request.operation} has no parameter {name}"
            check_parameter(stated[name], value)
        needed = {name for name, x in stated.items() if x.get("required") and x["in"] == "query"}
        assert needed <= set(given)
        assert {name for name, x in stated.items() if x["in"] == "path"} == set(in_path)
        body = next((x for x in stated.values() if x["in"] == "body"), None)
        assert (body is not None) == bool(request.body), request.operation
        if body is not None:
            assert problems(model, body["schema"], json.loads(request.body)) == []


def check_parameter(parameter: Json, value: str) -> None:
    assert value
    match parameter["type"]:
        case "array":
            values = value.split(",")
            assert parameter.get("collectionFormat", "csv") == "csv"
            assert len(values) <= parameter.get("maxItems", 50)
            assert set(values) <= set(parameter["items"].get("enum", values))
        case "integer":
            assert 1 <= int(value) <= 100
        case _ if parameter.get("format") == "date-time":
            assert datetime.fromisoformat(value).tzinfo is not None


async def test_every_answer_of_the_sandbox_fits_its_model(
    models: list[Json], exchanges: list[Exchange]
) -> None:
    seen = set()
    for exchange in in_models(exchanges):
        model, operation, _ = described(models, exchange.request)
        status = str(exchange.response.status)
        assert status in operation["responses"], exchange.request.operation
        seen.add((exchange.request.operation, status))
        schema = operation["responses"][status].get("schema")
        if schema is None:
            assert exchange.response.body == b""
            continue
        assert problems(model, schema, json.loads(exchange.response.body)) == []
    assert {("getOrder", "404"), ("patchListingsItem", "200"), ("createFeed", "202")} <= seen


async def test_refusals_of_the_sandbox_fit_their_models(models: list[Json]) -> None:
    sandbox = AmazonSandbox({}, Behaviour())
    calls = [
        ("GET", "/orders/2026-01-01/orders"),
        ("PATCH", "/listings/2021-08-01/items/A/B"),
        ("POST", "/feeds/2021-06-30/feeds"),
        ("POST", "/orders/v0/orders/302-1-1/shipmentConfirmation"),
    ]
    for method, path in calls:
        request = Request("amazon", "", method, URL + path)
        response = sandbox.handle(request, START)
        model, operation, _ = described(models, request)
        schema = operation["responses"][str(response.status)]["schema"]
        assert problems(model, schema, json.loads(response.body)) == []


async def test_feeds_and_their_reports_fit_their_schemas(folder: Path, exchanges: list[Exchange]) -> None:
    feed = Draft7Validator(loaded(folder / "feeds" / f"{FEEDS}-schema-v2.json"))
    message = Draft7Validator(loaded(folder / "feeds" / f"{FEEDS}-message-schema-v2.json"))
    report = Draft7Validator(loaded(folder / "feeds" / f"{FEEDS}-processing-report-schema-v2.json"))
    sent = [json.loads(x.request.body) for x in exchanges if x.request.operation == "uploadFeedDocument"]
    got = [x.response.body for x in exchanges if x.request.operation == "downloadFeedDocument"]
    assert len(sent) == len(got) == 2
    for body in sent:
        assert list(feed.iter_errors(body)) == []
        assert [error for entry in body["messages"] for error in message.iter_errors(entry)] == []
    for packed in got:
        plain = gzip.decompress(packed) if packed[:2] == b"\x1f\x8b" else packed
        assert list(report.iter_errors(json.loads(plain))) == []


def test_the_published_report_is_read(folder: Path) -> None:
    body = loaded(folder / "feeds" / f"{FEEDS}-processing-report-schema-v2.example.json")
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
