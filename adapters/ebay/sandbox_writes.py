"""What the simulated eBay makes of packages and of quantities that it is told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from adapters.ebay.sandbox_http import Fault
from adapters.ebay.sandbox_world import Package, SoldOrder, World

_TRACKING = re.compile(r"[A-Za-z0-9]{1,50}")
_INVENTORY = "API_INVENTORY"


def create_package(world: World, order: SoldOrder, body: Mapping[str, Any], at: datetime) -> Package:
    """One call a package. What was told before is refused: by its number, not by a key of the caller's."""
    if not set(body) <= {"lineItems", "shippedDate", "shippingCarrierCode", "trackingNumber"}:
        raise Fault(400, 32600, "Invalid input data")
    lines = _lines(order, body.get("lineItems"))
    tracking, carrier = body.get("trackingNumber") or "", body.get("shippingCarrierCode") or ""
    if bool(tracking) != bool(carrier) or (tracking and not _TRACKING.fullmatch(tracking)):
        raise Fault(400, 32300, "Invalid shipment tracking number or carrier")
    if carrier and world.behaviour.carriers and carrier not in world.behaviour.carriers:
        raise Fault(400, 32300, "Invalid shipment tracking number or carrier")
    if order.global_shipping and len(lines) > 1:
        raise Fault(400, 34300, "Mark As Shipped for multiple Global Shipping Program line items")
    shipped_at = _shipped_at(body.get("shippedDate"), at)
    _check_known(world, order, lines, tracking)
    if order.cancel_state == "CANCELED":
        raise Fault(400, 32600, "Invalid input data")
    for line_id, quantity in lines.items():
        line = order.line(line_id)
        if line is not None and line.shipped + quantity > line.quantity:
            raise Fault(400, 32600, "Invalid input data")
    name = tracking or str(999 + len(world.packages))
    return Package(name, order.order_id, at, shipped_at, tuple(lines.items()), tracking, carrier)


def _lines(order: SoldOrder, stated: Any) -> dict[str, int]:
    if not isinstance(stated, list) or not stated:
        raise Fault(400, 32600, "Invalid input data")
    lines: dict[str, int] = {}
    for entry in stated:
        line_id, quantity = entry.get("lineItemId"), entry.get("quantity", 1)
        if order.line(line_id) is None:
            raise Fault(400, 32200, "Invalid line item id")
        if line_id in lines:
            raise Fault(400, 32210, "Duplicate line item in the request")
        if not isinstance(quantity, int) or quantity < 1:
            raise Fault(400, 32600, "Invalid input data")
        lines[line_id] = quantity
    return lines


def _shipped_at(stated: Any, at: datetime) -> datetime:
    if stated is None:
        return at
    try:
        shipped_at = datetime.fromisoformat(stated)
    except (TypeError, ValueError):
        raise Fault(400, 32500, "Invalid shipped date") from None
    if shipped_at.tzinfo is None or shipped_at > at:
        raise Fault(400, 32500, "Invalid shipped date")
    return shipped_at


def _check_known(world: World, order: SoldOrder, lines: Mapping[str, int], tracking: str) -> None:
    for package in world.packages if tracking else ():
        if package.tracking.casefold() != tracking.casefold():
            continue
        if package.order_id != order.order_id:
            raise Fault(400, 32300, "Invalid shipment tracking number or carrier")
        if dict(package.lines) == dict(lines):
            raise Fault(409, 0)
        raise Fault(400, 34500, "Please use PUT operation for updating shipping fulfillment")


def update_stock(world: World, body: Mapping[str, Any], at: datetime, *, applied: bool) -> dict[str, Any]:
    """Each item by itself, with its own answer. An item that only names a SKU sets what all marketplaces may sell of it."""
    requests = body.get("requests")
    if not isinstance(requests, list) or not 1 <= len(requests) <= world.behaviour.skus_per_call:
        raise Fault(400, 25709, "Invalid value for requests", _INVENTORY)
    skus = [entry.get("sku") for entry in requests]
    if len(set(skus)) != len(skus):
        raise Fault(400, 25709, "Invalid value for sku", _INVENTORY)
    taken: dict[str, int] = {}
    responses = []
    for entry in requests:
        sku = entry.get("sku")
        try:
            taken[sku] = _quantity(world, entry, at)
            responses.append({"sku": sku, "statusCode": 200, "errors": [], "warnings": []})
        except Fault as fault:
            responses.append(
                {"sku": sku, "statusCode": fault.status, "errors": [fault.entry()], "warnings": []}
            )
    if applied:
        world.set_stock(at, taken)
    return {"responses": responses}


def _quantity(world: World, entry: Mapping[str, Any], at: datetime) -> int:
    sku = entry.get("sku")
    if not isinstance(sku, str) or sku not in world.listings:
        raise Fault(404, 25702, "SKU is not available in the system", _INVENTORY)
    quantity = (entry.get("shipToLocationAvailability") or {}).get("quantity")
    if not isinstance(quantity, int) or quantity < 0:
        raise Fault(400, 25004, "Invalid quantity", _INVENTORY)
    if quantity < world.behaviour.auctions.get(sku, 0):
        raise Fault(400, 25759, "quantity value should be greater than or equal to auction", _INVENTORY)
    key = sku, world.day(at)
    if world.revisions.get(key, 0) >= world.behaviour.revisions_a_day:
        raise Fault(400, 25002, "the listing was revised too often today", _INVENTORY)
    world.revisions[key] = world.revisions.get(key, 0) + 1
    return quantity
