"""eBay's published APIs, where the kit does not reach: orders of every tax, refusals, the key of its messages. Its schemas
have no example, no required field and no value: so documents are built from them, with every property filled."""

from __future__ import annotations

import contextlib
import copy
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapters.ebay import ADAPTER
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
from marketsync.domain.ids import ConnectionId, MerchantId
from marketsync.domain.lifecycle import problem
from marketsync.domain.orders import Order, imbalance
from marketsync.errors import ConfigError, Park
from marketsync.kit.journey import play
from tests.conformance.played import fresh, wrong

RULES = Rules(MerchantId("main"), ConnectionId("ebay"))


@pytest.fixture(scope="module")
def api(contracts: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((contracts / "ebay" / "jdb_sell_fulfillment_v1_oas3.json").read_text())
    return found


@pytest.mark.parametrize("tax", ["seller", "none"])
async def test_orders_of_every_tax_fit_the_contract(contracts: Path, tax: str) -> None:
    bench = await play(fresh(ADAPTER, tax=tax, discount=Decimal("1.00")))
    assert wrong(ADAPTER, contracts, bench.wire.exchanges) == []


async def test_a_parcel_for_a_hub_and_an_order_to_be_cancelled_fit_the_contract(contracts: Path) -> None:
    bench = await fresh(ADAPTER)()
    side: Any = bench.side
    hub, asked = bench.place(), bench.place()
    orders = side.sandbox.world.orders
    orders[hub] = msgspec.structs.replace(orders[hub], global_shipping=True)
    await bench.wait(60.0)
    side.sandbox.ask_to_cancel(bench.now, asked)
    await bench.raw(hub, asked)
    shown = b"".join(exchange.response.body for exchange in bench.wire.exchanges)
    assert b'"cancelRequestState":"REQUESTED"' in shown
    assert b'"shipToReferenceId"' in shown
    assert wrong(ADAPTER, contracts, bench.wire.exchanges) == []


async def test_the_key_of_a_message_is_asked_for_and_given_as_the_contract_says(contracts: Path) -> None:
    bench = await fresh(ADAPTER)()
    side: Any = bench.side
    side.sandbox.world.public_keys["key-1"] = "-----BEGIN PUBLIC KEY-----AAAA-----END PUBLIC KEY-----"
    adapter: Any = bench.adapter
    header = "eyJraWQiOiJrZXktMSIsInNpZ25hdHVyZSI6IiJ9"
    # Whether a signature can be checked at all hangs on an extra: the call for the key is made either way.
    with contextlib.suppress(ConfigError):
        await adapter.verify_hint({"x-ebay-signature": header}, b"{}")
    assert [(x.request.operation, x.response.status) for x in bench.wire.exchanges][-1] == (
        "getPublicKey",
        200,
    )
    assert wrong(ADAPTER, contracts, bench.wire.exchanges) == []


def test_every_refusal_of_the_sandbox_is_one_that_the_contract_lists(api: dict[str, Any]) -> None:
    """Those of orders and packages; of quantities the contract lists some, and says that there are others."""
    listed = {
        int(code)
        for path, method in (
            ("/order", "get"),
            ("/order/{orderId}", "get"),
            ("/order/{orderId}/shipping_fulfillment", "post"),
        )
        for answer in api["paths"][path][method]["responses"].values()
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
def whole(api: dict[str, Any]) -> dict[str, Any]:
    built: dict[str, Any] = filled(api["components"]["schemas"], {"$ref": "#/components/schemas/Order"})
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
