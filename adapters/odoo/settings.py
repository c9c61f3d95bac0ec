"""What a merchant states about an Odoo database, and the words that we write into it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

MODULE = "marketsync"
"""Of our external ids."""

DRAFT = ("draft", "sent")
CONFIRMED = ("sale", "done")
GONE = ("cancel",)


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`url` is the server's address, `database` its database's name; `api_key` names a credential. `login` is the user's
    name, asked for by JSON-RPC alone. `company_id` and `warehouse_id` are 0 for the user's own.

    `create_by` is how an order is written: by `load` under an external id of ours, which the database holds to be unique, or
    by `create`, where only our look beforehand keeps it from being there twice. `taxes` names the tax record of each rate in
    percent; where it is empty, tax is a line of its own. `pricelists` names the price list of each currency. The three SKUs
    are those of service articles. `price_digits` are those of Odoo's decimal accuracy *Product Price*.
    """

    url: str
    database: str
    api_key: str
    protocol: Literal["json-2", "json-rpc"] = "json-2"
    login: str = ""
    create_by: Literal["load", "create"] = "load"
    company_id: int = 0
    warehouse_id: int = 0
    taxes: Mapping[str, int] = {}
    pricelists: Mapping[str, int] = {}
    shipping_sku: str = "MARKETPLACE-SHIPPING"
    fee_sku: str = "MARKETPLACE-FEES"
    tax_sku: str = "MARKETPLACE-TAX"
    price_digits: int = 2
    buyer_email: bool = False
    wait_for_tracking: bool = True
    lands_within_seconds: float = 180.0
    visible_within_seconds: float = 2.0
    read_lag_seconds: float = 0.0
    calls_per_minute: int = 240
    allow_private: bool = False

    @property
    def charge_skus(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.shipping_sku, self.fee_sku, self.tax_sku)))
