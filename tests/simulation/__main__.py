"""`python -m tests.simulation --seeds N | --seed N | --boundaries | --awaits | --replay N`: prints counts and says by its
exit code whether all held."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from marketsync.http import Role
from tests.simulation import rare
from tests.simulation.fleet import Run, perform_all, points
from tests.simulation.harness import Outcome, simulate
from tests.simulation.scenario import ADAPTERS, Scenario, standard
from tests.simulation.scenes import SCENES
from tests.simulation.script import load, save
from tests.simulation.shrink import FOLDER, play, shrink
from tests.simulation.sparse import sparse
from tests.simulation.town import KINDS, side_by_side
from tests.simulation.vendors import CALLS, vendors

AWAITED = "import"
TELL_EVERY = 1000
CALLED_RUNS_MIN = 20


def main() -> int:
    chosen = _parser().parse_args()
    if chosen.script is not None:
        script = load(chosen.script)
        scenario = (vendors if chosen.vendors else standard)(script.seed)
        return _one(play(scenario, script, chosen.story), chosen)
    run = _single(chosen)
    if run is not None:
        return _one(simulate(run.scenario, chosen.keep, order=chosen.story), chosen, run.scenario)
    if chosen.boundaries or chosen.awaits:
        names = [chosen.scene] if chosen.scene else [AWAITED] if chosen.awaits else list(SCENES)
        part = slice(chosen.first, None, chosen.step)
        return max(_many(points(x, awaits=chosen.awaits)[part], chosen.jobs, x) for x in names)
    if chosen.replay:
        seeds = range(chosen.first, chosen.first + chosen.replay)
        return _twice([Run(n, vendors=chosen.vendors, shop=chosen.shop) for n in seeds], chosen.jobs)
    seeds = range(chosen.first, chosen.first + (chosen.seeds or 20))
    if chosen.sparse:
        return _sparse(seeds)
    if chosen.town:
        return _town(chosen.town, seeds)
    runs = (Run(n, vendors=chosen.vendors, shop=chosen.shop) for n in seeds)
    return _many(runs, chosen.jobs, "", vendors=chosen.vendors)


def _sparse(seeds: range) -> int:
    """Not one unit may be oversold."""
    failed = 0
    for seed in seeds:
        outcome = simulate(sparse(seed))
        wrong = (*outcome.failures, *([f"{outcome.oversold} units oversold"] if outcome.oversold else []))
        failed += bool(wrong)
        for failure in wrong:
            print(f"sparse seed {seed} FAILED {failure}", flush=True)
    print(f"{len(seeds)} sparse seeds, {failed} failed")
    return 1 if failed else 0


def _town(kind: str, seeds: range) -> int:
    """Two shops side by side."""
    failed, orders, lives = 0, 0, 0
    injected: dict[str, int] = {}
    for seed in seeds:
        outcome = side_by_side(kind, seed)
        failed += not outcome.passed
        orders, lives = orders + outcome.orders, lives + outcome.lives
        for fault, count in outcome.injected.items():
            injected[fault] = injected.get(fault, 0) + count
        for failure in outcome.failures:
            print(f"{kind} seed {seed} FAILED {failure}", flush=True)
    print(f"{len(seeds)} seeds of {kind}, {failed} failed; {orders} orders, {lives} lives")
    print("faults:", ", ".join(f"{name} {count}" for name, count in sorted(injected.items())))
    return 1 if failed else 0


def _single(chosen: argparse.Namespace) -> Run | None:
    scene, turn = chosen.scene or AWAITED, getattr(chosen, "await")
    if chosen.seed is not None:
        return Run(chosen.seed, vendors=chosen.vendors, shop=chosen.shop)
    if chosen.boundary is not None:
        return Run(chosen.boundary, scene)
    return None if turn is None else Run(turn, scene, awaits=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=0, help="run so many seeds")
    parser.add_argument(
        "--first", type=int, default=0, help="the first of them; of the points, how many to pass over"
    )
    parser.add_argument("--seed", type=int, help="run one")
    parser.add_argument("--replay", type=int, default=0, help="run so many seeds twice and compare")
    parser.add_argument("--boundaries", action="store_true", help="crash at every I/O boundary of the scenes")
    parser.add_argument("--boundary", type=int, help="crash at this one")
    parser.add_argument("--awaits", action="store_true", help="crash at every turn of a scene's event loop")
    parser.add_argument("--await", type=int, help="crash at this one")
    parser.add_argument("--scene", choices=tuple(SCENES), help=f"of this scene only; one point: {AWAITED}")
    parser.add_argument("--step", type=int, default=1, help="only every n-th point")
    parser.add_argument("--jobs", type=int, default=1, help="in so many processes")
    parser.add_argument("--vendors", action="store_true", help="seeds of Amazon, eBay and Mirakl")
    shops = [name for name, spec in ADAPTERS.items() if spec.role is Role.BACK_OFFICE]
    parser.add_argument(
        "--shop", choices=shops, default="woocommerce", help="the adapter of the shop in seeds"
    )
    parser.add_argument("--sparse", action="store_true", help="seeds whose sales are far apart")
    parser.add_argument("--town", choices=KINDS, help="seeds of two shops side by side")
    parser.add_argument("--story", default="", metavar="ORDER", help="of this order, as alpha/SBX-00001-A")
    parser.add_argument("--log", action="store_true", help="with one run: everything that was said")
    parser.add_argument(
        "--shrink", action="store_true", help="with one run that fails: find what is enough for it"
    )
    parser.add_argument("--script", type=Path, help="run the faults and crashes of this file")
    parser.add_argument("--keep", type=Path, help="with one run: a directory for its database")
    return parser


def _one(outcome: Outcome, chosen: argparse.Namespace, scenario: Scenario | None = None) -> int:
    for line in (*(outcome.log if chosen.log else ()), *outcome.story):
        print(line)
    for failure in outcome.failures:
        print("FAILED", failure)
    print(_summary(outcome))
    if chosen.shrink and scenario is not None and not outcome.passed:
        _shrink(scenario, outcome)
    return 0 if outcome.passed else 1


def _shrink(scenario: Scenario, outcome: Outcome) -> None:
    shrunk = shrink(scenario, outcome)
    path = FOLDER / f"{outcome.seed}.json"
    save(shrunk.script, path)
    print("\n".join(shrunk.outcome.story))
    print(
        f"{shrunk.script.failure}: {shrunk.parts_after} of {shrunk.parts_before} troubles are enough, found in "
        f"{shrunk.runs} runs; again: python -m tests.simulation --script {path.relative_to(FOLDER.parents[2])}"
    )


def _many(runs: Iterable[Run], jobs: int, scene: str, *, vendors: bool = False) -> int:
    began = time.monotonic()
    done: list[Outcome] = []
    for run, outcome in perform_all(runs, jobs):
        done.append(outcome)
        for failure in outcome.failures:
            print(f"{run} FAILED {failure}", flush=True)
        if len(done) % TELL_EVERY == 0:
            print(f"{len(done)} runs so far, {time.monotonic() - began:.0f} s", flush=True)
    failed = sum(not outcome.passed for outcome in done)
    what = f"{scene}: {len(done)} points" if scene else f"{len(done)} runs"
    print(
        f"{what}, {failed} failed; {sum(x.lives - 1 for x in done)} crashes, "
        f"{sum(x.orders for x in done)} orders, {sum(x.oversold for x in done)} units oversold, "
        f"{sum(x.steps for x in done)} steps, {sum(x.boundaries for x in done)} boundaries, "
        f"{sum(x.virtual_seconds for x in done) / 3600:.1f} virtual hours"
    )
    if not scene:
        print("faults:", ", ".join(f"{name} {count}" for name, count in sorted(_faults(done).items())))
    complete = _called(done) if vendors else bool(scene) or rare.report(done)
    spent = sum(x.cpu_seconds for x in done)
    print(
        f"{len(done) / max(spent, 0.001):.2f} runs per CPU-second, {time.monotonic() - began:.0f} s",
        flush=True,
    )
    return 1 if failed or not done or not complete else 0


def _called(done: list[Outcome]) -> bool:
    """Fewer than CALLED_RUNS_MIN runs only say what they lack."""
    absent = rare.missing([x.reached for x in done], [f"called {name}" for name in CALLS])
    if absent:
        print(f"never {', '.join(absent)}")
    return not absent or len(done) < CALLED_RUNS_MIN


def _faults(done: list[Outcome]) -> dict[str, int]:
    faults: dict[str, int] = {}
    for outcome in done:
        for fault, count in outcome.injected.items():
            faults[fault] = faults.get(fault, 0) + count
    return faults


def _twice(runs: list[Run], jobs: int) -> int:
    first, second = ([x.digest for _, x in perform_all(runs, jobs)] for _ in range(2))
    for run, digest, again in zip(runs, first, second, strict=True):
        if digest != again:
            print(f"{run} FAILED {digest} became {again}")
    same = sum(a == b for a, b in zip(first, second, strict=True))
    print(f"{same} of {len(runs)} seeds have the same digest again; {len(set(first))} different digests")
    return 0 if same == len(runs) else 1


def _summary(outcome: Outcome) -> str:
    return (
        f"seed {outcome.seed}: {'passed' if outcome.passed else 'FAILED'}, digest {outcome.digest}, {outcome.lives} lives, "
        f"{outcome.orders} orders, {outcome.boundaries} boundaries, {outcome.steps} steps, "
        f"{outcome.virtual_seconds:.0f} virtual s, {outcome.cpu_seconds:.2f} CPU s, {outcome.injected}"
    )


if __name__ == "__main__":
    sys.exit(main())
