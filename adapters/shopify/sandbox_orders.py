"""What the simulated shop's mutations do to its orders, and what they refuse."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from adapters.shopify.sandbox_shop import Line, Order, Refusal, ShopifyShop
from adapters.shopify.wire import number_of

Json = dict[str, Any]
CENT = Decimal("0.01")


class Draft(msgspec.Struct):
    """An edit that has no effect yet: (units, restock) by line."""

    id: int
    order: int
    changes: dict[int, tuple[int, bool]]
    committed: bool = False


def create(
    shop: ShopifyShop, body: Json, options: Json, unique: set[tuple[str, str]], now: datetime
) -> Order:
    """Raises Refusal, and then nothing was written."""
    currency = body.get("currency") or shop.currency
    metafields = {(x["namespace"], x["key"]): x["value"] for x in body.get("metafields") or ()}
    for name, value in metafields.items():
        if name in unique and any(x.metafields.get(name) == value for x in _live(shop)):
            raise Refusal("Value has already been taken", "order", "metafields", "0", "value")
    lines = [_line(shop, x, index, currency) for index, x in enumerate(body.get("lineItems") or ())]
    if not lines:
        raise Refusal("Line items can't be blank", "order", "lineItems")
    behaviour = options.get("inventoryBehaviour", "BYPASS")
    if behaviour == "DECREMENT_OBEYING_POLICY":
        _claim(shop, lines)
    order = Order(
        id=shop.next_id(), created=now, currency=currency, taxes_included=bool(body.get("taxesIncluded")),
        behaviour=behaviour, by_api=True, source=body.get("sourceIdentifier") or "",
        po_number=body.get("poNumber") or "", lines=lines, extra=_extra(body, currency),
        attributes={x["key"]: x["value"] for x in body.get("customAttributes") or ()}, metafields=metafields,
        address=dict(body.get("shippingAddress") or {}),
    )  # fmt: skip
    shop.orders[order.id] = order
    shop.note(now, "order_created", order.id)
    if behaviour != "BYPASS":
        for line in lines:
            shop.take(order, line, line.quantity, now)
    return order


def cancel(shop: ShopifyShop, order: Order, *, restock: bool, now: datetime, seconds: float) -> int:
    """The job's id; it is done in a while."""
    if order.cancelled or any(o == order.id for _, o, __ in shop.jobs.values()):
        raise Refusal("Cannot cancel an order that has already been canceled", "orderId")
    if any(order.sent(line) for line in order.lines):
        raise Refusal("Cannot cancel an order with fulfilled items", "orderId")
    job = shop.next_id()
    shop.jobs[job] = (now + timedelta(seconds=seconds), order.id, restock)
    return job


def begin(shop: ShopifyShop, order: Order) -> Draft:
    if order.cancelled:
        raise Refusal("The order cannot be edited", "id", code="")
    return Draft(shop.next_id(), order.id, {})


def stage(shop: ShopifyShop, draft: Draft, number: int, quantity: int, *, restock: bool) -> Line:
    order = shop.orders[draft.order]
    line = order.line(number)
    if line is None or draft.committed:
        raise Refusal("The line item does not exist", "lineItemId", code="")
    if quantity < order.sent(line):
        raise Refusal("Fulfilled items can't be removed", "quantity", code="")
    draft.changes[number] = (quantity, restock)
    return line


def commit(shop: ShopifyShop, draft: Draft, now: datetime) -> Order:
    """Once: a draft that was committed can't be again."""
    order = shop.orders[draft.order]
    if draft.committed or order.cancelled or order.deleted:
        raise Refusal("The edit is over", "id", code="")
    if any(quantity < order.sent(_of(order, number)) for number, (quantity, _) in draft.changes.items()):
        raise Refusal("Fulfilled items can't be removed", "id", code="")
    draft.committed = True
    for number, (quantity, restock) in draft.changes.items():
        line = _of(order, number)
        change, line.current = quantity - line.current, quantity
        if change > 0 and shop.edits_take and order.behaviour != "BYPASS":
            shop.take(order, line, change, now)
        elif change < 0 and restock:
            shop.give_back(order, line, -change, now)
    shop.note(now, "edited", order.id)
    return order


def update(shop: ShopifyShop, order: Order, body: Json, now: datetime) -> Order:
    if body.get("shippingAddress"):
        order.address = dict(body["shippingAddress"])
    for entry in body.get("metafields") or ():
        order.metafields[entry["namespace"], entry["key"]] = entry["value"]
    shop.note(now, "updated", order.id)
    return order


def adjust(shop: ShopifyShop, body: Json, now: datetime) -> int:
    for index, change in enumerate(body["changes"]):
        variant = next(
            (x for x in shop.variants.values() if str(x.item) == number_of(change["inventoryItemId"])), None
        )
        place, location = ("input", "changes", str(index)), int(number_of(change["locationId"]) or 0)
        if variant is None:
            raise Refusal("The inventory item does not exist", *place, code="INVALID_INVENTORY_ITEM")
        if location not in variant.levels:
            raise Refusal("The location does not exist", *place, code="INVALID_LOCATION")
        expected = change["changeFromQuantity"]
        if expected is not None and expected != variant.levels[location]:
            raise Refusal("The figure is another by now", *place, code="CHANGE_FROM_QUANTITY_STALE")
        variant.levels[location] += change["delta"]
        shop.note(now, "adjusted", sku=variant.sku, quantity=change["delta"])
    return shop.next_id()


def select(shop: ShopifyShop, search: str, until: datetime) -> list[Order]:
    """Words of a search match without regard to case; a filter that is not known here filters nothing."""
    terms = [_term(text) for text in search.split(" OR ")]
    return [order for order in _live(shop) if order.created <= until and any(_fits(order, *x) for x in terms)]


def select_variants(shop: ShopifyShop, search: str | None) -> list[Any]:
    variants = sorted(shop.variants.values(), key=lambda x: x.id)
    if not search:
        return variants
    wanted = [value.lower() for name, value in map(_term, search.split(" OR ")) if name == "sku"]
    return [variant for variant in variants if not wanted or variant.sku.lower() in wanted]


def _live(shop: ShopifyShop) -> list[Order]:
    return [order for order in shop.orders.values() if not order.deleted]


def _of(order: Order, number: int) -> Line:
    line = order.line(number)
    assert line is not None  # noqa: S101 - only what was staged is committed
    return line


def _line(shop: ShopifyShop, body: Json, index: int, currency: str) -> Line:
    place = ("order", "lineItems", str(index))
    variant = shop.variants.get(int(number_of(body.get("variantId") or "") or 0))
    if variant is None:
        raise Refusal("Variant is not available", *place, "variantId")
    if body["quantity"] < 1:
        raise Refusal("Quantity must be greater than 0", *place, "quantity")
    return Line(
        id=shop.next_id(), variant=variant.id, sku=variant.sku, quantity=body["quantity"], current=body["quantity"],
        unit=_amount(body["priceSet"], currency) if body.get("priceSet") else variant.price,
        tax=_taxes(body, currency), attributes={x["name"]: x["value"] for x in body.get("properties") or ()}, taken={},
    )  # fmt: skip


def _extra(body: Json, currency: str) -> Decimal:
    total = Decimal(0)
    for line in body.get("shippingLines") or ():
        total += _amount(line["priceSet"], currency)
        if not body.get("taxesIncluded"):
            total += _taxes(line, currency)
    discount = (body.get("discountCode") or {}).get("itemFixedDiscountCode")
    return total - (_amount(discount["amountSet"], currency) if discount else Decimal(0))


def _taxes(body: Json, currency: str) -> Decimal:
    return sum((_amount(x["priceSet"], currency) for x in body.get("taxLines") or ()), Decimal(0))


def _amount(bag: Json, currency: str) -> Decimal:
    money = bag["shopMoney"]
    if money["currencyCode"] != currency:
        raise Refusal("Currency must match the order's", "order", "lineItems")
    value = Decimal(str(money["amount"])).quantize(CENT)
    if value < 0:
        raise Refusal("Price can't be negative", "order", "lineItems")
    return value


def _claim(shop: ShopifyShop, lines: list[Line]) -> None:
    wanted: dict[int, int] = {}
    for line in lines:
        wanted[line.variant] = wanted.get(line.variant, 0) + line.quantity
    for number, units in wanted.items():
        if shop.variants[number].tracked and sum(shop.variants[number].levels.values()) < units:
            raise Refusal("Unable to reserve inventory", "order", "lineItems", code="INVENTORY_CLAIM_FAILED")


def _term(text: str) -> tuple[str, str]:
    name, _, value = text.strip().partition(":")
    return name, value.strip('"').replace('\\"', '"').replace("\\\\", "\\")


def _fits(order: Order, name: str, value: str) -> bool:
    fields: Mapping[str, str] = {"source_identifier": order.source, "po_number": order.po_number}
    return fields[name].lower() == value.lower() if name in fields else True
