"""`python -m tests.powercut`: power cuts, failing syncs, a full and a failing disk under the real store.

The exit code says whether nothing was damaged or lost, and whether `synchronous=NORMAL` fails as it must.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.powercut import cuts, faults
from tests.powercut.lives import FULL
from tests.powercut.vfs import NotRun, Vfs

WEAKER = "NORMAL"
SHOWN = 12


def main() -> int:
    chosen = _arguments()
    try:
        vfs = Vfs()
    except NotRun as reason:
        print(f"power cuts: not run: {reason}")
        return 0
    with cuts.workplace() as place:
        if chosen.cut:
            return asyncio.run(_again(vfs, place, cuts.parsed(chosen.cut), chosen.synchronous or FULL))
        return asyncio.run(_all(vfs, place, chosen))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.powercut", description=__doc__)
    parser.add_argument("--cuts", type=int, default=3000, metavar="N", help="at least so many power cuts")
    parser.add_argument("--weaker-cuts", type=int, default=300, metavar="N", help=f"so many with {WEAKER}")
    parser.add_argument("--life", type=int, default=1, help="the first life; the next ones follow")
    parser.add_argument("--cut", metavar="NAME", help="one cut again, as a run named it: 7.123 or 7.123.45")
    parser.add_argument("--synchronous", choices=("FULL", "NORMAL", "OFF"), help="only power cuts, with this")
    parser.add_argument(
        "--step", type=int, default=1, metavar="N", help="a disk that fails at each N-th call"
    )
    return parser.parse_args()


async def _all(vfs: Vfs, place: Path, chosen: argparse.Namespace) -> int:
    if chosen.synchronous:
        return int(await _cuts(vfs, place, chosen.life, chosen.cuts, chosen.synchronous) > 0)
    failed = await _cuts(vfs, place, chosen.life, chosen.cuts, FULL)
    if not await _cuts(vfs, place, chosen.life, chosen.weaker_cuts, WEAKER):
        print(f"FAILED {WEAKER} lost nothing: these cuts prove nothing")
        failed += 1
    failed += await _faults(vfs, place, chosen.step)
    return int(failed > 0)


async def _again(vfs: Vfs, place: Path, cut: cuts.Cut, synchronous: str) -> int:
    outcomes = await cuts.again(vfs, place, cut, synchronous)
    for outcome in outcomes:
        print(
            f"{outcome.cut} at {outcome.phase}: {outcome.found.kind or 'all well'} {outcome.found.text}".strip()
        )
    return int(any(outcome.found.kind for outcome in outcomes))


async def _cuts(vfs: Vfs, place: Path, life: int, number: int, synchronous: str) -> int:
    """How many ended badly."""
    began, used = time.monotonic(), time.process_time()
    kinds: Counter[str] = Counter()
    phases: Counter[str] = Counter()
    lost = 0
    async for outcome in cuts.run(vfs, place, life, number, synchronous):
        kinds[outcome.found.kind] += 1
        phases[outcome.phase] += 1
        lost += outcome.found.lost
        if outcome.found.kind and synchronous == FULL and kinds.total() - kinds[""] <= SHOWN:
            print(f"FAILED cut {outcome.cut} at {outcome.phase}: {outcome.found.text}", flush=True)
    bad = kinds.total() - kinds[""]
    cpu = time.process_time() - used
    print(
        f"synchronous={synchronous}: {kinds.total()} cuts, {kinds['corrupt']} corrupt, {kinds['torn']} torn, "
        f"{kinds['lost']} lost something ({lost} acknowledged commits), {kinds['mark']} taken for an older copy; "
        f"{', '.join(f'{count} at {phase}' for phase, count in sorted(phases.items()))}; "
        f"{time.monotonic() - began:.0f} s, {kinds.total() / cpu:.0f} cuts a CPU-second",
        flush=True,
    )
    return bad


async def _faults(vfs: Vfs, place: Path, step: int) -> int:
    failed = 0
    for kind in faults.KINDS:
        for times in (1, faults.FOR_GOOD):
            endings = [ending async for ending in faults.every(vfs, place / "faults", kind, times, step)]
            bad = [ending for ending in endings if ending.problem]
            _tell(kind, times, endings, bad)
            failed += len(bad)
    return failed


def _tell(kind: str, times: int, endings: Sequence[faults.Ending], bad: Sequence[faults.Ending]) -> None:
    for ending in bad[:SHOWN]:
        print(f"FAILED {kind} at call {ending.number} ({ending.call}): {ending.problem}")
    ways = Counter(ending.ended for ending in endings if not ending.problem)
    print(
        f"{kind} at each of {len(endings)} calls, {'once' if times == 1 else 'from there on'}: {len(bad)} broke a promise; "
        + ", ".join(f"{way} {count}" for way, count in sorted(ways.items())),
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
