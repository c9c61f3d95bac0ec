"""A failing seed becomes a file, a smaller one, and a story."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from msgspec.structs import replace

from marketsync.domain import doubt
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.faults import Rates
from marketsync.sandbox.kinds import Fault
from marketsync.sandbox.world import Habits
from tests.simulation.harness import simulate
from tests.simulation.scenario import Scenario, standard
from tests.simulation.script import Script, ScriptDice, load, save
from tests.simulation.shrink import RUNS_MAX, ddmin, kind_of, play, shrink


@contextmanager
def look_without_waiting() -> Iterator[None]:
    """Rule A4 switched off: what is in doubt is looked for at once."""
    in_doubt = doubt._in_doubt

    def hasty(*arguments: Any) -> Any:
        return replace(in_doubt(*arguments), doubt_wait_seconds=0.0)

    with patch.object(doubt, "_in_doubt", hasty):
        yield


def lossy(seed: int) -> Scenario:
    """A small world with many faults, one of which the planted defect can't stand."""
    habits = Habits(
        order_every_seconds=60.0,
        orders_max=6,
        web_sales_max=0,
        two_parcels=0.0,
        ship_after_seconds=(20.0, 60.0),
    )
    return replace(
        standard(seed),
        habits=habits,
        rates=Rates(late=0.06, slow=0.05, answer_lost=0.03, error_before=0.03, not_sent=0.03),
        marketplaces=("alpha",),
        mischief=type(standard(seed).mischief)(),
        disk=type(standard(seed).disk)(),
        wall_moves=0,
        small_pages=False,
        lookup_lag=False,
        crashes=2,
        active_seconds=600.0,
        drain_seconds=7200.0,
    )


@functools.cache
def failing() -> int:
    """The first seed that the defect makes fail: which one it is moves with the daemon's timing."""
    with look_without_waiting():
        return next(n for n in range(60) if any("duplicated" in x for x in simulate(lossy(n)).failures))


def test_a_failing_seed_becomes_a_smaller_script_that_still_fails(tmp_path: Path) -> None:
    with look_without_waiting():
        outcome = simulate(lossy(failing()))
        assert any("duplicated" in failure for failure in outcome.failures)
        shrunk = shrink(lossy(failing()), outcome)
        path = tmp_path / "seed.json"
        save(shrunk.script, path)
        again = play(lossy(failing()), load(path))
    assert outcome.script is not None
    assert 0 < shrunk.script.size < outcome.script.size / 2
    assert shrunk.runs <= RUNS_MAX
    assert any("duplicated" in failure for failure in again.failures)
    assert again.digest == shrunk.outcome.digest
    assert Fault.LATE.value in shrunk.script.faults.values()
    assert play(lossy(failing()), load(path)).failures == ()


def test_the_story_of_a_failure_says_what_went_wrong_in_plain_words() -> None:
    with look_without_waiting():
        story = simulate(lossy(failing())).story
    text = "\n".join(story)
    assert story[0].startswith("The story of alpha/")
    for words in (
        "a buyer orders",
        "arrives after we gave up",
        "arrives at shop only now",
        "we do not know whether",
    ):
        assert words in text
    times = [line[:12] for line in story[1:] if line[2:3] == ":"]
    assert times == sorted(times)
    assert text.count("it is created") == 2


def test_the_whole_script_of_a_run_is_that_run() -> None:
    scenario = lossy(4)
    outcome = simulate(scenario)
    assert outcome.script is not None
    assert outcome.script.faults
    assert play(scenario, outcome.script).digest == outcome.digest
    assert play(scenario, Script(seed=4)).digest != outcome.digest


def test_a_fault_that_is_left_out_changes_no_other_exchange() -> None:
    def drawn(script: Script | None) -> list[tuple[Fault, float]]:
        dice = ScriptDice(Rates(late=0.3, throttled=0.3), Chance(1), script)
        return [(dice.draw(), dice.between(0.0, 1.0)) for _ in range(30)]

    whole = drawn(None)
    faults = {n: fault.value for n, (fault, _) in enumerate(whole, 1) if fault is not Fault.NONE}
    assert drawn(Script(seed=1, faults=faults)) == whole
    spared = min(faults)
    rest = drawn(Script(seed=1, faults={n: x for n, x in faults.items() if n != spared}))
    assert [n for n, (a, b) in enumerate(zip(whole, rest, strict=True), 1) if a != b] == [spared]


def test_the_smallest_set_is_found() -> None:
    asked: list[int] = []

    def fails(parts: Sequence[int]) -> bool:
        asked.append(len(parts))
        return {3, 17} <= set(parts)

    assert sorted(ddmin(list(range(40)), fails)) == [3, 17]
    assert len(asked) < 80
    assert ddmin([1, 2], lambda parts: True) == []


def test_a_failure_has_a_kind_whoever_it_befell() -> None:
    assert kind_of("alpha lists 3 of SKU-2 and the shop has 4") == kind_of(
        "beta lists 1 of SKU-1 and the shop has -2"
    )
    assert kind_of("duplicated: alpha/SBX-00001-A is 2 orders") == "duplicated"
    assert kind_of("unpushed: x") != kind_of("phantom: x")
