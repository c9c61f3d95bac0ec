from __future__ import annotations

from datetime import UTC, datetime, timedelta

from marketsync.domain.coverage import Axis, Coverage, ListTraits, Window
from marketsync.engine.pace import Pace

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
LIST = ListTraits(axis=Axis.UPDATED, page_size=100, overlap_seconds=300.0)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


HELD = Coverage(Axis.UPDATED).add(Window(Axis.UPDATED, START, at(1000)), at(1001))


def step(pace: Pace, now: float) -> Window:
    window = pace.next_window(HELD, at(now), LIST, START)
    assert window is not None
    return window


def test_a_sweep_that_was_ended_halfway_goes_on_and_does_not_begin_again() -> None:
    pace = Pace()
    first = step(pace, 1800)
    assert first.lo == at(700)
    part = pace.narrowed(first, 100, None, LIST)
    assert part is not None
    assert part.hi < first.hi
    pace.was_read(part, 40, LIST)
    assert step(pace, 1900).lo == part.hi  # and not at the overlap, 700
    pace.was_read(Window(Axis.UPDATED, part.hi, at(1899)), 1, LIST)
    assert pace.next_window(HELD, at(1900), LIST, START) is None
    assert step(pace, 1960).lo == at(700)


def test_what_was_too_much_for_one_answer_is_not_asked_for_again() -> None:
    pace = Pace()
    first = step(pace, 4600)
    part = pace.narrowed(first, 100, None, LIST)
    assert part is not None
    assert step(pace, 4700).seconds <= part.seconds


def test_a_short_page_that_has_more_makes_no_slivers() -> None:
    pace = Pace()
    first = step(pace, 1800)
    half = pace.narrowed(first, 3, None, LIST)
    assert half is not None
    assert half.seconds > 0.45 * first.seconds
    assert step(pace, 1800) == first
