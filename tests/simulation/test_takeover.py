"""What a daemon that was frozen, and wakes beside its successor, is kept from (A3, A7)."""

from __future__ import annotations

from functools import cache

import pytest

from tests.simulation.focused import run
from tests.simulation.harness import Outcome

SEEDS = (0, 1, 3)


@cache
def _outcome(name: str, seed: int) -> Outcome:
    return run(name, seed)


def _said(outcome: Outcome, what: str) -> int:
    return sum(f" takeover.{what} " in line for line in outcome.log)


@pytest.mark.rule("A3")
@pytest.mark.rule("A7")
@pytest.mark.trace("A", 1)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["takeover", "woken"])
def test_who_wakes_beside_his_successor_does_no_harm(name: str, seed: int) -> None:
    outcome = _outcome(name, seed)
    assert outcome.failures == ()
    assert (_said(outcome, "froze"), _said(outcome, "thawed")) == (1, 1)


@pytest.mark.rule("A3")
@pytest.mark.trace("A", 1)
def test_what_it_held_was_refused_at_the_door_for_being_too_late() -> None:
    assert sum(_said(_outcome("takeover", seed), "was_too_late") for seed in SEEDS) >= len(SEEDS)


@pytest.mark.rule("A7")
@pytest.mark.trace("A", 8)
@pytest.mark.parametrize("seed", SEEDS)
def test_its_outcomes_came_late_and_its_store_sent_it_away(seed: int) -> None:
    assert _said(_outcome("takeover", seed), "was_fenced") == 1
    assert _said(_outcome("woken", seed), "was_refused") >= 1
