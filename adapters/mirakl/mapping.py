"""One Mirakl order into the one schema: a plain function, so that a bad order stops only itself (D1, D13)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from adapters.mirakl import wire
from adapters.mirakl.countries import ALPHA2
from marketsync.domain.ids import ConnectionId, LineId, MerchantId, OrderId, OrderKey, Sku
from marketsync.domain.orders import Address, Fulfilment, Order, OrderLine, Party, Tax, TaxCollector
from marketsync.errors import Malformed
from marketsync.http.documents import currency_code, document, identity, known, money, price, text, utc

UNDECIDED = frozenset({"STAGING", "WAITING_ACCEPTANCE"})
WAITING_PAYMENT = frozenset({"WAITING_DEBIT", "WAITING_DEBIT_PAYMENT"})
SHIPPED = frozenset({"SHIPPED", "TO_COLLECT", "RECEIVED"})
ENDED = frozenset({"REFUSED", "CANCELED"})
# Deprecated values of the contract: a refund is on its way, the goods had left.
_REFUNDING = frozenset({"WAITING_REFUND", "WAITING_REFUND_PAYMENT"})
ORDER_STATES = UNDECIDED | WAITING_PAYMENT | {"SHIPPING"} | SHIPPED | {"CLOSED"} | ENDED | _REFUNDING
LINE_STATES = ORDER_STATES | {"INCIDENT_OPEN", "REFUNDED"}

ORDER_BYTES_MAX = 1024 * 1024
PROBLEM_BYTES_MAX = 64 * 1024
QUANTITY_MAX = 1_000_000
LINES_MAX = 1_000
_ABOUT_STATE = re.compile(
    rb"\b(state|status) (of|must|is)\b|\border (state|status)\b|not in the expected state", re.IGNORECASE
)


class Rules(msgspec.Struct, frozen=True):
    """What of a connection's settings and of the account decides how an order reads."""

    merchant: MerchantId
    connection: ConnectionId
    tax_mode: str = "TAX_INCLUDED"
    accept_within: timedelta | None = None
    operator_centers: frozenset[str] = frozenset()
    tax_collector: TaxCollector = TaxCollector.SELLER


def parse_order(raw: bytes, rules: Rules) -> Order:
    """Raises Malformed with the path of the first bad field, or Park for a value that is new to us."""
    if len(raw) > ORDER_BYTES_MAX:
        raise Malformed("$", f"larger than {ORDER_BYTES_MAX} bytes")
    stated = document(raw, wire.Order)
    known(stated.order_state, ORDER_STATES, "mirakl.order_state")
    mode = stated.order_tax_mode or rules.tax_mode
    known(mode, frozenset({"TAX_INCLUDED", "TAX_EXCLUDED"}), "mirakl.order_tax_mode")
    customer = stated.customer or wire.Customer()
    created = utc(stated.created_date, "$.created_date")
    state = stated.order_state
    return Order(
        key=OrderKey(rules.merchant, rules.connection, OrderId(identity(stated.order_id, "$.order_id"))),
        created_at=created,
        updated_at=utc(stated.last_updated_date, "$.last_updated_date"),
        currency=currency_code(stated.currency_iso_code, "$.currency_iso_code"),
        total=price(stated.total_price, "$.total_price"),
        prices_include_tax=mode == "TAX_INCLUDED",
        lines=_lines(stated, rules),
        fulfilment=_fulfilment(stated, rules),
        fees=_fees(stated.order_lines),
        awaits_acceptance=state == "WAITING_ACCEPTANCE",
        accepted=_is_accepted(stated),
        paid=_is_paid(stated),
        closed=state in {"CLOSED", "RECEIVED"},
        accept_by=_later(created, rules.accept_within),
        ship_by=utc(stated.shipping_deadline, "$.shipping_deadline") if stated.shipping_deadline else None,
        buyer=_buyer(customer, stated.customer_notification_email),
        ship_to=_address(customer.shipping_address, "$.customer.shipping_address"),
        bill_to=_address(customer.billing_address, "$.customer.billing_address"),
        shipping_method=text(stated.shipping_type_code),
        state_as_stated=state,
    )


def _lines(order: wire.Order, rules: Rules) -> tuple[OrderLine, ...]:
    if not 1 <= len(order.order_lines) <= LINES_MAX:
        raise Malformed("$.order_lines", f"1 to {LINES_MAX} lines are expected")
    lines = tuple(
        _line(line, order, rules, f"$.order_lines[{i}]") for i, line in enumerate(order.order_lines)
    )
    if len({line.line_id for line in lines}) != len(lines):
        raise Malformed("$.order_lines", "two lines have the same id")
    return lines


def _line(line: wire.Line, order: wire.Order, rules: Rules, path: str) -> OrderLine:
    known(line.order_line_state, LINE_STATES, "mirakl.order_line_state")
    if not 1 <= line.quantity <= QUANTITY_MAX:
        raise Malformed(f"{path}.quantity", f"not between 1 and {QUANTITY_MAX}")
    state = order.order_state if order.order_state in ENDED else line.order_line_state
    parts = _units(line.cancelations, line.quantity, f"{path}.cancelations")
    cancelled = line.quantity if state == "CANCELED" else parts
    refused = line.quantity - cancelled if state == "REFUSED" else 0
    wanted = line.quantity - cancelled - refused
    return OrderLine(
        line_id=LineId(identity(line.order_line_id, f"{path}.order_line_id")),
        sku=Sku(identity(line.offer_sku, f"{path}.offer_sku")),
        quantity=line.quantity,
        line_total=price(line.price, f"{path}.price"),
        unit_price=None if line.price_unit is None else price(line.price_unit, f"{path}.price_unit"),
        title=text(line.product_title),
        shipping=price(line.shipping_price, f"{path}.shipping_price"),
        taxes=_taxes(line.taxes, rules, f"{path}.taxes"),
        shipping_taxes=_taxes(line.shipping_taxes, rules, f"{path}.shipping_taxes"),
        accepted=_line_accepted(state, decided=order.acceptance_decision_date is not None),
        cancelled=cancelled,
        refused=refused,
        shipped=wanted if state in SHIPPED or line.shipped_date is not None else 0,
        refunded=wanted if state == "REFUNDED" else _units(line.refunds, wanted, f"{path}.refunds"),
    )


def _line_accepted(state: str, *, decided: bool) -> bool | None:
    if state in UNDECIDED:
        return None
    if state == "CANCELED":
        return True if decided else None
    return state != "REFUSED"


def _units(parts: Sequence[wire.Part] | None, most: int, path: str) -> int:
    """Cumulative units; more than there are is taken as all of them, since the vendor calls them informative."""
    total = 0
    for i, part in enumerate(parts or ()):
        if not 0 <= part.quantity <= QUANTITY_MAX:
            raise Malformed(f"{path}[{i}].quantity", f"not between 0 and {QUANTITY_MAX}")
        total += part.quantity
    return min(total, most)


def _fees(lines: Sequence[wire.Line]) -> Decimal:
    """Fees, where a line's own total counts them: the contract's prose says so, its example leaves them out.

    Commission is between seller and operator and in no total.
    """
    total = Decimal(0)
    for i, line in enumerate(lines):
        path = f"$.order_lines[{i}]"
        stated = [money(fee.amount, f"{path}.fees[{k}].amount") for k, fee in enumerate(line.fees or ())]
        if (
            line.total_price is None
            or money(line.total_price, f"{path}.total_price") != line.price + line.shipping_price
        ):
            total += sum(stated, Decimal(0))
    return total


def _taxes(stated: Sequence[wire.Amount] | None, rules: Rules, path: str) -> tuple[Tax, ...]:
    return tuple(
        Tax(
            code=text(tax.code),
            amount=money(tax.amount, f"{path}[{i}].amount"),
            rate=None if tax.rate is None else money(tax.rate, f"{path}[{i}].rate"),
            collector=rules.tax_collector,
        )
        for i, tax in enumerate(stated or ())
    )


def _is_accepted(order: wire.Order) -> bool:
    if order.order_state in UNDECIDED or order.order_state == "REFUSED":
        return False
    return order.order_state != "CANCELED" or order.acceptance_decision_date is not None


def _is_paid(order: wire.Order) -> bool:
    """Only from SHIPPING on may goods leave; while a debit is awaited, an earlier stamp of one proves nothing."""
    if order.order_state in UNDECIDED | WAITING_PAYMENT:
        return False
    return order.order_state not in ENDED or order.customer_debited_date is not None


def _fulfilment(order: wire.Order, rules: Rules) -> Fulfilment:
    center = order.fulfillment.center if order.fulfillment else None
    operator_ships = center is not None and center.code in rules.operator_centers
    return Fulfilment.MARKETPLACE if operator_ships else Fulfilment.MERCHANT


def _buyer(customer: wire.Customer, email: str | None) -> Party | None:
    name = f"{text(customer.firstname)} {text(customer.lastname)}".strip()
    company = text(customer.organization.name) if customer.organization else ""
    if not name and not company:
        return None
    phone = text(customer.billing_address.phone) if customer.billing_address else ""
    return Party(name=name or company, company=company, email=text(email), phone=phone)


def _address(stated: wire.Address | None, path: str) -> Address | None:
    """None before the operator discloses it, which is usually with SHIPPING."""
    if stated is None or not (stated.street_1 or stated.city):
        return None
    return Address(
        first_name=text(stated.firstname),
        last_name=text(stated.lastname),
        company=text(stated.company),
        street1=text(stated.street_1),
        street2=text(stated.street_2),
        postcode=text(stated.zip_code),
        city=text(stated.city),
        state=text(stated.state),
        country=_country(stated, path),
        phone=text(stated.phone),
    )


def _country(stated: wire.Address, path: str) -> str:
    code = (stated.country_iso_code or stated.country or "").strip().upper()
    if not code:
        raise Malformed(f"{path}.country_iso_code", "missing")
    found = ALPHA2.get(code)
    if found is None:
        known(code, frozenset(ALPHA2), "mirakl.country_iso_code")
    return found or ""


def _later(stamp: datetime, span: timedelta | None) -> datetime | None:
    try:
        return None if span is None else stamp + span
    except OverflowError:
        raise Malformed("$.created_date", "not a usable time") from None


def problem_of(body: bytes) -> str:
    """The vendor's error code, and never its text: texts may quote a buyer."""
    try:
        problem = msgspec.json.decode(body, type=wire.Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    code: Any = problem.code if problem.code is not None else problem.status
    return code if isinstance(code, str) and re.fullmatch(r"[A-Z0-9_]{3,60}", code) else ""


def is_about_state(body: bytes) -> bool:
    """Not every operator's answer has a code; this much of the text decides nothing but that we look."""
    return _ABOUT_STATE.search(body[:PROBLEM_BYTES_MAX]) is not None
