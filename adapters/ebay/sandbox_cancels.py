"""The simulated eBay's Post-Order API: a seller who cancels a sale, or says yes to a buyer who asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from adapters.ebay.sandbox_http import Fault, Reply, answer, body_of
from adapters.ebay.sandbox_world import CancelRequest, SoldOrder, World
from marketsync.ports import Request

SITES = ("EBAY_US", "EBAY_GB", "EBAY_DE", "EBAY_AU", "EBAY_CA")
REASONS = ("OUT_OF_STOCK_OR_CANNOT_FULFILL", "BUYER_ASKED_CANCEL", "ADDRESS_ISSUES")
FIELDS = frozenset({"legacyOrderId", "cancelReason", "buyerPaid", "buyerPaidDate"})
_DOMAIN = "POST_ORDER"


def create_cancel(world: World, request: Request, at: datetime) -> Reply:
    """What may not be cancelled is told in an answer that is a success. A buyer who waits for his answer gets none by this."""
    _check_site(world, request)
    body = body_of(request, _DOMAIN, 1600)
    order = world.orders.get(body.get("legacyOrderId", ""))
    if order is None or not set(body) <= FIELDS or body.get("cancelReason") not in REASONS:
        raise Fault(400, 1600, "Invalid input", _DOMAIN)
    if any(x.state == "REQUESTED" and x.by == "Buyer" for x in order.cancel_requests):
        raise Fault(400, 1613, "The buyer has requested a cancellation", _DOMAIN)
    _check_paid(order, body)
    if any(line.shipped for line in order.lines) or order.cancel_state != "NONE_REQUESTED" or order.by_ebay:
        reason = "ORDER_ALREADY_CANCELLED" if order.cancel_state != "NONE_REQUESTED" else "ORDER_SHIPPED"
        eligibility = {"eligible": False, "failureReason": reason, "legacyOrderId": order.order_id}
        return answer({"orderEligibilityResult": eligibility})
    name = str(5_000_000_000 + len(world.log))
    asked = CancelRequest(name, "Seller", "REQUESTED", at.replace(microsecond=0))
    world.record(at, "cancel_taken", order.order_id, body["cancelReason"])
    requests = (*order.cancel_requests, asked)
    under_way = world.put(replace(order, cancel_state="IN_PROGRESS", cancel_requests=requests), at)
    _end(world, under_way, at, "Seller")
    return answer({"cancelId": name}, 201)


def approve_cancel(world: World, request: Request, cancel_id: str, at: datetime) -> Reply:
    """Neither a body nor an answer's."""
    _check_site(world, request)
    found = [
        order
        for order in world.orders.values()
        if any(x.request_id == cancel_id and x.state == "REQUESTED" for x in order.cancel_requests)
    ]
    if not found or request.body:
        raise Fault(404, 1601, "There is no such request", _DOMAIN)
    order = found[0]
    if any(line.shipped for line in order.lines):
        raise Fault(400, 1614, "The order is shipped", _DOMAIN)
    requests = tuple(
        replace(x, state="COMPLETED", done_at=at.replace(microsecond=0)) if x.request_id == cancel_id else x
        for x in order.cancel_requests
    )
    world.record(at, "cancel_taken", order.order_id, "approved")
    _end(world, world.put(replace(order, cancel_requests=requests), at), at, "Buyer")
    return 200, {}, b""


def _end(world: World, order: SoldOrder, at: datetime, by: str) -> None:
    seconds = world.behaviour.cancel_seconds
    if seconds:
        world.cancelling[order.order_id] = (at + timedelta(seconds=seconds), by)
    else:
        world.cancel(order, at, by)


def _check_site(world: World, request: Request) -> None:
    headers = {name.lower(): value for name, value in request.headers}
    if headers.get("x-ebay-c-marketplace-id") not in SITES:
        raise Fault(400, 1602, "The site is missing or has no such call", _DOMAIN)
    if world.behaviour.needs_signature:
        raise Fault(403, 215000, "A digital signature is needed", _DOMAIN)


def _check_paid(order: SoldOrder, body: Mapping[str, Any]) -> None:
    """Whether the buyer has paid has to be so, and since when."""
    date = body.get("buyerPaidDate") or {}
    if body.get("buyerPaid") is not (order.paid_at is not None) or bool(date.get("value")) != (
        order.paid_at is not None
    ):
        raise Fault(400, 1603, "buyerPaid or buyerPaidDate is not so", _DOMAIN)
