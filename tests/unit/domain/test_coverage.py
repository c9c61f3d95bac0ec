from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketsync.domain.coverage import (
    Axis,
    Coverage,
    Interval,
    ListTraits,
    OpenOrder,
    Window,
    asked_bounds,
    deep_windows,
    density_ahead,
    density_of,
    due_open_reads,
    first_step,
    is_ahead_of,
    is_cleared,
    narrowed,
    next_hole_window,
    next_live_window,
    parse_date_header,
    resync_window,
    server_now,
    split,
    upper_bound,
)
from marketsync.domain.paging import Covered, judge_single, page_seen

T0 = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
DAY = 86_400.0


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def updated(lo: float, hi: float) -> Window:
    return Window(Axis.UPDATED, at(lo), at(hi))


def created(lo: float, hi: float) -> Window:
    return Window(Axis.CREATED, at(lo), at(hi))


def live(**changes: float | bool) -> ListTraits:
    return ListTraits(axis=Axis.UPDATED, page_size=100, **changes)  # type: ignore[arg-type]


def spans(coverage: Coverage) -> list[tuple[float, float]]:
    return [((i.lo - T0).total_seconds(), (i.hi - T0).total_seconds()) for i in coverage.intervals]


def covering(*windows: Window, read_at: datetime = T0) -> Coverage:
    coverage = Coverage(windows[0].axis)
    for window in windows:
        coverage = coverage.add(window, read_at)
    return coverage


@pytest.mark.rule("B1")
@pytest.mark.trace("A", 15)
@pytest.mark.parametrize(
    "now, lag, behind, granule, expected",
    [
        (100.9, 0.0, 0.0, 1.0, 99.0),  # floor(100.9) - 1
        (100.0, 0.0, 0.0, 1.0, 99.0),  # second 100 has only begun
        (100.9, 2.0, 0.0, 1.0, 97.0),  # floor(98.9) - 1
        (100.9, 2.0, 3.5, 1.0, 94.0),  # floor(95.4) - 1
        (100.9, 0.0, 0.0, 0.001, 100.899),
        (125.0, 0.0, 0.0, 60.0, 60.0),  # minute 120 is running
    ],
)
def test_upper_bound_leaves_the_running_granule(
    now: float, lag: float, behind: float, granule: float, expected: float
) -> None:
    traits = live(lag_seconds=lag, extra_behind_seconds=behind, granule_seconds=granule)
    assert upper_bound(at(now), traits) == at(expected)


@pytest.mark.rule("B1")
@pytest.mark.failure(4)
def test_server_clock_is_the_last_date_and_what_passed_since() -> None:
    date = parse_date_header("Sun, 01 Mar 2026 12:00:00 GMT")
    assert date == T0
    assert server_now(date, received_mono=50.0, mono=62.5) == at(12.5)
    # Monotonic time of another boot must not move it, least of all forward.
    assert server_now(date, received_mono=50.0, mono=3.0) == T0


@pytest.mark.parametrize("text", ["", "soon", "Sun, 99 Mar 2026 12:00:00 GMT"])
def test_a_date_header_that_is_none_is_no_clock(text: str) -> None:
    assert parse_date_header(text) is None


@pytest.mark.rule("B2")
@pytest.mark.trace("A", 15)
@pytest.mark.requirement("R5")
def test_an_exclusive_lower_bound_is_asked_one_granule_earlier() -> None:
    rows = [at(10), at(10), at(11)]
    lo, hi = asked_bounds(updated(10, 11), live(lower_exclusive=True))
    assert [row for row in rows if lo < row <= hi] == rows
    assert asked_bounds(updated(10, 11), live()) == (at(10), at(11))


@pytest.mark.rule("B3")
def test_intervals_join_only_if_they_touch() -> None:
    assert spans(covering(updated(0, 10), updated(10, 20))) == [(0, 20)]
    assert spans(covering(updated(0, 10), updated(11, 20))) == [(0, 10), (11, 20)]
    assert spans(covering(updated(0, 10), updated(10.001, 20))) == [(0, 10), (10.001, 20)]


@pytest.mark.rule("B3")
@pytest.mark.parametrize("seconds", [2, 3, 60, 3601])
def test_halves_share_their_end_and_lie_on_granules(seconds: int) -> None:
    halves = split(updated(0, seconds), live())
    assert halves is not None
    left, right = halves
    assert left.lo == at(0)
    assert left.hi == right.lo == at(seconds // 2)
    assert right.hi == at(seconds)
    assert spans(covering(left, right)) == [(0, seconds)]


@pytest.mark.rule("B8")
@pytest.mark.parametrize("seconds, shortest", [(0, 1), (1, 1), (119, 60)])
def test_an_atom_is_not_split(seconds: int, shortest: int) -> None:
    assert split(updated(0, seconds), live(shortest_seconds=shortest)) is None
    assert narrowed(updated(0, seconds), 5000, live(shortest_seconds=shortest)) is None


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.integers(0, 10), st.integers(0, 5), st.booleans()),
        max_size=10,
    )
)
@pytest.mark.rule("B14")
@pytest.mark.rule("B4")
def test_coverage_is_the_union_of_its_windows(steps: list[tuple[int, int, int, bool]]) -> None:
    axis = Axis.CREATED if steps and steps[0][3] else Axis.UPDATED
    coverage = Coverage(axis)
    for lo, length, read, _ in steps:
        coverage = coverage.add(Window(axis, at(lo), at(lo + length)), at(read))
    for half in range(-1, 90):
        inside = any(2 * lo <= half <= 2 * (lo + length) for lo, length, _, _ in steps)
        assert coverage.covers(at(half / 2)) == inside
    ends = [(i.lo, i.hi) for i in coverage.intervals]
    assert ends == sorted(ends)
    assert all(a.hi <= b.lo for a, b in zip(coverage.intervals, coverage.intervals[1:], strict=False))
    assert _holes_fill(coverage) == [(-1, 45)]


def _holes_fill(coverage: Coverage) -> list[tuple[float, float]]:
    filled = Coverage(Axis.UPDATED, coverage.intervals).add(updated(-1, -1), T0)
    for hole in coverage.holes(at(-1), at(45)):
        filled = filled.add(Window(Axis.UPDATED, hole.lo, hole.hi), T0)
    for interval in coverage.intervals:
        filled = filled.add(Window(Axis.UPDATED, interval.lo, interval.hi), T0)
    return spans(filled)


def test_holes_share_their_ends_with_what_surrounds_them() -> None:
    coverage = covering(updated(0, 10), updated(20, 30))
    assert coverage.holes(at(-5), at(40)) == (updated(-5, 0), updated(10, 20), updated(30, 40))
    assert coverage.holes(at(2), at(8)) == ()
    assert coverage.holes(at(15), at(15)) == (updated(15, 15),)
    assert coverage.covered_until(at(4)) == at(10)
    assert coverage.covered_until(at(15)) is None


def test_joined_intervals_claim_no_newer_read_than_their_oldest() -> None:
    coverage = Coverage(Axis.UPDATED).add(updated(0, 10), at(100)).add(updated(5, 20), at(50))
    assert coverage.intervals == (Interval(at(0), at(20), at(50)),)


def test_a_window_of_another_axis_is_refused() -> None:
    with pytest.raises(ValueError, match="created"):
        Coverage(Axis.UPDATED).add(created(0, 1), T0)


def test_naive_and_reversed_windows_are_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        Window(Axis.UPDATED, datetime(2026, 1, 1), datetime(2026, 1, 2))  # noqa: DTZ001
    with pytest.raises(ValueError, match="before it begins"):
        updated(2, 1)


@pytest.mark.rule("B17")
def test_the_overlap_is_read_again_only_before_what_was_read_earlier() -> None:
    traits = live(overlap_seconds=300)
    coverage = covering(updated(0, 1000))
    assert next_live_window(coverage, at(2000), traits, at(0)) == updated(700, 1999)
    assert next_live_window(coverage, at(2000), traits, at(0), read_to=at(1000)) == updated(1000, 1999)
    # Without any overlap, neighbours still share their end: B1 stands without it.
    assert next_live_window(coverage, at(2000), live(), at(0)) == updated(1000, 1999)


def test_the_live_sweep_is_up_to_date_when_nothing_is_over() -> None:
    coverage = covering(updated(0, 1000))
    assert next_live_window(coverage, at(1001), live(), at(0)) is None
    assert next_live_window(coverage, at(500), live(), at(0)) is None
    assert next_live_window(Coverage(Axis.UPDATED), at(-5), live(), at(0)) is None
    assert next_live_window(coverage, at(2000), live(), at(0), read_to=at(1999)) is None


def test_a_window_is_never_shorter_than_the_shortest_interval() -> None:
    coverage = covering(updated(0, 1000))
    window = next_live_window(coverage, at(1004), live(shortest_seconds=60), at(0))
    assert window == updated(943, 1003)


@pytest.mark.failure(2)
@pytest.mark.failure(4)
def test_what_a_clock_ahead_claimed_is_forgotten() -> None:
    ahead = covering(updated(0, 90_000))
    assert next_live_window(ahead, at(3600), live(), at(0)) is None
    believed = ahead.cut_after(at(3600))
    assert spans(believed) == [(0, 3600)]
    assert next_live_window(believed, at(3700), live(), at(0)) == updated(3600, 3699)


def test_a_dense_overlap_never_holds_the_sweep() -> None:
    traits = live(overlap_seconds=300)
    window = next_live_window(covering(updated(0, 1000)), at(9000), traits, at(0), density=10.0)
    assert window is not None
    assert window.hi > at(1000)


@pytest.mark.rule("B19")
def test_the_size_of_a_step_follows_the_density() -> None:
    traits = live()
    assert first_step(updated(0, 7200), 0.1, traits) == updated(0, 700)  # 70 rows at one in 10 s
    assert first_step(updated(0, 60), 0.1, traits) == updated(0, 60)
    assert first_step(updated(0, 7200), 1000.0, traits) == updated(0, 1)
    assert density_of(updated(0, 100), 50, traits) == 0.5
    assert density_of(updated(0, 100), 0, traits) == 0.01
    assert density_of(updated(0, 0), 7, traits) == 7.0
    assert narrowed(updated(0, 1000), 700, traits) == updated(0, 100)
    assert narrowed(updated(0, 1000), None, traits) == updated(0, 250)
    assert narrowed(updated(0, 3), None, traits) == updated(0, 1)
    assert narrowed(updated(0, 1000), 10, traits) == updated(0, 500)


@pytest.mark.rule("B20")
def test_partial_resync_does_not_move_live_cursor() -> None:
    coverage = covering(updated(0, 1000))
    resync = resync_window(at(200), at(300), at(5000), live())
    assert resync is not None
    after = coverage.add(resync, at(5000))
    assert next_live_window(after, at(5000), live(), at(0)) == updated(1000, 4999)
    # Beside a live sweep that is behind, a resync of a newer window leaves a hole that shows.
    newer = coverage.add(updated(3000, 4000), at(5000))
    assert newer.holes(at(0), at(4999)) == (updated(1000, 3000), updated(4000, 4999))
    assert next_hole_window(newer, at(0), at(4000), live()) == updated(1000, 3000)
    assert next_hole_window(coverage, at(0), at(900), live()) is None


@pytest.mark.rule("B1")
def test_a_resync_never_claims_what_is_not_over() -> None:
    assert resync_window(at(0), at(10_000), at(5000), live()) == updated(0, 4999)
    assert resync_window(at(6000), at(10_000), at(5000), live()) is None


def test_outage_longer_than_window_loses_nothing() -> None:
    before = covering(updated(0, 1000))
    back = at(30 * DAY)
    window = next_live_window(before, back, live(overlap_seconds=60), at(0))
    assert window == Window(Axis.UPDATED, at(940), back - timedelta(seconds=1))
    # Where the far side shows no more than ten days, the rest is a hole, not a silence.
    short = ListTraits(axis=Axis.UPDATED, page_size=100, history_days=10)
    window = next_live_window(before, back, short, at(0))
    assert window == Window(Axis.UPDATED, at(20 * DAY), back - timedelta(seconds=1))
    assert before.add(window, back).holes(at(0), window.hi) == (updated(1000, 20 * DAY),)


def test_a_hole_left_by_the_live_sweep_stays_visible() -> None:
    coverage = covering(updated(0, 1000))
    beyond = next_live_window(coverage, at(2000), live(), at(0), read_to=at(1100))
    assert beyond == updated(1100, 1999)
    assert coverage.add(beyond, T0).holes(at(0), at(1999)) == (updated(1000, 1100),)


@pytest.mark.rule("B5")
def test_a_hole_is_cleared_only_by_coverage_unbroken_to_now() -> None:
    hole = updated(10, 20)
    filled = covering(updated(0, 30), updated(40, 50))
    assert not is_cleared(covering(updated(0, 10)), hole, at(50))
    assert not is_cleared(filled, hole, at(50))
    assert is_cleared(filled.add(updated(30, 40), T0), hole, at(50))


@pytest.mark.rule("B15")
@pytest.mark.failure(7)
@pytest.mark.failure(8)
def test_each_part_of_the_deep_span_is_due_once_a_period() -> None:
    traits = ListTraits(axis=Axis.CREATED, page_size=100)
    empty = Coverage(Axis.CREATED)
    first = deep_windows(empty, at(0), 3 * DAY, DAY, traits)
    assert first == (created(-1 - 3 * DAY, -1),)
    read = empty.add(first[0], at(0))
    assert deep_windows(read, at(DAY - 1), 3 * DAY, DAY, traits) == ()
    due = deep_windows(read, at(DAY), 3 * DAY, DAY, traits)
    assert due == (created(-1 - 2 * DAY, -1), created(-1, DAY - 1))
    for window in due:
        read = read.add(window, at(DAY))
    assert deep_windows(read, at(DAY), 3 * DAY, DAY, traits) == ()
    # A part that failed is due at once, not a period later.
    holed = empty.add(created(-3 * DAY, -500), at(0)).add(created(-400, -1), at(0))
    assert created(-500, -400) in deep_windows(holed, at(10), 3 * DAY, DAY, traits)


@pytest.mark.rule("B15")
@given(
    created_at=st.integers(0, 200),
    delay=st.integers(0, 70),
    start=st.integers(0, 20),
    tick=st.integers(1, 3),
)
def test_a_late_order_is_in_within_a_period(created_at: int, delay: int, start: int, tick: int) -> None:
    """Span 100, period 30: what becomes visible within 70 s of its creation is read within 30 s (+ lag)."""
    traits = ListTraits(axis=Axis.CREATED, page_size=100, lag_seconds=2.0)
    coverage = Coverage(Axis.CREATED)
    visible = created_at + delay
    for now in range(start, 400, tick):
        for window in deep_windows(coverage, at(now), 100.0, 30.0, traits):
            coverage = coverage.add(window, at(now))
            if visible <= now and window.lo <= at(created_at) <= window.hi:
                # lag, the running granule and one step of the schedule come on top
                assert now <= max(visible, start) + 30 + 2 + 2 + tick
                return
    pytest.fail("never read")


def test_deep_sweep_needs_a_span_longer_than_its_period() -> None:
    traits = ListTraits(axis=Axis.CREATED, page_size=100)
    with pytest.raises(ValueError, match="period shorter"):
        deep_windows(Coverage(Axis.CREATED), T0, DAY, DAY, traits)
    with pytest.raises(ValueError, match="creation axis"):
        deep_windows(Coverage(Axis.UPDATED), T0, 2 * DAY, DAY, traits)


def test_old_creation_coverage_is_compacted() -> None:
    coverage = Coverage(Axis.CREATED)
    for day in range(50):
        coverage = coverage.add(created((day - 3) * DAY, day * DAY), at(day * DAY))
    assert len(coverage.intervals) > 40
    compact = coverage.compacted(at(40 * DAY))
    assert len(compact.intervals) < 12
    assert compact.holes(at(-3 * DAY), at(49 * DAY)) == ()


@pytest.mark.rule("B16")
def test_every_open_order_is_read_once_a_period_the_longest_unread_first() -> None:
    orders = [OpenOrder("b", at(0)), OpenOrder("a", at(0)), OpenOrder("c", at(-50)), OpenOrder("d", at(90))]
    assert due_open_reads(orders, at(100), 100.0, limit=10) == ("c", "a", "b")
    assert due_open_reads(orders, at(100), 100.0, limit=2) == ("c", "a")
    assert due_open_reads(orders, at(49), 100.0, limit=10) == ()


def test_order_closed_before_first_poll() -> None:
    """No window asks for a status: an order that came and was closed between two polls is in the next one."""
    coverage = covering(updated(0, 1000))
    closed_at = at(1500)
    window = next_live_window(coverage, at(2000), live(), at(0))
    assert window is not None
    assert window.lo <= closed_at <= window.hi
    assert set(Window.__struct_fields__) == {"axis", "lo", "hi"}


def test_manual_import_of_newer_id_leaves_no_gap() -> None:
    """An order read by its id adds no window, so the live sweep still reads everything before it."""
    coverage = covering(updated(0, 1000))
    orders = {"7": at(1200), "9": at(1400)}
    imported_by_hand = {"9"}
    window = next_live_window(coverage, at(2000), live(), at(0))
    assert window is not None
    read = {order for order, stamp in orders.items() if window.lo <= stamp <= window.hi}
    assert read | imported_by_hand == {"7", "9"}
    assert read == {"7", "9"}


def read_forward(stamps: Iterable[int], page_size: int, end: int) -> tuple[int, int]:
    """Forward steps over a list at rest that states no total: (calls, rows read)."""
    rows = sorted(at(stamp) for stamp in stamps)
    traits = ListTraits(axis=Axis.UPDATED, page_size=page_size)
    coverage, calls = Coverage(Axis.UPDATED), 0
    overfull_to: datetime | None = None
    read: set[int] = set()
    window = next_live_window(coverage, at(end + 1), traits, at(0))
    while window is not None:
        calls += 1
        ids = range(bisect_left(rows, window.lo), bisect_right(rows, window.hi))
        if isinstance(
            judge_single(page_seen([str(n) for n in ids[:page_size]], None, traits), traits), Covered
        ):
            coverage = coverage.add(window, at(end))
            read.update(ids)
            ahead = density_ahead(window, len(ids), overfull_to, traits)
            window = next_live_window(coverage, at(end + 1), traits, at(0), ahead, read_to=window.hi)
        else:
            overfull_to = window.hi
            window = narrowed(window, None, traits)
            assert window is not None, "an atom above a page"
    assert coverage.holes(at(0), at(end)) == ()
    return calls, len(read)


def uniform(count: int, end: int, seed: int) -> list[int]:
    rng = Random(seed)
    return [rng.randrange(end) for _ in range(count)]


def bursty(count: int, end: int, seed: int, bursts: int = 20, length: int = 600) -> list[int]:
    """Nine in ten rows in short bursts, the rest anywhere."""
    rng = Random(seed)
    starts = [rng.randrange(end - length) for _ in range(bursts)]
    return [
        rng.choice(starts) + rng.randrange(length) if rng.random() < 0.9 else rng.randrange(end)
        for _ in range(count)
    ]


def few_long_bursts(count: int, end: int, seed: int) -> list[int]:
    return bursty(count, end, seed, bursts=6, length=3600)


@pytest.mark.rule("B19")
@pytest.mark.rule("B20")
@pytest.mark.parametrize(
    "stamps, count, ratio",
    [
        (uniform, 1_000, 2),
        (uniform, 10_000, 2),
        (bursty, 1_000, 5),
        (bursty, 10_000, 5),
        (few_long_bursts, 1_000, 9),
        (few_long_bursts, 10_000, 3),
    ],
)
def test_a_backlog_costs_a_small_multiple_of_plain_paging(
    stamps: Callable[[int, int, int], list[int]], count: int, ratio: int
) -> None:
    end, seeds = int(4 * DAY), 3
    results = [read_forward(stamps(count, end, seed), 100, end) for seed in range(seeds)]
    assert [read for _, read in results] == [count] * seeds
    calls = sum(calls for calls, _ in results) / seeds
    assert count / 100 < calls < ratio * count / 100


@pytest.mark.rule("B1")
@pytest.mark.parametrize(("back", "ahead"), [(0, False), (1, False), (3, True), (300, True), (-300, False)])
def test_a_window_may_not_end_later_than_its_own_answers_clock_allows(back: int, ahead: bool) -> None:
    """The clock may have gone back since the answer by which the window was chosen."""
    traits = ListTraits(axis=Axis.UPDATED, page_size=100, lag_seconds=60)
    chosen_at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    window = Window(Axis.UPDATED, chosen_at - timedelta(hours=1), chosen_at - timedelta(seconds=60))
    assert is_ahead_of(window, chosen_at - timedelta(seconds=back), traits) is ahead
    assert not is_ahead_of(window, None, traits)
