"""A few seeds of two shops side by side: what each kind plants, and what would be seen of a crossing."""

from __future__ import annotations

import sqlite3
from functools import cache
from pathlib import Path

import pytest

from marketsync.sandbox.faults import Fault
from marketsync.store.sqlite import FILE_NAME
from tests.simulation.apart import crossed
from tests.simulation.harness import Outcome
from tests.simulation.neighbours import SHOPS, houses
from tests.simulation.town import KINDS, side_by_side

# An even one has troubles on both sides, an odd one leaves the second in peace.
SEEDS = (0, 1)


@cache
def _outcome(kind: str, seed: int) -> Outcome:
    return side_by_side(kind, seed)


@pytest.mark.timeout(300)
@pytest.mark.failure(16)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_crosses(kind: str, seed: int) -> None:
    outcome = _outcome(kind, seed)
    assert outcome.failures == ()
    assert outcome.orders >= (10 if kind == "lodgers" else 20)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", KINDS)
def test_there_is_trouble_and_an_end_to_it(kind: str) -> None:
    outcomes = [_outcome(kind, seed) for seed in SEEDS]
    assert sum(x.injected["crash"] for x in outcomes) >= 2
    troubles = {name for x in outcomes for name in x.injected} - {Fault.NONE.value}
    assert len(troubles) >= 15


def test_a_seed_is_one_history() -> None:
    assert side_by_side("shops", 0).digest == _outcome("shops", 0).digest


def test_names_are_the_same_wherever_they_can_be() -> None:
    for seed in range(2 * len(SHOPS)):
        north, south = houses("merchants", seed)
        assert north.names == south.names == {"alpha", "beta", "shop"}
        skus = [{ware.sku for ware in house.scenario.wares} for house in (north, south)]
        assert len(skus[0] & skus[1]) == 3
        assert skus[0] != skus[1]
        assert south.calm == (seed % 2 == 1)
        one, other = houses("shops", seed)
        assert not one.names & other.names
    assert {
        (x.scenario.shop, y.scenario.shop) for x, y in (houses("shops", n) for n in range(len(SHOPS)))
    } == set(SHOPS)


def test_a_wrong_route_is_called_a_crossing(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE_NAME) as raw:
        raw.execute("CREATE TABLE orders (merchant, ref, connection, order_id, back_office)")
        raw.execute("CREATE TABLE claims (connection, pool, ref)")
        raw.execute("CREATE TABLE deliveries (merchant, order_ref, kind, target)")
        raw.execute("INSERT INTO orders VALUES ('main', 'r', 'alpha', '1', 'store')")
        raw.execute("INSERT INTO claims VALUES ('alpha', 'store', 'r')")
        raw.execute(
            "INSERT INTO deliveries VALUES ('main', 'r', 'create', 'store'), ('main', 'r', 'confirm', 'beta')"
        )
    raw.close()
    assert list(crossed(tmp_path, {"alpha": "shop"})) == [
        "crossed: alpha/1 is routed to store",
        "crossed: r of alpha claims from store",
        "crossed: create of alpha/1 goes to store",
        "crossed: confirm of alpha/1 goes to beta",
    ]
    assert not list(crossed(tmp_path, {"alpha": "store"}))[:-1]
