"""What one seed is made of: far sides, habits, faults and crashes, and the configuration that leads to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from adapters.amazon import ADAPTER as AMAZON
from adapters.ebay import ADAPTER as EBAY
from adapters.mirakl import ADAPTER as MIRAKL
from adapters.mirakl.rehearsal import MiraklSide
from adapters.odoo import ADAPTER as ODOO
from adapters.rest import ADAPTER as REST
from adapters.rest import SHOP as REST_SHOP
from adapters.shopify import ADAPTER as SHOPIFY
from adapters.woocommerce import ADAPTER as WOOCOMMERCE
from marketsync.config import Config, parse
from marketsync.http import AdapterSpec
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.faults import Rates
from marketsync.sandbox.mischief import AGAIN_SECONDS, Mischief
from marketsync.sandbox.rehearsal import Stage, connections
from marketsync.sandbox.roles import SidePlan, Ware
from marketsync.sandbox.world import Habits, World
from tests.simulation.disk import DiskRates
from tests.simulation.paging import LIST_SECONDS, small_pages

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
ADAPTERS: Mapping[str, AdapterSpec] = {
    "amazon": AMAZON,
    "ebay": EBAY,
    "mirakl": MIRAKL,
    "shopify": SHOPIFY,
    "rest": REST,
    "rest-shop": REST_SHOP,
    "odoo": ODOO,
    "woocommerce": WOOCOMMERCE,
}
SHOP = "shop"
LANDS_WITHIN = {"alpha": 60.0, "beta": 60.0, SHOP: 90.0, "amazon": 120.0, "ebay": 60.0, "mirakl": 60.0}
"""By connection. How late a request may arrive in this world, and what the daemon is told of it."""
STOCK_LANDS_WITHIN = 120.0


# What the live sweep misses is found within a seed's day.
SOONER = {"deep_period_seconds": 420.0, "open_read_seconds": 420.0}
SWEPT_SOONER = {"stock_sweep_seconds": 300.0}
SHOP_VISIBLE_WITHIN = 30.0
NETWORK = (
    "not_sent", "request_lost", "answer_lost", "hang", "late", "cut", "slow", "error_before", "error_after",
    "timeout_before", "timeout_after", "unauthorised", "throttled_seconds", "throttled_date", "throttled_past",
    "throttled_bare", "throttled_negative", "throttled_garbage", "malformed", "html_page", "charset", "empty",
)  # fmt: skip
SELDOM = 0.004
SELDOM_MET = ("refused_before", "forbidden", "throttled_huge")
# Times an hour.
MISCHIEF = {
    "clock_moved": 10.0, "zone_changed": 5.0, "seen_late": 15.0, "touched": 100.0, "touched_at_once": 20.0,
    "backdated": 20.0, "page_short": 20.0, "poisoned": 15.0, "swallowed_stock": 10.0, "swallowed_confirm": 15.0,
    "swallowed_accept": 10.0, "recounted": 15.0, "trashed": 15.0, "outage": 10.0, "unreachable": 10.0, "overrun": 10.0,
    "token_revoked": 10.0, "reads_refused": 25.0, "stale": 0.3,
}  # fmt: skip
PAGED = {
    "touched": 200.0,
    "touched_at_once": 100.0,
    "page_short": 50.0,
    "page_repeated": 100.0,
    "page_expired": 50.0,
}


class Leaning(msgspec.Struct, frozen=True):
    """What a seed has much of, so that rare things meet. Mischief in times an hour, faults as probabilities; `core` is added to
    the configuration of the marketplaces."""

    mischief: Mapping[str, float] = {}
    faults: Mapping[str, float] = {}
    core: Mapping[str, float] = {}
    cancels: float | None = None
    crashes: int = 0


LEANINGS = (
    Leaning(mischief={"seen_late": 60.0, "backdated": 120.0}),
    Leaning(cancels=0.8, faults={"request_lost": 0.15, "timeout_before": 0.05, "answer_lost": 0.05, "late": 0.05}),
    Leaning(
        mischief={"reads_refused": 30.0, "touched_at_once": 60.0, "touched": 100.0},
        faults={"refused_before": 0.01, "forbidden": 0.005},
        core={"open_read_seconds": 45.0},
    ),
    Leaning(crashes=12),
)  # fmt: skip
LEANS = 0.2


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """`active_seconds` of arrivals, faults and crashes; then at most `drain_seconds` until everything is at rest.

    `boundary`: crash at this I/O boundary, counted from the beginning; 0 at none. With `statements` each SQL statement
    is two of them. `step`: crash at this turn of the first life's loop; 0 at none. `plot` plants what is to happen.
    `core` is added to the configuration of the named connections. `wall_moves`: how often somebody sets our own wall
    clock. `small_pages`: order lists come a few rows at a time. `lookup_lag`: the shop's lists are of a while ago.
    `shop` is the adapter of the shop, `adapters` are those of the marketplaces that are no Mirakl ones, by connection; `settings` what theirs say of their
    times beyond `LANDS_WITHIN`. `again_seconds`: how long a listing may need to be right, once all is quiet.
    """

    seed: int
    habits: Habits
    rates: Rates
    wares: tuple[Ware, ...]
    marketplaces: tuple[str, ...] = ("alpha", "beta")
    shop: str = "woocommerce"
    adapters: Mapping[str, str] = {}
    settings: Mapping[str, Mapping[str, Any]] = {}
    skewed: bool = True
    active_seconds: float = 1200.0
    drain_seconds: float = 6 * 3600.0
    crashes: int = 0
    boundary: int = 0
    statements: bool = False
    step: int = 0
    look_seconds: float = 30.0
    plot: Callable[[World], None] | None = None
    core: Mapping[str, Mapping[str, Any]] = {}
    mischief: Mischief = Mischief()
    disk: DiskRates = DiskRates()
    wall_moves: int = 0
    small_pages: bool = False
    lookup_lag: bool = False
    again_seconds: float = AGAIN_SECONDS

    @property
    def needs_clerk(self) -> bool:
        """Whether something is planted that waits for a person."""
        named = ("refused_before", "refused_after", "forbidden", "unauthorised")
        met = any(getattr(self.rates, name) for name in named)
        return met or bool(
            self.mischief.trashed or self.mischief.token_revoked or self.mischief.reads_refused
        )


def standard(seed: int) -> Scenario:
    """Two marketplaces, a shop, about 14 orders in 12 minutes, and a part of all that may go wrong; then all that is left
    is worked off."""
    chance = Chance(seed).fork("scenario")
    rate = chance.pick((0.0, 0.005, 0.01, 0.02, 0.03))
    leaning = chance.pick(LEANINGS) if chance.happens(LEANS) else Leaning()
    wares = tuple(Ware(f"SKU-{n}", 4 + chance.below(8)) for n in range(1, 5))
    habits = Habits(
        order_every_seconds=45.0,
        orders_max=14,
        web_sale_every_seconds=240.0,
        web_sales_max=3,
        cancels=chance.pick((0.0, 0.1, 0.25)) if leaning.cancels is None else leaning.cancels,
        ship_after_seconds=(60.0, 300.0),
        restock_every_seconds=chance.pick((None, 300.0)),
    )
    crashes = chance.below(5) + leaning.crashes
    seller = {**SOONER, **leaning.core}
    mixed = chance.fork("trouble")
    pages = mixed.happens(0.15)
    mischief = _mischief(mixed.fork("world"), leaning, pages=pages)
    return Scenario(
        seed=seed, habits=habits, rates=_rates(mixed.fork("network"), rate, leaning), wares=wares, crashes=crashes,
        mischief=mischief, disk=_disk(mixed.fork("disk")), wall_moves=mixed.pick((0, 0, 0, 0, 1, 3)),
        small_pages=pages, lookup_lag=mixed.happens(0.4), active_seconds=720.0,
        core={SHOP: SWEPT_SOONER, "alpha": seller, "beta": seller},
    )  # fmt: skip


def _rates(chance: Chance, rate: float, leaning: Leaning) -> Rates:
    """Each seed has some of the faults, so that their sum stays what it is."""
    drawn = {name: rate for name in NETWORK if chance.happens(0.45)}
    drawn |= {name: min(rate, SELDOM) for name in SELDOM_MET if chance.happens(0.25)}
    return msgspec.convert({**drawn, **leaning.faults}, Rates)


def _mischief(chance: Chance, leaning: Leaning, *, pages: bool) -> Mischief:
    drawn = {name: an_hour for name, an_hour in MISCHIEF.items() if chance.happens(0.15)}
    if pages:
        drawn |= {name: an_hour for name, an_hour in PAGED.items() if chance.happens(0.6)}
    return msgspec.convert({**drawn, **leaning.mischief}, Mischief)


def _disk(chance: Chance) -> DiskRates:
    return DiskRates(
        locked=0.001 if chance.happens(0.15) else 0.0,
        disk_full=0.001 if chance.happens(0.15) else 0.0,
        io_error=0.0002 if chance.happens(0.15) else 0.0,
    )


def adapters_of(scenario: Scenario) -> Mapping[str, AdapterSpec]:
    return {**ADAPTERS, "mirakl": small_pages()} if scenario.small_pages else ADAPTERS


def small(seed: int = 1, boundary: int = 0) -> Scenario:
    """One order in two parcels from sale to confirmation, on a network without faults: short, so that it can be cut everywhere."""
    habits = Habits(
        order_every_seconds=20.0,
        orders_max=1,
        web_sale_every_seconds=60.0,
        web_sales_max=0,
        two_skus=1.0,
        two_parcels=1.0,
        ship_after_seconds=(5.0, 20.0),
    )
    return Scenario(
        seed=seed,
        habits=habits,
        rates=Rates(steady=True),
        wares=(Ware("SKU-1", 5), Ware("SKU-2", 4)),
        marketplaces=("alpha",),
        skewed=False,
        active_seconds=60.0,
        boundary=boundary,
    )


def stage_of(scenario: Scenario, chance: Chance) -> Stage:
    plans = [
        (scenario.adapters.get(name, "mirakl"), plan_of(scenario, name, chance.fork(name)))
        for name in scenario.marketplaces
    ]
    plans.append((scenario.shop, plan_of(scenario, SHOP, chance.fork(SHOP))))
    return Stage(tuple(plans), scenario.wares, scenario.habits, START)


def configuration(
    stage: Stage,
    world: World,
    directory: Path,
    core: Mapping[str, Mapping[str, Any]],
    settings: Mapping[str, Mapping[str, Any]] = {},
    *,
    small: bool = False,
) -> Config:
    """As an operator would write it, with shorter times to land: a seed's day has twenty minutes."""
    addresses = {plan.name: f"https://{plan.name}.example" for _, plan in stage.sides}
    written = connections(stage, world, addresses, directory)
    for name, connection in written.items():
        connection["settings"]["lands_within_seconds"] = LANDS_WITHIN[name]
        if name != SHOP:
            connection["settings"] |= settings.get(name, {"stock_lands_within_seconds": STOCK_LANDS_WITHIN})
            if small:
                side = world.marketplaces[name]
                assert isinstance(side, MiraklSide)
                side.sandbox.set_behaviour(order_list_seconds=LIST_SECONDS)
        else:
            connection["settings"]["visible_within_seconds"] = SHOP_VISIBLE_WITHIN
        connection.update(core.get(name, {}))
    return parse({"daemon": {"state_dir": directory}, "connections": written})


def plan_of(scenario: Scenario, name: str, chance: Chance) -> SidePlan:
    skewed = scenario.skewed
    return SidePlan(
        name,
        scenario.wares,
        START,
        clock_skew_seconds=chance.uniform(-40.0, 40.0) if skewed else 0.0,
        visibility_lag_seconds=_lag(scenario, name, chance),
        parcels=name in {"alpha", "mirakl"},
    )


def _lag(scenario: Scenario, name: str, chance: Chance) -> float:
    """Within what is stated to the daemon."""
    if name == SHOP:
        return chance.uniform(0.0, 0.7 * SHOP_VISIBLE_WITHIN) if scenario.lookup_lag else 0.0
    return chance.uniform(0.0, 25.0) if scenario.skewed else 0.0


def virtual(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)
