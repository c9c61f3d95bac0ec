"""What depends on the database: its version's fields, its articles for charges, its taxes; and where countries stand."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from adapters.odoo.api import Api
from adapters.odoo.settings import Settings
from adapters.odoo.wire import Coded, Company, Product, TaxRecord, is_number, label_of, shown, text
from marketsync.errors import Park, PauseConnection, ReadFailed, Refused
from marketsync.ports import Traits

READ = "shop.read"
# What `check` proves to be there, and the field by whose name the version shows.
MODELS = {
    "sale.order": ("client_order_ref", "origin", "order_line"),
    "sale.order.line": ("price_unit", "product_uom_qty"),
    "stock.move": ("sale_line_id",),
    "stock.picking": ("carrier_tracking_ref",),
    "product.product": ("free_qty", "outgoing_qty"),
}
NEEDS = {
    "sale.order": "Sales",
    "sale.order.line": "Sales",
    "stock.move": "Inventory together with Sales",
    "stock.picking": "Delivery Costs (or a carrier's module) together with Inventory",
    "product.product": "Inventory",
}
CANNOT = "no answer of Odoo at this address: are `url`, `database` and `protocol` right? JSON-2 begins with Odoo 19"


class Books(msgspec.Struct, frozen=True):
    """`tax_field` of a line is `tax_ids` since Odoo 19; `done_field` is a move's. `charges` are articles by SKU; `taxes` the
    records by rate in percent, whose amounts are rounded once for an order or line by line."""

    tax_field: str
    done_field: str
    storable: bool
    tracking_url: bool
    rounds_globally: bool
    charges: Mapping[str, int]
    taxes: Mapping[Decimal, TaxRecord]


class Library:
    """Reads the books once; `check` reads them anew."""

    def __init__(self, api: Api, settings: Settings) -> None:
        self._api, self._settings = api, settings
        self._books: Books | None = None
        self._countries: dict[str, int] = {}
        self._states: dict[tuple[int, str], int] = {}

    async def books(self) -> Books:
        if self._books is None:
            self._books = await self._read(await self._fields())
        return self._books

    async def country(self, code: str) -> int:
        """0 where Odoo has none of that code."""
        if code and code not in self._countries:
            rows = await self._api.search(
                READ, "res.country", [["code", "=", code]], ["code"], Coded, limit=1
            )
            self._countries[code] = next((row.id for row in rows if text(row.code) == code), 0)
        return self._countries.get(code, 0)

    async def state(self, country: int, name: str) -> int:
        """By its code or its name; 0 where there is none."""
        if not country or not name:
            return 0
        if (country, name) not in self._states:
            domain = [["country_id", "=", country], "|", ["code", "=", name.upper()], ["name", "=", name]]
            rows = await self._api.search(READ, "res.country.state", domain, ["code", "name"], Coded, limit=2)
            fits = [row.id for row in rows if name.upper() == text(row.code) or name == text(row.name)]
            self._states[country, name] = fits[0] if len(fits) == 1 else 0
        return self._states[country, name]

    async def traits(self) -> Traits:
        try:
            fields = await self._fields()
        except (Refused, ReadFailed):
            return Traits(problems=(CANNOT,))
        except PauseConnection as error:
            return Traits(problems=(str(error),))
        lacking = [
            f"Odoo has no {model}.{name}: install {NEEDS[model]}"
            for model, names in MODELS.items()
            for name in names
            if name not in fields[model]
        ]
        if lacking:
            return Traits(problems=tuple(lacking))
        self._books = await self._read(fields)
        company = await self._company()
        facts = {
            "currency": _said(label_of(company.currency_id)),
            "tax_rounding": _said(text(company.tax_calculation_rounding_method)),
            "protocol": self._settings.protocol,
        }
        return Traits(facts, tuple(self._problems(self._books)), self._api.server_now())

    def _problems(self, books: Books) -> list[str]:
        found = [
            f"no service article has the internal reference `{sku}`: add one, without taxes"
            for sku in self._settings.charge_skus
            if sku not in books.charges
        ]
        found += [
            f"taxes: there is no tax with the id {number} (for {rate} %)"
            for rate, number in self._settings.taxes.items()
            if number not in [tax.id for tax in books.taxes.values()]
        ]
        found += [
            f"taxes: the tax {tax.id} is not {rate} percent"
            for rate, tax in books.taxes.items()
            if tax.amount_type != "percent" or tax.amount != rate
        ]
        return found

    async def _fields(self) -> dict[str, Mapping[str, Any]]:
        return {
            model: await self._api.call(
                READ, model, "fields_get", dict[str, Any], allfields=_asked(model), attributes=["type"]
            )
            for model in MODELS
        }

    async def _read(self, fields: Mapping[str, Mapping[str, Any]]) -> Books:
        return Books(
            tax_field="tax_ids" if "tax_ids" in fields["sale.order.line"] else "tax_id",
            done_field="quantity" if "quantity" in fields["stock.move"] else "quantity_done",
            storable="is_storable" in fields["product.product"],
            tracking_url="carrier_tracking_url" in fields["stock.picking"],
            rounds_globally=text((await self._company()).tax_calculation_rounding_method) == "round_globally",
            charges=await self._charges(),
            taxes=await self._taxes(),
        )

    async def _charges(self) -> dict[str, int]:
        skus = self._settings.charge_skus
        domain = [["default_code", "in", list(skus)], ["type", "=", "service"]]
        rows = await self._api.search(READ, "product.product", domain, ["default_code", "type"], Product)
        found: dict[str, list[int]] = {}
        for row in rows:
            found.setdefault(text(row.default_code), []).append(row.id)
        return {sku: found[sku][0] for sku in skus if len(found.get(sku, ())) == 1}

    async def _taxes(self) -> dict[Decimal, TaxRecord]:
        stated = self._settings.taxes
        if not stated:
            return {}
        fields = ["amount", "amount_type", "price_include"]
        domain = [["id", "in", sorted(stated.values())]]
        found = await self._api.search(READ, "account.tax", domain, fields, TaxRecord)
        rows = {row.id: row for row in found if is_number(row.amount)}
        return {Decimal(rate): rows[number] for rate, number in stated.items() if number in rows}

    async def _company(self) -> Company:
        """The one that is stated, else the first that the user sees: what `check` shows, and nothing else."""
        number = self._settings.company_id
        fields = ["currency_id", "tax_calculation_rounding_method"]
        domain = [["id", "=", number]] if number else []
        rows = await self._api.search(READ, "res.company", domain, fields, Company, limit=1)
        return rows[0] if rows else Company(0)


def _said(word: str) -> str:
    return shown(word) if word else ""


def charge(books: Books, sku: str) -> int:
    if sku not in books.charges:
        raise Park(f"Odoo has no service article `{sku}`", (f"charge:{sku}",))
    return books.charges[sku]


def _asked(model: str) -> list[str]:
    version = {
        "sale.order.line": ["tax_ids"], "stock.move": ["quantity"], "product.product": ["is_storable"],
        "stock.picking": ["carrier_tracking_url"],
    }  # fmt: skip
    return [*MODELS[model], *version.get(model, [])]
