"""`python -m tests.simulation.defects`: plants one known defect after the other in a copy of the code; the simulation must see each.

No unit test is asked: only seeds of the scenario that presses on the rule. Exit code 1 if one is not seen within its number.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import msgspec

from tests.simulation.planted import DEFECTS
from tests.simulation.planting import Defect, copied, plant, run_python

SEED_SECONDS = 60.0


class Hunted(msgspec.Struct, frozen=True):
    """`seeds` is how many were run until one failed, 0 if none did."""

    defect: Defect
    seeds: int
    symptom: str
    seconds: float


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.defects", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these alone, by name or by rule")
    parser.add_argument("--jobs", type=int, default=2, help="defects at a time")
    parser.add_argument("--seeds-max", type=int, help="at most so many seeds, whatever the defect states")
    chosen = parser.parse_args()
    defects = [d for d in DEFECTS if chosen.only is None or {d.name, d.rule} & set(chosen.only)]
    with ThreadPoolExecutor(chosen.jobs) as pool:
        results = []
        for result in pool.map(lambda defect: hunt(defect, chosen.seeds_max or defect.within), defects):
            print(_line(result), flush=True)
            results.append(result)
    left = [result for result in results if not result.seeds]
    print(f"{len(results)} defects, {len(results) - len(left)} seen, {len(left)} not")
    return 1 if left or not results else 0


def hunt(defect: Defect, seeds: int, first: int = 0) -> Hunted:
    """Seeds of its scenario until one fails; a seed that does not end has failed, too."""
    began = time.monotonic()
    with copied() as tree:
        for change in defect.changes:
            if trouble := plant(change, tree):
                return Hunted(defect, 0, trouble, time.monotonic() - began)
        words = [
            "-m",
            "tests.simulation.focused",
            defect.scenario,
            "--first",
            str(first),
            "--seeds",
            str(seeds),
        ]
        done = run_python(words, tree, SEED_SECONDS + 15.0 * seeds)
        taken, symptom = (
            (seeds, "a seed did not end") if done is None else _read(done.stdout, done.stderr, first)
        )
        return Hunted(defect, taken, symptom, time.monotonic() - began)


def _read(said: str, trouble: str, first: int) -> tuple[int, str]:
    found = re.search(r"^seed (\d+) FAILED (.*)$", said, re.MULTILINE)
    if found:
        symptoms = [found.group(2), *re.findall(r"^  also (.*)$", said, re.MULTILINE)]
        telling = [x for x in symptoms if not x.startswith("not at rest")]
        return int(found.group(1)) - first + 1, (telling or symptoms)[0]
    return 0, trouble.strip()[-300:]


def _line(result: Hunted) -> str:
    defect = result.defect
    seen = f"{result.seeds:3} of {defect.within:3} seeds" if result.seeds else "NOT SEEN         "
    return f"{defect.rule:7} {defect.name:28} {defect.scenario:12} {seen} {result.seconds:4.0f} s  {result.symptom[:150]}"


if __name__ == "__main__":
    sys.exit(main())
