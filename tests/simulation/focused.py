"""`python -m tests.simulation.focused NAME`: scenarios that press on one group of rules, to show that breaking one of them is seen.

Each is the product's own daemon under `harness.simulate`; `hostile` has the networks and people. Correct code passes all.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from msgspec.structs import replace

from adapters.mirakl import adapter as mirakl
from adapters.mirakl import sandbox as mirakl_sandbox
from adapters.mirakl.sandbox_http import moment
from adapters.woocommerce import writers as woocommerce_writers
from marketsync import bootstrap
from marketsync.config import Config
from marketsync.domain import deliveries
from marketsync.engine import second, sweep
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.rehearsal import connections, new_world
from marketsync.sandbox.world import World
from tests.simulation import bystanders, harness, hostile, invariants, judges, scenario
from tests.simulation.focus import Focus, edited, plan
from tests.simulation.focused_found import FOUND
from tests.simulation.harness import Outcome, simulate
from tests.simulation.scenario import SHOP, START, Scenario, small, standard
from tests.simulation.takeover import TAKEOVERS
from tests.simulation.town import KINDS, side_by_side


def run(name: str, seed: int, keep: Path | None = None) -> Outcome:
    if name in KINDS:
        return side_by_side(name, seed)
    focus = FOCUSES[name]
    with contextlib.ExitStack() as stack:
        for target, field, value in (*focus.constants, *_wiring(focus, seed)):
            stack.enter_context(patch.object(target, field, value))
        outcome = simulate(focus.scenario(seed), keep)
    left = tuple(x for x in outcome.failures if not re.match(focus.excused, x))
    return replace(outcome, failures=left)


def _wiring(focus: Focus, seed: int) -> Iterator[tuple[Any, str, Any]]:
    build, broken, at_rest = (
        bootstrap.build,
        invariants.broken,
        invariants.at_rest,
    )

    class Here(focus.net):  # type: ignore[name-defined,misc]
        world: World

    def peopled(*arguments: Any, **more: Any) -> World:
        world = Here.world = new_world(*arguments, **more)
        if focus.people is not None:
            focus.people(world, Chance(seed).fork("focus"))
        return world

    async def helped(config: Config, **more: Any) -> bootstrap.Assembly:
        assembly = await build(config, **more)
        if focus.helper is not None:
            focus.helper(assembly, lambda: build(config, **more), Here.world)
        return assembly

    def judged(*arguments: Any) -> list[str]:
        found: list[str] = broken(*arguments)
        (directory,) = (x for x in arguments if isinstance(x, Path))
        return found + (list(focus.judge(Here.world, directory)) if focus.judge is not None else [])

    def rested(world: World, directory: Path) -> bool:
        return at_rest(world, directory) and not (focus.waits is not None and focus.waits(directory))

    def configured(*arguments: Any) -> dict[str, dict[str, Any]]:
        written = connections(*arguments)
        for name, connection in written.items():
            connection.update(focus.shop_core if name == SHOP else focus.core)
            connection["settings"] |= focus.shop_settings if name == SHOP else focus.settings
        return written

    yield harness, "FaultyTransport", Here
    yield harness, "new_world", peopled
    yield harness, "broken", judged
    yield harness, "at_rest", rested
    yield scenario, "connections", configured
    yield bootstrap, "build", helped


# The scenarios


def _many(seed: int, **more: Any) -> Scenario:
    usual: dict[str, Any] = {"stock": 400, "order_every_seconds": 6.0, "orders_max": 60, "active": 420.0}
    return plan(seed, **(usual | {"skewed": True, "cancels": 0.3, "cancel_within_seconds": 120.0} | more))


def _filtered(self: mirakl_sandbox.MiraklSandbox, query: Any, at: Any) -> list[Any]:
    codes = query.get("order_state_codes", [""])[0].split(",")
    found: list[Any] = _MATCHING(self, query, at)
    return [order for order in found if codes == [""] or order.state in codes]


def _exclusive(self: mirakl_sandbox.MiraklSandbox, query: Any, at: Any) -> list[Any]:
    first = moment(query, "start_update_date")
    found: list[Any] = _MATCHING(self, query, at)
    return [order for order in found if first is None or order.updated > first]


_MATCHING = mirakl_sandbox.MiraklSandbox._matching
_LIST = mirakl.Mirakl._list
# Nothing but the live sweep: no overlap that heals, no deep sweep that finds.
BARE: dict[str, Any] = {
    "settings": {"overlap_seconds": 0.0, "visibility_lag_seconds": 26.0},
    "constants": ((sweep, "DEEP_AFTER_SECONDS", 1e12),),
}
SOON = ((deliveries, "SECOND_PROBE_AFTER_SECONDS", 900.0), (second, "NOT_QUIET_SECONDS", 300.0))
EDITS: dict[str, Any] = {
    "people": bystanders.takes_units_off,
    "judge": judges.edits_lost,
    "excused": "alpha/.* claims",
}


FOCUSES: dict[str, Focus] = {
    "standard": Focus(scenario=standard),
    # Writes land at the last moment, and many buyers change their minds meanwhile.
    "edge": Focus(
        scenario=lambda n: plan(n, cancels=0.4, ship_after_seconds=(400.0, 700.0)), net=hostile.Edge
    ),
    "cancels": Focus(
        scenario=lambda n: plan(
            n,
            cancels=0.9,
            cancel_within_seconds=300.0,
            order_every_seconds=30.0,
            orders_max=30,
            ship_after_seconds=(500.0, 700.0),
        ),
        net=hostile.Creates,
    ),
    "halves": Focus(
        scenario=lambda n: plan(
            n, cancels=0.9, cancel_within_seconds=300.0, orders_max=20, ship_after_seconds=(500.0, 700.0)
        ),
        net=hostile.Throttled,
        judge=judges.half_built,
    ),
    "releases": Focus(
        scenario=lambda n: plan(
            n,
            cancels=0.9,
            cancel_within_seconds=250.0,
            order_every_seconds=20.0,
            orders_max=40,
            ship_after_seconds=(500.0, 700.0),
        ),
        net=hostile.Updates,
        shop_settings={"read_lag_seconds": 60.0},
    ),
    "imports": Focus(
        scenario=lambda n: plan(n, orders_max=0, active=400.0, ship_after_seconds=(700.0, 900.0)),
        net=hostile.Imports,
        people=bystanders.sells_two,
    ),
    "filter": Focus(
        scenario=lambda n: plan(
            n, cancels=0.5, cancel_within_seconds=200.0, ship_after_seconds=(300.0, 500.0)
        ),
        constants=((mirakl_sandbox.MiraklSandbox, "_matching", _filtered),),
    ),
    "retracked": Focus(
        scenario=lambda n: plan(
            n, markets=("beta",), two_parcels=0.0, order_every_seconds=30.0, orders_max=30
        ),
        net=hostile.Ships,
        people=bystanders.renames_parcels,
        judge=judges.tracking_lost,
        excused="false_parcels|unconfirmed",
    ),
    "full_disk": Focus(
        scenario=lambda n: plan(n, ship_after_seconds=(100.0, 300.0)),
        helper=bystanders.full_disk,
        excused="alarm: .*NoSpace|told and forgotten",
    ),
    "intruder": Focus(scenario=plan, helper=bystanders.intruder),
    "allocation": Focus(
        scenario=lambda n: plan(n, stock=1, orders_max=0, active=400.0),
        shop_core={"stock_sweep_seconds": 30.0},
        people=bystanders.wants_what_is_gone,
        judge=judges.refused_needlessly,
        excused="oversold|C20|C19",
    ),
    "bare": Focus(scenario=_many, **BARE),
    # A list that shows everything at once, and is believed to.
    "brink": Focus(
        scenario=lambda n: _many(n, order_every_seconds=1.5, orders_max=120, active=240.0, skewed=False),
        settings={**BARE["settings"], "visibility_lag_seconds": 0.0},
        constants=BARE["constants"],
    ),
    "crashes": Focus(scenario=lambda n: _many(n, crashes=12), **BARE),
    "exclusive": Focus(
        scenario=lambda n: plan(n, orders_max=3, active=300.0),
        core={"import_from": START},
        settings=BARE["settings"],
        people=bystanders.sells_at_the_first_moment,
        constants=(
            *BARE["constants"],
            (mirakl_sandbox.MiraklSandbox, "_matching", _exclusive),
            (mirakl.Mirakl, "_list", lambda self, axis: replace(_LIST(self, axis), lower_exclusive=True)),
        ),
    ),
    "pages": Focus(
        scenario=lambda n: plan(n, stock=100, orders_max=4, active=900.0, drain=4 * 3600.0),
        net=hostile.SmallPages,
        settings=BARE["settings"],
        constants=(*BARE["constants"], (mirakl, "PAGE_SIZE", hostile.PAGE)),
        people=bystanders.sells_in_bursts,
    ),
    "looks": Focus(
        scenario=lambda n: plan(n, order_every_seconds=15.0, orders_max=40),
        net=hostile.Edge,
        constants=((woocommerce_writers, "PAGE", 2),),
    ),
    "edits": Focus(scenario=edited, net=hostile.Updates, **EDITS),
    "echo": Focus(scenario=edited, net=hostile.Echo, **EDITS),
    "twins": Focus(
        scenario=lambda n: plan(
            n, cancels=0.4, cancel_within_seconds=200.0, ship_after_seconds=(500.0, 700.0), orders_max=10
        ),
        net=hostile.Twins,
        constants=SOON,
        judge=judges.twins_hidden,
        waits=judges.second_looks_due,
        excused="duplicated|parked without a plan: conflict",
    ),
    "operator": Focus(scenario=plan, net=hostile.Blinking, helper=bystanders.operator),
    "hints": Focus(
        scenario=lambda n: plan(n, orders_max=0, stock=200, active=600.0),
        settings={**BARE["settings"], "visibility_lag_seconds": 0.0},
        constants=(*BARE["constants"], (mirakl, "ORDER_LIST_SECONDS", {"default": 0.01})),
        people=bystanders.changes_at_once,
        helper=bystanders.hinted,
    ),
    "stale_shop": Focus(
        scenario=lambda n: plan(
            n,
            orders_max=25,
            order_every_seconds=30.0,
            cancels=0.6,
            cancel_within_seconds=250.0,
            ship_after_seconds=(400.0, 600.0),
        ),
        net=hostile.StaleShop,
        shop_core={"stock_sweep_seconds": 86400.0},
        shop_settings={"read_lag_seconds": hostile.SHOP_LAG_SECONDS + 10.0},
    ),
    "stock": Focus(
        scenario=lambda n: plan(
            n, stock=2, order_every_seconds=150.0, orders_max=20, units_max=1, active=3600.0, cancels=0.4
        ),
        shop_core={"stock_sweep_seconds": 86400.0},
    ),
    "busy": Focus(
        scenario=lambda n: plan(
            n,
            stock=25,
            order_every_seconds=25.0,
            orders_max=40,
            cancels=0.3,
            units_max=1,
            active=1000.0,
            ship_after_seconds=(20.0, 300.0),
        ),
        shop_core={"stock_sweep_seconds": 120.0},
    ),
    # Sales while a stock file is on its way, until the very end.
    "rush": Focus(
        scenario=lambda n: plan(
            n, stock=100, order_every_seconds=8.0, orders_max=None, units_max=1, active=500.0
        )
    ),
    # One order, and a crash at another boundary in each seed.
    "cut": Focus(scenario=lambda n: small(boundary=1 + 2 * n)),
    **FOUND,
    **TAKEOVERS,
}


NAMES = (*FOCUSES, *KINDS)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.focused", description=__doc__)
    parser.add_argument("name", choices=sorted(NAMES))
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=20, help="at most so many; the first that fails ends it")
    parser.add_argument("--log", action="store_true")
    chosen = parser.parse_args()
    for seed in range(chosen.first, chosen.first + chosen.seeds):
        outcome = run(chosen.name, seed)
        if chosen.log:
            print(*outcome.log, sep="\n")
        if not outcome.passed:
            print(f"seed {seed} FAILED {outcome.failures[0]}")
            for failure in outcome.failures[1:]:
                print(f"  also {failure}")
            return 1
        print(
            f"seed {seed} passed, {outcome.orders} orders, {outcome.lives} lives, {outcome.cpu_seconds:.1f} CPU s"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
