from __future__ import annotations

import pytest

from marketsync.server.rates import ALL_A_SECOND, SOURCE_A_SECOND, SOURCES_MAX, Rates
from tests.fuzz.rig import Clock


@pytest.mark.failure(29)
def test_one_source_has_its_share_and_is_back_after_a_while() -> None:
    clock = Clock()
    rates = Rates(clock)
    assert sum(rates.admits("a") for _ in range(5000)) == SOURCE_A_SECOND
    assert rates.admits("b")
    clock.time += 0.5
    assert sum(rates.admits("a") for _ in range(5000)) == SOURCE_A_SECOND / 2
    clock.time += 3600.0
    assert sum(rates.admits("a") for _ in range(5000)) == SOURCE_A_SECOND


def test_all_together_have_theirs_and_what_is_kept_of_them_is_bounded() -> None:
    clock = Clock()
    rates = Rates(clock)
    assert sum(rates.admits(f"source {n}") for n in range(5000)) == ALL_A_SECOND
    assert len(rates._sources) == SOURCES_MAX
    clock.time += 1.0
    assert sum(rates.admits(f"source {n}") for n in range(5000)) == ALL_A_SECOND
