"""An order as Shopify is to hold it: the amounts to the cent, our marks, and what differs from them.

Shopify multiplies a unit's price and takes taxes as they are given. So unit prices and taxes are cut off at the currency's
last digit, and what that leaves, with the marketplace's fees, is one shipping line more: the total is right to the cent,
and nothing more is to be packed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

import msgspec
from msgspec.structs import replace

from adapters.shopify.settings import (
    BYPASS,
    CONTENT_KEY,
    LINE_PROPERTY,
    STOCK_ATTRIBUTE,
    TAG,
    TAKEN,
    UNTOUCHED,
    Settings,
)
from adapters.shopify.wire import Bag, CreatedOrder, HeldLine, attribute, gid, shown
from marketsync.domain.ids import LineId
from marketsync.domain.money import BadAmount, amount, smallest_unit
from marketsync.domain.orders import Address, Order, OrderLine, Party, Tax, TaxCollector, payable
from marketsync.ports import CreateOrder, UpdateOrder

Body = dict[str, object]
RATE_DIGITS = Decimal("0.0001")
CODE_MAX = 3


def create_input(payload: CreateOrder, settings: Settings) -> Body:
    order, currency = payload.order, payload.order.currency
    parts = _parts(payload, settings)
    takes = payload.takes_stock and settings.inventory != BYPASS
    body: Body = {
        "currency": currency,
        "taxesIncluded": order.prices_include_tax,
        "sourceIdentifier": payload.ref,
        "poNumber": order.key.order_id,
        "processedAt": order.created_at.isoformat(),
        "tags": [TAG, order.key.connection],
        "customAttributes": [{"key": STOCK_ATTRIBUTE, "value": TAKEN if takes else UNTOUCHED}],
        "metafields": [
            {**_named(settings, settings.reference_key), "type": "id", "value": payload.ref},
            content_metafield(payload, settings),
        ],
        "lineItems": [_with_line(line, payload) for line in parts.lines],
        "shippingLines": parts.shipping,
        "financialStatus": "PAID",
        "transactions": [
            {"kind": "SALE", "status": "SUCCESS", "gateway": settings.gateway, "amountSet": _money(total_of(order), currency)}
        ],
        **parts.addresses,
    }  # fmt: skip
    if parts.discount:
        fixed = {"code": settings.fee_name, "amountSet": _money(parts.discount, currency)}
        body["discountCode"] = {"itemFixedDiscountCode": fixed}
    if not payload.ships:
        body["fulfillmentStatus"] = "FULFILLED"
    return body


def create_options(payload: CreateOrder, settings: Settings) -> Body:
    """Who decrements is settled here, once for the order: no adjustment ever follows."""
    behaviour = settings.inventory if payload.takes_stock else BYPASS
    return {"inventoryBehaviour": behaviour.upper(), "sendReceipt": False, "sendFulfillmentReceipt": False}


def update_input(payload: UpdateOrder, settings: Settings) -> Body:
    body: Body = {"id": gid("Order", payload.remote_id), "metafields": [content_metafield(payload, settings)]}
    if address := _address(payload.order.ship_to, payload.order.buyer):
        body["shippingAddress"] = address
    return body


def content_metafield(payload: CreateOrder | UpdateOrder, settings: Settings) -> Body:
    value = content_hash(payload, settings)
    return {**_named(settings, CONTENT_KEY), "type": "single_line_text_field", "value": value}


def content_hash(payload: CreateOrder | UpdateOrder, settings: Settings) -> str:
    """Of what matters in the shop: articles, quantities, amounts and addresses."""
    encoded = msgspec.json.encode(_parts(payload, settings), order="deterministic")
    return hashlib.sha256(encoded).hexdigest()


def total_of(order: Order) -> Decimal:
    """What the buyer pays for the units that are still wanted."""
    return _rounded(payable(replace(order, lines=wanted_lines(order))), order.currency)


def wanted_lines(order: Order) -> tuple[OrderLine, ...]:
    return tuple(line for line in order.lines if line.wanted > 0)


def line_of(line: HeldLine) -> LineId:
    return LineId(attribute(line.custom_attributes, LINE_PROPERTY))


def create_differences(payload: CreateOrder, held: CreatedOrder) -> list[str]:
    """How the order that was made differs from what was asked for. It is live all the same: a person is told."""
    found = money_differences(payload.order, held.total_price_set, held.currency_code)
    units = sum(line.wanted for line in payload.order.lines)
    if held.current_subtotal_line_items_quantity != units:
        found.append(f"there are {held.current_subtotal_line_items_quantity} units instead of {units}")
    if not held.line_items.page_info.has_next_page:
        missing = sum(line.variant is None for line in held.line_items.nodes)
        if missing:
            found.append(f"{missing} lines have no article")
    return found


def money_differences(order: Order, total: Bag | None, currency: str) -> list[str]:
    found, expected = [], total_of(order)
    stated = total.shop_money.amount if total else ""
    if _decimal(stated) != expected:
        found.append(f"the total is {shown(stated) or 'missing'} instead of {expected}")
    if currency != order.currency:
        found.append(f"the currency is {shown(currency) or 'missing'} instead of {order.currency}")
    return found


class _Parts(msgspec.Struct, frozen=True):
    lines: list[Body]
    shipping: list[Body]
    discount: Decimal
    addresses: Body


def _parts(payload: CreateOrder | UpdateOrder, settings: Settings) -> _Parts:
    order, currency = payload.order, payload.order.currency
    kept = wanted_lines(order)
    articles = {line.line_id: line.remote_id for line in payload.lines}
    units = {line.line_id: _cut(line.line_total / line.wanted, currency) for line in kept}
    shipping_cost = _cut(sum((line.shipping for line in kept), Decimal(0)), currency)
    shipping_taxes = [tax for line in kept for tax in line.shipping_taxes]
    lines: list[Body] = [
        {
            "line": line.line_id,
            "variantId": gid("ProductVariant", articles[line.line_id]),
            "quantity": line.wanted,
            "priceSet": _money(units[line.line_id], currency),
            "taxLines": _taxes(line.taxes, line.line_total, order),
        }
        for line in kept
    ]
    shipping: list[Body] = []
    if shipping_cost or order.shipping_method or shipping_taxes:
        title = order.shipping_method or "Shipping"
        taxes = _taxes(shipping_taxes, shipping_cost, order)
        shipping.append({"title": title, "priceSet": _money(shipping_cost, currency), "taxLines": taxes})
    reckoned = shipping_cost + sum((units[line.line_id] * line.wanted for line in kept), Decimal(0))
    if not order.prices_include_tax:
        every = [tax for line in kept for tax in (*line.taxes, *line.shipping_taxes)]
        reckoned += sum((_cut(tax.amount, currency) for tax in every), Decimal(0))
    left = total_of(order) - reckoned
    if left > 0:
        shipping.append({"title": settings.fee_name, "priceSet": _money(left, currency), "taxLines": []})
    addresses: Body = {}
    if billing := _address(order.bill_to or order.ship_to, order.buyer):
        addresses["billingAddress"] = billing
    if shipped_to := _address(order.ship_to, None):
        addresses["shippingAddress"] = shipped_to
    return _Parts(lines, shipping, max(Decimal(0), -left), addresses)


def _with_line(line: Body, payload: CreateOrder) -> Body:
    body = {name: value for name, value in line.items() if name != "line"}
    return {
        **body,
        "requiresShipping": payload.ships,
        "taxable": bool(line["taxLines"]),
        "properties": [{"name": LINE_PROPERTY, "value": line["line"]}],
    }


def _taxes(taxes: Iterable[Tax], base: Decimal, order: Order) -> list[Body]:
    """Shopify wants a rate with each amount: the stated one, else what the amounts come to."""
    return [
        {
            "title": tax.code or "Tax",
            "rate": f"{_rate(tax, base, order):f}",
            "priceSet": _money(_cut(tax.amount, order.currency), order.currency),
            "channelLiable": tax.collector is TaxCollector.MARKETPLACE,
        }
        for tax in taxes
    ]


def _rate(tax: Tax, base: Decimal, order: Order) -> Decimal:
    if tax.rate is not None:
        return (tax.rate / 100).quantize(RATE_DIGITS, ROUND_HALF_UP)
    net = base - tax.amount if order.prices_include_tax else base
    return (tax.amount / net).quantize(RATE_DIGITS, ROUND_HALF_UP) if net > 0 else Decimal(0)


def _address(address: Address | None, buyer: Party | None) -> Body:
    """Without the e-mail address: Shopify would write to the marketplace's buyer."""
    if address is None:
        return {"lastName": buyer.name} if buyer is not None and buyer.name else {}
    body: Body = {
        "firstName": address.first_name,
        "lastName": address.last_name,
        "company": address.company,
        "address1": address.street1,
        "address2": address.street2,
        "city": address.city,
        "zip": address.postcode,
        "countryCode": address.country,
        "phone": address.phone,
    }
    if address.state:
        body["provinceCode" if len(address.state) <= CODE_MAX else "province"] = address.state
    return {name: value for name, value in body.items() if value}


def _named(settings: Settings, key: str) -> Body:
    return {"namespace": settings.namespace, "key": key}


def _money(value: Decimal, currency: str) -> Body:
    return {"shopMoney": {"amount": f"{_rounded(value, currency):f}", "currencyCode": currency}}


def _cut(value: Decimal, currency: str) -> Decimal:
    return value.quantize(smallest_unit(currency), ROUND_DOWN)


def _rounded(value: Decimal, currency: str) -> Decimal:
    return value.quantize(smallest_unit(currency), ROUND_HALF_UP)


def _decimal(text: str) -> Decimal | None:
    try:
        return amount(text)
    except BadAmount:
        return None
