from __future__ import annotations

import hashlib
from pathlib import Path

from tests.bench import floor, runs
from tests.bench.__main__ import _goals

FROZEN = "26f8338525a1c6abb0b1fc86297b239f4a2239c4c5892d9dd432bf4739894462"


def test_the_floor_is_the_one_that_was_frozen() -> None:
    assert hashlib.sha256(Path(floor.__file__).read_bytes()).hexdigest() == FROZEN


def test_floor_and_product_bring_the_same_orders_to_the_same_shop() -> None:
    assert runs.floor(3).orders == 3
    assert runs.product(3).orders == 3


def test_a_goal_is_kept_at_its_limit_and_missed_above_it() -> None:
    assert all(well for _, _, well in _goals(3.0, 90.0, 0.5, 1.5).values())
    assert not any(well for _, _, well in _goals(3.01, 90.1, 0.51, 1.51).values())
