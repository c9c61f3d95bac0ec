"""What one seed is made of: far sides, habits, faults and crashes, and the configuration that leads to them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from adapters.mirakl import ADAPTER as MIRAKL
from adapters.woocommerce import ADAPTER as WOOCOMMERCE
from marketsync.config import Config, parse
from marketsync.http import AdapterSpec
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.faults import Rates
from marketsync.sandbox.rehearsal import Stage, connections
from marketsync.sandbox.roles import SidePlan, Ware
from marketsync.sandbox.world import Habits, World

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
ADAPTERS: Mapping[str, AdapterSpec] = {"mirakl": MIRAKL, "woocommerce": WOOCOMMERCE}
SHOP = "shop"
LANDS_WITHIN = {"alpha": 60.0, "beta": 60.0, SHOP: 90.0}
STOCK_LANDS_WITHIN = 120.0


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """`active_seconds` of arrivals, faults and crashes; then at most `drain_seconds` until everything is at rest.

    `boundary`: crash at this I/O boundary, counted from the beginning; 0 at none.
    """

    seed: int
    habits: Habits
    rates: Rates
    wares: tuple[Ware, ...]
    marketplaces: tuple[str, ...] = ("alpha", "beta")
    skewed: bool = True
    active_seconds: float = 1200.0
    drain_seconds: float = 6 * 3600.0
    crashes: int = 0
    boundary: int = 0


def standard(seed: int) -> Scenario:
    """Two marketplaces, a shop, about 14 orders in 20 minutes, and all that may go wrong."""
    chance = Chance(seed).fork("scenario")
    rate = chance.pick((0.0, 0.005, 0.01, 0.02, 0.03))
    wares = tuple(Ware(f"SKU-{n}", 4 + chance.below(8)) for n in range(1, 5))
    habits = Habits(
        order_every_seconds=75.0,
        orders_max=14,
        web_sale_every_seconds=400.0,
        web_sales_max=3,
        cancels=chance.pick((0.0, 0.1, 0.2)),
        ship_after_seconds=(60.0, 400.0),
        restock_every_seconds=chance.pick((None, 500.0)),
    )
    return Scenario(seed=seed, habits=habits, rates=Rates.of_all(rate), wares=wares, crashes=chance.below(5))


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
    plans = [("mirakl", _plan(scenario, name, chance.fork(name))) for name in scenario.marketplaces]
    plans.append(("woocommerce", _plan(scenario, SHOP, chance.fork(SHOP))))
    return Stage(tuple(plans), scenario.wares, scenario.habits, START)


def configuration(stage: Stage, world: World, directory: Path) -> Config:
    """As an operator would write it, with shorter times to land: a seed's day has twenty minutes."""
    addresses = {plan.name: f"https://{plan.name}.example" for _, plan in stage.sides}
    written = connections(stage, world, addresses, directory)
    for name, connection in written.items():
        connection["settings"]["lands_within_seconds"] = LANDS_WITHIN[name]
        if name != SHOP:
            connection["settings"]["stock_lands_within_seconds"] = STOCK_LANDS_WITHIN
    return parse({"daemon": {"state_dir": directory}, "connections": written})


def _plan(scenario: Scenario, name: str, chance: Chance) -> SidePlan:
    skewed = scenario.skewed
    return SidePlan(
        name,
        scenario.wares,
        START,
        clock_skew_seconds=chance.uniform(-40.0, 40.0) if skewed else 0.0,
        visibility_lag_seconds=chance.uniform(0.0, 25.0) if skewed and name != SHOP else 0.0,
        parcels=name == "alpha",
    )


def virtual(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)
