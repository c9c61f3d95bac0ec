"""A short run of what `make defects` does at length."""

from __future__ import annotations

import pytest

from tests.simulation.defects import hunt
from tests.simulation.focused import NAMES, run
from tests.simulation.planted import DEFECTS
from tests.simulation.planting import ROOT, Defect

# Each is seen by the first seeds of a small scenario.
SHORT = (
    "overtaking",
    "greatest_wait",
    "moment_too_short",
    "look_without_wait",
    "first_page_proves_absence",
    "woken_is_sent_again",
    "no_second_look",
    "exclusive_bound_as_it_is",
    "equal_stamp_is_known",
    "waiting_orders_subtract",
    "overwritten_sale_explains_listing",
    "marker_of_a_cancel_not_looked_at",
    "deadline_left_behind",
    "late_outcome_counts",
)
SHORT_SEEDS = 3


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_what_a_defect_breaks_stands_where_it_says(defect: Defect) -> None:
    """Else the rule has moved, and `make defects` would prove nothing about it."""
    for change in defect.changes:
        assert (ROOT / change.file).read_text().count(change.before) == 1
        assert change.after != change.before
    assert defect.scenario in NAMES
    assert defect.within >= 20


def test_there_are_enough_of_them_and_each_has_a_name_of_its_own() -> None:
    assert len(DEFECTS) >= 30
    assert len({defect.name for defect in DEFECTS}) == len(DEFECTS)


@pytest.mark.parametrize("name", SHORT)
def test_a_planted_defect_is_seen(name: str) -> None:
    (defect,) = (x for x in DEFECTS if x.name == name)
    hunted = hunt(defect, SHORT_SEEDS)
    assert hunted.seeds, hunted.symptom


@pytest.mark.parametrize("name", sorted({x.scenario for x in DEFECTS if x.name in SHORT}))
def test_without_a_defect_its_scenario_passes(name: str) -> None:
    """Else it would see a defect in everything."""
    assert run(name, 0).failures == ()
