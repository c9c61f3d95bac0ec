"""Amazon's published models: what we send fits them, and the sandbox obeys them."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from jsonschema import Draft4Validator, Draft7Validator

from adapters.amazon import ADAPTER
from adapters.amazon.adapter import USAGE, Amazon
from adapters.amazon.mapping import Rules
from adapters.amazon.sandbox import AmazonSandbox
from adapters.amazon.sandbox_world import Behaviour
from marketsync.domain.aftersales import CancelSale, RefundLine, RefundSale
from marketsync.domain.coverage import Axis, Window
from marketsync.domain.deliveries import Kind
from marketsync.domain.ids import ConnectionId, LineId, MerchantId, OrderId, Reference, RemoteId, Sku
from marketsync.domain.shipments import Shipment, ShippedLine
from marketsync.http import BuildContext, client_of
from marketsync.ports import (
    ConfirmShipment,
    Departure,
    ProbeSpan,
    PublishStock,
    Request,
    StepDone,
    StockItem,
)
from tests.conformance.recorder import Exchange, Recorder

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


class AmazonRecorder(Recorder):
    def __init__(self) -> None:
        behaviour = Behaviour(pending_seconds=(60.0, 60.0), stale_seconds=0.0, short_page_every=1)
        self.sandbox = AmazonSandbox({"TEA-1": 10, "MUG-2": 3}, behaviour)
        super().__init__(self.sandbox, START)

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


def parcel(world: AmazonRecorder, order_id: str, carrier: str, mark: str) -> ConfirmShipment:
    line = ShippedLine(LineId(world.sandbox.world.orders[order_id].lines[0].item_id), 1)
    ref = Reference("ms-abc-defg-hijklmnopqrstu")
    shipment = Shipment(ref, RemoteId(mark), (line,), tracking_number=f"T-{mark}")
    return ConfirmShipment(
        OrderId(order_id), shipment, carrier, completes_order=True, channel="A1PA6795UKMFR9"
    )


@pytest.fixture
async def exchanges() -> list[Exchange]:
    """Every call that the adapter knows, once at least, over orders in every state."""
    world = AmazonRecorder()
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
    await after_sales(world, adapter, shipped)
    return world.exchanges


async def after_sales(world: AmazonRecorder, adapter: Amazon, shipped: str) -> None:
    """The files are in no model; what goes around them is."""
    item = world.sandbox.world.orders[shipped].lines[0].item_id
    given = RefundLine(LineId(item), Decimal(1))
    payloads: list[tuple[Kind, Any]] = [
        (Kind.CANCEL_SALE, CancelSale(OrderId(world.place(("MUG-2", 1))), channel="A1PA6795UKMFR9")),
        (Kind.REFUND, RefundSale("key", OrderId(shipped), "EUR", (given,), channel="A1PA6795UKMFR9")),
    ]
    world.time += 300
    for kind, payload in payloads:
        writer: Any = adapter.writers[kind]
        done = await writer.send(payload, 0, "", world.departure())
        await writer.probe(payload, 0, "", ProbeSpan(START, world.now()))
        while not isinstance(await writer.poll(payload, 1, done.checkpoint), StepDone):
            world.time += 300


async def publish(world: AmazonRecorder, adapter: Amazon) -> None:
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
    up = [x.request.body for x in exchanges if x.request.operation == "uploadFeedDocument"]
    sent = [json.loads(body) for body in up if body.startswith(b"{")]
    got = [x.response.body for x in exchanges if x.request.operation == "downloadFeedDocument"][: len(sent)]
    assert (len(sent), len(got), len(up)) == (2, 2, 4)
    for body in sent:
        assert list(feed.iter_errors(body)) == []
        assert [error for entry in body["messages"] for error in message.iter_errors(entry)] == []
    for packed in got:
        plain = gzip.decompress(packed) if packed[:2] == b"\x1f\x8b" else packed
        assert list(report.iter_errors(json.loads(plain))) == []
