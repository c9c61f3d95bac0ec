"""A live sweep, resyncs, hints and crashes in any order over a far side whose orders change meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketsync.domain.coverage import (
    Axis,
    Coverage,
    ListTraits,
    Paging,
    Window,
    asked_bounds,
    density_ahead,
    floor_to,
    narrowed,
    next_live_window,
    resync_window,
    split,
    upper_bound,
)
from marketsync.domain.paging import (
    Covered,
    Hole,
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
    settle,
    start_pass,
)
from marketsync.domain.versions import Version, VersionVerdict, judge_version, version_after
from tests.unit.domain.model_runs import runs

T0 = datetime(2026, 3, 1, tzinfo=UTC)
LAG = 2.0
ACTIONS = ("change", "tick", "live", "resync", "hint", "crash")


class Edit(msgspec.Struct, frozen=True):
    number: int
    at: float
    visible: float

    @property
    def stamp(self) -> datetime:
        return floor_to(T0 + timedelta(seconds=self.at), timedelta(seconds=1))


class Answer(msgspec.Struct, frozen=True):
    page: PageSeen
    rows: tuple[tuple[str, Edit], ...]
    begin_seq: int


class Sweep(msgspec.Struct):
    """What a sweep keeps in memory: a crash forgets it."""

    pending: list[Window] = []
    atom: PassState | None = None
    answer: Answer | None = None
    read_to: datetime | None = None
    overfull_to: datetime | None = None
    density: float | None = None


class World:
    """The far side, our store (coverage, held) and two sweeps whose answers land later than they were made."""

    def __init__(self, traits: ListTraits, defect: str = "") -> None:
        self.traits, self.defect = traits, defect
        self.now, self.seq = 20.0, 0
        self.edits: dict[str, list[Edit]] = {}
        self.held: dict[str, tuple[Version, Edit]] = {}
        self.coverage = Coverage(Axis.UPDATED)
        self.sweeps = {"live": Sweep(), "resync": Sweep()}
        self.holes = 0

    def act(self, action: str, number: int) -> None:
        if action == "change":
            self.change(f"o{number % 6}", (number // 6 % 5) / 2)
        elif action == "tick":
            self.now += (number % 7 + 1) / 2
        elif action == "hint":
            self.hint(f"o{number % 6}")
        elif action == "crash":
            self.sweeps = {"live": Sweep(), "resync": Sweep()}
        else:
            self.step(action, number)
        self.check()

    def change(self, order: str, delay: float) -> None:
        edits = self.edits.setdefault(order, [])
        edits.append(Edit(len(edits), self.now, self.now + min(delay, LAG)))

    def hint(self, order: str) -> None:
        """By its id an order is seen at once, before the list shows the change."""
        if order in self.edits:
            self.commit(order, self.edits[order][-1], self.next_seq())

    def step(self, name: str, number: int) -> None:
        sweep = self.sweeps[name]
        if sweep.answer is not None:
            self.land(name, sweep, sweep.answer)
            return
        if not sweep.pending:
            window = self.live_window(sweep) if name == "live" else self.resync_window(number)
            if window is None:
                sweep.read_to = None
                return
            sweep.pending = [window]
        sweep.answer = self.ask(sweep.pending[-1], sweep.atom.offset if sweep.atom else 0)

    def live_window(self, sweep: Sweep) -> Window | None:
        if self.defect == "running_second":
            newest = self.coverage.newest()
            lo = newest.hi if newest else T0
            hi = floor_to(self.clock() - timedelta(seconds=LAG), self.traits.granule)
            return Window(Axis.UPDATED, lo, hi) if lo < hi else None
        return next_live_window(
            self.coverage, self.clock(), self.traits, T0, sweep.density, read_to=sweep.read_to
        )

    def resync_window(self, number: int) -> Window | None:
        lo = T0 + timedelta(seconds=number % 40)
        return resync_window(lo, lo + timedelta(seconds=number // 40 % 12), self.clock(), self.traits)

    def clock(self) -> datetime:
        return T0 + timedelta(seconds=self.now)

    def ask(self, window: Window, offset: int) -> Answer:
        lo, hi = (window.lo, window.hi) if self.defect == "raw_bound" else asked_bounds(window, self.traits)
        shown = [(o, seen[-1]) for o, edits in self.edits.items() if (seen := self.visible(edits))]
        hit = [
            (order, edit)
            for order, edit in shown
            if edit.stamp <= hi and (edit.stamp > lo if self.traits.lower_exclusive else edit.stamp >= lo)
        ]
        hit.sort(key=lambda row: (row[1].stamp, row[0]))
        rows = tuple(hit[offset : offset + self.traits.page_size])
        total = len(hit) if self.traits.states_total else None
        return Answer(page_seen([order for order, _ in rows], total, self.traits), rows, self.next_seq())

    def visible(self, edits: list[Edit]) -> list[Edit]:
        return [edit for edit in edits if edit.visible <= self.now]

    def land(self, name: str, sweep: Sweep, answer: Answer) -> None:
        for order, edit in answer.rows:
            self.commit(order, edit, answer.begin_seq)
        sweep.answer, window = None, sweep.pending[-1]
        verdict = self.judge(sweep, answer.page)
        self.coverage = settle(self.coverage, window, verdict, self.clock())
        if isinstance(verdict, NextPage | Restart):
            sweep.atom = verdict.state
        elif isinstance(verdict, Overfull):
            self.divide(name, sweep, window, verdict)
        else:
            self.holes += isinstance(verdict, Hole)
            sweep.atom, sweep.read_to = None, window.hi
            sweep.density = density_ahead(window, len(answer.rows), sweep.overfull_to, self.traits)
            sweep.pending.pop()

    def judge(self, sweep: Sweep, page: PageSeen) -> Verdict:
        if self.defect == "one_pass":
            offset = (sweep.atom.offset if sweep.atom else 0) + self.traits.page_size
            return NextPage(PassState(PassMode.ANCHORED, offset)) if page.full else Covered()
        if sweep.atom is not None:
            return advance(sweep.atom, page, self.traits)
        return judge_single(page, self.traits)

    def divide(self, name: str, sweep: Sweep, window: Window, verdict: Overfull) -> None:
        smaller = narrowed(window, verdict.total, self.traits)
        if smaller is None:
            start = start_pass(self.traits)
            assert isinstance(start, PassState)
            sweep.atom = start
        elif name == "live":
            sweep.pending, sweep.overfull_to = [smaller], window.hi
        else:
            halves = split(window, self.traits)
            assert halves is not None
            sweep.pending[-1:] = reversed(halves)

    def commit(self, order: str, edit: Edit, begin_seq: int) -> None:
        read = Version(edit.stamp, str(edit.number), begin_seq, self.next_seq())
        held, held_edit = self.held.get(order, (None, edit))
        verdict = judge_version(held, read)
        if self.defect == "equal_is_known" and held and held.stamp == read.stamp:
            verdict = VersionVerdict.DROP
        if self.defect == "last_commit_wins":
            verdict = VersionVerdict.TAKE
        if verdict is VersionVerdict.READ_BY_ID:
            self.hint(order)
        else:
            taken = verdict is VersionVerdict.TAKE
            kept = read if taken else version_after(held, read)
            if self.defect == "equal_is_known" and not taken and held:
                kept = held
            self.held[order] = (kept, edit if taken else held_edit)

    def next_seq(self) -> int:
        self.seq += 1
        return self.seq

    def check(self) -> None:
        """B4: what is covered was read; and what is not, is visibly a hole."""
        for order, edits in self.edits.items():
            if self.coverage.covers(edits[-1].stamp):
                assert order in self.held, f"{order} never read"
                assert self.held[order][1].number >= edits[-1].number, f"{order} held at an older version"

    def drain(self) -> None:
        """With nothing changing any more, the live sweep and the repair of its holes read everything."""
        self.sweeps = {"live": Sweep(), "resync": Sweep()}
        self.now += 10
        upper = upper_bound(self.clock(), self.traits)
        for _ in range(2_000):
            holes = self.coverage.holes(T0, upper)
            if not holes:
                break
            sweep = self.sweeps["resync"]
            sweep.pending = sweep.pending or [holes[0]]
            self.step("resync", 0)
            self.check()
        assert self.coverage.holes(T0, upper) == ()
        assert all(self.held[o][1] == edits[-1] for o, edits in self.edits.items())


def list_traits(*, exclusive: bool, total: bool, overlap: float = 3.0) -> ListTraits:
    return ListTraits(
        axis=Axis.UPDATED,
        page_size=2,
        lag_seconds=LAG,
        overlap_seconds=overlap,
        lower_exclusive=exclusive,
        states_total=total,
        stable_order=True,
        paging=Paging.NUMBER if total else Paging.OFFSET,
    )


def run(world: World, schedule: list[tuple[str, int]]) -> None:
    for action, number in schedule:
        world.act(action, number)
    world.drain()


def random_schedule(seed: int) -> list[tuple[str, int]]:
    rng = Random(seed)
    # Every other schedule leaves the answers of a resync on their way for long.
    weights = (5, 4, 8, 4, 1, 0.3) if seed % 2 else (4, 6, 12, 1.5, 1, 0.1)
    return [(rng.choices(ACTIONS, weights)[0], rng.randrange(480)) for _ in range(100)]


@pytest.mark.rule("B4")
@pytest.mark.rule("B14")
@pytest.mark.rule("B17")
@pytest.mark.requirement("R7")
@settings(max_examples=runs(80, 3000))
@given(
    schedule=st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 479)), max_size=60),
    exclusive=st.booleans(),
    total=st.booleans(),
    overlap=st.sampled_from([0.0, 3.0]),
)
def test_no_interleaving_of_live_sweep_resync_and_crash_leaves_a_hole_unseen(
    schedule: list[tuple[str, int]], exclusive: bool, total: bool, overlap: float
) -> None:
    run(World(list_traits(exclusive=exclusive, total=total, overlap=overlap)), schedule)


@pytest.mark.rule("B4")
@pytest.mark.rule("B14")
@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("total", [False, True])
def test_long_random_schedules(exclusive: bool, total: bool) -> None:
    pages, schedules = 0, runs(100, 5000)
    for seed in range(schedules):
        world = World(list_traits(exclusive=exclusive, total=total))
        run(world, random_schedule(seed))
        pages += world.seq
    assert pages > 50 * schedules


@pytest.mark.trace("A", 15)
@pytest.mark.parametrize(
    "defect, exclusive",
    [
        pytest.param("running_second", False, marks=pytest.mark.rule("B1")),
        pytest.param("raw_bound", True, marks=pytest.mark.rule("B2")),
        pytest.param("one_pass", False, marks=pytest.mark.rule("B8")),
        pytest.param("equal_is_known", False, marks=pytest.mark.rule("B13")),
        pytest.param("last_commit_wins", False, marks=pytest.mark.rule("B13")),
    ],
)
def test_each_rule_switched_off_loses_an_order(defect: str, exclusive: bool) -> None:
    lost = 0
    for seed in range(800):
        world = World(list_traits(exclusive=exclusive, total=False), defect)
        try:
            for action, number in random_schedule(seed):
                world.act(action, number)
        except AssertionError:
            lost += 1
            break
    assert lost, "the schedules cannot see this defect"
