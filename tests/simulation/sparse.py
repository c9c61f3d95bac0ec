"""Sales so far apart that every listing has heard of one before the next is made: then nothing is oversold, at all."""

from __future__ import annotations

from marketsync.sandbox.chance import Chance
from marketsync.sandbox.faults import Rates
from marketsync.sandbox.roles import Ware
from marketsync.sandbox.world import Habits
from tests.simulation.scenario import STOCK_LANDS_WITHIN, Scenario

POLL_SECONDS = 60.0
SEEN_AFTER_SECONDS = 25.0
BLOCKED_SECONDS_MAX = 200.0
SEND_BY_SECONDS = 60.0
IMPORT_SECONDS = 80.0
PUBLISHING_SECONDS_MAX = (
    2 * (POLL_SECONDS + BLOCKED_SECONDS_MAX)
    + SEEN_AFTER_SECONDS
    + 3 * (SEND_BY_SECONDS + STOCK_LANDS_WITHIN + IMPORT_SECONDS + BLOCKED_SECONDS_MAX)
)
"""From a sale to the last listing that has heard of it: read at the second try, published at the third."""


def sparse(seed: int) -> Scenario:
    """Few units, so that a listing which is wrong by one is sold from. A crash now and then, faults of the network."""
    chance = Chance(seed).fork("sparse")
    rate = chance.pick((0.0, 0.005, 0.01))
    wares = tuple(Ware(f"SKU-{n}", 2 + chance.below(3)) for n in range(1, 4))
    habits = Habits(
        order_every_seconds=900.0,
        orders_max=7,
        web_sale_every_seconds=4000.0,
        web_sales_max=2,
        units_max=2,
        ship_after_seconds=(60.0, 400.0),
        apart_seconds=PUBLISHING_SECONDS_MAX,
    )
    return Scenario(
        seed=seed, habits=habits, rates=Rates.of_all(rate), wares=wares, crashes=chance.below(4),
        active_seconds=10 * PUBLISHING_SECONDS_MAX,
    )  # fmt: skip
