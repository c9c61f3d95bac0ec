"""The simulated eBay's documents, in the shapes of its published contract."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from urllib.parse import quote, urlencode

from adapters.ebay.sandbox_world import Behaviour, CancelRequest, Package, SoldLine, SoldOrder
from marketsync.domain.orders import Party

CENT = Decimal("0.01")
ZERO = Decimal(0)
ORDERS = "https://api.ebay.com/sell/fulfillment/v1/order"
_ADDRESS = {
    "addressLine1": "1 Test Lane",
    "addressLine2": "Flat 2",
    "city": "Exampleton",
    "postalCode": "EX1 1EX",
    "countryCode": "GB",
}
_HUB = {
    "addressLine1": "Hub 7",
    "city": "Hubville",
    "stateOrProvince": "KY",
    "postalCode": "41018",
    "countryCode": "US",
}


def order_json(
    order: SoldOrder, behaviour: Behaviour, *, breakdown: bool = False, requests: bool = False
) -> dict[str, Any]:
    """`requests`: only the look at one order has the cancel requests, the list leaves them empty."""
    lines = [_Line(line, i == 0, behaviour, breakdown=breakdown) for i, line in enumerate(order.lines)]
    body: dict[str, Any] = {
        "orderId": order.order_id,
        "creationDate": _time(order.created),
        "lastModifiedDate": _time(order.updated),
        "orderFulfillmentStatus": order.fulfilment,
        "orderPaymentStatus": behaviour.unknown_state or order.payment,
        "sellerId": "example-seller",
        "buyer": _buyer(order, behaviour.buyer),
        "pricingSummary": _pricing(lines, behaviour),
        "cancelStatus": _cancel(order, requests=requests),
        "paymentSummary": _payments(order, lines, behaviour),
        "fulfillmentStartInstructions": [_instructions(order, behaviour.buyer)],
        "fulfillmentHrefs": [],
        "lineItems": [line.body(order) for line in lines],
        "salesRecordReference": str(order.number),
    }
    if behaviour.tax == "remit":
        body["ebayCollectAndRemitTax"] = True
    if order.by_ebay:
        body["program"] = {"fulfillmentProgram": {"fulfilledBy": "EBAY"}}
    return body


def amounts(order: SoldOrder, behaviour: Behaviour) -> tuple[tuple[Decimal, ...], Decimal]:
    """What the lines cost after their discount, and the total with the breakdown."""
    lines = [_Line(line, i == 0, behaviour, breakdown=True) for i, line in enumerate(order.lines)]
    costs = tuple(line.cost - line.discount for line in lines)
    return costs, sum((x.cost - x.discount + x.shipping + x.shown_tax for x in lines), ZERO)


def orders_json(
    orders: Sequence[dict[str, Any]], total: int, offset: int, limit: int, kept: dict[str, str]
) -> dict[str, Any]:
    def link(start: int) -> str:
        return f"{ORDERS}?{urlencode({**kept, 'limit': limit, 'offset': start}, quote_via=quote)}"

    body: dict[str, Any] = {"href": link(offset), "total": total, "limit": limit, "offset": offset}
    if offset + limit < total:
        body["next"] = link(offset + limit)
    if offset:
        body["prev"] = link(max(0, offset - limit))
    return {**body, "orders": list(orders)}


def packages_json(packages: Sequence[Package]) -> dict[str, Any]:
    return {"fulfillments": [_package(package) for package in packages], "total": len(packages)}


def _package(package: Package) -> dict[str, Any]:
    body: dict[str, Any] = {
        "fulfillmentId": package.fulfillment_id,
        "lineItems": [{"lineItemId": line, "quantity": quantity} for line, quantity in package.lines],
        "shippedDate": _time(package.shipped_at),
    }
    if package.tracking:
        body |= {"shipmentTrackingNumber": package.tracking, "shippingCarrierCode": package.carrier}
    return body


class _Line:
    """One line and its money. The total counts eBay's own tax only where the breakdown was asked for."""

    def __init__(self, line: SoldLine, first: bool, behaviour: Behaviour, *, breakdown: bool) -> None:
        self._line = line
        self._behaviour = behaviour
        self._breakdown = breakdown
        self.cost = line.unit_price * line.quantity
        self.discount = min(behaviour.discount, self.cost)
        self.shipping = behaviour.shipping if first else ZERO
        taxed = (self.cost - self.discount + self.shipping) * behaviour.tax_percent / 100
        self.tax = ZERO if behaviour.tax == "none" else taxed.quantize(CENT, ROUND_HALF_UP)

    @property
    def shown_tax(self) -> Decimal:
        return self.tax if self._breakdown or self._behaviour.tax == "seller" else ZERO

    @property
    def remitted(self) -> Decimal:
        return self.shown_tax if self._behaviour.tax == "remit" else ZERO

    def body(self, order: SoldOrder) -> dict[str, Any]:
        line, code = self._line, self._behaviour.currency
        total = self.cost - self.discount + self.shipping + self.shown_tax
        stated: dict[str, Any] = {
            "lineItemId": line.line_id,
            "legacyItemId": str(110_000_000_000 + order.number),
            "sku": line.sku,
            "title": f"Example {line.sku}",
            "soldFormat": "FIXED_PRICE",
            "listingMarketplaceId": "EBAY_GB",
            "purchaseMarketplaceId": "EBAY_GB",
            "quantity": line.quantity,
            "lineItemCost": money(self.cost, code),
            "lineItemFulfillmentStatus": line.status,
            "deliveryCost": {"shippingCost": money(self.shipping, code)},
            "appliedPromotions": [],
            "taxes": self._taxes(),
            "refunds": [],
            "total": money(total, code),
            "lineItemFulfillmentInstructions": {
                "shipByDate": _time(order.created + timedelta(days=2)),
                "guaranteedDelivery": False,
            },
        }
        if self.discount:
            stated["discountedLineItemCost"] = money(self.cost - self.discount, code)
        if self._behaviour.tax == "remit":
            remitted = {"taxType": "VAT", "amount": money(self.tax, code), "collectionMethod": "NET"}
            stated["ebayCollectAndRemitTaxes"] = [remitted]
        return stated

    def _taxes(self) -> list[dict[str, Any]]:
        if not self.shown_tax:
            return []
        stated: dict[str, Any] = {"amount": money(self.shown_tax, self._behaviour.currency)}
        if self._breakdown:
            stated["taxType"] = "VAT"
        return [stated]


def _pricing(lines: Sequence[_Line], behaviour: Behaviour) -> dict[str, Any]:
    code = behaviour.currency
    subtotal = sum((line.cost for line in lines), ZERO)
    discount = sum((line.discount for line in lines), ZERO)
    delivery = sum((line.shipping for line in lines), ZERO)
    tax = sum((line.shown_tax for line in lines), ZERO)
    total = subtotal - discount + delivery + tax + (1 if behaviour.bad_totals else 0)
    body = {
        "priceSubtotal": money(subtotal, code),
        "deliveryCost": money(delivery, code),
        "total": money(total, code),
    }
    if discount:
        body["priceDiscount"] = money(-discount, code)
    if tax:
        body["tax"] = money(tax, code)
    return body


def _payments(order: SoldOrder, lines: Sequence[_Line], behaviour: Behaviour) -> dict[str, Any]:
    code = behaviour.currency
    gross = sum((x.cost - x.discount + x.shipping + x.shown_tax for x in lines), ZERO)
    due = gross - sum((line.remitted for line in lines), ZERO)
    payment: dict[str, Any] = {
        "paymentMethod": "EBAY",
        "amount": money(gross, code),
        "paymentStatus": "PAID" if order.paid_at else order.payment,
    }
    if order.paid_at:
        payment["paymentDate"] = _time(order.paid_at)
    refunds = []
    if order.refunded_at:
        refunds.append(
            {
                "refundId": f"r{order.number}",
                "refundDate": _time(order.refunded_at),
                "amount": money(gross, code),
                "refundStatus": "REFUNDED",
            }
        )
    return {"totalDueSeller": money(due, code), "payments": [payment], "refunds": refunds}


def _cancel(order: SoldOrder, *, requests: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"cancelState": order.cancel_state, "cancelRequests": []}
    if requests:
        body["cancelRequests"] = [_request(request) for request in order.cancel_requests]
    done = [request.done_at for request in order.cancel_requests if request.done_at]
    if order.cancel_state == "CANCELED" and done:
        body["cancelledDate"] = _time(done[-1])
    return body


def _request(request: CancelRequest) -> dict[str, Any]:
    body: dict[str, Any] = {
        "cancelRequestId": request.request_id,
        "cancelInitiator": request.by,
        "cancelReason": "BUYER_CANCEL_OR_ADDRESS_ISSUE",
        "cancelRequestState": request.state,
        "cancelRequestedDate": _time(request.asked_at),
    }
    if request.done_at:
        body["cancelCompletedDate"] = _time(request.done_at)
    return body


def _contact(order: SoldOrder, buyer: Party | None, address: dict[str, str]) -> dict[str, Any]:
    named = buyer or Party(
        f"Example Buyer {order.number}",
        email=f"buyer{order.number}@buyers.example",
        phone="01632 960000",
    )
    body: dict[str, Any] = {"fullName": named.name, "contactAddress": address}
    if named.company:
        body["companyName"] = named.company
    return body | {"primaryPhone": {"phoneNumber": named.phone}, "email": named.email}


def _buyer(order: SoldOrder, buyer: Party | None) -> dict[str, Any]:
    place = {"city": "Exampleton", "postalCode": "EX1 1EX", "countryCode": "GB"}
    return {
        "username": f"buyer-{order.number}",
        "taxAddress": place,
        "buyerRegistrationAddress": _contact(order, buyer, _ADDRESS),
    }


def _instructions(order: SoldOrder, buyer: Party | None) -> dict[str, Any]:
    """Where eBay ships, it shows nobody's address."""
    dates = {
        "minEstimatedDeliveryDate": _time(order.created + timedelta(days=3)),
        "maxEstimatedDeliveryDate": _time(order.created + timedelta(days=5)),
    }
    if order.by_ebay:
        return {"fulfillmentInstructionsType": "FULFILLED_BY_EBAY", **dates}
    step: dict[str, Any] = {
        "shipTo": _contact(order, buyer, _HUB if order.global_shipping else _ADDRESS),
        "shippingCarrierCode": "Royal Mail",
        "shippingServiceCode": "UK_RoyalMailTracked",
    }
    body: dict[str, Any] = {"fulfillmentInstructionsType": "SHIP_TO", **dates, "shippingStep": step}
    if order.global_shipping:
        step["shipToReferenceId"] = f"Reference #{order.number:016d}"
        body |= {"ebaySupportedFulfillment": True, "finalDestinationAddress": _ADDRESS}
    return body


def money(value: Decimal, code: str) -> dict[str, str]:
    return {"value": str(value.quantize(CENT) if value else "0.0"), "currency": code}


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
