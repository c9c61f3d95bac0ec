"""Our own contract is whole, and adapter and sandbox keep it in every exchange of the kit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator

from adapters.rest import ADAPTER, SHOP
from adapters.rest.marketplace.sandbox import RestMarketSandbox
from adapters.rest.shop.sandbox import RestShopSandbox
from marketsync.http import AdapterSpec
from marketsync.kit import scorecard
from marketsync.ports import Request, Response
from tests.conformance.openapi import Contract

CONTRACT = Contract()
SCHEMAS = CONTRACT.document["components"]["schemas"]
CHECKS: dict[str, tuple[AdapterSpec, type, tuple[str, ...]]] = {
    "marketplace": (
        ADAPTER,
        RestMarketSandbox,
        ("accept", "confirm", "stock.items", "reads.by_ids", "reads.no_filter", "mapping", "net.budgets"),
    ),
    "shop": (SHOP, RestShopSandbox, ("create", "update", "cancel", "figures", "parcels", "net.budgets")),
}


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_every_schema_is_one_and_says_what_its_fields_mean(name: str) -> None:
    OAS31Validator.check_schema(SCHEMAS[name])
    missing = [path for path, schema in fields(SCHEMAS[name]) if not schema.get("description")]
    assert not missing


def test_every_operation_and_parameter_says_what_it_is() -> None:
    for item in CONTRACT.document["paths"].values():
        for key, operation in item.items():
            if key != "parameters":
                assert operation["summary"]
                assert operation["description"]
                assert {"400", "401", "403", "429", "default"} <= set(operation["responses"])
                listed = [CONTRACT._followed(x) for x in operation.get("parameters", ())]
                assert all(x["description"] for x in listed)


@pytest.mark.parametrize("role", sorted(CHECKS))
def test_every_exchange_of_the_kit_is_as_the_contract_says(role: str, monkeypatch: Any) -> None:
    spec, sandbox, only = CHECKS[role]
    called: dict[str, dict[int, int]] = {}
    broken: list[str] = []
    original: Callable[..., Response] = sandbox.handle  # type: ignore[attr-defined]

    def handle(self: Any, request: Request, now: datetime) -> Response:
        answer = original(self, request, now)
        found = CONTRACT.find(request.method, request.url)
        counts = called.setdefault(found[0] if found else request.url, {})
        counts[answer.status] = counts.get(answer.status, 0) + 1
        if counts[answer.status] <= 200:
            broken.extend(
                CONTRACT.broken(
                    request.method, request.url, request.body, answer.status, answer.headers, answer.body
                )
            )
        return answer

    monkeypatch.setattr(sandbox, "handle", handle)
    assert not scorecard(spec, only).reds
    assert broken == []
    assert sorted(called) == sorted(x["operationId"] for x in operations() if x["tags"] == [role])
    assert sum(sum(x.values()) for x in called.values()) > 500


def test_what_leaves_the_contract_is_seen() -> None:
    headers = {"content-type": "application/json", "date": "Mon, 02 Mar 2026 09:00:00 GMT"}
    url = "https://shop.example/shop"
    assert CONTRACT.broken("GET", url, b"", 200, headers, b'{"contract":"1","name":"A shop"}') == []
    for body in (b'{"contract":"2","name":"A shop"}', b'{"contract":"1"}'):
        assert CONTRACT.broken("GET", url, b"", 200, headers, body)
    assert CONTRACT.broken("GET", f"{url}?x=1", b"", 200, headers, b'{"contract":"1","name":"A shop"}')
    assert CONTRACT.broken("GET", f"{url}/none", b"", 200, headers, b"{}")
    assert CONTRACT.broken("GET", url, b"", 404, headers, b'{"code":"unknown_path"}')


def operations() -> Iterator[dict[str, Any]]:
    for item in CONTRACT.document["paths"].values():
        yield from (operation for key, operation in item.items() if key != "parameters")


def fields(schema: dict[str, Any], path: str = "$") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every property, at any depth."""
    for name, stated in schema.get("properties", {}).items():
        yield f"{path}.{name}", stated
        yield from fields(stated, f"{path}.{name}")
    for part in schema.get("allOf", ()):
        yield from fields(part, path)
    if isinstance(schema.get("items"), dict):
        yield from fields(schema["items"], f"{path}[]")
