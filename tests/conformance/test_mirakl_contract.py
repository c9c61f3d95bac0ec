"""Mirakl's published seller API: what we send fits it, what it shows as an example can be read, the sandbox obeys it."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from jsonschema import Draft202012Validator

from adapters.mirakl import ADAPTER
from adapters.mirakl.adapter import Mirakl
from adapters.mirakl.mapping import LINE_STATES, ORDER_STATES, Rules, parse_order
from adapters.mirakl.sandbox import MiraklSandbox
from adapters.mirakl.sandbox_world import Behaviour
from marketsync.domain.coverage import Axis, Window
from marketsync.domain.deliveries import Kind
from marketsync.domain.ids import ConnectionId, LineId, MerchantId, OrderId, Reference, RemoteId, Sku
from marketsync.domain.orders import imbalance
from marketsync.domain.shipments import Shipment, ShippedLine
from marketsync.errors import Malformed
from marketsync.http import BuildContext, client_of
from marketsync.ports import (
    AcceptLine,
    AcceptOrder,
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
# Seek paging is described in prose only.
SEEK = {"limit", "page_token"}
# The sandbox states only how orders are handled: of the platform's configuration that is a part.
PARTIAL = {"PC01"}


@pytest.fixture(scope="module")
def contract(contracts: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(
        (contracts / "mirakl" / "mended_mirakl-mmp-seller-openapi.json").read_text()
    )
    return loaded


def validator(contract: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": contract["components"]})


def problems(contract: dict[str, Any], schema: dict[str, Any], body: Any) -> list[str]:
    """Where the body leaves the schema. A null where a value is described is what the vendor's own example has."""
    errors = validator(contract, schema).iter_errors(body)
    return [f"{error.json_path}: {error.message}" for error in errors if error.instance is not None]


class MiraklRecorder(Recorder):
    def __init__(self, behaviour: Behaviour) -> None:
        self.sandbox = MiraklSandbox({"TEA-1": 10, "MUG-2": 3}, behaviour)
        super().__init__(self.sandbox, START)

    def adapter(self) -> Mirakl:
        settings = ADAPTER.settings(url="https://operator.example", api_key="key", shop_id=2001)
        plan = ADAPTER.plan(settings, {"api_key": "sandbox-key"})
        http = client_of(plan, "mirakl", transport=self, clock=self, random=self, observer=self)
        built = ADAPTER.build(BuildContext(MerchantId("main"), ConnectionId("mirakl"), http, self), settings)
        assert isinstance(built, Mirakl)
        return built


def parcel(order_id: str) -> ConfirmShipment:
    lines = (ShippedLine(LineId(f"{order_id}-1"), 1),)
    shipment = Shipment(Reference("ms-abc-defg-hijklmnopqrstu"), RemoteId("p1"), lines, tracking_number="T-1")
    return ConfirmShipment(OrderId(order_id), shipment, "DHL", completes_order=True)


async def play(multi_shipment: bool) -> list[Exchange]:
    """Every call that the adapter knows, once at least."""
    world = MiraklRecorder(Behaviour(multi_shipment=multi_shipment, debit_seconds=5.0))
    adapter = world.adapter()
    order_id = world.sandbox.place_order(world.now(), [("TEA-1", 1)])
    assert order_id is not None
    span = ProbeSpan(START, world.now())

    def departure() -> Departure:
        return Departure(1, world.time + 10.0)

    await adapter.probe_traits()
    for axis in Axis:
        await adapter.fetch_orders(Window(axis, START, world.now()), 0)
    await adapter.fetch_orders_by_ids([OrderId(order_id)])
    accept = AcceptOrder(OrderId(order_id), (AcceptLine(LineId(f"{order_id}-1"), True),))
    await adapter.writers[Kind.ACCEPT].send(accept, 0, "", departure())
    world.time += 60
    await adapter.fetch_orders_by_ids([OrderId(order_id)])
    confirm = adapter.writers[Kind.CONFIRM]
    for step in range(len(confirm.steps(parcel(order_id)))):
        await confirm.send(parcel(order_id), step, "", departure())
    await confirm.probe(parcel(order_id), 0, "", span)
    await publish(world, adapter, departure)
    return world.exchanges


async def publish(world: MiraklRecorder, adapter: Mirakl, departure: Any) -> None:
    stock: Any = adapter.writers[Kind.STOCK]
    payload = PublishStock((StockItem(Sku("TEA-1"), 7), StockItem(Sku("NONE"), 1)))
    waiting = await stock.send(payload, 0, "", departure())
    world.time += 30
    done = await stock.poll(payload, 0, waiting.receipt)
    assert isinstance(done, StepDone)
    await stock.results(payload, done.checkpoint)


@pytest.fixture
async def exchanges() -> list[Exchange]:
    return [*await play(multi_shipment=False), *await play(multi_shipment=True)]


def described(contract: dict[str, Any], request: Request) -> dict[str, Any]:
    """The operation of the contract that a request's method and path name."""
    path = urlsplit(request.url).path
    for template, operations in contract["paths"].items():
        if (
            re.fullmatch(re.sub(r"\{[^/]+\}", "[^/]+", template), path)
            and request.method.lower() in operations
        ):
            found: dict[str, Any] = operations[request.method.lower()]
            return found
    raise AssertionError(f"{request.method} {path} is in no contract")


async def test_every_call_is_played(exchanges: list[Exchange]) -> None:
    played = {exchange.request.operation for exchange in exchanges}
    chosen = ADAPTER.settings(url="https://operator.example", api_key="key")
    plan = ADAPTER.plan(chosen, {"api_key": "x"})
    assert played == {operation.name for operation in plan.operations}


async def test_every_request_fits_the_contract(contract: dict[str, Any], exchanges: list[Exchange]) -> None:
    for exchange in exchanges:
        request = exchange.request
        operation = described(contract, request)
        assert operation["summary"].startswith(f"{request.operation} "), operation["summary"]
        allowed = {x["name"]: x for x in operation.get("parameters", []) if x["in"] == "query"}
        for name, value in parse_qsl(urlsplit(request.url).query):
            assert name in allowed, f"{request.operation} has no parameter {name}"
            check_parameter(allowed[name]["schema"], name, value)
        check_body(contract, operation, request)


def check_parameter(schema: dict[str, Any], name: str, value: str) -> None:
    if "enum" in schema:
        assert value in schema["enum"], name
    if schema.get("type") == "integer":
        assert schema.get("minimum", 0) <= int(value) <= schema.get("maximum", 10**9), name
    if schema.get("format") == "date-time":
        assert datetime.fromisoformat(value).tzinfo is not None, name
    if schema.get("type") == "boolean":
        assert value in {"true", "false"}, name


def check_body(contract: dict[str, Any], operation: dict[str, Any], request: Request) -> None:
    content = operation.get("requestBody", {}).get("content", {})
    headers = dict(request.headers)
    if not content:
        assert request.body == b""
        return
    kind = headers["Content-Type"].partition(";")[0]
    assert kind in content
    if kind == "application/json":
        body = json.loads(request.body)
        assert list(validator(contract, content[kind]["schema"]).iter_errors(body)) == []
        known = set(contract["components"]["schemas"][f"{request.operation}_Request"]["properties"])
        assert set(body) <= known
    else:
        assert b'name="file"' in request.body


async def test_every_answer_of_the_sandbox_fits_the_contract(
    contract: dict[str, Any], exchanges: list[Exchange]
) -> None:
    checked = set()
    for exchange in exchanges:
        operation = described(contract, exchange.request)
        answers = operation["responses"]
        assert str(exchange.response.status) in answers, exchange.request.operation
        content = answers[str(exchange.response.status)].get("content", {})
        if "application/json" not in content or exchange.request.operation in PARTIAL:
            continue
        body = json.loads(exchange.response.body)
        assert problems(contract, content["application/json"]["schema"], body) == []
        checked.add(exchange.request.operation)
    assert checked == {"OR11", "ST01", "ST11", "STO01", "STO02", "SH21"}


async def test_the_configuration_of_the_sandbox_names_known_fields(
    contract: dict[str, Any], exchanges: list[Exchange]
) -> None:
    body = next(json.loads(x.response.body) for x in exchanges if x.request.operation == "PC01")
    schemas = contract["components"]["schemas"]
    assert set(body) <= set(schemas["PC01_Response_200"]["properties"])
    assert set(body["features"]) <= set(schemas["PC01_Response_200_Features"]["properties"])


def examples(contract: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    content = contract["paths"]["/api/orders"]["get"]["responses"]["200"]["content"]["application/json"]
    for name, example in content["examples"].items():
        for order in copy.deepcopy(example["value"]["orders"]):
            yield name, order


def test_every_published_order_is_read_and_balances(contract: dict[str, Any], capsys: Any) -> None:
    rules = Rules(MerchantId("main"), ConnectionId("mirakl"))
    read = []
    for name, body in examples(contract):
        # The value types' example states a quantity of 0, which no real line has.
        for line in body["order_lines"]:
            line["quantity"] = line["quantity"] or 1
        order = parse_order(json.dumps(body).encode(), rules)
        difference = imbalance(order)
        read.append((name, difference))
        with capsys.disabled():
            print(
                f"\n{name}: {'balances' if difference == 0 else f'is out of balance by {difference}'}", end=""
            )
    assert read == [("application/json-0", 0), ("application/json-auto", 0)]


def test_a_published_order_with_nothing_ordered_is_parked(contract: dict[str, Any]) -> None:
    bodies = dict(examples(contract))
    with pytest.raises(Malformed) as held:
        parse_order(
            json.dumps(bodies["application/json-auto"]).encode(), Rules(MerchantId("m"), ConnectionId("c"))
        )
    assert held.value.path == "$.order_lines[0].quantity"


@pytest.mark.parametrize(
    "schema, field, known",
    [
        ("OR11_Response_200_Orders", "order_state", ORDER_STATES),
        ("OR11_Response_200_Orders_OrderLines", "order_line_state", LINE_STATES),
    ],
)
def test_every_published_state_is_known(
    contract: dict[str, Any], schema: str, field: str, known: Any
) -> None:
    text = contract["components"]["schemas"][schema]["properties"][field]["description"]
    assert set(re.findall(r'`"([A-Z_]+)"`', text)) == set(known)
