"""`python -m tests.fuzz --documents N [--adapter NAME] [--seed N] [--document N]`: counts, and by its exit code whether all held."""

from __future__ import annotations

import argparse
import faulthandler
import sys

from tests.fuzz.run import VENDORS, Tally, Verdict, run

SHOWN_MAX = 20
STUCK_SECONDS = 7200


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--documents", type=int, default=50_000, help="so many for each adapter")
    parser.add_argument("--adapter", choices=sorted(VENDORS), help="only this one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--document", type=int, help="only this one, shown as it went out and with what came of it"
    )
    chosen = parser.parse_args()
    faulthandler.dump_traceback_later(STUCK_SECONDS, exit=True)
    names = [chosen.adapter] if chosen.adapter else sorted(VENDORS)
    failed = 0
    for name in names:
        tally = run(name, chosen.documents, chosen.seed, only=chosen.document)
        if chosen.document is not None:
            show(tally.only)
        for verdict in tally.failed[:SHOWN_MAX]:
            print(line(name, chosen.seed, verdict))
        print(summary(name, tally))
        failed += len(tally.failed)
    return 1 if failed else 0


def line(adapter: str, seed: int, verdict: Verdict) -> str:
    document = verdict.document
    return (
        f"FAILED --adapter {adapter} --seed {seed} --document {document.number} "
        f"[{document.case.name}; {', '.join(document.mutant.changes)}; HTTP {document.response.status}] "
        f"{'; '.join(verdict.failures)[:1500]} | {verdict.detail[:300]}"
    )


def show(verdict: Verdict | None) -> None:
    if verdict is None:
        return
    response = verdict.document.response
    print(
        verdict.document.case.name, "|", ", ".join(verdict.document.mutant.changes), "| HTTP", response.status
    )
    print(ascii(response.body[:6000].decode("utf-8", "backslashreplace")))
    print(verdict.outcome, f"{verdict.seconds:.3f} s", verdict.detail)


def summary(adapter: str, tally: Tally) -> str:
    outcomes = ", ".join(f"{name} {count}" for name, count in tally.outcomes.most_common())
    return (
        f"{adapter}: {tally.documents} documents, {len(tally.failed)} failed; {tally.parked} orders parked with a reason, "
        f"{tally.stored} pages taken into a store; {outcomes}; slowest {tally.slowest_seconds:.2f} s of CPU (document {tally.slowest}); "
        f"{tally.documents / max(tally.seconds, 0.001):.0f} documents/s, {tally.seconds:.0f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
