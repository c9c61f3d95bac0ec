"""The money of an Amazon order: which parts its total is made of (D13).

The contract names the parts and not the equation. Whether a discount is taken off the goods and whether the tax stands on
top is therefore taken from the order itself: what makes its own total. Where nothing does, the difference is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

import msgspec

from adapters.amazon import wire
from adapters.amazon.stores import Store
from marketsync.domain.money import smallest_unit
from marketsync.domain.orders import Tax, TaxCollector
from marketsync.errors import Malformed
from marketsync.http.documents import known, money, price

ITEM_PARTS = frozenset({"ITEM", "SHIPPING", "GIFT_WRAP", "COD_FEE", "OTHER", "TAX", "DISCOUNT"})
ORDER_PARTS = ITEM_PARTS | {"DELIVERY_TIP"}
DETAILS = ITEM_PARTS - {"TAX"}
COLLECTORS = frozenset({"MARKETPLACE_FACILITATOR"})
_ZERO = Decimal(0)


class LineMoney(msgspec.Struct, frozen=True):
    """Of one line, as stated; discounts above zero."""

    unit_price: Decimal | None = None
    goods: Decimal = _ZERO
    shipping: Decimal = _ZERO
    fees: Decimal = _ZERO
    discount: Decimal = _ZERO
    shipping_discount: Decimal = _ZERO
    taxes: tuple[Tax, ...] = ()
    shipping_taxes: tuple[Tax, ...] = ()

    @property
    def every_tax(self) -> tuple[Tax, ...]:
        return (*self.taxes, *self.shipping_taxes)


class OrderMoney(msgspec.Struct, frozen=True):
    """`lines` are net of their discounts where the order's total is. An order without money has zeros."""

    currency: str
    total: Decimal
    fees: Decimal
    prices_include_tax: bool
    lines: tuple[LineMoney, ...]


def money_of(order: wire.Order, store: Store, *, payable: bool) -> OrderMoney:
    """Raises Malformed where a payable order does not say what it is worth."""
    stated = order.proceeds or wire.Proceeds()
    if stated.grand_total is None:
        if payable:
            raise Malformed("$.proceeds.grandTotal", "missing")
        lines = tuple(
            LineMoney(unit_price=_unit_price(item, store.currency, path)) for path, item in _items(order)
        )
        return OrderMoney(store.currency, _ZERO, _ZERO, store.tax_in_prices, lines)
    code = stated.grand_total.currency_code
    total = price(_in(stated.grand_total, code, "$.proceeds.grandTotal"), "$.proceeds.grandTotal.amount")
    lines = tuple(_line(item, code, path) for path, item in _items(order))
    fees = sum((line.fees for line in lines), _tips(stated, code))
    discounted, on_top = _equation(total, fees, lines, store, smallest_unit(code))
    if discounted:
        lines = tuple(_net(line) for line in lines)
    return OrderMoney(code, total, fees, not on_top, lines)


def _items(order: wire.Order) -> Iterator[tuple[str, wire.Item]]:
    for i, item in enumerate(order.order_items):
        yield f"$.orderItems[{i}]", item


def _equation(
    total: Decimal, fees: Decimal, lines: Sequence[LineMoney], store: Store, unit: Decimal
) -> tuple[bool, bool]:
    """Whether discounts are taken off, and whether tax stands on top of the prices. What Amazon collects itself may be
    left out of a total that is said to be what the seller receives."""
    gross = sum((line.goods + line.shipping for line in lines), fees)
    discount = sum((line.discount + line.shipping_discount for line in lines), _ZERO)
    taxes = [tax for line in lines for tax in line.every_tax]
    every = sum((tax.amount for tax in taxes), _ZERO)
    sellers = sum((tax.amount for tax in taxes if tax.collector is TaxCollector.SELLER), _ZERO)
    default = not store.tax_in_prices
    for less in (discount, _ZERO):
        for tax, on_top in ((_ZERO, default), (every, True), (sellers, True)):
            if abs(total - (gross - less + tax)) < unit:
                return less == discount, on_top
    return True, default


def _net(line: LineMoney) -> LineMoney:
    return msgspec.structs.replace(
        line,
        goods=line.goods - line.discount,
        shipping=line.shipping - line.shipping_discount,
        discount=_ZERO,
        shipping_discount=_ZERO,
    )


def _tips(stated: wire.Proceeds, code: str) -> Decimal:
    """Of the order's own parts only the tip belongs to no item."""
    tips = _ZERO
    for i, part in enumerate(stated.breakdowns or ()):
        known(part.type, ORDER_PARTS, "amazon.proceeds_type")
        if part.type == "DELIVERY_TIP":
            tips += _in(part.subtotal, code, f"$.proceeds.breakdowns[{i}].subtotal")
    return tips


def _line(item: wire.Item, code: str, path: str) -> LineMoney:
    parts = dict.fromkeys(("goods", "shipping", "fees", "discount", "shipping_discount"), _ZERO)
    taxes: tuple[Tax, ...] = ()
    shipping_taxes: tuple[Tax, ...] = ()
    collector = _collector(item)
    for i, part in enumerate((item.proceeds or wire.Proceeds()).breakdowns or ()):
        where = f"{path}.proceeds.breakdowns[{i}]"
        known(part.type, ITEM_PARTS, "amazon.proceeds_type")
        value = _in(part.subtotal, code, f"{where}.subtotal")
        match part.type:
            case "ITEM":
                parts["goods"] += price(value, f"{where}.subtotal.amount")
            case "SHIPPING":
                parts["shipping"] += price(value, f"{where}.subtotal.amount")
            case "TAX":
                found = list(_taxes(part, value, code, collector, where))
                taxes += tuple(tax for name, tax in found if name != "SHIPPING")
                shipping_taxes += tuple(tax for name, tax in found if name == "SHIPPING")
            case "DISCOUNT":
                shipping = sum(
                    (abs(x) for name, x in _details(part, code, where) if name == "SHIPPING"), _ZERO
                )
                parts["shipping_discount"] += shipping
                parts["discount"] += abs(value) - shipping
            case _:
                parts["fees"] += value
    unit_price = _unit_price(item, code, path)
    return LineMoney(unit_price=unit_price, taxes=taxes, shipping_taxes=shipping_taxes, **parts)


def _taxes(
    part: wire.Breakdown, whole: Decimal, code: str, collector: TaxCollector, path: str
) -> Iterator[tuple[str, Tax]]:
    """By what they are on; what the details leave of the whole is a tax of its own."""
    for name, value in _details(part, code, path):
        whole -= value
        yield name, Tax(code=name, amount=value, collector=collector)
    if whole != 0:
        yield "TAX", Tax(code="TAX", amount=whole, collector=collector)


def _details(part: wire.Breakdown, code: str, path: str) -> Iterator[tuple[str, Decimal]]:
    for i, detail in enumerate(part.detailed_breakdowns or ()):
        if detail.subtype is None or detail.value is None:
            continue
        known(detail.subtype, DETAILS, "amazon.proceeds_subtype")
        yield detail.subtype, _in(detail.value, code, f"{path}.detailedBreakdowns[{i}].value")


def _collector(item: wire.Item) -> TaxCollector:
    models = [tax.model for tax in (item.tax or wire.ItemTax()).tax_collections or () if tax.model]
    for model in models:
        known(model, COLLECTORS, "amazon.tax_model")
    return TaxCollector.MARKETPLACE if models else TaxCollector.SELLER


def _unit_price(item: wire.Item, code: str, path: str) -> Decimal | None:
    stated = item.product.price.unit_price if item.product.price else None
    where = f"{path}.product.price.unitPrice"
    return None if stated is None else price(_in(stated, code, where), f"{where}.amount")


def _in(stated: wire.Money, code: str, path: str) -> Decimal:
    if stated.currency_code != code:
        raise Malformed(f"{path}.currencyCode", "another currency than the order's")
    return money(stated.amount, f"{path}.amount")
