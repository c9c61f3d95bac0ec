"""A few seeds in which Amazon, eBay and a Mirakl marketplace sell one stock."""

from __future__ import annotations

import pytest

from tests.simulation import rare
from tests.simulation.harness import simulate
from tests.simulation.vendors import CALLS, NAMES, vendors

# 26: a list far behind at the end. 36: a feed, and a sale between its document and itself.
SEEDS = (3, 26, 36)


@pytest.mark.timeout(120)
def test_three_vendors_sell_one_stock() -> None:
    outcomes = [simulate(vendors(seed)) for seed in SEEDS]
    assert {x.seed: x.failures for x in outcomes if not x.passed} == {}
    assert min(x.orders for x in outcomes) > 10
    assert rare.missing([x.reached for x in outcomes], [f"called {name}" for name in CALLS]) == []
    assert any(x.injected.get("token_expired") for x in outcomes)


def test_each_sells_by_its_own_adapter_and_nobody_is_left_out() -> None:
    scenario = vendors(4)
    assert tuple(scenario.adapters) == scenario.marketplaces == NAMES
    assert {vendors(seed).settings["amazon"]["patched_max"] for seed in range(4)} == {1, 20}
