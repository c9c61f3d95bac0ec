"""What a focused scenario is made of: the product's own daemon, another world around it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from marketsync import bootstrap
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.faults import FaultyTransport, Rates
from marketsync.sandbox.roles import Ware
from marketsync.sandbox.world import Habits, World
from tests.simulation.bystanders import Again
from tests.simulation.scenario import Scenario

Judge = Callable[[World, Path], Iterable[str]]


class Focus(msgspec.Struct, frozen=True, kw_only=True):
    """`core` and `settings` are added to every marketplace's connection, `shop_core` and `shop_settings` to the shop's.

    `constants` are (module, name, value). `judge` finds what the invariants do not look for; what matches `excused`
    is what the scenario itself plants. `waits` holds the drain open while it says so.
    """

    scenario: Callable[[int], Scenario]
    net: type[FaultyTransport] = FaultyTransport
    core: Mapping[str, Any] = {}
    settings: Mapping[str, Any] = {}
    shop_core: Mapping[str, Any] = {}
    shop_settings: Mapping[str, Any] = {}
    constants: tuple[tuple[Any, str, Any], ...] = ()
    people: Callable[[World, Chance], None] | None = None
    helper: Callable[[bootstrap.Assembly, Again, World], None] | None = None
    judge: Judge | None = None
    excused: str = "$"
    waits: Callable[[Path], bool] | None = None


def plan(
    seed: int, *, stock: int = 40, markets: tuple[str, ...] = ("alpha",), active: float = 1200.0, crashes: int = 0,
    rates: Rates | None = None, drain: float = 2 * 3600.0, skewed: bool = False, **habits: Any,
) -> Scenario:  # fmt: skip
    usual: dict[str, Any] = {
        "order_every_seconds": 60.0, "orders_max": 15, "web_sales_max": 0, "ship_after_seconds": (60.0, 300.0),
    }  # fmt: skip
    return Scenario(
        seed=seed,
        habits=Habits(**(usual | habits)),
        rates=rates or Rates(),
        marketplaces=markets,
        skewed=skewed,
        wares=(Ware("SKU-1", stock), Ware("SKU-2", stock)),
        active_seconds=active,
        drain_seconds=drain,
        crashes=crashes,
    )


def edited(seed: int) -> Scenario:
    return plan(
        seed,
        units_max=8,
        stock=200,
        order_every_seconds=25.0,
        orders_max=30,
        two_parcels=0.0,
        ship_after_seconds=(900.0, 1500.0),
        active=1500.0,
    )
