"""What depends on the shop: the app's scopes, the metafield that holds our reference, the kind of store."""

from __future__ import annotations

from adapters.shopify.api import Api
from adapters.shopify.operations import TRAITS
from adapters.shopify.settings import BYPASS, Settings
from adapters.shopify.wire import Reply, shown
from adapters.shopify.wire_stock import Definition, TraitsData
from marketsync.ports import Traits

SCOPES = (
    "read_orders", "write_orders", "write_order_edits", "read_returns", "read_products", "read_inventory", "read_locations",
    "read_merchant_managed_fulfillment_orders",
)  # fmt: skip
ADJUSTS = "write_inventory"


async def probe_traits(api: Api, settings: Settings) -> Traits:
    names = {"namespace": settings.namespace, "key": settings.reference_key}
    data = await api.read("shop.read", TRAITS, Reply[TraitsData], **names)
    held = [scope.handle for scope in data.current_app_installation.access_scopes]
    facts = {
        "currency": shown(data.shop.currency_code),
        "development_store": "yes" if data.shop.plan.partner_development else "no",
        "inventory": settings.inventory,
        "orders_older_than_60_days": "yes" if "read_all_orders" in held else "no",
    }
    problems = [*_scope_problems(settings, held), *_metafield_problems(settings, data.metafield_definition)]
    return Traits(facts, tuple(problems))


def _scope_problems(settings: Settings, held: list[str]) -> list[str]:
    wanted = (*SCOPES, ADJUSTS) if settings.inventory == BYPASS else SCOPES
    missing = [scope for scope in wanted if scope not in held and _stronger(scope) not in held]
    return [f"the app lacks the scopes {', '.join(missing)}: add them and install it anew"] if missing else []


def _stronger(scope: str) -> str:
    """Who may write may read."""
    return scope.replace("read_", "write_", 1)


def _metafield_problems(settings: Settings, held: Definition | None) -> list[str]:
    name = f"{settings.namespace}.{settings.reference_key}"
    if held is None:
        return [
            f"the shop has no order metafield {name}: define one of type `id`, see the page of this adapter"
        ]
    if held.type.name != "id" or not held.capabilities.unique_values.enabled:
        return [f"the order metafield {name} must be of type `id` with unique values"]
    return []
