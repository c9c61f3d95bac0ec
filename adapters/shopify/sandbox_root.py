"""The fields of query and mutation, called by GraphQL with their arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from adapters.shopify import sandbox_orders as orders
from adapters.shopify import sandbox_views as views
from adapters.shopify.sandbox_shop import Order, Refusal, ShopifyShop
from adapters.shopify.wire import gid, number_of

Json = dict[str, Any]


class Sandbox(Protocol):
    """What the fields need of the server beside the shop itself."""

    shop: ShopifyShop

    def named(self, identifier: Mapping[str, Any], now: datetime) -> Order | None: ...
    def listed(self, search: str, now: datetime) -> Sequence[Order]: ...
    def create(self, body: Json, options: Json, now: datetime) -> Json: ...
    def cancel(self, held: Order, *, restock: bool, note: str, now: datetime) -> int: ...
    def begin(self, held: Order) -> orders.Draft: ...
    def draft(self, shown: str) -> orders.Draft: ...
    def start_bulk(self, query: str, now: datetime) -> Json: ...
    def bulk(self, shown: str, origin: str, now: datetime) -> Json | None: ...
    def installation(self) -> Json: ...
    def account(self) -> Json: ...
    def definition(self, identifier: Mapping[str, Any]) -> Json | None: ...
    def adjust(self, body: Json, key: str, now: datetime) -> int: ...


def fields(sandbox: Sandbox, now: datetime, origin: str) -> dict[str, Callable[..., Any]]:
    """By name; both roots share them."""
    queries, mutations = _Queries(sandbox, now, origin), _Mutations(sandbox, now)
    return {
        "order": queries.order,
        "orderByIdentifier": queries.order_by_identifier,
        "orders": queries.orders,
        "nodes": queries.nodes,
        "fulfillment": queries.fulfillment,
        "job": queries.job,
        "productVariants": queries.variants,
        "bulkOperation": queries.bulk,
        "currentAppInstallation": lambda _: sandbox.installation(),
        "shop": lambda _: sandbox.account(),
        "metafieldDefinition": lambda _, identifier: sandbox.definition(identifier),
        "orderCreate": mutations.create,
        "orderCancel": mutations.cancel,
        "orderEditBegin": mutations.begin,
        "orderEditSetQuantity": mutations.stage,
        "orderEditCommit": mutations.commit,
        "orderUpdate": mutations.update,
        "bulkOperationRunQuery": mutations.sweep,
        "inventoryAdjustQuantities": mutations.adjust,
    }


class _Queries:
    def __init__(self, sandbox: Sandbox, now: datetime, origin: str) -> None:
        self._sandbox, self._shop, self._now, self._origin = sandbox, sandbox.shop, now, origin

    def order(self, _: Any, **given: Any) -> Json | None:
        held = _held(self._shop, given["id"])
        return views.order(self._shop, held) if held else None

    def order_by_identifier(self, _: Any, **given: Any) -> Json | None:
        held = self._sandbox.named(given["identifier"], self._now)
        return views.order(self._shop, held) if held else None

    def orders(self, info: Any, **given: Any) -> Json:
        rows = self._sandbox.listed(given.get("query") or "", self._now)
        return views.connection(info, rows, lambda x: views.order(self._shop, x), given)

    def nodes(self, _: Any, **given: Any) -> list[Json | None]:
        return [self._node(shown) for shown in given["ids"]]

    def _node(self, shown: str) -> Json | None:
        variant = self._shop.variants.get(int(number_of(shown) or 0))
        if shown.startswith("gid://shopify/ProductVariant/") and variant is not None:
            return views.variant(variant)
        return self.order(None, id=shown)

    def fulfillment(self, _: Any, **given: Any) -> Json | None:
        for held in self._shop.orders.values():
            for parcel in held.fulfillments:
                if gid("Fulfillment", str(parcel.id)) == given["id"]:
                    return views.parcel(self._shop, held, parcel)
        return None

    def job(self, _: Any, **given: Any) -> Json | None:
        held = self._shop.jobs.get(int(number_of(given["id"]) or 0))
        return {"id": given["id"], "done": held[0] <= self._now} if held else None

    def variants(self, info: Any, **given: Any) -> Json:
        rows = orders.select_variants(self._shop, given.get("query"))
        return views.connection(info, rows, views.variant, given)

    def bulk(self, _: Any, **given: Any) -> Json | None:
        return self._sandbox.bulk(given["id"], self._origin, self._now)


class _Mutations:
    def __init__(self, sandbox: Sandbox, now: datetime) -> None:
        self._sandbox, self._shop, self._now = sandbox, sandbox.shop, now

    def create(self, _: Any, **given: Any) -> Json:
        return _settled(lambda: self._sandbox.create(given["order"], given.get("options") or {}, self._now))

    def cancel(self, _: Any, **given: Any) -> Json:
        def job() -> Json:
            held = self._wanted(given["orderId"])
            note = given.get("staffNote") or ""
            number = self._sandbox.cancel(held, restock=given["restock"], note=note, now=self._now)
            return {"job": {"id": gid("Job", str(number)), "done": False}, "orderCancelUserErrors": []}

        return _settled(job, "orderCancelUserErrors")

    def begin(self, _: Any, **given: Any) -> Json:
        return _settled(
            lambda: {
                "calculatedOrder": views.draft(self._shop, self._sandbox.begin(self._wanted(given["id"]))),
                "userErrors": [],
            }
        )

    def stage(self, _: Any, **given: Any) -> Json:
        def staged() -> Json:
            draft, number = self._sandbox.draft(given["id"]), int(number_of(given["lineItemId"]) or 0)
            restock = bool(given.get("restock"))
            line = orders.stage(self._shop, draft, number, given["quantity"], restock=restock)
            return {"calculatedLineItem": views.draft_line(draft, line), "userErrors": []}

        return _settled(staged)

    def commit(self, _: Any, **given: Any) -> Json:
        return _settled(
            lambda: self._changed(orders.commit(self._shop, self._sandbox.draft(given["id"]), self._now))
        )

    def update(self, _: Any, **given: Any) -> Json:
        body = given["input"]
        return _settled(
            lambda: self._changed(orders.update(self._shop, self._wanted(body["id"]), body, self._now))
        )

    def sweep(self, _: Any, **given: Any) -> Json:
        return _settled(
            lambda: {"bulkOperation": self._sandbox.start_bulk(given["query"], self._now), "userErrors": []}
        )

    def adjust(self, info: Any, **given: Any) -> Json:
        said = next(x for x in info.field_nodes[0].directives if x.name.value == "idempotent")
        value = said.arguments[0].value
        key = info.context["variables"][value.name.value] if hasattr(value, "name") else value.value

        def adjusted() -> Json:
            number = self._sandbox.adjust(given["input"], str(key), self._now)
            group = {"id": gid("InventoryAdjustmentGroup", str(number))}
            return {"inventoryAdjustmentGroup": group, "userErrors": []}

        return _settled(adjusted)

    def _wanted(self, shown: str) -> Order:
        held = _held(self._shop, shown)
        if held is None:
            raise Refusal("Order does not exist", "id", code="NOT_FOUND")
        return held

    def _changed(self, held: Order) -> Json:
        return {"order": views.order(self._shop, held), "userErrors": []}


def _held(shop: ShopifyShop, shown: str) -> Order | None:
    held = shop.orders.get(int(number_of(shown) or 0))
    return (
        held if held is not None and shown.startswith("gid://shopify/Order/") and not held.deleted else None
    )


def _settled(act: Callable[[], Json], errors: str = "userErrors") -> Json:
    try:
        return act()
    except Refusal as refusal:
        return {errors: [refusal.shown]}
