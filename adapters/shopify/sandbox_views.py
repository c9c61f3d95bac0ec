"""What GraphQL shows of the simulated shop: plain dictionaries, with a function where a field has arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from adapters.shopify.sandbox_orders import Draft
from adapters.shopify.sandbox_shop import Fulfillment, Line, Order, Refund, Return, ShopifyShop, Variant
from adapters.shopify.wire import gid

Json = dict[str, Any]
FIRST_MAX = 250


class Unpaged(ValueError):
    """A connection was asked for without a number of rows, or with too large a one."""


def order(shop: ShopifyShop, held: Order) -> Json:
    return {
        "__typename": "Order", "id": gid("Order", str(held.id)), "sourceIdentifier": held.source or None,
        "poNumber": held.po_number or None, "cancelledAt": _time(held.cancelled), "currencyCode": held.currency,
        "currentSubtotalLineItemsQuantity": sum(line.current for line in held.lines),
        "totalPriceSet": _bag(held.total, held.currency), "currentTotalPriceSet": _bag(held.total, held.currency),
        "customAttributes": _pairs(held.attributes),
        "metafield": lambda _, key, namespace=None: _metafield(held, namespace, key),
        "cancellation": {"staffNote": held.cancel_note or None} if held.cancelled else None,
        "refunds": lambda _, first=None: [_refund(held, x) for x in held.refunds[:first]],
        "returns": lambda info, **page: connection(info, held.returns, _return, page),
        "fulfillments": lambda _, first=None: [parcel(shop, held, x) for x in held.fulfillments[:first]],
        "lineItems": lambda info, **page: connection(info, held.lines, lambda x: line(shop, x), page),
    }  # fmt: skip


def line(shop: ShopifyShop, held: Line) -> Json:
    known = shop.variants.get(held.variant)
    return {
        "id": gid("LineItem", str(held.id)), "quantity": held.quantity, "currentQuantity": held.current,
        "customAttributes": _pairs(held.attributes), "variant": variant(known) if known else None,
    }  # fmt: skip


def parcel(shop: ShopifyShop, of: Order, held: Fulfillment) -> Json:
    rows = [(x, held.units[x.id]) for x in of.lines if held.units.get(x.id)]
    return {
        "__typename": "Fulfillment", "id": gid("Fulfillment", str(held.id)), "status": held.status,
        "createdAt": _time(held.created), "updatedAt": _time(held.updated),
        "trackingInfo": lambda _, first=None: [
            {"company": carrier or None, "number": number, "url": f"https://track.example/{number}"}
            for carrier, number in held.tracking[:first]
        ],
        "fulfillmentLineItems": lambda info, **page: connection(
            info, rows, lambda x: {"quantity": x[1], "lineItem": line(shop, x[0])}, page
        ),
    }  # fmt: skip


def variant(held: Variant) -> Json:
    levels = list(held.levels.items())
    return {
        "__typename": "ProductVariant", "id": gid("ProductVariant", str(held.id)), "sku": held.sku or None,
        "price": f"{held.price:.2f}",
        "inventoryItem": {
            "id": gid("InventoryItem", str(held.item)), "tracked": held.tracked,
            "inventoryLevels": lambda info, **page: connection(info, levels, lambda x: _level(held, *x), page),
        },
    }  # fmt: skip


def draft(shop: ShopifyShop, held: Draft) -> Json:
    lines = shop.orders[held.order].lines
    return {
        "id": gid("CalculatedOrder", str(held.id)),
        "lineItems": lambda info, **page: connection(info, lines, lambda x: draft_line(held, x), page),
    }


def draft_line(held: Draft, of: Line) -> Json:
    quantity = held.changes.get(of.id, (of.current, False))[0]
    return {
        "id": gid("CalculatedLineItem", str(of.id)),
        "quantity": quantity,
        "customAttributes": _pairs(of.attributes),
    }


def connection(info: Any, rows: Sequence[Any], shown: Callable[[Any], Json], page: Json) -> Json:
    """A bulk operation pages by itself: its connections are whole."""
    first, after = page.get("first"), int((page.get("after") or "c0").removeprefix("c"))
    if info.context["bulk"]:
        first = len(rows)
    elif first is None or not 0 < first <= FIRST_MAX:
        raise Unpaged("you must provide one of first or last")
    chosen = [shown(row) for row in rows[after : after + first]]
    following = after + first < len(rows)
    return {
        "nodes": chosen,
        "edges": [{"node": node} for node in chosen],
        "pageInfo": {"hasNextPage": following, "endCursor": f"c{after + len(chosen)}" if chosen else None},
    }


def _refund(of: Order, held: Refund) -> Json:
    units = list(held.units.values())
    return {
        "id": gid("Refund", str(held.id)),
        "totalRefundedSet": _bag(held.amount, of.currency),
        "refundLineItems": lambda info, **page: connection(info, units, lambda x: {"quantity": x}, page),
    }


def _return(held: Return) -> Json:
    return {"id": gid("Return", str(held.id)), "status": held.status, "totalQuantity": held.units}


def _level(held: Variant, location: int, available: int) -> Json:
    figures = {"available": available, "on_hand": available, "committed": 0}
    return {
        "id": f"gid://shopify/InventoryLevel/{location}?inventory_item_id={held.item}",
        "location": {"id": gid("Location", str(location))},
        "quantities": lambda _, names: [{"name": x, "quantity": figures[x]} for x in names if x in figures],
    }


def _metafield(held: Order, namespace: str | None, key: str) -> Json | None:
    value = held.metafields.get((namespace or "$app", key))
    return {"value": value} if value is not None else None


def _bag(value: Decimal, currency: str) -> Json:
    """Shopify leaves a trailing zero out: 20.0, 31.9."""
    text = f"{value:.2f}"
    return {"shopMoney": {"amount": text.removesuffix("0"), "currencyCode": currency}}


def _pairs(values: dict[str, str]) -> list[Json]:
    return [{"key": key, "value": value} for key, value in values.items()]


def _time(at: datetime | None) -> str | None:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ") if at else None
