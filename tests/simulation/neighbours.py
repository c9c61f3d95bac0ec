"""Two shops side by side on one machine, and nothing may cross: who lives there, and what surrounds each of them.

Every name that can be the same is the same: SKUs, order numbers, numbers of the shops' orders, and between merchants the
names of the connections. Each shop is in a world of its own with the marketplaces that sell its stock.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from marketsync.sandbox.chance import Chance
from marketsync.sandbox.faults import Rates
from marketsync.sandbox.mischief import Mischief, Mischievous
from marketsync.sandbox.rehearsal import Stage, connections, new_world
from marketsync.sandbox.roles import Ware
from tests.simulation.clerk import Excused
from tests.simulation.harness import NEVER_STALE
from tests.simulation.scenario import (
    ADAPTERS,
    LANDS_WITHIN,
    SHOP,
    SHOP_VISIBLE_WITHIN,
    START,
    STOCK_LANDS_WITHIN,
    Scenario,
    plan_of,
    standard,
)
from tests.simulation.script import ScriptDice
from tests.simulation.witness import Witness

SHOPS = (
    ("woocommerce", "woocommerce"), ("shopify", "odoo"), ("odoo", "odoo"), ("woocommerce", "shopify"), ("rest-shop", "woocommerce"),
)  # fmt: skip
# South's parcels have numbers of their own, so that one that is told in the wrong place is seen.
FIRST_PARCEL = 50_000


class House(msgspec.Struct):
    """One shop and the marketplaces that sell its stock. `calm`: nothing goes wrong here but by its neighbour."""

    name: str
    shop: str
    markets: tuple[str, ...]
    scenario: Scenario
    calm: bool

    @property
    def names(self) -> frozenset[str]:
        return frozenset((self.shop, *self.markets))


def houses(kind: str, seed: int) -> tuple[House, House]:
    """As seeds of one shop are, less the troubles of the machine: its disk, its clock, pages of a few rows."""
    north, south = (_scenario(seed + 10_000 * n, shop) for n, shop in enumerate(SHOPS[seed % len(SHOPS)]))
    wares = tuple(Ware(f"SKU-{n}", ware.stock) for n, ware in enumerate(south.wares, 2))
    south = replace(south, wares=wares)
    calm = seed % 2 == 1
    if calm:
        habits = replace(south.habits, cancels=0.0)
        south = replace(south, habits=habits, rates=Rates(), mischief=Mischief(), crashes=0)
    if kind == "shops":
        return House("north", SHOP, ("alpha",), north, False), House("south", "store", ("beta",), south, calm)
    both = ("alpha", "beta")
    return House("north", SHOP, both, north, False), House("south", SHOP, both, south, calm)


def _scenario(seed: int, shop: str) -> Scenario:
    return replace(standard(seed), shop=shop, small_pages=False, wall_moves=0)


class Neighbour:
    """A house as it stands: its world, the way to it, and what a bystander saw there."""

    def __init__(self, house: House, chance: Chance) -> None:
        self.house = house
        scenario = house.scenario
        plans = [("mirakl", plan_of(scenario, name, chance.fork(name))) for name in house.markets]
        plans.append((scenario.shop, replace(plan_of(scenario, SHOP, chance.fork(SHOP)), name=house.shop)))
        self.stage = Stage(tuple(plans), scenario.wares, scenario.habits, START)
        self.world = new_world(self.stage, ADAPTERS, chance.fork("people"))
        if house.name == "south":
            self.world.books.parcels = FIRST_PARCEL
        self.witness = Witness(self.world)
        self.mischief = Mischievous(
            self.witness, self.world, scenario.mischief, chance.fork("mischief"), NEVER_STALE,
            again_seconds=scenario.again_seconds,
        )  # fmt: skip
        self.dice = ScriptDice(scenario.rates, chance.fork("faults"))
        self.excused = Excused(self.world, self.mischief.planted, self.dice)

    def address(self, name: str) -> str:
        return f"https://{name}.{self.house.name}.example"

    def connections(self, directory: Path) -> dict[str, dict[str, Any]]:
        scenario, house = self.house.scenario, self.house
        addresses = {name: self.address(name) for name in house.names}
        written = connections(self.stage, self.world, addresses, directory)
        for name, connection in written.items():
            role = SHOP if name == house.shop else name
            connection["settings"]["lands_within_seconds"] = LANDS_WITHIN[role]
            timed = {"visible_within_seconds": SHOP_VISIBLE_WITHIN}
            if role != SHOP:
                timed = {"stock_lands_within_seconds": STOCK_LANDS_WITHIN}
            connection["settings"] |= timed
            connection.update(scenario.core.get(role, {}))
        return written

    def quiet(self) -> None:
        self.world.quiet()
        self.dice.quiet()
        self.mischief.quiet(self.world.now)
