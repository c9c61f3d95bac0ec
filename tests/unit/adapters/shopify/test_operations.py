"""Our own lint over the operations: GraphQL itself accepts a directive on any field, and leaves out what is not given."""

from __future__ import annotations

import re
from typing import Any

import pytest
from graphql import FieldNode, OperationType, parse
from graphql.language import OperationDefinitionNode

from adapters.shopify import edits, operations
from adapters.shopify.sandbox_schema import IDEMPOTENT
from adapters.shopify.settings import Settings
from adapters.shopify.wire import Changed, ChangeData, Connection, Named
from adapters.shopify.wire_stock import Item, Level, LevelsData, Quantity, Variant
from marketsync.domain.ids import RemoteId, Sku
from marketsync.ports import AdjustStock, Departure

DOCUMENTS = {
    name: text
    for name, text in vars(operations).items()
    if isinstance(text, str) and name.isupper() and name not in {"CARD", "ARTICLE"}
}


def wrong(document: str) -> list[str]:
    """@idempotent exactly where it is taken, with a key from outside."""
    said = []
    for definition in parse(document).definitions:
        if not isinstance(definition, OperationDefinitionNode):
            continue
        for field in definition.selection_set.selections:
            assert isinstance(field, FieldNode)
            name, takes = field.name.value, field.name.value in IDEMPOTENT
            keys = [
                argument.value.kind
                for directive in field.directives or ()
                if directive.name.value == "idempotent"
                for argument in directive.arguments or ()
            ]
            mutates = definition.operation is OperationType.MUTATION
            if takes and keys != ["variable"]:
                said.append(f"{name} needs @idempotent with a key of its own each time")
            if keys and not (takes and mutates):
                said.append(f"{name} does not take @idempotent")
    return said


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_idempotent_stands_exactly_where_it_is_taken(name: str) -> None:
    assert wrong(DOCUMENTS[name]) == []


def test_there_are_sixteen_mutations_that_take_it() -> None:
    assert len(IDEMPOTENT) == 16
    assert not IDEMPOTENT & {
        "orderCreate",
        "orderCancel",
        "orderUpdate",
        "orderEditCommit",
        "fulfillmentCreate",
    }


@pytest.mark.parametrize(
    "document",
    [
        "mutation A($input: X!, $key: String!) { inventoryAdjustQuantities(input: $input) { userErrors { code } } }",
        'mutation A($input: X!) { inventorySetQuantities(input: $input) @idempotent(key: "one") { userErrors { code } } }',
        "mutation A($order: X!, $key: String!) { orderCreate(order: $order) @idempotent(key: $key) { order { id } } }",
        "query A($id: ID!, $key: String!) { order(id: $id) @idempotent(key: $key) { id } }",
    ],
)
def test_the_lint_finds_what_it_is_for(document: str) -> None:
    assert len(wrong(document)) == 1


def test_no_quantity_is_written_into_a_document() -> None:
    """They come as variables, where the next test sees them; `quantities(names:)` is a reading."""
    for document in DOCUMENTS.values():
        assert not re.search(r"\b(changes|quantities)\s*:", document)


async def test_change_from_quantity_is_always_there() -> None:
    """Also where the figure is zero: what is missing is refused."""
    for figure in (0, 7):
        sent = await adjusted(figure)
        assert [change["changeFromQuantity"] for change in sent["input"]["changes"]] == [figure]
        assert sent["idempotencyKey"].endswith(f":{figure}")


async def adjusted(figure: int) -> dict[str, Any]:
    sent: dict[str, Any] = {}

    class Api:
        async def read(self, *_: object, **__: object) -> Any:
            return _levels(figure)

        async def write(self, *_: object, **variables: Any) -> Any:
            sent.update(variables)
            return ChangeData(inventory_adjust_quantities=Changed(inventory_adjustment_group=_named("9")))

    settings = Settings(url="https://shop.example", access_token="t", inventory="bypass", location="7")
    writer = edits.AdjustWriter(Api(), settings)  # type: ignore[arg-type]
    payload = AdjustStock("key-1", RemoteId("5"), Sku("A"), -2)
    await writer.send(payload, 0, "", Departure(1, 60.0))
    return sent


def _named(number: str) -> Any:
    return Named(f"gid://shopify/InventoryAdjustmentGroup/{number}")


def _levels(figure: int) -> Any:
    levels = [Level(Named("gid://shopify/Location/7"), (Quantity("available", figure),))]
    item = Item("gid://shopify/InventoryItem/6", tracked=True, inventory_levels=Connection(levels))
    return LevelsData([Variant("gid://shopify/ProductVariant/5", "A", "1.00", item)])
