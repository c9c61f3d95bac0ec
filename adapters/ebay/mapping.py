"""One eBay order into the one schema: a plain function, so that a bad order stops only itself (D1, D13)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec.structs import replace

from adapters.ebay import wire
from adapters.ebay.money import Money
from marketsync.domain.ids import ConnectionId, LineId, MerchantId, OrderId, OrderKey, Sku
from marketsync.domain.orders import Address, Fulfilment, Order, OrderLine, Party, imbalance
from marketsync.errors import Malformed, Park
from marketsync.http.documents import Pages, document, identity, known, text, utc

# The contract names no values: these are those of eBay's type pages.
PAID = frozenset({"PAID", "PARTIALLY_REFUNDED", "FULLY_REFUNDED"})
PAYMENT_STATES = PAID | {"PENDING", "FAILED"}
FULFILMENT_STATES = frozenset({"NOT_STARTED", "IN_PROGRESS", "FULFILLED"})
CANCELLING, CANCELLED = "IN_PROGRESS", "CANCELED"
CANCEL_STATES = frozenset({"NONE_REQUESTED", CANCELLING, CANCELLED})
REQUEST_STATES = frozenset({"REQUESTED", "REJECTED", "COMPLETED"})
BY_EBAY = "FULFILLED_BY_EBAY"
SHIPPED_BY_US = frozenset({"SHIP_TO", "SELLER_DEFINED"})
NOT_SHIPPED = frozenset({"DIGITAL", "PREPARE_FOR_PICKUP"})
INSTRUCTIONS = SHIPPED_BY_US | NOT_SHIPPED | {BY_EBAY}

PAGES = Pages(rows="orders", row_id="orderId", total="total")
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
    known(stated.order_payment_status, PAYMENT_STATES, "ebay.orderPaymentStatus")
    known(stated.order_fulfillment_status, FULFILMENT_STATES, "ebay.orderFulfillmentStatus")
    known(stated.cancel_status.cancel_state, CANCEL_STATES, "ebay.cancelState")
    instruction = _instruction(stated)
    fulfilment = _fulfilment(stated, instruction)
    step = instruction.shipping_step if instruction else None
    money = Money(stated.pricing_summary)
    order = Order(
        key=OrderKey(rules.merchant, rules.connection, OrderId(identity(stated.order_id, "$.orderId"))),
        created_at=utc(stated.creation_date, "$.creationDate"),
        updated_at=utc(stated.last_modified_date, "$.lastModifiedDate"),
        currency=money.currency,
        total=money.total,
        prices_include_tax=False,
        lines=_lines(stated, money),
        fulfilment=fulfilment,
        fees=money.fees(stated.line_items),
        paid=stated.order_payment_status in PAID,
        ship_by=_ship_by(stated.line_items),
        buyer=_buyer(stated.buyer, step.ship_to if step else None),
        ship_to=_ship_to(step) if step and fulfilment is Fulfilment.MERCHANT else None,
        bill_to=_bill_to(stated.buyer),
        shipping_method=text(step.shipping_service_code) if step else "",
        state_as_stated=_state(stated),
        channel=text(stated.line_items[0].purchase_marketplace_id),
        cancel_asked=_cancel_asked(stated.cancel_status),
    )
    return _balanced(order, stated, money)


def _balanced(order: Order, stated: wire.Order, money: Money) -> Order:
    """The contract does not say whether a delivery cost is before or after its discount: the total tells.

    With neither reading it stays out of balance, by the first one's difference.
    """
    if imbalance(order) == 0 or not money.has_delivery_discounts(stated.line_items):
        return order
    other = replace(order, lines=_lines(stated, money.after_discounts()))
    return other if imbalance(other) == 0 else order


def _lines(order: wire.Order, money: Money) -> tuple[OrderLine, ...]:
    if not 1 <= len(order.line_items) <= LINES_MAX:
        raise Malformed("$.lineItems", f"1 to {LINES_MAX} lines are expected")
    lines = tuple(_line(line, order, money, f"$.lineItems[{i}]") for i, line in enumerate(order.line_items))
    if len({line.line_id for line in lines}) != len(lines):
        raise Malformed("$.lineItems", "two lines have the same id")
    return lines


def _line(line: wire.Line, order: wire.Order, money: Money, path: str) -> OrderLine:
    known(line.line_item_fulfillment_status, FULFILMENT_STATES, "ebay.lineItemFulfillmentStatus")
    if not 1 <= line.quantity <= QUANTITY_MAX:
        raise Malformed(f"{path}.quantity", f"not between 1 and {QUANTITY_MAX}")
    cancelled = order.cancel_status.cancel_state == CANCELLED
    refunded = order.order_payment_status == "FULLY_REFUNDED" and not cancelled
    return OrderLine(
        line_id=LineId(identity(line.line_item_id, f"{path}.lineItemId")),
        sku=_sku(line, path),
        quantity=line.quantity,
        line_total=money.line_total(line, path),
        title=text(line.title),
        shipping=money.delivery(line, path),
        taxes=money.taxes(line, path),
        cancelled=line.quantity if cancelled else 0,
        shipped=_shipped(line),
        refunded=line.quantity if refunded else 0,
    )


def _shipped(line: wire.Line) -> int:
    """How many have left of a line in progress is not told: one, at least."""
    match line.line_item_fulfillment_status:
        case "NOT_STARTED":
            return 0
        case "FULFILLED":
            return line.quantity
        case _:
            return 1


def _sku(line: wire.Line, path: str) -> Sku:
    """A listing of the older kinds may have no SKU: its number stands for it, to be mapped."""
    if line.sku and line.sku.strip():
        return Sku(identity(line.sku, f"{path}.sku"))
    parts = [part for part in (line.legacy_item_id, line.legacy_variation_id) if part]
    if not parts:
        raise Malformed(f"{path}.sku", "neither a SKU nor the number of a listing")
    return Sku(identity("ebay:" + "/".join(parts), f"{path}.legacyItemId"))


def _instruction(order: wire.Order) -> wire.StartInstruction | None:
    stated = order.fulfillment_start_instructions or []
    if len(stated) > 1:
        raise Malformed("$.fulfillmentStartInstructions", "one set of instructions is expected")
    for instruction in stated:
        known(instruction.fulfillment_instructions_type, INSTRUCTIONS, "ebay.fulfillmentInstructionsType")
    return stated[0] if stated else None


def _fulfilment(order: wire.Order, instruction: wire.StartInstruction | None) -> Fulfilment:
    kind = instruction.fulfillment_instructions_type if instruction else ""
    program = order.program.fulfillment_program if order.program else None
    if program and program.fulfilled_by:
        known(program.fulfilled_by, frozenset({"EBAY"}), "ebay.fulfilledBy")
        return Fulfilment.MARKETPLACE
    if kind in NOT_SHIPPED:
        raise Park(
            f"it is not shipped ({kind}): serve it on eBay",
            (f"enum:ebay.fulfillmentInstructionsType={kind}",),
        )
    return Fulfilment.MARKETPLACE if kind == BY_EBAY else Fulfilment.MERCHANT


def _cancel_asked(status: wire.CancelStatus) -> bool:
    """Of the list's rows the requests are left out, so there the state itself has to do."""
    requests = status.cancel_requests or []
    for request in requests:
        known(request.cancel_request_state, REQUEST_STATES, "ebay.cancelRequestState")
    if not requests or status.cancel_state == CANCELLED:
        return status.cancel_state == CANCELLING
    return any(x.cancel_request_state == "REQUESTED" and not x.by_seller for x in requests)


def _state(order: wire.Order) -> str:
    cancel = order.cancel_status.cancel_state
    return f"{order.order_payment_status}/{order.order_fulfillment_status}/{cancel}"


def _ship_by(lines: Sequence[wire.Line]) -> datetime | None:
    dates = [
        utc(line.line_item_fulfillment_instructions.ship_by_date, "$.lineItems[*].shipByDate")
        for line in lines
        if line.line_item_fulfillment_instructions and line.line_item_fulfillment_instructions.ship_by_date
    ]
    return min(dates, default=None)


def _buyer(buyer: wire.Buyer | None, ship_to: wire.Contact | None) -> Party | None:
    registered = (buyer.buyer_registration_address if buyer else None) or wire.Contact()
    contact = ship_to or registered
    name = text(registered.full_name) or text(contact.full_name) or text(buyer.username if buyer else None)
    if not name:
        return None
    phone = contact.primary_phone.phone_number if contact.primary_phone else None
    return Party(
        name=name,
        company=text(contact.company_name),
        email=text(contact.email) or text(registered.email),
        phone=text(phone),
    )


def _ship_to(step: wire.ShippingStep) -> Address | None:
    """A hub of eBay's needs its reference on the label, above the street."""
    path = "$.fulfillmentStartInstructions[0].shippingStep.shipTo.contactAddress"
    return _address(step.ship_to, path, reference=text(step.ship_to_reference_id))


def _bill_to(buyer: wire.Buyer | None) -> Address | None:
    """Nothing depends on it: what can't be used is left out."""
    try:
        return _address(buyer.buyer_registration_address if buyer else None, "$.buyer")
    except Malformed:
        return None


def _address(contact: wire.Contact | None, path: str, reference: str = "") -> Address | None:
    """None after 90 days, when eBay does not show it any more."""
    stated = contact.contact_address if contact else None
    if contact is None or stated is None or not (stated.address_line1 or stated.city):
        return None
    country = (stated.country_code or "").strip().upper()
    if not _COUNTRY.fullmatch(country):
        raise Malformed(f"{path}.countryCode", "not a country's code of two letters")
    first, _, last = text(contact.full_name).rpartition(" ")
    return Address(
        first_name=first,
        last_name=last,
        company=text(contact.company_name),
        street1=text(stated.address_line1),
        street2=" ".join(part for part in (reference, text(stated.address_line2)) if part),
        postcode=text(stated.postal_code),
        city=text(stated.city),
        state=text(stated.state_or_province) or text(stated.county),
        country=country,
        phone=text(contact.primary_phone.phone_number if contact.primary_phone else None),
    )
