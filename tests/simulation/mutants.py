"""`python -m tests.simulation.mutants`: breaks one rule after the other in a copy of the code; each must be caught.

A mutant is a piece of text and what stands there instead. The copy is in a temporary directory: the tree itself is
never touched. First the tests that know the rule are run, then seeds of the simulation. Exit code 1 if one survives.

`defects` has those that the simulation must see. Only here are A3 and A7 (a process that is stopped between its check
and the wire, or answers late, beside another on one store), T5 (no adapter has a shop whose figure ignores an order), and
`synchronous`, which only a power cut shows.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from tests.simulation.planting import Change, copied, plant, run_python

TESTS_SECONDS = 240.0
SEEDS_SECONDS = 300.0

DELIVERIES = ("tests/unit/domain/test_deliveries.py", "tests/unit/domain/test_delivery_machine.py")
COVERAGE = ("tests/unit/domain/test_coverage.py", "tests/unit/domain/test_coverage_machine.py")
PAGING = ("tests/unit/domain/test_paging.py",)
STOCK = ("tests/unit/domain/test_stock.py", "tests/unit/domain/test_stock_model.py")
DISK = "tests/integration/bad_input/test_disk.py::"
FULL_DISK = (DISK + "test_a_full_disk_at_any_statement_stops_before_effects_and_is_got_over[30]",)
LIFE = "tests/integration/failures/test_life.py::"
TWIN = (LIFE + "test_a_twin_that_the_path_made_is_shown_to_a_person_within_a_day",)
CLOCKS = (LIFE + "test_a_marketplace_with_another_clock_is_read_by_its_own",)


class Mutant(msgspec.Struct, frozen=True):
    """`before` stands in `file` exactly once. `why` is what the broken rule allows."""

    rule: str
    why: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]

    @property
    def change(self) -> Change:
        return Change(self.file, self.before, self.after)


MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "A1",
        "a cancel overtakes the create that is still on its way",
        "marketsync/domain/sequence.py",
        "case State.SENT | State.WAITING | State.IN_DOUBT | State.PARKED:\n            return True",
        "case State.SENT | State.WAITING | State.IN_DOUBT | State.PARKED:\n            return False",
        DELIVERIES,
    ),
    Mutant(
        "A2",
        "a power cut forgets that a request was already sent",
        "marketsync/store/sqlite.py",
        "PRAGMA synchronous = FULL",
        "PRAGMA synchronous = NORMAL",
        ("tests/integration/store/test_writer.py",),
    ),
    Mutant(
        "A3",
        "a request leaves after its deadline, when a look was already believed",
        "marketsync/http/client.py",
        "if left_seconds <= 0:",
        "if left_seconds <= -1e9:",
        ("tests/unit/http/test_client.py",),
    ),
    Mutant(
        "A4",
        "a look is believed while the request may still land",
        "marketsync/domain/doubt.py",
        "wait = step.send_by_seconds + step.lands_within_seconds + step.visible_within_seconds",
        "wait = max(step.send_by_seconds, step.lands_within_seconds, step.visible_within_seconds)",
        DELIVERIES,
    ),
    Mutant(
        "A7",
        "the late answer of an old attempt settles the new one",
        "marketsync/domain/deliveries.py",
        "return d.attempt == attempt and d.state is state",
        "return d.state is state",
        DELIVERIES,
    ),
    Mutant(
        "A9",
        "what was wanted meanwhile counts as sent",
        "marketsync/domain/deliveries.py",
        "d = replace(d, done=d.sent, done_seq=seq",
        "d = replace(d, done=d.wanted, done_seq=seq",
        DELIVERIES,
    ),
    Mutant(
        "A10",
        "what was sent by a task that died stays as it is until a restart",
        "marketsync/engine/prober.py",
        "if row.id in before or row.id in self._dispatcher.in_flight:",
        "if row.id > 0:",
        FULL_DISK,
    ),
    Mutant(
        "A12",
        "a look that did not read far enough back proves an absence",
        "marketsync/domain/doubt.py",
        "return answer if _whole_span(d, answer, began_at, skew_seconds) else Unknown()",
        "return answer",
        DELIVERIES,
    ),
    Mutant(
        "A13",
        "a write without a key of ours is repeated without waiting",
        "marketsync/domain/doubt.py",
        "return d.state is State.IN_DOUBT and steps[d.step].write_class is WriteClass.UPSERT",
        "return d.state is State.IN_DOUBT",
        DELIVERIES,
    ),
    Mutant(
        "A16",
        "what may have landed is sent again when it is woken",
        "marketsync/domain/doubt.py",
        "if d.unsettled:\n        return _in_doubt(d, steps, mono, boot)",
        "if d.unsettled and d.id < 0:\n        return _in_doubt(d, steps, mono, boot)",
        DELIVERIES,
    ),
    Mutant(
        "A17",
        "a later step sends another generation than the first",
        "marketsync/domain/deliveries.py",
        "if d.step == 0:\n        if not d.done <= generation",
        "if d.step >= 0:\n        if not d.done <= generation",
        DELIVERIES,
    ),
    Mutant(
        "A18",
        "a half-built order is dropped as if it had never left",
        "marketsync/domain/sequence.py",
        "or d.unsettled or d.step > 0 or d.checkpoint:",
        "or d.unsettled:",
        DELIVERIES,
    ),
    Mutant(
        "A19",
        "an order that was cancelled in doubt is created after all",
        "marketsync/domain/doubt.py",
        "if cancel_behind and d.kind is Kind.CREATE:\n        return ProbeDecision(end(",
        "if cancel_behind and d.kind is Kind.STOCK:\n        return ProbeDecision(end(",
        DELIVERIES,
    ),
    Mutant(
        "A21",
        "nobody looks again whether the path had made a twin",
        "marketsync/domain/deliveries.py",
        "armed = d.kind is Kind.CREATE or step.second_probe",
        "armed = step.second_probe",
        DELIVERIES,
    ),
    Mutant(
        "A21",
        "the second look is due and nobody takes it",
        "marketsync/engine/prober.py",
        "rows = await self._due(unfinished) + await self._second.due(settled)",
        "rows = await self._due(unfinished)",
        TWIN,
    ),
    Mutant(
        "A22",
        "the second look does not compare the content",
        "marketsync/domain/doubt.py",
        "if not ended and expected_hash is not None and seen - {expected_hash}:",
        "if not ended and expected_hash is not None and not seen:",
        DELIVERIES,
    ),
    Mutant(
        "A23",
        "two contents are on their way to one record at once",
        "marketsync/domain/doubt.py",
        "return max(0.0, min(span, last.last_departure_at + span - now))",
        "return 0.0",
        DELIVERIES,
    ),
    Mutant(
        "A24",
        "what is settled without an id of the far side leaves no marker",
        "marketsync/domain/deliveries.py",
        "return (remote_id or next(iter(remote_ids(d, link_ids)), d.subject),)",
        "return (remote_id,) if remote_id else ()",
        DELIVERIES,
    ),
    Mutant(
        "B1",
        "the running second counts as over",
        "marketsync/domain/coverage.py",
        "return floor_to(server_now - behind, traits.granule) - traits.granule",
        "return floor_to(server_now - behind, traits.granule)",
        COVERAGE,
    ),
    Mutant(
        "B1",
        "windows end by this machine's clock instead of the marketplace's",
        "marketsync/engine/sweep.py",
        "traits, now = self._link.adapter.updated, self.server_now",
        "traits, now = self._link.adapter.updated, self._core.clock.now()",
        CLOCKS,
    ),
    Mutant(
        "B2",
        "an exclusive lower bound loses the row on it",
        "marketsync/domain/coverage.py",
        "return (window.lo - traits.granule if traits.lower_exclusive else window.lo), window.hi",
        "return window.lo, window.hi",
        COVERAGE,
    ),
    Mutant(
        "B7",
        "a first page counts as the whole window",
        "marketsync/domain/paging.py",
        "return Covered() if len(page.ids) >= total <= traits.page_size else Overfull(total)",
        "return Covered() if len(page.ids) <= traits.page_size else Overfull(total)",
        PAGING,
    ),
    Mutant(
        "B8",
        "pages that no longer meet count as one pass",
        "marketsync/domain/paging.py",
        "if state.anchor is not None and page.ids[:1] != (state.anchor,):",
        "if state.anchor is not None and not page.ids:",
        PAGING,
    ),
    Mutant(
        "B13",
        "the second edit within one second is taken for known",
        "marketsync/domain/versions.py",
        "if read.begin_seq > held.end_seq:\n        return VersionVerdict.TAKE",
        "if read.begin_seq > held.end_seq:\n        return VersionVerdict.DROP",
        COVERAGE,
    ),
    Mutant(
        "C4",
        "a read that began before the shop's answer counts as one that contains it",
        "marketsync/domain/stock.py",
        "return mature_seq is not None and mature_seq < report.begin_seq",
        "return mature_seq is not None and mature_seq < report.end_seq",
        STOCK,
    ),
    Mutant(
        "C6",
        "what was taken too much is given out a second time",
        "marketsync/domain/stock.py",
        "return max(0, needed - taken.min), max(0, needed - taken.max)",
        "return needed - taken.min, needed - taken.max",
        STOCK,
    ),
    Mutant(
        "T3",
        "a raise that the shop's figure ignores counts as taken",
        "marketsync/domain/stock.py",
        "    if effect is Effect.NOTHING:\n        after = before",
        "    if effect is Effect.NOTHING:\n        after = held_after",
        STOCK,
    ),
    Mutant(
        "T5",
        "a shop whose figure never follows its orders is published",
        "marketsync/domain/stock.py",
        "if not (facts.takes(Event.CREATE) or facts.takes(Event.RELEASE)):\n        return False",
        "if not (facts.takes(Event.CREATE) or facts.takes(Event.RELEASE)):\n        return True",
        STOCK,
    ),
)


class Caught(msgspec.Struct, frozen=True):
    """`by` names the test or the seed, "" if the mutant survived."""

    mutant: Mutant
    by: str
    seconds: float
    trouble: str = ""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="RULE", help="these rules alone, such as A7 B1")
    parser.add_argument(
        "--seeds", type=int, default=10, help="of the simulation, where no test has caught it"
    )
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time")
    chosen = parser.parse_args()
    mutants = [m for m in MUTANTS if chosen.only is None or m.rule in chosen.only]
    sound = _sound(mutants)
    if sound:
        print(f"the tests fail without any mutant, so they would catch nothing: {sound}")
        return 1
    with ThreadPoolExecutor(chosen.jobs) as pool:
        results = []
        for result in pool.map(lambda mutant: hunt(mutant, chosen.seeds), mutants):
            print(_line(result), flush=True)
            results.append(result)
    left = [result for result in results if not result.by]
    print(f"{len(results)} mutants, {len(results) - len(left)} caught, {len(left)} not")
    return 1 if left or not results else 0


def _sound(mutants: Sequence[Mutant]) -> str:
    """ "" if the tests pass as things are."""
    with copied() as tree:
        tests = dict.fromkeys(test for mutant in mutants for test in mutant.tests)
        by, trouble = _by_tests(tuple(tests), tree)
        return by or trouble


def hunt(mutant: Mutant, seeds: int) -> Caught:
    began = time.monotonic()
    with copied() as tree:
        trouble = plant(mutant.change, tree)
        by = ""
        if not trouble:
            by, trouble = _by_tests(mutant.tests, tree)
        if not by and not trouble and seeds:
            by, trouble = _by_seeds(seeds, tree)
        return Caught(mutant, by, time.monotonic() - began, trouble)


def _by_tests(tests: Sequence[str], tree: Path) -> tuple[str, str]:
    command = [
        "-m",
        "pytest",
        "-x",
        "-q",
        "-rf",
        "--no-header",
        "-p",
        "no:cacheprovider",
        "--timeout=60",
        *tests,
    ]
    done = run_python(command, tree, TESTS_SECONDS)
    if done is None:
        return "", "its tests did not end in time"
    if done.returncode == 0:
        return "", ""
    found = re.search(r"^FAILED (.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
    if done.returncode == 1 and found:
        return found.group(1), ""
    return "", f"its tests could not be run: {(done.stdout + done.stderr).strip()[-300:]}"


def _by_seeds(seeds: int, tree: Path) -> tuple[str, str]:
    done = run_python(["-m", "tests.simulation", "--seeds", str(seeds)], tree, SEEDS_SECONDS)
    if done is None:
        return "", "its seeds did not end in time"
    found = re.search(r"^(seed \d+) FAILED", done.stdout, re.MULTILINE)
    return (found.group(1), "") if done.returncode == 1 and found else ("", "")


def _line(result: Caught) -> str:
    mutant = result.mutant
    what = f"caught by {result.by}" if result.by else f"NOT CAUGHT {result.trouble}"
    return f"{mutant.rule:4} {result.seconds:5.0f} s  {what}  ({mutant.why})"


if __name__ == "__main__":
    sys.exit(main())
