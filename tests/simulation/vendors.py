"""Amazon, eBay and a Mirakl marketplace sell one stock into one shop: the troubles of a standard seed, under each vendor's own
budgets and times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from adapters.amazon.adapter import OURS, USAGE
from tests.simulation.scenario import SHOP, STOCK_LANDS_WITHIN, SWEPT_SOONER, Scenario, standard

NAMES = ("amazon", "ebay", "mirakl")
# Amazon's own times, but for a feed's: a doubt about one would outlast the day.
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "amazon": {"feed_lands_within_seconds": 1800.0},
    "ebay": {},
    "mirakl": {"stock_lands_within_seconds": STOCK_LANDS_WITHIN},
}
# The deep sweep spends the calls of the live one, and Amazon gives twenty in an hour.
AMAZON_DEEP_SECONDS = 1800.0
# A quantity is taken, and in place a quarter of an hour later at most, and what was overwritten meanwhile is set once more.
AGAIN_SECONDS = 2400.0
# Looked for where somebody cancels or refunds, and nobody does here.
NOT_CALLED = ("getFeeds",)
CALLS = (
    *(name for name in USAGE if name not in NOT_CALLED), *OURS, "getOrders", "getShippingFulfillments", "createShippingFulfillment", "bulkUpdatePriceQuantity",
    "OR11", "ST01", "STO01", "orders.create",
)  # fmt: skip
"""What a run of some seeds must have got an answer to."""


def vendors(seed: int) -> Scenario:
    """About 16 orders in 40 minutes. Half of the seeds patch Amazon's listings one by one, in the others two make a feed.

    Left out: pages of a few rows (`small_pages` is made for Mirakl's list, and no list of a seed's day fills a page of the
    others); refresh tokens that rotate (one that is lost with its answer ends the authorisation, and no vendor here does so).
    What a vendor does not have (an acceptance to swallow, a page to repeat) passes without effect.
    """
    base = standard(seed)
    seller = base.core["alpha"]
    core = dict.fromkeys(NAMES, seller)
    core["amazon"] = {**seller, "deep_period_seconds": AMAZON_DEEP_SECONDS}
    amazon = {**SETTINGS["amazon"], "patched_max": seed % 2 * 19 + 1}
    return replace(
        base,
        marketplaces=NAMES,
        adapters={name: name for name in NAMES},
        settings={**SETTINGS, "amazon": amazon},
        core={**core, SHOP: SWEPT_SOONER},
        habits=replace(base.habits, order_every_seconds=120.0, orders_max=16, web_sale_every_seconds=700.0),
        mischief=replace(base.mischief, token_expired=6.0 if seed % 3 == 0 else 0.0),
        small_pages=False,
        active_seconds=2400.0,
        # A list that may be read once a minute comes every second minute while others are read beside it.
        look_seconds=60.0,
        drain_seconds=12 * 3600.0,
        again_seconds=AGAIN_SECONDS,
    )
