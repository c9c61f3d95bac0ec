"""An order as Odoo is to hold it, with its buyer's contact, in one write; and how what it holds differs.

An order can't be written without its contact, and each call is a transaction of its own. So the contact is written, and the
order as a part of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from adapters.odoo.books import Books, Library
from adapters.odoo.money import Amounts, Priced, amounts
from adapters.odoo.settings import MODULE, Settings
from adapters.odoo.wire import WireLine, WireOrder, id_of, is_number, label_of, shown, text
from marketsync.domain.money import smallest_unit
from marketsync.domain.orders import Address, Party
from marketsync.ports import CreateOrder, UpdateOrder

Values = dict[str, Any]
NAME_MAX = 300
HASH_LENGTH = 12
DIGITS_SHOWN_MAX = 15
_MARK = "\n#"
"""Before our line's id, at the end of a line's description: Odoo has no field for it."""


class Content(msgspec.Struct, frozen=True):
    """What matters in Odoo. `contact` is the buyer as the order's contact, `invoice` another address for the bill."""

    amounts: Amounts
    contact: Values
    invoice: Values
    pricelist: int


async def content_of(payload: CreateOrder | UpdateOrder, library: Library, settings: Settings) -> Content:
    order, books = payload.order, await library.books()
    articles = {line.line_id: int(line.remote_id) for line in payload.lines}
    home = await _address(order.ship_to or order.bill_to, order.buyer, library)
    bill = order.bill_to if order.ship_to is not None and order.bill_to != order.ship_to else None
    invoice = await _address(bill, order.buyer, library) if bill is not None else {}
    if settings.buyer_email and order.buyer is not None and order.buyer.email:
        home["email"] = order.buyer.email
    pricelist = settings.pricelists.get(order.currency, 0)
    return Content(amounts(order, articles, books, settings), home, invoice, pricelist)


def create_values(payload: CreateOrder, content: Content, books: Books, settings: Settings) -> Values:
    """Of a contact, with the order in it. Every record is named by an external id, for `load` alone."""
    ref = payload.ref
    order: Values = {
        "id": f"{MODULE}.{ref}",
        "client_order_ref": ref,
        "origin": origin(payload, content),
        "order_line": [
            {"id": f"{MODULE}.{ref}-{number}", **_line(line, books)}
            for number, line in enumerate((*content.amounts.lines, *content.amounts.charges))
        ],
    }
    if content.pricelist:
        order["pricelist_id"] = content.pricelist
    if settings.company_id:
        order["company_id"] = settings.company_id
    if settings.warehouse_id:
        order["warehouse_id"] = settings.warehouse_id
    values: Values = {"id": f"{MODULE}.{ref}-contact", "ref": ref, **content.contact}
    if content.invoice:
        values["child_ids"] = [{"id": f"{MODULE}.{ref}-invoice", "type": "invoice", **content.invoice}]
    return {**values, "sale_order_ids": [order]}


def commands(values: Values) -> Values:
    """As `create` takes it: no external ids, and each record of a list as a command."""
    made: Values = {}
    for name, value in values.items():
        if name == "id":
            continue
        if name in ("child_ids", "sale_order_ids", "order_line"):
            made[name] = [[0, 0, commands(record)] for record in value]
        elif isinstance(value, list):
            made[name] = [[6, 0, value]]
        else:
            made[name] = value
    return made


def update_values(payload: UpdateOrder, content: Content, books: Books, held: Sequence[WireLine]) -> Values:
    """The changes of an order, addressed by Odoo's own line ids. What is not wanted any more goes down to none: a confirmed
    order's lines can't be deleted. What a person added is left alone."""
    ours = {line_of(line): line.id for line in held if line_of(line)}
    changes: list[Any] = []
    for line in (*content.amounts.lines, *content.amounts.charges):
        values = commands(_line(line, books))
        changes.append([1, ours[line.key], _without_article(values)] if line.key in ours else [0, 0, values])
    kept = [line.key for line in (*content.amounts.lines, *content.amounts.charges)]
    changes += [[1, number, {"product_uom_qty": 0}] for key, number in ours.items() if key not in kept]
    return {"origin": origin(payload, content), "order_line": changes}


def differences(
    payload: CreateOrder | UpdateOrder, content: Content, held: WireOrder, lines: Sequence[WireLine]
) -> tuple[str, ...]:
    """How Odoo's order differs from what was asked for; empty if it is right to the cent and the unit."""
    found = []
    unit, expected = smallest_unit(payload.order.currency), content.amounts.total
    if not is_number(held.amount_total) or abs(held.amount_total - expected) * 2 >= unit:
        found.append(f"Odoo's total is {_plain(held.amount_total)} and the marketplace's {expected}")
    if label_of(held.currency_id) != payload.order.currency:
        stated = shown(label_of(held.currency_id))
        found.append(f"the currency is {stated} instead of {payload.order.currency}")
    ours = {line_of(line): line for line in lines}
    for line in content.amounts.lines:
        item = ours.get(line.key)
        if item is None:
            found.append(f"line {line.key} is missing")
        elif id_of(item.product_id) != line.product_id:
            found.append(f"line {line.key} is article {id_of(item.product_id)} instead of {line.product_id}")
        elif not is_number(item.product_uom_qty) or item.product_uom_qty != line.quantity:
            found.append(
                f"line {line.key} has quantity {_plain(item.product_uom_qty)} instead of {line.quantity}"
            )
    known = [line.key for line in (*content.amounts.lines, *content.amounts.charges)]
    if strange := [line for line in lines if line_of(line) not in known and line.product_uom_qty]:
        found.append(f"there are {len(strange)} lines more")
    return tuple(found)


def origin(payload: CreateOrder | UpdateOrder, content: Content) -> str:
    """The marketplace's order number, and a digest of what we wrote: it tells whether a write took effect."""
    digest = hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()
    return f"{payload.order.key.order_id} {digest[:HASH_LENGTH]}"


def line_of(line: WireLine) -> str:
    return key_in(text(line.name))


def key_in(name: str) -> str:
    """Our line's id in a description, or a charge's word; "" where it has none."""
    return name.rpartition(_MARK)[2] if _MARK in name else ""


def _line(line: Priced, books: Books) -> Values:
    name = (line.name or "Article").replace("\n", " ")[:NAME_MAX]
    return {
        "product_id": line.product_id,
        "name": f"{name}{_MARK}{line.key}",
        "product_uom_qty": line.quantity,
        "price_unit": line.unit,
        "discount": 0,
        books.tax_field: list(line.taxes),
    }


def _without_article(values: Values) -> Values:
    return {name: value for name, value in values.items() if name != "product_id"}


async def _address(address: Address | None, buyer: Party | None, library: Library) -> Values:
    """`country_id` and `state_id` are Odoo's; a state that it does not know stands behind the city."""
    if address is None:
        return {"name": (buyer.name if buyer is not None else "") or "Marketplace buyer"}
    country = await library.country(address.country)
    state = await library.state(country, address.state)
    name = f"{address.first_name} {address.last_name}".strip() or (buyer.name if buyer is not None else "")
    beside = address.state if not state else ""
    values: Values = {
        "name": name or address.company or "Marketplace buyer",
        "street": address.street1,
        "street2": address.street2,
        "city": ", ".join(part for part in (address.city, beside) if part),
        "zip": address.postcode,
        "phone": address.phone or (buyer.phone if buyer is not None else ""),
    }
    if country:
        values["country_id"] = country
    if state:
        values["state_id"] = state
    if address.company:
        values["company_name"] = address.company
    return values


def _plain(number: Decimal) -> str:
    """As people write it: the wire's figures have noise behind the last digit that counts."""
    if not number.is_finite() or number.adjusted() > DIGITS_SHOWN_MAX:
        return "no number"
    return f"{number.quantize(Decimal('0.0001')).normalize():f}"
