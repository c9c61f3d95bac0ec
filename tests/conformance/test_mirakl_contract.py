"""Mirakl's published seller API: what it shows as an example can be read, and no state of its is new."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.mirakl.mapping import LINE_STATES, ORDER_STATES, Rules, parse_order
from marketsync.domain.ids import ConnectionId, MerchantId
from marketsync.domain.orders import imbalance
from marketsync.errors import Malformed


@pytest.fixture(scope="module")
def contract(contracts: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(
        (contracts / "mirakl" / "mended_mirakl-mmp-seller-openapi.json").read_text()
    )
    return loaded


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
