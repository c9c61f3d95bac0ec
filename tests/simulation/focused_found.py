"""Focused scenarios of what was once wrong, and of what needs a world of its own to be seen."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from adapters.woocommerce.sandbox_shop import WooShop
from marketsync.domain import deliveries
from marketsync.engine import second
from marketsync.sandbox.faults import Rates
from tests.simulation import bystanders, hostile, judges
from tests.simulation.disk import DiskRates
from tests.simulation.focus import Focus, edited, plan

# The report of before an edit stands for a while.
SELDOM = {"stock_sweep_seconds": 86400.0, "stock_by_name_seconds": 400.0}
EDITS: dict[str, Any] = {
    "people": bystanders.takes_units_off,
    "judge": judges.edits_lost,
    "shop_core": SELDOM,
}

FOUND: dict[str, Focus] = {
    # Started again and again, beside a program that keeps the database locked.
    "locked": Focus(
        scenario=lambda n: replace(
            plan(n, orders_max=4, active=400.0, crashes=8), disk=DiskRates(locked=0.03)
        )
    ),
    # A sale that a stock file overwrites, of an order that is in a later window than the file (B4).
    "touched": Focus(
        scenario=lambda n: plan(n, orders_max=0, active=500.0, ship_after_seconds=(700.0, 900.0)),
        people=bystanders.sells_while_a_file_lands,
        shop_core={"stock_sweep_seconds": 30.0},
    ),
    # Edits between the create of an order and its release, while the shop is read seldom.
    "waiting_edits": Focus(
        scenario=lambda n: plan(
            n,
            units_max=8,
            stock=200,
            orders_max=8,
            two_parcels=0.0,
            ship_after_seconds=(2000.0, 2400.0),
            active=1500.0,
        ),
        net=hostile.ThrottledSeldom,
        excused="alpha/.* claims",
        **EDITS,
    ),
    # The same in a shop that moves no stock when an order is edited.
    "ignored_edits": Focus(
        scenario=edited,
        shop_settings={"edits_move_stock": False},
        constants=((WooShop, "follow_edit", lambda *_: None),),
        # By the units that were taken off, which such a shop never gives back.
        excused="alpha/.* claims|off_stock",
        **EDITS,
    ),
    # Where an answer was expected, a page for people.
    "html": Focus(scenario=lambda n: plan(n, rates=Rates(html_page=0.1))),
    # The watch over what was sent reads while answers come in.
    "slow_reads": Focus(
        scenario=lambda n: plan(n, order_every_seconds=15.0, orders_max=40, stock=100),
        helper=bystanders.slow_reads,
    ),
    # What is over is forgotten at once, and read again for as long as the world stands.
    "pruned": Focus(
        scenario=lambda n: plan(
            n,
            markets=("alpha", "beta"),
            cancels=0.5,
            cancel_within_seconds=300.0,
            ship_after_seconds=(500.0, 700.0),
            active=900.0,
        ),
        net=hostile.Noted,
        helper=bystanders.keeper,
        constants=((deliveries, "SECOND_PROBE_AFTER_SECONDS", 60.0), (second, "NOT_QUIET_SECONDS", 60.0)),
        judge=judges.written_again,
        waits=judges.not_pruned,
    ),
}
