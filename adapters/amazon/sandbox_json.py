"""The simulated Amazon's order documents: what each order shows of itself, by state and by what was asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from adapters.amazon.sandbox_http import stamp
from adapters.amazon.sandbox_world import Behaviour, Package, SoldLine, SoldOrder
from adapters.amazon.stores import STORES, Store
from marketsync.domain.orders import Party

INCLUDED = (
    "BUYER", "RECIPIENT", "PROCEEDS", "EXPENSE", "PROMOTION", "CANCELLATION", "FULFILLMENT", "PACKAGES", "TAX", "PAYMENT",
    "FULFILLMENT_ORDERS",
)  # fmt: skip
SHIPPING = Decimal("4.90")
TAX_PERCENT = Decimal(20)
_FIRST = ("Ada", "Bruno", "Chloe", "Dmitri", "Elif", "Farid", "Greta", "Hugo")
_LAST = ("Beispiel", "Ejemplo", "Esempio", "Exemple", "Mustermann", "Przyklad", "Sample", "Voorbeeld")
_CENT = Decimal("0.01")

Json = dict[str, Any]


def order_json(order: SoldOrder, behaviour: Behaviour, included: Collection[str]) -> Json:
    """What was not asked for is left out, and so is what is not known yet: a PENDING order has no money and no people."""
    store = STORES[order.marketplace_id]
    known = order.state not in {"PENDING", "PENDING_AVAILABILITY"}
    priced = known and not (order.state == "CANCELLED" and behaviour.cancelled_states_nothing)
    shown: Json = {
        "orderId": order.order_id,
        "createdTime": stamp(order.created),
        "lastUpdatedTime": stamp(order.updated),
        "programs": [],
        "salesChannel": {
            "channelName": "AMAZON",
            "marketplaceId": order.marketplace_id,
            "marketplaceName": f"Amazon {store.country}",
        },
        "orderItems": [_item(order, line, store, priced, behaviour, included) for line in order.lines],
    }
    parts: dict[str, tuple[str, Callable[[], Json | list[Json]], bool]] = {
        "FULFILLMENT": ("fulfillment", lambda: _fulfillment(order, behaviour), True),
        "PROCEEDS": ("proceeds", lambda: _proceeds(order, store, behaviour), priced),
        "BUYER": ("buyer", lambda: _buyer(order, behaviour), known and not order.by_amazon),
        "RECIPIENT": (
            "recipient",
            lambda: _recipient(order, store, behaviour),
            known and not order.by_amazon,
        ),
        "PACKAGES": ("packages", lambda: [_package(x) for x in order.packages], bool(order.packages)),
    }
    for name, (field, shape, there) in parts.items():
        if there and name in included:
            shown[field] = shape()
    return shown


def _item(
    order: SoldOrder, line: SoldLine, store: Store, priced: bool, behaviour: Behaviour, included: Collection[str]
) -> Json:  # fmt: skip
    gone = order.state == "CANCELLED"
    shipped = line.quantity if order.state == "SHIPPED" else order.shipped(line.item_id)
    left = 0 if gone or order.state == "SHIPPED" else order.left(line)
    stated = 0 if gone and behaviour.cancelled_states_nothing else line.quantity
    shown: Json = {
        "orderItemId": line.item_id,
        "quantityOrdered": stated,
        "programs": [],
        "product": {
            "asin": f"B0{line.item_id[-8:]}",
            "title": f"{line.sku} as it is sold",
            "sellerSku": line.sku,
            "condition": {"conditionType": "NEW", "conditionSubtype": "NEW", "conditionNote": ""},
        },
    }
    if priced:
        shown["product"]["price"] = {"unitPrice": _money(line.unit_price, store)}
    if "FULFILLMENT" in included:
        shown["fulfillment"] = {"quantityFulfilled": shipped, "quantityUnfulfilled": left}
    if "PROCEEDS" in included and priced:
        shown["proceeds"] = _item_proceeds(order, line, store)
    if "CANCELLATION" in included and order.cancel_asked:
        shown["cancellation"] = {
            "cancellationRequest": {"requester": "BUYER", "cancelReason": "Ordered by mistake"}
        }
    if "TAX" in included and priced and store.country == "US":
        party = "Amazon Services, Inc."
        shown["tax"] = {
            "taxCollections": [{"model": "MARKETPLACE_FACILITATOR", "responsibleParty": party}],
        }
    return shown


def total_of(order: SoldOrder) -> Decimal:
    """What its grandTotal states."""
    store = STORES[order.marketplace_id]
    parts = (_parts(order, line, store) for line in order.lines)
    return sum((x[0] + x[1] + (0 if store.tax_in_prices else x[2] + x[3]) for x in parts), Decimal(0))


def _parts(order: SoldOrder, line: SoldLine, store: Store) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    """Goods, shipping, and the tax on each. Shipping goes with the first line."""
    goods = line.unit_price * (line.quantity - line.cancelled)
    shipping = SHIPPING if line is order.lines[0] else Decimal(0)
    return goods, shipping, _tax(goods, store), _tax(shipping, store)


def _tax(amount: Decimal, store: Store) -> Decimal:
    base = 100 + TAX_PERCENT if store.tax_in_prices else Decimal(100)
    return (amount * TAX_PERCENT / base).quantize(_CENT, ROUND_HALF_EVEN)


def _item_proceeds(order: SoldOrder, line: SoldLine, store: Store) -> Json:
    goods, shipping, tax, shipping_tax = _parts(order, line, store)
    detailed = [{"subtype": "ITEM", "value": _money(tax, store)}]
    breakdowns: list[Json] = [{"type": "ITEM", "subtotal": _money(goods, store)}]
    if shipping:
        breakdowns.append({"type": "SHIPPING", "subtotal": _money(shipping, store)})
        detailed.append({"subtype": "SHIPPING", "value": _money(shipping_tax, store)})
    taxes = {"type": "TAX", "subtotal": _money(tax + shipping_tax, store), "detailedBreakdowns": detailed}
    total = goods + shipping + (0 if store.tax_in_prices else tax + shipping_tax)
    return {"proceedsTotal": _money(total, store), "breakdowns": [*breakdowns, taxes]}


def _proceeds(order: SoldOrder, store: Store, behaviour: Behaviour) -> Json:
    lines = [_parts(order, line, store) for line in order.lines]
    goods, shipping = sum((x[0] for x in lines), Decimal(0)), sum((x[1] for x in lines), Decimal(0))
    tax = sum((x[2] + x[3] for x in lines), Decimal(0))
    total = goods + shipping + (Decimal(0) if store.tax_in_prices else tax)
    sums = {"ITEM": goods, "SHIPPING": shipping, "TAX": tax}
    return {
        "grandTotal": _money(total + (Decimal("3.33") if behaviour.bad_totals else 0), store),
        "breakdowns": [
            {"type": kind, "subtotal": _money(value, store)} for kind, value in sums.items() if value
        ],
    }


def _fulfillment(order: SoldOrder, behaviour: Behaviour) -> Json:
    window = {
        "earliestDateTime": stamp(order.created),
        "latestDateTime": stamp(order.created + timedelta(days=2)),
    }
    return {
        "fulfillmentStatus": behaviour.unknown_state or order.status,
        "fulfilledBy": "AMAZON" if order.by_amazon else "MERCHANT",
        "fulfillmentServiceLevel": "STANDARD",
        "shipByWindow": window,
        "deliverByWindow": window,
    }


def _person(order: SoldOrder, behaviour: Behaviour) -> Party:
    if behaviour.buyer is not None:
        return behaviour.buyer
    name = f"{_FIRST[order.number % len(_FIRST)]} {_LAST[order.number // 3 % len(_LAST)]}"
    return Party(name, email=f"buyer-{order.number}@marketplace.example", phone="+00 000 000")


def _buyer(order: SoldOrder, behaviour: Behaviour) -> Json:
    person = _person(order, behaviour)
    return {"buyerName": person.name, "buyerEmail": person.email, "buyerCompanyName": person.company}


def _recipient(order: SoldOrder, store: Store, behaviour: Behaviour) -> Json:
    """Name, street, postcode and telephone are the private part."""
    person = _person(order, behaviour)
    address = {
        "name": person.name,
        "addressLine1": f"{order.number} Example Street",
        "addressLine2": "",
        "city": "Sampleton",
        "stateOrRegion": "EX",
        "postalCode": f"{10000 + order.number % 89999}",
        "countryCode": store.country,
        "phone": person.phone,
        "addressType": "RESIDENTIAL",
    }
    shown = ("city", "stateOrRegion", "countryCode") if behaviour.hides_addresses else tuple(address)
    return {"deliveryAddress": {name: address[name] for name in shown}}


def _package(package: Package) -> Json:
    status = "SHIPPED" if package.known_carrier else "PENDING"
    return {
        "packageReferenceId": package.reference,
        "createdTime": stamp(package.at),
        "packageStatus": {"status": status},
        "carrier": package.carrier,
        "shipTime": package.ship_time,
        "trackingNumber": package.tracking,
        "packageItems": [{"orderItemId": item, "quantity": count} for item, count in package.lines],
    }


def _money(amount: Decimal, store: Store) -> Json:
    return {"amount": f"{amount:.2f}", "currencyCode": store.currency}
