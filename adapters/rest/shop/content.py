"""An order as the shop is to hold it, and how what it holds differs from that."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from decimal import Decimal

import msgspec
from msgspec.structs import replace

from adapters.rest import wire
from adapters.rest.api import amount_text, shown
from marketsync.domain.ids import Reference
from marketsync.domain.orders import Address, OrderLine, Party, Tax, payable
from marketsync.errors import Park
from marketsync.ports import CreateOrder, UpdateOrder

_KEY_PARTS = 3


def new_order(payload: CreateOrder) -> wire.NewOrder:
    return wire.NewOrder(
        **msgspec.structs.asdict(content(payload)),
        ref=payload.ref,
        order_key=order_key(payload.ref),
        takes_stock=payload.takes_stock,
        ships=payload.ships,
    )


def content(payload: CreateOrder | UpdateOrder) -> wire.OrderContent:
    """Amounts as the marketplace states them; the total is of what is still wanted."""
    order = payload.order
    articles = {line.line_id: line.remote_id for line in payload.lines}
    kept = tuple(line for line in order.lines if line.wanted > 0)
    if not kept:
        raise Park("nothing of the order is wanted any more", (f"total:{payload.ref}",))
    unmarked = wire.OrderContent(
        mark="",
        connection=order.key.connection[:100],
        marketplace_order=order.key.order_id,
        placed_at=order.created_at,
        currency=order.currency,
        total=amount_text(payable(replace(order, lines=kept))),
        prices_include_tax=order.prices_include_tax,
        fees=amount_text(order.fees),
        buyer=_party(order.buyer),
        ship_to=_address(order.ship_to),
        bill_to=_address(order.bill_to),
        shipping_method=shown(order.shipping_method),
        lines=tuple(_line(line, articles[line.line_id]) for line in kept),
    )
    digest = hashlib.sha256(msgspec.json.encode(unmarked, order="deterministic")).hexdigest()
    return replace(unmarked, mark=digest)


def differences(wanted: wire.OrderContent, held: wire.ShopOrder) -> tuple[str, ...]:
    """How the shop's order differs from what was asked for; empty if it is right to the cent and the unit."""
    found = []
    if Decimal(held.total) != Decimal(wanted.total):
        found.append(f"the total is {held.total} instead of {wanted.total}")
    if held.currency != wanted.currency:
        found.append(f"the currency is not {wanted.currency}")
    lines = {line.id: line for line in held.lines}
    for line in wanted.lines:
        known = lines.get(line.id)
        if known is None:
            found.append(f"line {line.id} is missing")
        elif known.article != line.article:
            found.append(f"line {line.id} is another article")
        elif known.quantity != line.quantity:
            found.append(f"line {line.id} has quantity {known.quantity} instead of {line.quantity}")
    if len(held.lines) != len(wanted.lines):
        found.append(f"there are {len(held.lines)} lines instead of {len(wanted.lines)}")
    return tuple(found)


def order_key(ref: Reference) -> str:
    """The part of our reference that another installation's has too: see `domain.ids.reference`."""
    parts = ref.split("-", _KEY_PARTS - 1)
    return parts[-1] if len(parts) == _KEY_PARTS else ref


def _line(line: OrderLine, article: str) -> wire.ShopLine:
    return wire.ShopLine(
        id=line.line_id,
        sku=line.sku,
        title=shown(line.title),
        quantity=line.wanted,
        article=article,
        total=amount_text(line.line_total),
        shipping=amount_text(line.shipping),
        taxes=_taxes(line.taxes),
        shipping_taxes=_taxes(line.shipping_taxes),
    )


def _taxes(taxes: Sequence[Tax]) -> tuple[wire.Tax, ...]:
    return tuple(
        wire.Tax(shown(tax.code, 100), amount_text(tax.amount), _rate(tax.rate), tax.collector.value)
        for tax in taxes
    )


def _rate(rate: Decimal | None) -> str | None:
    return None if rate is None or not 0 <= rate < 1000 else amount_text(rate)


def _party(party: Party | None) -> wire.Party | None:
    if party is None:
        return None
    return wire.Party(shown(party.name), shown(party.company), shown(party.email), shown(party.phone))


def _address(address: Address | None) -> wire.Address | None:
    if address is None:
        return None
    return wire.Address(**{name: shown(getattr(address, name)) for name in wire.Address.__struct_fields__})
