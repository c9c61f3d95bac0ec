from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import msgspec
import pytest

from marketsync.domain.coverage import (
    Axis,
    Coverage,
    ListTraits,
    Paging,
    Window,
    asked_bounds,
    narrowed,
    next_live_window,
    parse_date_header,
    upper_bound,
)
from marketsync.domain.localtime import local_bounds, utc_stamp
from marketsync.domain.paging import (
    Covered,
    Hole,
    HoleCause,
    NextPage,
    Overfull,
    PageSeen,
    PassMode,
    PassState,
    Restart,
    Verdict,
    advance,
    judge_single,
    page_seen,
    restarted,
    settle,
    start_pass,
)
from marketsync.domain.versions import (
    Find,
    Version,
    VersionVerdict,
    is_external,
    judge_find,
    judge_version,
    version_after,
)

T0 = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
ANCHORED = ListTraits(axis=Axis.UPDATED, page_size=2, stable_order=True)
TWICE = ListTraits(axis=Axis.UPDATED, page_size=2, stable_order=True, states_total=True, paging=Paging.NUMBER)
TOKENS = ListTraits(axis=Axis.UPDATED, page_size=2, paging=Paging.TOKEN, token_is_snapshot=True)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def traits(page_size: int = 3, **changes: object) -> ListTraits:
    return ListTraits(axis=Axis.UPDATED, page_size=page_size, **changes)  # type: ignore[arg-type]


@pytest.mark.rule("B7")
@pytest.mark.parametrize(
    "rows, total, expected",
    [
        (0, None, Covered()),
        (2, None, Covered()),
        (3, None, Overfull(None)),  # exactly full: there may be a fourth
        (3, 3, Covered()),
        (0, 0, Covered()),
        (3, 4, Overfull(4)),
        (2, 3, Overfull(3)),  # the answer holds fewer rows than it states
    ],
)
def test_what_one_answer_proves(rows: int, total: int | None, expected: Verdict) -> None:
    with_total = traits(states_total=total is not None)
    page = page_seen([str(n) for n in range(rows)], total, with_total)
    assert judge_single(page, with_total) == expected


@pytest.mark.rule("B7")
def test_a_total_that_is_not_declared_proves_nothing() -> None:
    assert judge_single(page_seen(["1", "2", "3"], 3, traits()), traits()) == Overfull(None)


@pytest.mark.rule("B7")
def test_a_short_page_with_a_following_one_proves_nothing() -> None:
    page = PageSeen(("1",), None, full=False, last=False, token="t")
    assert judge_single(page, traits()) == Overfull(None)


@pytest.mark.rule("B6")
def test_a_window_has_no_filter_but_its_axis() -> None:
    assert Window.__struct_fields__ == ("axis", "lo", "hi")


@pytest.mark.rule("B10")
@pytest.mark.requirement("R4")
def test_an_unstable_order_proves_no_paging() -> None:
    assert start_pass(traits()) == Hole(HoleCause.UNSTABLE_ORDER)
    assert start_pass(traits(paging=Paging.TOKEN)) == Hole(HoleCause.UNSTABLE_ORDER)
    assert start_pass(TOKENS) == PassState(PassMode.SNAPSHOT)


@pytest.mark.rule("B8")
def test_the_cheapest_proof_that_the_traits_allow() -> None:
    assert start_pass(ANCHORED) == PassState(PassMode.ANCHORED)
    assert start_pass(TWICE) == PassState(PassMode.TWICE)
    assert start_pass(traits(page_size=1, stable_order=True)) == Hole(HoleCause.UNPROVABLE)
    assert start_pass(traits(stable_order=True, paging=Paging.NUMBER)) == Hole(HoleCause.UNPROVABLE)


class FarList:
    """A list in a stable order, whose rows leave and come between the pages that are read."""

    def __init__(self, rows: list[str]) -> None:
        self.rows = rows

    def page(self, state: PassState, list_traits: ListTraits) -> PageSeen:
        rows = self.rows[state.offset : state.offset + list_traits.page_size]
        return page_seen(rows, len(self.rows) if list_traits.states_total else None, list_traits)


def read_atom(
    far: FarList, list_traits: ListTraits, before_page: Callable[[int], None] = lambda _: None
) -> tuple[Verdict, set[str], int]:
    """Page one atom to its end: (verdict, ids read, calls)."""
    state = start_pass(list_traits)
    assert isinstance(state, PassState)
    read: set[str] = set()
    for call in range(10_000):
        before_page(call)
        page = far.page(state, list_traits)
        read.update(page.ids)
        verdict = advance(state, page, list_traits)
        if not isinstance(verdict, NextPage | Restart):
            return verdict, read, call + 1
        state = verdict.state
    raise AssertionError("the paging does not end")


@pytest.mark.rule("B8")
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 9])
def test_a_list_at_rest_is_covered_in_about_n_calls(count: int) -> None:
    rows = [str(n) for n in range(count)]
    verdict, read, calls = read_atom(FarList(rows), ANCHORED)
    assert (verdict, read) == (Covered(), set(rows))
    assert calls <= max(1, count)  # page 2: N / (page - 1)
    verdict, read, calls = read_atom(FarList(rows), TWICE)
    assert (verdict, read) == (Covered(), set(rows))
    assert calls <= 2 * (count // 2 + 1)


@pytest.mark.rule("B8")
@pytest.mark.failure(10)
@pytest.mark.trace("A", 15)
@pytest.mark.parametrize("list_traits", [ANCHORED, TWICE])
def test_order_updated_during_paging(list_traits: ListTraits) -> None:
    """The first row is updated and leaves: by plain offsets the third would be skipped."""
    far = FarList(["1", "2", "3", "4", "5"])

    def leave(call: int) -> None:
        if call == 1:
            far.rows = far.rows[1:]

    verdict, read, _ = read_atom(far, list_traits, leave)
    assert verdict == Covered()
    assert read >= {"2", "3", "4", "5"}


@pytest.mark.rule("B8")
@pytest.mark.trace("A", 15)
def test_two_equal_passes_between_which_late_rows_came_and_went() -> None:
    """A late row comes in front after page 1 and leaves after page 2, in both passes: "4" is never read."""
    rows = ["1", "2", "3", "4", "5"]
    far = FarList(rows)
    sets: list[tuple[str, ...]] = []
    late = [["1", "2", "3", "4", "5"], ["0", "1", "2", "3", "4", "5"], ["1", "2", "3", "4", "5"]]
    state = start_pass(TWICE)
    assert isinstance(state, PassState)
    for _ in range(2):
        for rows_now in late:
            far.rows = rows_now
            page = far.page(state, TWICE)
            verdict = advance(state, page, TWICE)
            sets.append(page.ids)
            assert isinstance(verdict, NextPage | Restart)
            state = verdict.state
    assert sets[:3] == sets[3:]  # equal sets, each without "4"
    assert "4" not in {i for ids in sets for i in ids}
    assert state.passes == 2


@pytest.mark.rule("B9")
@pytest.mark.failure(12)
def test_passes_are_capped_and_leave_a_hole() -> None:
    """Each page begins with another row than the one before it ended with."""
    far = FarList(["1", "2", "3"])

    def rotate(_: int) -> None:
        far.rows = [*far.rows[1:], far.rows[0]]

    verdict, _, calls = read_atom(far, ANCHORED, rotate)
    assert verdict == Hole(HoleCause.PASS_CAP)
    assert calls <= 12 * 3


@pytest.mark.rule("B9")
def test_the_depth_limit_of_an_api_is_a_hole() -> None:
    limited = msgspec.structs.replace(ANCHORED, offset_cap=4)
    assert read_atom(FarList(["1", "2", "3"]), limited)[0] == Covered()
    assert read_atom(FarList([str(n) for n in range(9)]), limited)[0] == Hole(HoleCause.OFFSET_CAP)


@pytest.mark.rule("B9")
@pytest.mark.failure(11)
def test_the_same_page_for_ever_ends_in_a_hole() -> None:
    class Stuck(FarList):
        def page(self, state: PassState, list_traits: ListTraits) -> PageSeen:
            return page_seen(self.rows[:2], None, list_traits)

    assert read_atom(Stuck(["1", "2"]), ANCHORED)[0] == Hole(HoleCause.PASS_CAP)


@pytest.mark.failure(11)
@pytest.mark.rule("B9")
def test_endless_pages_end_in_a_hole() -> None:
    state = start_pass(msgspec.structs.replace(TOKENS, pages_max=5))
    assert isinstance(state, PassState)
    verdict: Verdict = NextPage(state)
    for n in range(5):
        assert isinstance(verdict, NextPage)
        page = PageSeen((f"{n}", f"{n}b"), None, full=True, last=False, token=f"t{n}")
        verdict = advance(verdict.state, page, msgspec.structs.replace(TOKENS, pages_max=5))
    assert verdict == Hole(HoleCause.PAGE_CAP)


@pytest.mark.failure(11)
def test_a_repeated_token_is_detected() -> None:
    verdict = advance(PassState(PassMode.SNAPSHOT), PageSeen(("1", "2"), None, True, False, "t"), TOKENS)
    assert isinstance(verdict, NextPage)
    assert verdict.state.token == "t"
    again = advance(verdict.state, PageSeen(("1", "2"), None, True, False, "t"), TOKENS)
    assert again == Hole(HoleCause.TOKEN_REPEATED)


@pytest.mark.rule("B10")
def test_a_snapshot_token_is_followed_to_its_last_page() -> None:
    verdict = advance(PassState(PassMode.SNAPSHOT), PageSeen(("1", "2"), None, True, False, "t"), TOKENS)
    assert isinstance(verdict, NextPage)
    assert advance(verdict.state, PageSeen(("3", "4"), None, True, True), TOKENS) == Covered()


@pytest.mark.rule("B11")
@pytest.mark.failure(9)
def test_an_expired_token_starts_from_the_first_page() -> None:
    midway = PassState(PassMode.SNAPSHOT, token="t", seen=("1", "2"), tokens=("t",), pages=1)
    assert restarted(midway, TOKENS) == Restart(PassState(PassMode.SNAPSHOT, passes=1))
    assert restarted(PassState(PassMode.SNAPSHOT, passes=11), TOKENS) == Hole(HoleCause.PASS_CAP)
    # The first of two equal passes is forgotten, too: they must follow each other.
    first_done = PassState(PassMode.TWICE, offset=2, seen=("1",), previous=("1", "2"))
    assert restarted(first_done, TWICE) == Restart(PassState(PassMode.TWICE, passes=1))


@pytest.mark.rule("B11")
def test_a_stored_pass_resumes_with_its_rows() -> None:
    far = FarList(["1", "2", "3"])
    state = start_pass(TWICE)
    assert isinstance(state, PassState)
    verdict = advance(state, far.page(state, TWICE), TWICE)
    assert isinstance(verdict, NextPage)
    stored = msgspec.json.decode(msgspec.json.encode(verdict.state), type=PassState)
    assert stored == verdict.state
    assert stored.seen == ("1", "2")


@pytest.mark.rule("B12")
def test_only_a_proof_adds_to_the_coverage() -> None:
    window, empty = Window(Axis.UPDATED, at(0), at(1)), Coverage(Axis.UPDATED)
    unproved: list[Verdict] = [
        Overfull(9),
        Hole(HoleCause.PASS_CAP),
        NextPage(PassState(PassMode.ANCHORED)),
        Restart(PassState(PassMode.ANCHORED)),
    ]
    assert all(settle(empty, window, verdict, at(5)) == empty for verdict in unproved)
    assert settle(empty, window, Covered(), at(5)).covers(at(1))


def test_a_row_without_an_id_proves_no_page() -> None:
    page = page_seen(["1", ""], None, ANCHORED)
    assert advance(PassState(PassMode.ANCHORED), page, ANCHORED) == Hole(HoleCause.UNREADABLE_ROW)


def test_two_passes_need_a_total() -> None:
    page = PageSeen(("1",), None, full=False, last=True)
    assert advance(PassState(PassMode.TWICE), page, TWICE) == Hole(HoleCause.NO_TOTAL)


# Brute force: rows 1..n are there from the start; between any two pages one of them may leave for good, and
# a late row may come to any place or leave again. What was there at the end, and from the start, must be read.

World = tuple[tuple[str, ...], int, int]


def moves(world: World) -> Iterator[World]:
    """Every state that the far side may be in when the next page is asked for."""
    yield world
    rows, leavers, late = world
    if leavers:
        for n, row in enumerate(rows):
            if not row.startswith("L"):
                yield rows[:n] + rows[n + 1 :], leavers - 1, late
    for n, row in enumerate(rows):
        if row.startswith("L"):
            yield rows[:n] + rows[n + 1 :], leavers, late
    if late:
        for n in range(len(rows) + 1):
            yield (*rows[:n], f"L{late}", *rows[n:]), leavers, late - 1


def explore(
    count: int, page_size: int, leavers: int, late: int, list_traits: ListTraits, twice_by_sets: bool = False
) -> tuple[int, list[set[str]]]:
    """All interleavings: (states seen, the sets of rows lost by a cover)."""
    shown = msgspec.structs.replace(list_traits, page_size=page_size, passes_max=4)
    start = start_pass(shown)
    assert isinstance(start, PassState)
    original = frozenset(str(n) for n in range(count))
    todo: list[tuple[World, PassState, frozenset[str]]] = [
        ((tuple(sorted(original)), leavers, late), start, frozenset())
    ]
    done, lost = set(todo), []
    while todo:
        world, state, read = todo.pop()
        for after in moves(world):
            page = FarList(list(after[0])).page(state, shown)
            if twice_by_sets:  # as if the far side's total always agreed
                seen = {*state.seen, *page.ids}
                page = msgspec.structs.replace(page, total=len(seen))
            now_read = read | frozenset(page.ids)
            verdict = advance(state, page, shown)
            if isinstance(verdict, Covered):
                missed = (set(after[0]) & original) - now_read
                lost += [missed] if missed else []
            elif isinstance(verdict, NextPage | Restart):
                node = (after, verdict.state, now_read & original)
                if node not in done:
                    done.add(node)
                    todo.append(node)
    return len(done), lost


@pytest.mark.rule("B8")
@pytest.mark.parametrize(
    "count, page_size, leavers, late", [(4, 2, 2, 1), (5, 2, 2, 1), (5, 3, 3, 1), (4, 2, 1, 2)]
)
def test_anchored_pages_never_cover_an_unread_row(
    count: int, page_size: int, leavers: int, late: int
) -> None:
    states, lost = explore(count, page_size, leavers, late, ANCHORED)
    assert states > 50
    assert lost == []


@pytest.mark.rule("B8")
@pytest.mark.parametrize("count, page_size, leavers, late", [(4, 2, 2, 0), (4, 2, 0, 2), (5, 3, 1, 1)])
def test_two_passes_as_large_as_the_total_never_cover_an_unread_row(
    count: int, page_size: int, leavers: int, late: int
) -> None:
    states, lost = explore(count, page_size, leavers, late, TWICE)
    assert states > 50
    assert lost == []


@pytest.mark.rule("B8")
@pytest.mark.trace("A", 15)
def test_equal_sets_alone_would_cover_an_unread_row() -> None:
    _, lost = explore(5, 2, 0, 2, TWICE, twice_by_sets=True)
    assert {"3"} in lost


@pytest.mark.rule("B8")
@pytest.mark.trace("A", 15)
def test_one_forward_pass_without_the_shared_row_would_lose_one() -> None:
    rows = ["1", "2", "3", "4"]
    plain = {*rows[:2], *rows[1:][2:4]}  # "1" leaves between the pages
    assert plain == {"1", "2", "4"}
    far = FarList(rows)
    first = advance(PassState(PassMode.ANCHORED), far.page(PassState(PassMode.ANCHORED), ANCHORED), ANCHORED)
    assert isinstance(first, NextPage)
    far.rows = rows[1:]
    assert isinstance(advance(first.state, far.page(first.state, ANCHORED), ANCHORED), Restart)


def version(stamp: float, content: str, begin: int, end: int) -> Version:
    return Version(at(stamp), content, begin, end)


@pytest.mark.rule("B13")
@pytest.mark.trace("A", 15)
@pytest.mark.parametrize(
    "held, read, expected",
    [
        (None, version(5, "a", 1, 2), VersionVerdict.TAKE),
        (version(5, "a", 3, 4), version(4, "b", 9, 10), VersionVerdict.DROP),
        (version(5, "a", 3, 4), version(6, "b", 1, 2), VersionVerdict.TAKE),
        (version(5, "a", 3, 4), version(5, "a", 9, 10), VersionVerdict.DROP),
        (version(5, "a", 3, 4), version(5, "b", 5, 6), VersionVerdict.TAKE),  # the second edit of a second
        (version(5, "b", 5, 6), version(5, "a", 3, 4), VersionVerdict.DROP),  # a stale page comes last
        (version(5, "a", 3, 6), version(5, "b", 4, 7), VersionVerdict.READ_BY_ID),
        (version(5, "a", 3, 6), version(5, "b", 2, 7), VersionVerdict.READ_BY_ID),
        (version(5, "a", 3, 6), version(5, "b", 1, 4), VersionVerdict.READ_BY_ID),
    ],
)
def test_which_read_is_newer(held: Version | None, read: Version, expected: VersionVerdict) -> None:
    assert judge_version(held, read) is expected


@pytest.mark.rule("B13")
def test_the_same_content_read_later_outlives_a_stale_page() -> None:
    """A, B, A within one second: the page that saw B began before the last read of A."""
    held = version_after(version(5, "a", 1, 2), version(5, "a", 7, 8))
    assert held == version(5, "a", 7, 8)
    assert judge_version(held, version(5, "b", 3, 4)) is VersionVerdict.DROP
    assert version_after(held, version(4, "a", 9, 10)) == held
    assert version_after(held, version(5, "a", 3, 4)) == held
    assert version_after(held, version(5, "b", 7, 9)) == held
    assert version_after(held, version(5, "b", 9, 10)) == version(5, "b", 9, 10)
    assert version_after(None, held) == held


@pytest.mark.rule("B15")
@pytest.mark.failure(8)
def test_a_find_on_the_live_ground_is_an_alarm() -> None:
    live = Coverage(Axis.UPDATED).add(Window(Axis.UPDATED, at(0), at(10)), at(20))
    read = version(5, "a", 3, 4)
    assert judge_find(None, read, live) is Find.LIVE_MISSED
    assert judge_find(None, version(15, "a", 3, 4), live) is Find.FOUND
    assert judge_find(read, version(5, "a", 7, 8), live) is Find.KNOWN


@pytest.mark.rule("B18")
def test_external_is_decided_once() -> None:
    assert is_external(at(-1), import_from=at(0))
    assert not is_external(at(0), import_from=at(0))
    assert is_external(at(-1), import_from=at(-100), decided=True)
    assert not is_external(at(-1), import_from=at(100), decided=False)


@pytest.mark.requirement("R1")
@pytest.mark.failure(12)
def test_300_orders_of_one_second_are_all_read() -> None:
    """Whole seconds, page 100: the second is an atom, read in pages that share a row."""
    rows = [f"{n * 7919 % 300:03}" for n in range(300)]
    shown = traits(page_size=100, stable_order=True)
    window: Window | None = Window(Axis.UPDATED, at(0), at(3600))
    while window is not None:
        stamp = at(1234)
        hit = rows if window.lo <= stamp <= window.hi else []
        if isinstance(judge_single(page_seen(hit[:100], None, shown), shown), Covered):
            window = Window(Axis.UPDATED, window.hi, at(3600))
            continue
        smaller = narrowed(window, None, shown)
        if smaller is None:
            break
        window = smaller
    assert window is not None
    assert window.seconds <= 2
    verdict, read, calls = read_atom(FarList(rows), shown)
    assert (verdict, len(read), calls) == (Covered(), 300, 4)


@pytest.mark.requirement("R2")
def test_order_of_ids_is_not_the_order_of_dates() -> None:
    orders = {"9": at(10), "1": at(20), "5": at(30), "2": at(10), "8": at(30)}
    coverage, read = Coverage(Axis.UPDATED), set[str]()
    shown = traits(page_size=3)
    for now in (16.0, 26.0, 36.0):
        window = next_live_window(coverage, at(now), shown, at(0))
        assert window is not None
        ids = sorted(i for i, stamp in orders.items() if window.lo <= stamp <= window.hi)
        coverage = settle(coverage, window, judge_single(page_seen(ids, None, shown), shown), at(now))
        read.update(ids)
    assert coverage.covers(at(30))
    assert read == set(orders)


def test_four_day_backlog_whose_40th_order_changes_between_two_pages() -> None:
    """Plain offsets would skip the 101st order when the 40th leaves the window between page 1 and 2."""
    stamps = {f"{n:03}": at(n * 1728) for n in range(200)}  # 200 orders in four days
    now, changed = at(4 * 86_400), at(4 * 86_400 - 30)
    shown = traits(page_size=100, states_total=True, stable_order=True)
    coverage, calls, read = Coverage(Axis.UPDATED), 0, dict[str, datetime]()
    window = next_live_window(coverage, now, shown, at(0))
    while window is not None:
        calls += 1
        assert calls < 20
        ids = sorted((s, i) for i, s in stamps.items() if window.lo <= s <= window.hi)
        page = page_seen([i for _, i in ids[:100]], len(ids), shown)
        read.update({i: stamps[i] for i in page.ids})
        if calls == 1:
            stamps["039"] = changed
        verdict = judge_single(page, shown)
        coverage = settle(coverage, window, verdict, now)
        if isinstance(verdict, Covered):
            window = next_live_window(coverage, now, shown, at(0), read_to=window.hi)
        else:
            window = narrowed(window, len(ids), shown)
    assert coverage.holes(at(0), upper_bound(now, shown)) == ()
    assert read == stamps


BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")


def local_list(stamps: dict[str, datetime], lo: datetime, hi: datetime, zone: ZoneInfo) -> set[str]:
    """A shop that filters by its own wall clock, without a zone."""
    return {i for i, s in stamps.items() if lo <= s.astimezone(zone).replace(tzinfo=None) <= hi}


@pytest.mark.requirement("R6")
@pytest.mark.requirement("R3")
def test_shop_clock_west_of_utc() -> None:
    """The bound comes from the shop's own `Date`, and is asked in the shop's zone: the offset is never skipped."""
    west = timezone(timedelta(hours=-8))
    date = parse_date_header("Sun, 01 Mar 2026 12:00:00 GMT")
    assert date is not None
    window = next_live_window(
        Coverage(Axis.UPDATED).add(Window(Axis.UPDATED, at(-7200), at(-3600)), T0), date, traits(), at(-7200)
    )
    assert window == Window(Axis.UPDATED, at(-3600), at(-1))
    lo, hi = local_bounds(*asked_bounds(window, traits()), west)
    assert (lo, hi) == (datetime(2026, 3, 1, 3), datetime(2026, 3, 1, 3, 59, 59))  # noqa: DTZ001
    assert utc_stamp(lo, west) == window.lo


@pytest.mark.requirement("R3")
@pytest.mark.failure(3)
@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK])
@pytest.mark.parametrize(
    "day",
    [
        datetime(2026, 3, 8, tzinfo=UTC),
        datetime(2026, 3, 29, tzinfo=UTC),
        datetime(2026, 10, 25, tzinfo=UTC),
        datetime(2026, 11, 1, tzinfo=UTC),
    ],
)
@pytest.mark.parametrize("minutes", [7, 45, 300])
def test_dst_fold_and_gap(zone: ZoneInfo, day: datetime, minutes: int) -> None:
    """Windows of any length across both changes of the clock: every order is in the answer of its window."""
    stamps = {str(n): day + timedelta(minutes=n) for n in range(-180, 900)}
    edges = [day + timedelta(minutes=n) for n in range(-180, 900, minutes)]
    for lo, hi in pairwise(edges):
        inside = {i for i, s in stamps.items() if lo <= s <= hi}
        assert inside <= local_list(stamps, *local_bounds(lo, hi, zone), zone)
    read = [utc_stamp(s.astimezone(zone).replace(tzinfo=None), zone) for s in stamps.values()]
    assert read == sorted(read)  # a later edit never looks older
    for stamp, seen in zip(stamps.values(), read, strict=True):
        assert seen == stamp or timedelta(0) <= stamp - seen < timedelta(hours=2)


@pytest.mark.failure(3)
def test_an_hour_that_occurs_twice_is_one_stamp() -> None:
    first, second = datetime(2026, 10, 25, 2, 50), datetime(2026, 10, 25, 2, 10)  # noqa: DTZ001
    assert utc_stamp(first, BERLIN) == utc_stamp(second, BERLIN) == datetime(2026, 10, 25, 0, tzinfo=UTC)
    gap = datetime(2026, 3, 29, 2, 30)  # noqa: DTZ001
    assert utc_stamp(gap, BERLIN) == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
