"""Makes a failing script smaller: leaves out faults and crashes for as long as the same kind of failure stays."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from marketsync.sandbox.mischief import Mischief
from tests.simulation.disk import DiskRates
from tests.simulation.harness import Outcome, simulate
from tests.simulation.scenario import Scenario
from tests.simulation.script import Script

FOLDER = Path(__file__).parent / "failures"
RUNS_MAX = 150
T = TypeVar("T")

Part = tuple[str, str]
"""("fault", number of the exchange) | ("crash", seconds) | ("world", kind) | ("disk", kind) | ("wall", "")."""


class Shrunk(msgspec.Struct, frozen=True):
    script: Script
    outcome: Outcome
    runs: int
    parts_before: int
    parts_after: int


def kind_of(failure: str) -> str:
    """What went wrong, without where and when: numbers, names of orders and connections are left out."""
    head = failure.split(":", 1)[0] if ":" in failure else failure
    return re.sub(r"-?\b(alpha|beta|shop|[A-Z]+-\d+(-[A-Z])?|\d+)\b", "*", head)


def shrink(scenario: Scenario, outcome: Outcome, runs_max: int = RUNS_MAX) -> Shrunk:
    """`outcome` is of `scenario` and failed. At most `runs_max` runs: then the smallest so far."""
    assert outcome.script is not None
    assert outcome.failures
    wanted, script = {kind_of(x) for x in outcome.failures}, outcome.script
    best, runs = [outcome], 0

    def fails(parts: Sequence[Part]) -> bool:
        nonlocal runs
        if runs >= runs_max:
            return False
        runs += 1
        found = play(scenario, _built(scenario, script, parts))
        if wanted & {kind_of(x) for x in found.failures}:
            best.append(found)
            return True
        return False

    parts = _parts(scenario, script)
    left = ddmin(parts, fails)
    smallest = _built(scenario, script, left)
    why = sorted(wanted & {kind_of(x) for x in best[-1].failures})
    return Shrunk(replace(smallest, failure="; ".join(why)), best[-1], runs, len(parts), len(left))


def play(scenario: Scenario, script: Script, order: str = "") -> Outcome:
    """The scenario with what the script leaves of its troubles."""
    off = dict.fromkeys((kind for what, kind in _named(script) if what == "world"), 0.0)
    worn = dict.fromkeys((kind for what, kind in _named(script) if what == "disk"), 0.0)
    calmer = replace(
        scenario,
        mischief=replace(scenario.mischief, **off),
        disk=replace(scenario.disk, **worn),
        wall_moves=0 if ("wall", "") in _named(script) else scenario.wall_moves,
    )
    return simulate(calmer, script=script, order=order)


def ddmin(parts: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> list[T]:
    """Zeller's: halves, then finer chunks, each left out; the result still fails, and no chunk tried can be spared."""
    left, chunks = list(parts), 2
    if not left or fails([]):
        return []
    while len(left) >= 2:
        size = -(-len(left) // chunks)
        for start in range(0, len(left), size):
            without = left[:start] + left[start + size :]
            if fails(without):
                left, chunks = without, max(2, chunks - 1)
                break
        else:
            if chunks >= len(left):
                break
            chunks = min(len(left), 2 * chunks)
    return left


def _parts(scenario: Scenario, script: Script) -> list[Part]:
    world = [("world", x) for x in Mischief.__struct_fields__ if getattr(scenario.mischief, x) > 0]
    disk = [("disk", x) for x in DiskRates.__struct_fields__ if getattr(scenario.disk, x) > 0]
    wall = [("wall", "")] if scenario.wall_moves else []
    crashes = [("crash", repr(at)) for at in script.crashes]
    return [*world, *disk, *wall, *crashes, *(("fault", str(n)) for n in sorted(script.faults))]


def _built(scenario: Scenario, script: Script, parts: Sequence[Part]) -> Script:
    chosen = set(parts)
    kinds = [x for x in _parts(scenario, script) if x[0] in {"world", "disk", "wall"} and x not in chosen]
    return Script(
        seed=script.seed,
        faults={n: fault for n, fault in script.faults.items() if ("fault", str(n)) in chosen},
        crashes=tuple(at for at in script.crashes if ("crash", repr(at)) in chosen),
        without=tuple(f"{what}:{kind}" for what, kind in kinds),
    )


def _named(script: Script) -> list[Part]:
    return [(what, kind) for what, _, kind in (text.partition(":") for text in script.without)]
