"""An order as WooCommerce is to hold it: exact amounts, our marks, and what differs from them.

WooCommerce computes tax itself from amounts without tax. So every line goes in without tax under a class that has
no rate, and the tax as the marketplace states it is a fee line of its own: the total is right to the cent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

import msgspec
from msgspec.structs import replace

from adapters.woocommerce.settings import HASH_META, LINE_META, REF_META, Settings
from adapters.woocommerce.wire import Item, Line, WireOrder, meta_text, shown
from marketsync.domain.ids import LineId, RemoteId
from marketsync.domain.money import smallest_unit
from marketsync.domain.orders import Address, Order, OrderLine, Party, Tax, TaxCollector, payable
from marketsync.errors import Park
from marketsync.ports import CreateOrder, UpdateOrder

Body = dict[str, object]


class Amounts(msgspec.Struct, frozen=True):
    """What the shop's order is made of, rounded to the currency; `lines` is by line id, without tax."""

    lines: Mapping[LineId, Decimal]
    shipping: Decimal
    extras: tuple[tuple[str, Decimal], ...]
    total: Decimal


def amounts(order: Order, settings: Settings) -> Amounts:
    """The tax fee takes what rounding left over, so the parts always add up to the total."""
    kept = _wanted(order)
    net = {line.line_id: _rounded(_net(order, line.line_total, line.taxes), order.currency) for line in kept}
    shipping = _rounded(
        sum((_net(order, line.shipping, line.shipping_taxes) for line in kept), Decimal(0)), order.currency
    )
    fees = _rounded(order.fees, order.currency)
    taxes = [tax for line in kept for tax in (*line.taxes, *line.shipping_taxes)]
    collected = _rounded(_sum(t for t in taxes if t.collector is TaxCollector.MARKETPLACE), order.currency)
    total = _rounded(payable(replace(order, lines=kept)), order.currency)
    own = total - sum(net.values()) - shipping - fees - collected
    extras = (
        (settings.fee_name, fees),
        (settings.tax_fee_name, own),
        (f"{settings.tax_fee_name} (collected by the marketplace)", collected),
    )
    return Amounts(net, shipping, tuple((name, value) for name, value in extras if value), total)


def create_body(payload: CreateOrder, settings: Settings) -> Body:
    """Ids only, never a SKU: WooCommerce takes an unknown SKU without an error and books no product."""
    content = _content(payload, settings)
    return {
        **content.addresses,
        "line_items": list(content.lines.values()),
        "shipping_lines": content.shipping,
        "fee_lines": content.fees,
        "status": "pending",
        "customer_id": 0,
        "currency": payload.order.currency,
        "payment_method": "marketsync",
        "payment_method_title": settings.payment_title,
        "transaction_id": payload.ref,
        "meta_data": [
            {"key": REF_META, "value": payload.ref},
            {"key": HASH_META, "value": _digest(content)},
            {"key": "Marketplace order", "value": payload.order.key.order_id},
        ],
    }


def update_body(payload: UpdateOrder, settings: Settings, held: WireOrder) -> Body:
    """The changes that bring `held` to the payload, addressed by the shop's own item ids.

    Raises Park where a line is new: whether its units leave the stock depends on the shop's version.
    """
    content = _content(payload, settings)
    ours = {line_of(item): item for item in held.line_items if line_of(item)}
    lines: list[Body] = [
        {"id": item.id, "quantity": 0} for key, item in ours.items() if key not in content.lines
    ]
    for key, line in content.lines.items():
        if key not in ours:
            raise Park(
                f"order {held.id} does not hold line {key}: add it in the shop", (f"line:{payload.ref}",)
            )
        lines.append({"id": ours[key].id, **{name: line[name] for name in ("quantity", "subtotal", "total")}})
    return {
        **content.addresses,
        "line_items": lines,
        "shipping_lines": _shipping_changes(content.shipping, held.shipping_lines),
        "fee_lines": _fee_changes(content.fees, held.fee_lines, settings),
        "meta_data": [{"key": HASH_META, "value": _digest(content)}],
    }


def differences(payload: CreateOrder | UpdateOrder, settings: Settings, held: WireOrder) -> tuple[str, ...]:
    """How the shop's order differs from what was asked for; empty if it is right to the cent and the unit."""
    expected = amounts(payload.order, settings)
    found = []
    if _decimal(held.total) != expected.total:
        found.append(f"the total is {shown(held.total) or 'missing'} instead of {expected.total}")
    if held.currency != payload.order.currency:
        found.append(
            f"the currency is {shown(held.currency) or 'missing'} instead of {payload.order.currency}"
        )
    ours = {line_of(item): item for item in held.line_items}
    articles = {line.line_id: line.remote_id for line in payload.lines}
    for line in _wanted(payload.order):
        item = ours.get(line.line_id)
        if item is None:
            found.append(f"line {line.line_id} is missing")
        elif _article(item) != articles.get(line.line_id):
            found.append(
                f"line {line.line_id} is article {_article(item)} instead of {articles.get(line.line_id)}"
            )
        elif not item.quantity.is_finite() or item.quantity != line.wanted:
            found.append(f"line {line.line_id} has quantity {item.quantity} instead of {line.wanted}")
    if len(held.line_items) > len(expected.lines):
        found.append(f"there are {len(held.line_items)} lines instead of {len(expected.lines)}")
    return tuple(found)


def content_hash(payload: CreateOrder | UpdateOrder, settings: Settings) -> str:
    """Of what matters in the shop: articles, quantities, amounts and addresses."""
    return _digest(_content(payload, settings))


def line_of(item: Line) -> LineId:
    return LineId(meta_text(item.meta_data, LINE_META))


def split_id(remote_id: RemoteId) -> tuple[int, int]:
    """(product, variation) of "12" or "12/34"; the variation is 0 if there is none."""
    product, _, variation = remote_id.partition("/")
    return int(product), int(variation or 0)


class _Content(msgspec.Struct, frozen=True):
    lines: dict[LineId, Body]
    shipping: list[Body]
    fees: list[Body]
    addresses: Body


def _content(payload: CreateOrder | UpdateOrder, settings: Settings) -> _Content:
    order = payload.order
    parts = amounts(order, settings)
    articles = {line.line_id: line.remote_id for line in payload.lines}
    lines = {
        line.line_id: _line(line, articles[line.line_id], parts, order.currency, settings)
        for line in _wanted(order)
    }
    shipping: list[Body] = []
    if parts.shipping or order.shipping_method:
        title = order.shipping_method or "Shipping"
        shipping = [
            {"method_id": "marketsync", "method_title": title, "total": _text(parts.shipping, order.currency)}
        ]
    fees: list[Body] = [
        {"name": name, "total": _text(value, order.currency), "tax_status": "none"}
        for name, value in parts.extras
    ]
    addresses: Body = {}
    if billing := _address(order.bill_to or order.ship_to, order.buyer):
        addresses["billing"] = billing | _contact(order.buyer)
    if order.ship_to is not None:
        addresses["shipping"] = _address(order.ship_to, order.buyer)
    return _Content(lines, shipping, fees, addresses)


def _line(line: OrderLine, article: RemoteId, parts: Amounts, currency: str, settings: Settings) -> Body:
    product, variation = split_id(article)
    total = _text(parts.lines[line.line_id], currency)
    body: Body = {"product_id": product, "quantity": line.wanted, "subtotal": total, "total": total}
    if variation:
        body["variation_id"] = variation
    if line.title:
        body["name"] = line.title
    body["tax_class"] = settings.zero_tax_class
    body["meta_data"] = [{"key": LINE_META, "value": line.line_id}]
    return body


def _address(address: Address | None, buyer: Party | None) -> Body:
    if address is None:
        return {"first_name": buyer.name} if buyer is not None else {}
    return {
        "first_name": address.first_name,
        "last_name": address.last_name,
        "company": address.company,
        "address_1": address.street1,
        "address_2": address.street2,
        "city": address.city,
        "state": address.state,
        "postcode": address.postcode,
        "country": address.country,
        "phone": address.phone,
    }


def _contact(buyer: Party | None) -> Body:
    # An empty `email` is refused as a malformed one: it is left out.
    if buyer is None:
        return {}
    return {key: value for key, value in (("email", buyer.email), ("phone", buyer.phone)) if value}


def _shipping_changes(wanted: list[Body], held: list[Item]) -> list[Body]:
    """One line at most: the held one changed, a new one, or the held one removed."""
    if not held:
        return wanted
    return [{"id": held[0].id, **wanted[0]} if wanted else {"id": held[0].id, "method_title": None}]


def _fee_changes(wanted: list[Body], held: list[Item], settings: Settings) -> list[Body]:
    """Our fees by their names; what a person added to the order is left alone."""
    ours = {
        item.name: item.id
        for item in held
        if item.name and item.name.startswith((settings.fee_name, settings.tax_fee_name))
    }
    changes: list[Body] = [
        {"id": ours[str(fee["name"])], **fee} if fee["name"] in ours else fee for fee in wanted
    ]
    names = [fee["name"] for fee in wanted]
    return changes + [{"id": item_id, "name": None} for name, item_id in ours.items() if name not in names]


def _wanted(order: Order) -> tuple[OrderLine, ...]:
    return tuple(line for line in order.lines if line.wanted > 0)


def _net(order: Order, amount: Decimal, taxes: Iterable[Tax]) -> Decimal:
    return amount - _sum(taxes) if order.prices_include_tax else amount


def _sum(taxes: Iterable[Tax]) -> Decimal:
    return sum((tax.amount for tax in taxes), Decimal(0))


def _rounded(value: Decimal, currency: str) -> Decimal:
    return value.quantize(smallest_unit(currency), ROUND_HALF_UP)


def _text(value: Decimal, currency: str) -> str:
    return f"{_rounded(value, currency):f}"


def _decimal(text: str) -> Decimal | None:
    """None for what is no number, or none that can be compared."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _article(item: Line) -> str:
    return f"{item.product_id}/{item.variation_id}" if item.variation_id else str(item.product_id)


def _digest(content: _Content) -> str:
    return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()
