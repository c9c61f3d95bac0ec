"""What eBay's amounts are in the one schema. With the breakdown every tax is in the total, eBay's own as well."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from adapters.ebay import wire
from marketsync.domain.orders import Tax, TaxCollector
from marketsync.errors import Malformed
from marketsync.http.documents import currency_code, money, price, text

ZERO = Decimal(0)
# The breakdown lists fees (tyres, batteries, ...) among the taxes; the summary has their sum beside the tax.
_FEE = "_FEE"


class Money:
    """The amounts of one order, all in the currency of its total."""

    def __init__(self, summary: wire.Pricing, *, discounts_off: bool = True) -> None:
        self._summary = summary
        self._discounts_off = discounts_off
        self.currency = currency_code(summary.total.currency, "$.pricingSummary.total.currency")

    @property
    def total(self) -> Decimal:
        return self._price(self._summary.total, "$.pricingSummary.total")

    def after_discounts(self) -> Money:
        """The other reading: what is stated as delivery cost has its discount taken off already."""
        return Money(self._summary, discounts_off=False)

    def fees(self, lines: Sequence[wire.Line]) -> Decimal:
        """Fees of the law, and adjustments, which have a sign."""
        adjustment = self._amount(self._summary.adjustment, "$.pricingSummary.adjustment")
        if self._summary.fee is not None:
            return adjustment + self._price(self._summary.fee, "$.pricingSummary.fee")
        stated = (tax for i, line in enumerate(lines) for tax in self._stated(line, f"$.lineItems[{i}]"))
        return adjustment + sum((tax.amount for tax in stated if tax.code.endswith(_FEE)), ZERO)

    def line_total(self, line: wire.Line, path: str) -> Decimal:
        if line.discounted_line_item_cost is not None:
            return self._price(line.discounted_line_item_cost, f"{path}.discountedLineItemCost")
        return self._price(line.line_item_cost, f"{path}.lineItemCost")

    def delivery(self, line: wire.Line, path: str) -> Decimal:
        cost = line.delivery_cost
        if cost is None:
            return ZERO
        path = f"{path}.deliveryCost"
        parts = (
            ("shippingCost", cost.shipping_cost),
            ("handlingCost", cost.handling_cost),
            ("importCharges", cost.import_charges),
        )
        full = sum((self._price(part, f"{path}.{name}") for name, part in parts), ZERO)
        discount = abs(self._amount(cost.discount_amount, f"{path}.discountAmount"))
        return full - discount if self._discounts_off and discount <= full else full

    def has_delivery_discounts(self, lines: Sequence[wire.Line]) -> bool:
        return any(line.delivery_cost and line.delivery_cost.discount_amount for line in lines)

    def taxes(self, line: wire.Line, path: str) -> tuple[Tax, ...]:
        return tuple(tax for tax in self._stated(line, path) if not tax.code.endswith(_FEE))

    def _stated(self, line: wire.Line, path: str) -> list[Tax]:
        """What eBay collects and remits stands in both lists of the breakdown, and is counted once."""
        listed = self._list(line.taxes, f"{path}.taxes", TaxCollector.SELLER)
        remitted = self._list(
            line.ebay_collect_and_remit_taxes, f"{path}.ebayCollectAndRemitTaxes", TaxCollector.MARKETPLACE
        )
        for tax in remitted:
            twin = next((x for x in listed if x.amount == tax.amount and x.code in {tax.code, ""}), None)
            if twin is not None:
                listed.remove(twin)
        return [*remitted, *listed]

    def _list(self, taxes: Sequence[wire.Tax] | None, path: str, collector: TaxCollector) -> list[Tax]:
        return [
            Tax(text(tax.tax_type), self._amount(tax.amount, f"{path}[{i}].amount"), collector=collector)
            for i, tax in enumerate(taxes or ())
            if tax.amount is not None
        ]

    def _amount(self, stated: wire.Amount | None, path: str) -> Decimal:
        if stated is None:
            return ZERO
        if stated.currency != self.currency:
            raise Malformed(f"{path}.currency", "another currency than the total's")
        return money(stated.value, f"{path}.value")

    def _price(self, stated: wire.Amount | None, path: str) -> Decimal:
        return price(self._amount(stated, path), f"{path}.value")
