"""eBay's published APIs: what we send and what the sandbox answers name nothing that the contract does not know. Its schemas
have no example, no required field and no value: so documents are built from them, with every property filled."""

from __future__ import annotations

import contextlib
import copy
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
from jsonschema import Draft202012Validator

from adapters.ebay import ADAPTER
from adapters.ebay.adapter import Ebay
from adapters.ebay.mapping import (
    CANCEL_STATES,
    FULFILMENT_STATES,
    NOT_SHIPPED,
    PAYMENT_STATES,
    REQUEST_STATES,
    SHIPPED_BY_US,
    Rules,
    parse_order,
)
from adapters.ebay.sandbox import EbaySandbox
from adapters.ebay.sandbox_world import Behaviour
from marketsync.domain.coverage import Axis, Window
from marketsync.domain.deliveries import Kind
from marketsync.domain.ids import ConnectionId, LineId, MerchantId, OrderId, Reference, RemoteId, Sku
from marketsync.domain.lifecycle import problem
from marketsync.domain.orders import Order, imbalance
from marketsync.domain.shipments import Shipment, ShippedLine
from marketsync.errors import ConfigError, Park
from marketsync.http import BuildContext, client_of
from marketsync.ports import ConfirmShipment, Departure, ProbeSpan, PublishStock, Request, StockItem
from tests.conformance.recorder import Exchange, Recorder

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RULES = Rules(MerchantId("main"), ConnectionId("ebay"))
FILES = {
    "/sell/fulfillment/v1": "jdb_sell_fulfillment_v1_oas3.json",
    "/sell/inventory/v1": "jdb_sell_inventory_v1_oas3.json",
    "/commerce/notification/v1": "jdb_commerce_notification_v1_oas3.json",
}
# The token end is described in prose alone.
UNDESCRIBED = {"token"}


@pytest.fixture(scope="module")
def contract(contracts: Path) -> dict[str, dict[str, Any]]:
    return {base: json.loads((contracts / "ebay" / name).read_text()) for base, name in FILES.items()}


# The Post-Order API has no document that could be compared with.
UNPUBLISHED = {"createCancellation", "approveCancellation"}


class EbayRecorder(Recorder):
    def __init__(self, behaviour: Behaviour) -> None:
        self.sandbox = EbaySandbox({"TEA-1": 10, "MUG-2": 3}, behaviour)
        self.sandbox.world.public_keys["key-1"] = "-----BEGIN PUBLIC KEY-----AAAA-----END PUBLIC KEY-----"
        super().__init__(self.sandbox, START)

    def adapter(self) -> Ebay:
        settings = ADAPTER.settings(client_id="Sandbox-App-0001", client_secret="c", refresh_token="r")
        plan = ADAPTER.plan(
            settings, {"client_secret": "sandbox-cert", "refresh_token": "v^1.1#sandbox-refresh"}
        )
        http = client_of(plan, "ebay", transport=self, clock=self, random=self, observer=self)
        built = ADAPTER.build(BuildContext(MerchantId("main"), ConnectionId("ebay"), http, self), settings)
        assert isinstance(built, Ebay)
        return built


def parcel(world: EbayRecorder, order_id: str, number: str) -> ConfirmShipment:
    line = LineId(world.sandbox.world.orders[order_id].lines[0].line_id)
    shipment = Shipment(
        Reference("ms-abc-defg-hijklmnopqrstu"), RemoteId(f"p{number}"), (ShippedLine(line, 1),),
        tracking_number=number, shipped_at=START,
    )  # fmt: skip
    return ConfirmShipment(OrderId(order_id), shipment, "DHL", completes_order=False)


async def play(**behaviour: Any) -> list[Exchange]:
    """Every call that the adapter knows, on an account with everything in it."""
    world = EbayRecorder(Behaviour(discount=Decimal("1.00"), **behaviour))
    adapter = world.adapter()
    placed = [world.sandbox.place_order(world.now(), [("TEA-1", 2), ("MUG-2", 1)])]
    placed += [world.sandbox.place_order(world.now(), [("TEA-1", 1)]) for _ in range(3)]
    first, hub, asked, gone = (OrderId(order_id or "") for order_id in placed)
    world.time += 60
    orders = world.sandbox.world.orders
    orders[hub] = msgspec.structs.replace(orders[hub], global_shipping=True)
    world.sandbox.touch(world.now(), hub)
    world.sandbox.ask_to_cancel(world.now(), asked)
    world.sandbox.cancel_order(world.now(), gone)
    world.time += 60
    await adapter.probe_traits()
    for axis in Axis:
        await adapter.fetch_orders(Window(axis, START, world.now()), 0)
    for order_id in (first, hub, OrderId("01-00000-00000")):
        await adapter.fetch_orders_by_ids([order_id])
    confirm, stock = adapter.writers[Kind.CONFIRM], adapter.writers[Kind.STOCK]
    departure = Departure(1, world.time + 10.0)
    for number in ("T1", ""):
        await confirm.send(parcel(world, first, number), 0, "", departure)
    await confirm.probe(parcel(world, first, "T1"), 0, "", ProbeSpan(START, world.now()))
    for skus in (("TEA-1",), ("TEA-1", "NONE")):
        payload = PublishStock(tuple(StockItem(Sku(sku), 7) for sku in skus))
        await stock.send(payload, 0, "", departure)
    header = "eyJraWQiOiJrZXktMSIsInNpZ25hdHVyZSI6IiJ9"
    # Whether a signature can be checked at all hangs on an extra: the call for the key is made either way.
    with contextlib.suppress(ConfigError):
        await adapter.verify_hint({"x-ebay-signature": header}, b"{}")
    return world.exchanges


@pytest.fixture
async def exchanges() -> list[Exchange]:
    return [x for tax in ("remit", "seller", "none") for x in await play(tax=tax)]


class Described(msgspec.Struct):
    schemas: dict[str, Any]
    operation: dict[str, Any]


def described(contract: dict[str, dict[str, Any]], request: Request) -> Described:
    """The operation of the contract that a request's method and path name."""
    path = urlsplit(request.url).path
    for base, api in contract.items():
        for template, operations in api["paths"].items():
            pattern = base + re.sub(r"\{[^/]+\}", "[^/]+", template)
            if re.fullmatch(pattern, path) and request.method.lower() in operations:
                return Described(api["components"]["schemas"], operations[request.method.lower()])
    raise AssertionError(f"{request.method} {path} is in no contract")


def strangers(schemas: dict[str, Any], schema: dict[str, Any], body: Any, path: str = "$") -> Iterator[str]:
    """Keys that the schema does not know, and values of another type."""
    while "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    shallow = {key: schema[key] for key in ("type", "format") if key in schema}
    yield from (f"{path}: {error.message}" for error in Draft202012Validator(shallow).iter_errors(body))
    if isinstance(body, dict):
        known = schema.get("properties", {})
        for key, value in body.items():
            if key in known:
                yield from strangers(schemas, known[key], value, f"{path}.{key}")
            else:
                yield f"{path}.{key}: not in the contract"
    elif isinstance(body, list):
        for i, value in enumerate(body):
            yield from strangers(schemas, schema.get("items", {}), value, f"{path}[{i}]")


def test_a_stranger_is_found(contract: dict[str, dict[str, Any]]) -> None:
    schemas = contract["/sell/fulfillment/v1"]["components"]["schemas"]
    order = {"$ref": "#/components/schemas/Order"}
    body = {"orderId": 7, "lineItems": [{"sku": "A", "price": 1}]}
    assert len(list(strangers(schemas, order, body))) == 2


async def test_every_call_is_played(exchanges: list[Exchange]) -> None:
    settings = ADAPTER.settings(client_id="a", client_secret="c", refresh_token="r")
    plan = ADAPTER.plan(settings, {"client_secret": "x", "refresh_token": "y"})
    published = {operation.name for operation in plan.operations} - UNPUBLISHED
    assert {x.request.operation for x in exchanges} == published


async def test_every_request_fits_the_contract(
    contract: dict[str, dict[str, Any]], exchanges: list[Exchange]
) -> None:
    for request in (x.request for x in exchanges if x.request.operation not in UNDESCRIBED):
        found = described(contract, request)
        assert found.operation["operationId"] == request.operation
        allowed = {x["name"] for x in found.operation.get("parameters", []) if x["in"] == "query"}
        asked = dict(parse_qsl(urlsplit(request.url).query))
        assert set(asked) <= allowed
        assert int(asked.get("limit", "1")) <= 200
        content = found.operation.get("requestBody", {}).get("content", {})
        assert bool(content) == bool(request.body)
        if content:
            assert dict(request.headers)["Content-Type"] in content
            schema = content["application/json"]["schema"]
            assert list(strangers(found.schemas, schema, json.loads(request.body))) == []


async def test_every_answer_of_the_sandbox_fits_the_contract(
    contract: dict[str, dict[str, Any]], exchanges: list[Exchange]
) -> None:
    checked = set()
    for exchange in exchanges:
        operation = exchange.request.operation
        if operation in UNDESCRIBED:
            continue
        if exchange.response.status == 400:
            assert json.loads(exchange.response.body)["errors"][0]["errorId"] == 32100
            continue
        found = described(contract, exchange.request)
        answers = found.operation["responses"]
        assert str(exchange.response.status) in answers, operation
        content = answers[str(exchange.response.status)].get("content") or answers["200"]["content"]
        schema = content["application/json"]["schema"]
        assert list(strangers(found.schemas, schema, json.loads(exchange.response.body))) == []
        checked.add((operation, exchange.response.status))
    assert checked == {
        ("getOrders", 200), ("getOrder", 200), ("getShippingFulfillments", 200), ("createShippingFulfillment", 201),
        ("getInventoryItems", 200), ("bulkUpdatePriceQuantity", 200), ("bulkUpdatePriceQuantity", 207), ("getPublicKey", 200),
    }  # fmt: skip


async def test_every_refusal_of_the_sandbox_is_one_that_the_contract_lists(
    contract: dict[str, dict[str, Any]],
) -> None:
    """Those of orders and packages; of quantities the contract lists some, and says that there are others."""
    api = contract["/sell/fulfillment/v1"]["paths"]
    listed = {
        int(code)
        for path, method in (
            ("/order", "get"),
            ("/order/{orderId}", "get"),
            ("/order/{orderId}/shipping_fulfillment", "post"),
        )
        for answer in api[path][method]["responses"].values()
        for code in answer.get("x-response-codes", {}).get("errors", {})
    }
    sources = Path(__file__).parents[2] / "adapters" / "ebay"
    used = {
        int(code)
        for name in ("sandbox.py", "sandbox_http.py", "sandbox_writes.py")
        for code in re.findall(r"\b(3[0-4]\d{3})\b", (sources / name).read_text())
    }
    assert used <= listed
    assert len(used) > 12


# Documents built from the schema

VALUES = {
    "orderPaymentStatus": "PAID", "orderFulfillmentStatus": "IN_PROGRESS", "lineItemFulfillmentStatus": "IN_PROGRESS",
    "cancelState": "IN_PROGRESS", "cancelRequestState": "REQUESTED", "fulfillmentInstructionsType": "SHIP_TO",
    "fulfilledBy": "EBAY", "currency": "GBP", "convertedFromCurrency": "USD", "value": "12.34",
    "convertedFromValue": "15.00", "countryCode": "GB", "taxType": "VAT",
}  # fmt: skip


def filled(schemas: dict[str, Any], schema: dict[str, Any], name: str = "", depth: int = 0) -> Any:
    while "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    if "properties" in schema:
        return {key: filled(schemas, part, key, depth + 1) for key, part in schema["properties"].items()}
    match schema.get("type"):
        case "array":
            return [filled(schemas, schema["items"], name, depth + 1)]
        case "integer":
            return 2
        case "boolean":
            return True
        case _:
            return "2026-02-20T10:15:30.123Z" if name.endswith("Date") else VALUES.get(name, f"Some {name}")


@pytest.fixture(scope="module")
def whole(contract: dict[str, dict[str, Any]]) -> dict[str, Any]:
    schemas = contract["/sell/fulfillment/v1"]["components"]["schemas"]
    built: dict[str, Any] = filled(schemas, {"$ref": "#/components/schemas/Order"})
    return built


def parsed(body: dict[str, Any]) -> Order:
    return parse_order(json.dumps(body).encode(), RULES)


def test_a_document_with_every_property_is_read_to_a_named_imbalance(whole: dict[str, Any]) -> None:
    """12.34 stands everywhere: of the line and of its shipping less the discount, of handling, import, fee, adjustment."""
    order = parsed(whole)
    # 12.34 x (1 line + 3 delivery costs - 1 discount + 1 fee + 1 adjustment) against a total of 12.34, tax on top or not.
    assert imbalance(order) == Decimal("12.34") * (1 - 5)
    found = problem(order)
    assert found is not None
    assert found[0] == f"imbalance:ebay/{order.key.order_id}"


def test_a_document_whose_total_is_its_parts_balances(whole: dict[str, Any]) -> None:
    order = parsed(whole)
    for with_tax in (0, 1):
        body = copy.deepcopy(whole)
        body["pricingSummary"]["total"]["value"] = str(
            order.total - imbalance(order) + with_tax * Decimal("12.34")
        )
        assert imbalance(parsed(body)) == 0


def places(body: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    entries = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, value in entries:
        yield (*path, key)
        yield from places(value, (*path, key))


@pytest.mark.parametrize("instead", ["left out", "null", "empty"])
def test_whatever_is_missing_the_document_is_read_or_refused_by_its_place(
    whole: dict[str, Any], instead: str
) -> None:
    read = 0
    causes: list[tuple[str, ...]] = []
    for path in places(whole):
        body = copy.deepcopy(whole)
        parent = body
        for key in path[:-1]:
            parent = parent[key]
        if instead == "left out":
            del parent[path[-1]]
        else:
            old = parent[path[-1]]
            parent[path[-1]] = None if instead == "null" else type(old)()
        try:
            parsed(body)
            read += 1
        except Park as error:
            causes.append(error.causes)
    assert read > 150
    assert len(causes) > 5
    assert all(re.match(r"malformed:\$|enum:ebay\.", cause) for parked in causes for cause in parked or ("",))


@pytest.mark.parametrize(
    "field, values",
    [
        ("orderPaymentStatus", PAYMENT_STATES),
        ("orderFulfillmentStatus", FULFILMENT_STATES),
        ("lineItemFulfillmentStatus", FULFILMENT_STATES),
        ("cancelState", CANCEL_STATES),
        ("cancelRequestState", REQUEST_STATES),
        ("fulfillmentInstructionsType", SHIPPED_BY_US | {"FULFILLED_BY_EBAY"}),
    ],
)
def test_every_known_value_is_read_and_another_parks(
    whole: dict[str, Any], field: str, values: frozenset[str]
) -> None:
    text = json.dumps(whole)
    before = f'"{field}": "{VALUES[field]}"'
    assert before in text
    for value in sorted(values):
        parse_order(text.replace(before, f'"{field}": "{value}"').encode(), RULES)
    with pytest.raises(Park, match=field):
        parse_order(text.replace(before, f'"{field}": "NEVER_HEARD_OF"').encode(), RULES)


def test_what_nobody_ships_is_parked(whole: dict[str, Any]) -> None:
    body = copy.deepcopy(whole)
    del body["program"]
    for value in sorted(NOT_SHIPPED):
        body["fulfillmentStartInstructions"][0]["fulfillmentInstructionsType"] = value
        with pytest.raises(Park, match=value):
            parsed(body)
