"""Shopify's JSON of articles, figures and the account, only the fields that we ask for."""

from __future__ import annotations

import msgspec

from adapters.shopify.wire import Connection, Named, UserError, Wire


class Quantity(Wire, frozen=True):
    name: str
    quantity: int


class Level(Wire, frozen=True):
    location: Named
    quantities: tuple[Quantity, ...] = ()


class Item(Wire, frozen=True):
    id: str
    tracked: bool = False
    inventory_levels: Connection[Level] = Connection([])


class Variant(Wire, frozen=True):
    id: str = ""
    sku: str | None = None
    price: str | None = None
    inventory_item: Item | None = None


class VariantsData(Wire, frozen=True):
    product_variants: Connection[Variant]


class LevelsData(Wire, frozen=True):
    nodes: list[Variant | None]


class Bulk(Wire, frozen=True):
    id: str
    status: str = ""
    error_code: str | None = None
    object_count: str | int = 0
    url: str | None = None


class BulkRun(Wire, frozen=True):
    bulk_operation: Bulk | None = None
    user_errors: tuple[UserError, ...] = ()


class BulkStart(Wire, frozen=True):
    bulk_operation_run_query: BulkRun | None = None


class BulkData(Wire, frozen=True):
    bulk_operation: Bulk | None = None


class BulkRow(Wire, frozen=True):
    """A line of a bulk operation's file: a variant, or, with a parent, one of its levels."""

    id: str
    parent: str = msgspec.field(default="", name="__parentId")
    sku: str | None = None
    price: str | None = None
    inventory_item: Item | None = None
    quantities: tuple[Quantity, ...] = ()


class Scope(Wire, frozen=True):
    handle: str


class Installation(Wire, frozen=True):
    access_scopes: tuple[Scope, ...] = ()


class Plan(Wire, frozen=True):
    partner_development: bool = False


class Shop(Wire, frozen=True):
    currency_code: str = ""
    plan: Plan = Plan()


class TypeName(Wire, frozen=True):
    name: str = ""


class Unique(Wire, frozen=True):
    enabled: bool = False


class Capabilities(Wire, frozen=True):
    unique_values: Unique = Unique()


class Definition(Wire, frozen=True):
    type: TypeName = TypeName()
    capabilities: Capabilities = Capabilities()


class TraitsData(Wire, frozen=True):
    current_app_installation: Installation = Installation()
    shop: Shop = Shop()
    metafield_definition: Definition | None = None
