"""`python -m tests.simulation --seeds N | --seed N | --boundaries`: prints counts and says by its exit code whether all held."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from tests.simulation.harness import Outcome, simulate
from tests.simulation.scenario import small, standard


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=0, help="run so many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="run one, with its log")
    parser.add_argument(
        "--boundaries", action="store_true", help="crash at every I/O boundary of a small scenario"
    )
    parser.add_argument("--boundary", type=int, help="crash at this one, with its log")
    parser.add_argument("--step", type=int, default=1, help="only every n-th boundary")
    parser.add_argument("--keep", type=Path, help="with one run: a directory for its database")
    chosen = parser.parse_args()
    if chosen.seed is not None:
        return _one(simulate(standard(chosen.seed), chosen.keep))
    if chosen.boundary is not None:
        return _one(simulate(small(boundary=chosen.boundary), chosen.keep))
    outcomes: Iterable[Outcome] = ()
    if chosen.boundaries:
        last = simulate(small()).boundaries
        outcomes = (simulate(small(boundary=n)) for n in range(1, last + 1, chosen.step))
    else:
        outcomes = (simulate(standard(n)) for n in range(chosen.first, chosen.first + (chosen.seeds or 20)))
    return _many(outcomes, "boundary" if chosen.boundaries else "seed", chosen.step, chosen.first)


def _one(outcome: Outcome) -> int:
    for line in outcome.log:
        print(line)
    for failure in outcome.failures:
        print("FAILED", failure)
    print(_summary(outcome))
    return 0 if outcome.passed else 1


def _many(outcomes: Iterable[Outcome], what: str, step: int, first: int) -> int:
    began, cpu = time.monotonic(), time.process_time()
    done: list[Outcome] = []
    for number, outcome in enumerate(outcomes):
        done.append(outcome)
        name = 1 + number * step if what == "boundary" else first + number
        for failure in outcome.failures:
            print(f"{what} {name} FAILED {failure}", flush=True)
    failed = [outcome for outcome in done if not outcome.passed]
    spent = time.process_time() - cpu
    faults: dict[str, int] = {}
    for outcome in done:
        for fault, count in outcome.injected.items():
            faults[fault] = faults.get(fault, 0) + count
    print(
        f"{len(done)} runs, {len(failed)} failed; {sum(x.lives - 1 for x in done)} crashes, "
        f"{sum(x.orders for x in done)} orders, {sum(x.oversold for x in done)} units oversold, "
        f"{sum(x.steps for x in done)} steps, {sum(x.boundaries for x in done)} boundaries, "
        f"{sum(x.virtual_seconds for x in done) / 3600:.1f} virtual hours"
    )
    print("faults:", ", ".join(f"{name} {count}" for name, count in sorted(faults.items())))
    print(f"{len(done) / max(spent, 0.001):.2f} runs per CPU-second, {time.monotonic() - began:.0f} s")
    return 1 if failed or not done else 0


def _summary(outcome: Outcome) -> str:
    return (
        f"seed {outcome.seed}: {'passed' if outcome.passed else 'FAILED'}, digest {outcome.digest}, {outcome.lives} lives, "
        f"{outcome.orders} orders, {outcome.boundaries} boundaries, {outcome.steps} steps, "
        f"{outcome.virtual_seconds:.0f} virtual s, {outcome.cpu_seconds:.2f} CPU s, {outcome.injected}"
    )


if __name__ == "__main__":
    sys.exit(main())
