"""What depends on the shop: its version's lists, its tax settings, what its key may do."""

from __future__ import annotations

from typing import TypeVar

from adapters.woocommerce.api import V3, Api
from adapters.woocommerce.settings import Settings
from adapters.woocommerce.wire import Index, Listed, Setting, TaxClass, error_code
from marketsync.errors import PauseConnection, ReadFailed, Refused
from marketsync.http import decode
from marketsync.ports import Traits

T = TypeVar("T")

SHOWN_MAX = 200
PERMALINKS = "no REST API at this address: is it right, and are the permalinks other than `plain`?"
NO_READ = (
    "the key was refused: it needs read and write access, and behind a proxy that ends TLS"
    " WordPress must know that the request came by https"
)


async def probe_traits(api: Api, settings: Settings) -> Traits:
    try:
        answer = await api.fetch("shop.read", "/", _fields="namespaces")
        index = decode(answer, Index, write=False)
    except (Refused, ReadFailed):
        return Traits(problems=(PERMALINKS,))
    if "wc/v3" not in index.namespaces:
        return Traits(problems=("WordPress answers, but WooCommerce's API wc/v3 is not there",))
    try:
        await api.get("shop.read", f"{V3}/orders", list[Listed], per_page="1", _fields="id,status")
    except (Refused, PauseConnection):
        return Traits(problems=(NO_READ,), server_date=answer.server_date)
    facts = await _settings(api)
    problems = await _tax_problems(api, settings, facts) + await _parcel_problems(api, settings, index)
    return Traits(facts, tuple(problems), answer.server_date)


async def _settings(api: Api) -> dict[str, str]:
    """The settings that change what an order comes to; "unknown" where the key may not read them."""
    found: dict[str, str] = {}
    for group, ids in (
        ("general", ("woocommerce_currency", "woocommerce_calc_taxes")),
        ("tax", ("woocommerce_prices_include_tax", "woocommerce_shipping_tax_class")),
    ):
        rows = await _optional(api, f"{V3}/settings/{group}", list[Setting]) or []
        values = {row.id: row.value for row in rows}
        found |= {key.removeprefix("woocommerce_"): _shown(values.get(key, "unknown")) for key in ids}
    return found


async def _tax_problems(api: Api, settings: Settings, facts: dict[str, str]) -> list[str]:
    if facts["calc_taxes"] == "no":
        return []
    problems = []
    classes = await _optional(api, f"{V3}/taxes/classes", list[TaxClass])
    if classes is not None and settings.zero_tax_class not in [row.slug for row in classes]:
        problems.append(f"the shop has no tax class `{settings.zero_tax_class}`: add one without a rate")
    if facts["shipping_tax_class"] not in ("inherit", settings.zero_tax_class, "unknown"):
        problems.append(
            "shipping has a tax class of its own: totals would differ; let it follow the cart's items"
        )
    return problems


async def _parcel_problems(api: Api, settings: Settings, index: Index) -> list[str]:
    if settings.shipments == "tracking" and "wc-shipment-tracking/v3" not in index.namespaces:
        return ["the extension Shipment Tracking is not there: see `shipments`"]
    if settings.shipments == "fulfillments" and not await _has_fulfillments(api):
        return ["the shop's fulfilment feature is off: switch it on, or see `shipments`"]
    return []


async def _has_fulfillments(api: Api) -> bool:
    """No order has the id 0: the feature shows by which refusal comes back."""
    try:
        await api.fetch("shop.read", f"{V3}/orders/0/fulfillments")
    except Refused as refused:
        return error_code(refused.body) != "rest_no_route"
    except PauseConnection:
        return True
    return True


async def _optional(api: Api, path: str, type_: type[T]) -> T | None:
    try:
        return await api.get("shop.read", path, type_)
    except (Refused, PauseConnection):
        return None


def _shown(value: object) -> str:
    return str(value).replace("\0", "")[:SHOWN_MAX]
