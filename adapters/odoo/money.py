"""What an order is made of in Odoo, to the cent: unit prices, taxes, and what is left over as a line of its own.

Odoo multiplies unit prices that it has rounded, and computes taxes itself. What that comes to is computed here in the same
way, and the difference to what the buyer pays is a line without tax.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal

import msgspec
from msgspec.structs import replace

from adapters.odoo.books import Books, charge
from adapters.odoo.settings import Settings
from adapters.odoo.wire import TaxRecord
from marketsync.domain.ids import LineId
from marketsync.domain.money import smallest_unit
from marketsync.domain.orders import Order, OrderLine, Tax, TaxCollector, payable
from marketsync.errors import Park

SHIPPING, FEES, COLLECTED, REST = "shipping", "fees", "collected", "rest"
RATE_STEP = Decimal("0.0001")


class Priced(msgspec.Struct, frozen=True):
    """One line of Odoo's: `key` is our line's id or the charge's word, `taxes` the ids of tax records."""

    key: str
    product_id: int
    quantity: int
    unit: Decimal
    taxes: tuple[int, ...] = ()
    name: str = ""


class Amounts(msgspec.Struct, frozen=True):
    lines: tuple[Priced, ...]
    charges: tuple[Priced, ...]
    total: Decimal


def amounts(order: Order, articles: dict[LineId, int], books: Books, settings: Settings) -> Amounts:
    """Raises Park where a tax has no record, or the records do not come to what was stated."""
    kept = wanted(order)
    unit = smallest_unit(order.currency)
    lines, sum_ = [], _Sum(unit, globally=books.rounds_globally)
    for line in kept:
        net, tax = _parts(order, line.line_total, line.taxes)
        record = _record(net, tax, line.taxes, unit, books)
        price = _unit_price(net, tax, line.wanted, record, settings)
        sum_.add(price * line.wanted, record)
        lines.append(
            Priced(line.line_id, articles[line.line_id], line.wanted, price, _ids(record), line.title)
        )
    charges = _charges(order, kept, sum_, books, settings)
    total = _rounded(payable(replace(order, lines=kept)), unit)
    rest = total - sum_.total()
    if books.taxes and abs(rest) > unit * (1 + sum(line.wanted for line in kept)):
        raise Park(
            f"the taxes of Odoo's records differ from those stated by {rest} {order.currency}",
            ("tax:rounding",),
        )
    if rest:
        name = "Rounding" if books.taxes else "Tax as stated by the marketplace"
        charges.append(Priced(REST, charge(books, settings.tax_sku), 1, rest, name=name))
    return Amounts(tuple(lines), tuple(charges), total)


def wanted(order: Order) -> tuple[OrderLine, ...]:
    return tuple(line for line in order.lines if line.wanted > 0)


def _charges(
    order: Order, kept: tuple[OrderLine, ...], sum_: _Sum, books: Books, settings: Settings
) -> list[Priced]:
    """Shipping, fees, and the tax that the marketplace keeps for itself."""
    charges: list[Priced] = []
    shipping, tax = Decimal(0), Decimal(0)
    for line in kept:
        net, own = _parts(order, line.shipping, line.shipping_taxes)
        shipping, tax = shipping + net, tax + own
    taxes = tuple(tax for line in kept for tax in line.shipping_taxes)
    if shipping or order.shipping_method:
        record = _record(shipping, tax, taxes, sum_.unit, books)
        price = _unit_price(shipping, tax, 1, record, settings)
        sum_.add(price, record)
        name = order.shipping_method or "Shipping"
        charges.append(Priced(SHIPPING, charge(books, settings.shipping_sku), 1, price, _ids(record), name))
    kept_back = _rounded(_sum(kept, TaxCollector.MARKETPLACE), sum_.unit)
    for key, sku, amount, name in (
        (FEES, settings.fee_sku, _rounded(order.fees, sum_.unit), "Marketplace fees"),
        (COLLECTED, settings.tax_sku, kept_back, "Tax collected by the marketplace"),
    ):
        if amount:
            charges.append(Priced(key, charge(books, sku), 1, amount, name=name))
            sum_.add(amount, None)
    return charges


class _Sum:
    """What Odoo will reckon: each line rounded, and tax on top of it line by line or once for all of a record."""

    def __init__(self, unit: Decimal, *, globally: bool) -> None:
        self.unit, self._globally = unit, globally
        self._amount = Decimal(0)
        self._bases: dict[Decimal, Decimal] = {}

    def add(self, amount: Decimal, record: TaxRecord | None) -> None:
        amount = _rounded(amount, self.unit)
        self._amount += amount
        if record is None or record.price_include:
            return
        if self._globally:
            self._bases[record.amount] = self._bases.get(record.amount, Decimal(0)) + amount
        else:
            self._amount += _rounded(amount * record.amount / 100, self.unit)

    def total(self) -> Decimal:
        taxes = (_rounded(base * rate / 100, self.unit) for rate, base in self._bases.items())
        return self._amount + sum(taxes, Decimal(0))


def _parts(order: Order, amount: Decimal, taxes: Iterable[Tax]) -> tuple[Decimal, Decimal]:
    """(without any tax, the seller's tax)."""
    stated = tuple(taxes)
    every = sum((tax.amount for tax in stated), Decimal(0))
    sellers = sum((tax.amount for tax in stated if tax.collector is TaxCollector.SELLER), Decimal(0))
    return (amount - every if order.prices_include_tax else amount), sellers


def _unit_price(
    net: Decimal, tax: Decimal, quantity: int, record: TaxRecord | None, settings: Settings
) -> Decimal:
    """As Odoo keeps it, with the tax in it where its record says so."""
    base = net + tax if record is not None and record.price_include else net
    return (base / quantity).quantize(Decimal(1).scaleb(-settings.price_digits), ROUND_HALF_UP)


def _record(
    net: Decimal, tax: Decimal, taxes: Iterable[Tax], unit: Decimal, books: Books
) -> TaxRecord | None:
    """The record of the seller's tax: by the stated rate, else the one that comes to the stated amount."""
    if not books.taxes or not tax:
        return books.taxes.get(Decimal(0))
    sellers = [x for x in taxes if x.collector is TaxCollector.SELLER and x.amount]
    rates = list(dict.fromkeys(x.rate.quantize(RATE_STEP) for x in sellers if x.rate is not None))
    if len(rates) == 1 and all(x.rate is not None for x in sellers):
        (rate,) = rates
        found = [record for known, record in books.taxes.items() if known == rate]
    else:
        found = [x for x in books.taxes.values() if abs(net * x.amount / 100 - tax) <= unit]
    if len(found) != 1:
        named = f"{rates[0].normalize():f}" if len(rates) == 1 else "unknown"
        raise Park(f"no tax record of Odoo is named for the rate {named}: see `taxes`", (f"tax:{named}",))
    return found[0]


def _sum(kept: Iterable[OrderLine], collector: TaxCollector) -> Decimal:
    taxes = (tax for line in kept for tax in (*line.taxes, *line.shipping_taxes))
    return sum((tax.amount for tax in taxes if tax.collector is collector), Decimal(0))


def _ids(record: TaxRecord | None) -> tuple[int, ...]:
    return () if record is None else (record.id,)


def _rounded(value: Decimal, unit: Decimal) -> Decimal:
    return value.quantize(unit, ROUND_HALF_UP)
