"""`python -m tests.acceptance.kill`: kill -9 of real daemons at every named point and at random moments, on both engines.

Lives of a few kills each: a world with arrivals and faults, the kills, a drain, a judgement. The exit code says
whether nothing was lost, doubled, stuck or parked without a plan, and whether every kill took place.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from marketsync.sandbox.chance import Chance
from tests.acceptance.points import POINTS
from tests.acceptance.postgres import server
from tests.acceptance.rig import FAULT_RATE, Kill, Verdict, live

KILLS_IN_A_LIFE = 6
FAILURES_SHOWN = 12
RANDOM_SECONDS = (0.2, 4.0)
ENGINES = {"sqlite": ("sqlite",), "postgres": ("postgres",), "both": ("sqlite", "postgres")}
HEAD = "engine    life kills orders parcels told lost doubled stuck parked planted oversold requests faults seconds"


def main() -> int:
    chosen = _arguments()
    with ExitStack() as stack:
        postgres = stack.enter_context(server()) if "postgres" in ENGINES[chosen.engine] else None
        failed = 0
        for engine in ENGINES[chosen.engine]:
            if engine == "postgres" and postgres is None:
                print("postgres: not run: no PostgreSQL server here")
                failed += chosen.engine == "postgres"
                continue
            lives = list(plan(chosen))
            databases = [
                "" if postgres is None or engine == "sqlite" else postgres.new_database() for _ in lives
            ]
            failed += asyncio.run(_all(chosen, engine, lives, databases))
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.kill", description=__doc__)
    parser.add_argument(
        "--points", nargs="*", metavar="NAME", help="only these points (none: no points); all by default"
    )
    parser.add_argument("--random", type=int, default=50, metavar="N", help="so many random moments")
    parser.add_argument("--engine", choices=tuple(ENGINES), default="both")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--rate", type=float, default=FAULT_RATE, help="the probability of each kind of fault"
    )
    parser.add_argument("--jobs", type=int, default=2, help="so many lives at once")
    parser.add_argument("--keep", type=Path, help="a directory for what failed lives leave behind")
    return parser.parse_args()


def plan(chosen: argparse.Namespace) -> Iterator[list[Kill]]:
    """The kills in an order that the seed decides, in lives."""
    chance = Chance(chosen.seed).fork("plan")
    wanted = [point for point in POINTS if chosen.points is None or point.name in chosen.points]
    kills = [Kill(point.name, 1 + chance.below(point.reaches)) for point in wanted]
    kills += [Kill(after_seconds=chance.uniform(*RANDOM_SECONDS)) for _ in range(chosen.random)]
    for last in range(len(kills) - 1, 0, -1):
        other = chance.below(last + 1)
        kills[last], kills[other] = kills[other], kills[last]
    for first in range(0, len(kills), KILLS_IN_A_LIFE):
        yield kills[first : first + KILLS_IN_A_LIFE]


async def _all(chosen: argparse.Namespace, engine: str, lives: list[list[Kill]], databases: list[str]) -> int:
    """How many lives failed."""
    began = time.monotonic()
    print(HEAD, flush=True)
    turn = asyncio.Semaphore(chosen.jobs)

    async def one(number: int) -> Verdict:
        async with turn:
            seed = chosen.seed * 1000 + number
            verdict = await live(seed, lives[number], databases[number], rate=chosen.rate, keep=chosen.keep)
            _report(engine, seed, verdict)
            return verdict

    verdicts = await asyncio.gather(*(one(number) for number in range(len(lives))))
    _sum_up(engine, verdicts, time.monotonic() - began)
    return sum(not verdict.passed for verdict in verdicts)


def _report(engine: str, seed: int, x: Verdict) -> None:
    print(
        f"{engine:8}{seed:6}{len(x.killed):6}{x.orders:7}{x.parcels:8}{x.confirmed:5}{x.lost:5}{x.duplicated:8}{x.stuck:6}"
        f"{x.parked:7}{x.planted:8}{x.oversold:9}{x.requests:9}{x.faults:7}{x.seconds:8.0f}",
        flush=True,
    )
    for text in x.failures[:FAILURES_SHOWN]:
        print(f"  FAILED {text}", flush=True)
    if len(x.failures) > FAILURES_SHOWN:
        print(f"  and {len(x.failures) - FAILURES_SHOWN} more", flush=True)
    for text in x.missed:
        print(f"  FAILED not reached: {text}", flush=True)
    if not x.passed:
        print(f"  killed at: {', '.join(x.killed)}", flush=True)


def _sum_up(engine: str, verdicts: Sequence[Verdict], seconds: float) -> None:
    labels = [label for verdict in verdicts for label in verdict.killed]
    moments = sum(label.startswith("after ") for label in labels)
    points = len({label.rpartition(":")[0] for label in labels if not label.startswith("after ")})
    print(
        f"{engine}: {len(labels)} kills at {points} named points and {moments} random moments; "
        f"{sum(x.orders for x in verdicts)} orders, {sum(x.confirmed for x in verdicts)} of {sum(x.parcels for x in verdicts)} "
        f"parcels confirmed, {sum(x.withdrawn for x in verdicts)} of cancelled orders, {sum(x.faults for x in verdicts)} faults in {sum(x.requests for x in verdicts)} requests; lost {sum(x.lost for x in verdicts)}, "
        f"duplicated {sum(x.duplicated for x in verdicts)}, stuck {sum(x.stuck for x in verdicts)}, "
        f"parked {sum(x.parked for x in verdicts)}, oversold {sum(x.oversold for x in verdicts)} (explained); "
        f"{sum(not x.passed for x in verdicts)} of {len(verdicts)} lives failed, {seconds:.0f} s",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
