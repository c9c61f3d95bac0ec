"""Two hours of what `make amazon-day` does in 24, and the arithmetic that it judges by."""

from __future__ import annotations

from datetime import timedelta

import pytest

from adapters.amazon.sandbox_http import RATES
from tests.simulation.buckets import Call, lowest
from tests.simulation.day import live, percentile
from tests.simulation.scenario import START

ORDERS = 60


@pytest.mark.timeout(120)
def test_two_hours_of_bursts_go_over_no_budget_and_a_hint_is_worth_minutes() -> None:
    without, with_hints = (live(hours=2.0, orders=ORDERS, hinted=hinted) for hinted in (False, True))
    for figures in (without, with_hints):
        assert figures.problems == ()
        assert figures.orders == len(figures.waits) == ORDERS
        assert figures.over == 0
        assert set(figures.calls) - {
            "getOrder",
            "createFeed",
            "createFeedDocument",
            "getFeed",
            "getFeedDocument",
        }
    assert with_hints.calls["getOrder"] >= ORDERS
    assert percentile(with_hints.waits, 0.5) < 60.0 < percentile(without.waits, 0.5)


def test_a_bucket_is_reckoned_as_the_far_side_does() -> None:
    def calls(*seconds: float) -> list[Call]:
        return [Call("x", START + timedelta(seconds=at), 200) for at in seconds]

    # Two at once, one more each ten seconds.
    assert lowest(calls(0, 0), {"x": (0.1, 2)}) == {"x": 0.0}
    assert lowest(calls(0, 0, 10), {"x": (0.1, 2)}) == {"x": 0.0}
    assert lowest(calls(0, 0, 5), {"x": (0.1, 2)}) == {"x": -0.5}
    assert lowest(calls(0, 1000, 1000, 1000), {"x": (0.1, 2)}) == {"x": -1.0}  # it holds no more than two
    assert RATES["searchOrders"] == (0.0056, 20)  # as published
