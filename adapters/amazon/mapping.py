"""One Amazon order into the one schema: a plain function, so that a bad order stops only itself (D1, D13)."""

from __future__ import annotations

import re

import msgspec

from adapters.amazon import wire
from adapters.amazon.money import LineMoney, money_of
from adapters.amazon.stores import STORES
from marketsync.domain.ids import ConnectionId, LineId, MerchantId, OrderId, OrderKey, Sku
from marketsync.domain.orders import Address, Fulfilment, Order, OrderLine, Party
from marketsync.errors import Malformed, Park
from marketsync.http.documents import currency_code, document, identity, known, text, utc

# Not paid for yet: amounts, buyer and address are not told.
PENDING = frozenset({"PENDING_AVAILABILITY", "PENDING"})
PAID = frozenset({"UNSHIPPED", "PARTIALLY_SHIPPED", "SHIPPED"})
# The last one is of Amazon's own warehouses alone.
ENDED = frozenset({"CANCELLED", "UNFULFILLABLE"})
STATES = PENDING | PAID | ENDED
FULFILLERS = {"MERCHANT": Fulfilment.MERCHANT, "AMAZON": Fulfilment.MARKETPLACE}

ORDER_BYTES_MAX = 1024 * 1024
QUANTITY_MAX = 1_000_000
LINES_MAX = 1_000
_COUNTRY = re.compile(r"[A-Z]{2}")


class Rules(msgspec.Struct, frozen=True):
    merchant: MerchantId
    connection: ConnectionId


def parse_order(raw: bytes, rules: Rules) -> Order:
    """Raises Malformed with the path of the first bad field, or Park for a value that is new to us."""
    if len(raw) > ORDER_BYTES_MAX:
        raise Malformed("$", f"larger than {ORDER_BYTES_MAX} bytes")
    stated = document(raw, wire.Order)
    state, fulfilment = stated.fulfillment.fulfillment_status, stated.fulfillment
    known(state, STATES, "amazon.fulfillmentStatus")
    known(fulfilment.fulfilled_by, FULFILLERS, "amazon.fulfilledBy")
    if state == "UNFULFILLABLE" and fulfilment.fulfilled_by == "MERCHANT":
        cause = "enum:amazon.fulfillmentStatus=UNFULFILLABLE"
        raise Park("an order that we ship is UNFULFILLABLE, which only Amazon's own can be", (cause,))
    store_id = stated.sales_channel.marketplace_id
    known(store_id, STORES, "amazon.marketplaceId")
    worth = money_of(stated, STORES[store_id], payable=state in PAID)
    deadline = fulfilment.ship_by_window.latest_date_time if fulfilment.ship_by_window else None
    address = stated.recipient.delivery_address if stated.recipient else None
    return Order(
        key=OrderKey(rules.merchant, rules.connection, OrderId(identity(stated.order_id, "$.orderId"))),
        created_at=utc(stated.created_time, "$.createdTime"),
        updated_at=utc(stated.last_updated_time, "$.lastUpdatedTime"),
        currency=currency_code(worth.currency, "$.proceeds.grandTotal.currencyCode"),
        total=worth.total,
        prices_include_tax=worth.prices_include_tax,
        lines=_lines(stated, worth.lines),
        fulfilment=FULFILLERS[fulfilment.fulfilled_by],
        fees=worth.fees,
        paid=state in PAID,
        ship_by=None if deadline is None else utc(deadline, "$.fulfillment.shipByWindow.latestDateTime"),
        buyer=_buyer(stated.buyer, address),
        ship_to=_ship_to(address, fulfilment),
        shipping_method=text(fulfilment.fulfillment_service_level),
        state_as_stated=state,
        channel=store_id,
        cancel_asked=any(_asks_cancel(item) for item in stated.order_items),
    )


def _lines(order: wire.Order, worth: tuple[LineMoney, ...]) -> tuple[OrderLine, ...]:
    items = order.order_items
    if not 1 <= len(items) <= LINES_MAX:
        raise Malformed("$.orderItems", f"1 to {LINES_MAX} items are expected")
    state = order.fulfillment.fulfillment_status
    lines = tuple(
        _line(item, state, share, f"$.orderItems[{i}]")
        for i, (item, share) in enumerate(zip(items, worth, strict=True))
    )
    if len({line.line_id for line in lines}) != len(lines):
        raise Malformed("$.orderItems", "two items have the same id")
    return lines


def _line(item: wire.Item, state: str, worth: LineMoney, path: str) -> OrderLine:
    if item.measurement is not None:
        known(item.measurement.unit, {"COUNT"}, "amazon.measurement_unit")
    ordered = _quantity(item.quantity_ordered, f"{path}.quantityOrdered")
    shipped, cancelled = _moved(item, ordered, state, path)
    return OrderLine(
        line_id=LineId(identity(item.order_item_id, f"{path}.orderItemId")),
        sku=Sku(identity(item.product.seller_sku, f"{path}.product.sellerSku")),
        quantity=ordered,
        line_total=worth.goods,
        unit_price=worth.unit_price,
        title=text(item.product.title),
        shipping=worth.shipping,
        taxes=worth.taxes,
        shipping_taxes=worth.shipping_taxes,
        shipped=shipped,
        cancelled=cancelled,
    )


def _moved(item: wire.Item, ordered: int, state: str, path: str) -> tuple[int, int]:
    """Units shipped and units cancelled. The contract's own example has a cancellation on an item that was shipped whole,
    so units are cancelled only where neither what was shipped nor what is left counts them. Of what is not paid for, nothing
    is left to ship and nothing cancelled; and what is SHIPPED has left, whatever its items were last counted as."""
    if state in ENDED:
        return 0, ordered
    if state in PENDING:
        return 0, 0
    counted = item.fulfillment or wire.ItemFulfillment()
    done, left = counted.quantity_fulfilled, counted.quantity_unfulfilled
    done = None if done is None else _quantity(done, f"{path}.fulfillment.quantityFulfilled")
    left = None if left is None else _quantity(left, f"{path}.fulfillment.quantityUnfulfilled")
    told = done is not None and left is not None and (state != "SHIPPED" or done + left > 0)
    cancelled = max(0, ordered - (done or 0) - (left or 0)) if told else 0
    if state == "SHIPPED":
        return ordered - cancelled, cancelled
    return min(done or 0, ordered), cancelled


def _quantity(stated: int, path: str) -> int:
    """A cancelled order may state that nothing was ordered."""
    if not 0 <= stated <= QUANTITY_MAX:
        raise Malformed(path, f"not between 0 and {QUANTITY_MAX}")
    return stated


def _asks_cancel(item: wire.Item) -> bool:
    """The buyer wants to, and nobody has done it."""
    stated = item.cancellation
    if stated is None or stated.cancellation_request is None or stated.cancellation_request.requester is None:
        return False
    known(stated.cancellation_request.requester, {"BUYER"}, "amazon.cancellation_requester")
    return stated.cancellation_execution is None


def _buyer(stated: wire.Buyer | None, address: wire.Address | None) -> Party | None:
    told = stated or wire.Buyer()
    name = text(told.buyer_name) or (text(address.name) if address else "")
    company = text(told.buyer_company_name)
    if not name and not company:
        return None
    phone = text(address.phone) if address else ""
    return Party(name=name or company, company=company, email=text(told.buyer_email), phone=phone)


def _ship_to(stated: wire.Address | None, fulfilment: wire.Fulfillment) -> Address | None:
    """None before the order is paid for. Without its role an application is shown the town and no street, or nothing."""
    if stated is not None and text(stated.address_line1):
        return _address(stated, "$.recipient.deliveryAddress")
    if fulfilment.fulfilled_by == "MERCHANT" and fulfilment.fulfillment_status in {
        "UNSHIPPED",
        "PARTIALLY_SHIPPED",
    }:
        reason = "missing: the application needs the role Direct-to-Consumer Delivery"
        raise Malformed("$.recipient.deliveryAddress.addressLine1", reason)
    return None


def _address(stated: wire.Address, path: str) -> Address:
    country = (stated.country_code or "").strip().upper()
    if not _COUNTRY.fullmatch(country):
        raise Malformed(f"{path}.countryCode", "not a country of two letters")
    first, _, last = text(stated.name).rpartition(" ")
    more = (stated.address_line2, stated.address_line3, stated.district_or_county)
    return Address(
        first_name=first,
        last_name=last,
        company=text(stated.company_name),
        street1=text(stated.address_line1),
        street2=", ".join(filter(None, map(text, more))),
        postcode=text(stated.postal_code),
        city=text(stated.city) or text(stated.municipality),
        state=text(stated.state_or_region),
        country=country,
        phone=text(stated.phone),
    )
