"""One order of the contract into the one schema: a plain function, so that a bad order stops only itself (D1, D13)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from adapters.rest import wire
from marketsync.domain.ids import ConnectionId, LineId, MerchantId, OrderId, OrderKey, Sku
from marketsync.domain.orders import Address, Fulfilment, Order, OrderLine, Party, Tax, TaxCollector
from marketsync.errors import Malformed
from marketsync.http.documents import currency_code, document, identity, known, money, price, text, utc

UNDECIDED = frozenset({"pending", "to_accept"})
LEFT = frozenset({"shipped", "closed"})
STATES = UNDECIDED | LEFT | {"accepted", "ready", "cancelled", "refused"}
ORDER_BYTES_MAX = 1024 * 1024


class Rules(msgspec.Struct, frozen=True):
    merchant: MerchantId
    connection: ConnectionId


def parse_order(raw: bytes, rules: Rules) -> Order:
    """Raises Malformed with the path of the first bad field, or Park for a value that is new to us."""
    if len(raw) > ORDER_BYTES_MAX:
        raise Malformed("$", f"larger than {ORDER_BYTES_MAX} bytes")
    stated = document(raw, wire.MarketplaceOrder)
    state = stated.state
    known(state, STATES, "rest.state")
    known(stated.fulfilled_by, frozenset({"merchant", "marketplace"}), "rest.fulfilled_by")
    lines = tuple(_line(line, state, f"$.lines[{i}]") for i, line in enumerate(stated.lines))
    if len({line.line_id for line in lines}) != len(lines):
        raise Malformed("$.lines", "two lines have the same id")
    accepted = state in {"accepted", "ready", *LEFT} or (
        state == "cancelled" and any(line.accepted for line in lines)
    )
    return Order(
        key=OrderKey(rules.merchant, rules.connection, OrderId(identity(stated.id, "$.id"))),
        created_at=utc(stated.created_at, "$.created_at"),
        updated_at=utc(stated.updated_at, "$.updated_at"),
        currency=currency_code(stated.currency, "$.currency"),
        total=price(stated.total, "$.total"),
        prices_include_tax=stated.prices_include_tax,
        lines=lines,
        fulfilment=Fulfilment(stated.fulfilled_by),
        fees=money(stated.fees, "$.fees"),
        awaits_acceptance=state == "to_accept",
        accepted=accepted,
        paid=state in {"ready", *LEFT},
        closed=state == "closed",
        accept_by=_utc(stated.accept_by, "$.accept_by"),
        ship_by=_utc(stated.ship_by, "$.ship_by"),
        buyer=_buyer(stated.buyer),
        ship_to=_address(stated.ship_to),
        bill_to=_address(stated.bill_to),
        shipping_method=text(stated.shipping_method),
        state_as_stated=state,
    )


def _line(line: wire.MarketplaceLine, state: str, path: str) -> OrderLine:
    """The order's state says more than its lines: what is cancelled or has left is so as a whole."""
    if max(line.cancelled, line.shipped, line.refunded) > line.quantity:
        raise Malformed(path, "more units were cancelled, shipped or refunded than were ordered")
    no = state == "refused" or line.accepted is False
    cancelled = line.quantity if state == "cancelled" and not no else line.cancelled
    refused = line.quantity - cancelled if no else 0
    wanted = line.quantity - cancelled - refused
    return OrderLine(
        line_id=LineId(identity(line.id, f"{path}.id")),
        sku=Sku(identity(line.sku, f"{path}.sku")),
        quantity=line.quantity,
        line_total=price(line.total, f"{path}.total"),
        title=text(line.title),
        shipping=price(line.shipping, f"{path}.shipping"),
        taxes=_taxes(line.taxes, f"{path}.taxes"),
        shipping_taxes=_taxes(line.shipping_taxes, f"{path}.shipping_taxes"),
        accepted=None if state in UNDECIDED else line.accepted,
        cancelled=cancelled,
        refused=refused,
        shipped=wanted if state in LEFT else min(line.shipped, wanted),
        refunded=min(line.refunded, wanted),
    )


def _taxes(stated: Sequence[wire.Tax], path: str) -> tuple[Tax, ...]:
    taxes = []
    for i, tax in enumerate(stated):
        known(tax.collected_by, frozenset({"seller", "marketplace"}), "rest.collected_by")
        rate = None if tax.rate is None else money(tax.rate, f"{path}[{i}].rate")
        amount = money(tax.amount, f"{path}[{i}].amount")
        taxes.append(Tax(text(tax.name), amount, rate, TaxCollector(tax.collected_by)))
    return tuple(taxes)


def _buyer(stated: wire.Party | None) -> Party | None:
    if stated is None or not (name := text(stated.name) or text(stated.company)):
        return None
    return Party(name, text(stated.company), text(stated.email), text(stated.phone))


def _address(stated: wire.Address | None) -> Address | None:
    if stated is None or not (stated.street1 or stated.city):
        return None
    if not stated.country:
        raise Malformed("$.ship_to.country", "missing")
    return Address(**{name: text(getattr(stated, name)) for name in Address.__struct_fields__})


def _utc(stamp: datetime | None, path: str) -> datetime | None:
    return None if stamp is None else utc(stamp, path)
