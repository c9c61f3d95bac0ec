"""What a long run must have come through: every kind of trouble, and states of the daemon that few lives reach.

A test that never gets there proves nothing about it. States are taken from what the daemon tells its observer, from its
history, and from the wire.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import msgspec

from marketsync.sandbox.faults import Exchange, Fault
from marketsync.sandbox.mischief import Mischief
from marketsync.store.columns import instant
from tests.simulation.disk import DiskRates
from tests.simulation.ledger import rows

RUNS_MIN = 100
NOT_DRAWN = ("duplicate", "throttled", "refused_after", "token_expired")
"""Troubles of scenarios of their own, and the one that stands for seven."""
ALWAYS = ("clock_skewed", "visibility_lag", "lookup_lag", "small_pages", "crash", "reboot", "wall_moved")
TROUBLES: tuple[str, ...] = (
    *(fault.value for fault in Fault if fault is not Fault.NONE and fault.value not in NOT_DRAWN),
    *(kind for kind in Mischief.__struct_fields__ if kind not in NOT_DRAWN),
    *DiskRates.__struct_fields__,
    *ALWAYS,
)

_EVENTS = {
    "connection.went_down": "circuit opened",
    "connection.came_back": "circuit closed again",
    "connection.was_paused": "connection paused for its credentials",
    "connection.was_resumed": "connection resumed by a person",
    "window.left_a_hole": "hole left in the coverage",
    "sweep.had_missed_an_order": "order found that the live sweep had missed",
    "order.read_was_refused": "order whose reading by id was refused",
    "loop.recovered": "loop that failed and came back",
}
_PROBES = (
    "create found",
    "create absent",
    "accept found",
    "accept absent",
    "confirm found",
    "confirm absent",
)
_HISTORY = {
    "delivery.superseded": "create superseded by a cancel",
    "cancel.not_needed": "cancel without anything to cancel",
    "accept.not_needed": "accept that was not needed any more",
    "delivery.was_woken": "parked delivery woken by a person",
    "delivery.was_too_late": "write too late for its deadline",
    "stock.is_unknown": "stock in doubt until its wait was over",
    "stock.was_not_applied": "stock write known as not applied",
    "order.was_unreadable": "order that could not be read",
    "order.was_parked": "order parked",
    "delivery.will_be_retried": "write known as not applied, tried again",
    "delivery.was_refused": "write refused",
}
STATES: tuple[str, ...] = (
    *(state for state in _EVENTS.values()),
    *(f"doubt: {probe}" for probe in _PROBES),
    *_HISTORY.values(),
    "doubt: a cancel looked for",
    "create sent again after it was absent",
    "cancel seen while the create was in doubt",
    "cancel of an order in the shop",
    "half-built create resumed after a crash",
    "process that ended while a write was out",
    "doubt that outlived a restart",
    "doubt armed anew after a reboot",
    "feed waited for over a restart",
    "window overfull and narrowed",
    "atom read page by page",
    "pass begun again",
    "hole filled later",
    "unreadable order read in the end",
    "oversold order refused by the accept",
    "order seen only after it was cancelled",
    "order confirmed in two parcels",
    "claim given back",
    "listing published as nothing",
    "listing known after its write",
    "database locked to the end",
    "disk full and got over",
    "daemon ended by a broken disk",
)

RARER_RUNS_MIN = 1000
RARER = (
    "cancel without anything to cancel", "doubt: a cancel looked for", "accept that was not needed any more",
    "create superseded by a cancel", "half-built create resumed after a crash",
    "order whose reading by id was refused", "pass begun again", "hole left in the coverage", "hole filled later",
)  # fmt: skip
"""Two rare things have to meet: a run of a hundred may miss them by chance, one of a thousand may not."""


class Tally:
    """What was heard in all lives of one seed."""

    def __init__(self) -> None:
        self.reached: Counter[str] = Counter()

    def event(self, name: str, fields: Mapping[str, Any]) -> None:
        if name in _EVENTS:
            self.reached[_EVENTS[name]] += 1
        if name.endswith(".failed") and fields.get("error") == "StoreError":
            self.reached["database locked to the end"] += 1
        if name.endswith(".failed") and fields.get("error") == "NoSpace":
            self.reached["disk full and got over"] += 1

    def count(self, metric: str, labels: Mapping[str, str]) -> None:
        if metric == "marketsync_probes_total":
            probe = f"{labels['kind']} {labels['answer']}"
            if probe in _PROBES:
                self.reached[f"doubt: {probe}"] += 1
            if labels["kind"] == "cancel":
                self.reached["doubt: a cancel looked for"] += 1
        if metric == "marketsync_stock_writes_total" and labels.get("reason") == "zero":
            self.reached["listing published as nothing"] += 1

    def ended_by_disk(self) -> None:
        self.reached["daemon ended by a broken disk"] += 1


class Told(msgspec.Struct, frozen=True):
    """One line of the history: `kind` and `arrow` of a delivery, both empty for anything else."""

    at: datetime
    event: str
    kind: str
    arrow: str
    detail: str


def final(
    directory: Path,
    tally: Tally,
    exchanges: Sequence[Exchange],
    ends: Sequence[tuple[datetime, bool]],
    true: Callable[[datetime], datetime],
) -> dict[str, int]:
    """`ends`: when each life but the last ended, and whether the machine was booted after it."""
    reached = tally.reached.copy()
    for told in _histories(directory, true).values():
        reached.update(_in_history(told, ends))
    reached.update(_on_the_wire(exchanges))
    reached.update(_in_the_end(directory, reached))
    return {state: count for state, count in reached.items() if count}


def _histories(directory: Path, true: Callable[[datetime], datetime]) -> dict[str, list[Told]]:
    told: dict[str, list[Told]] = {}
    for subject, at, event, detail in rows(
        directory, "SELECT subject, at, event, detail FROM history ORDER BY id"
    ):
        head, _, arrow = str(detail).partition(": ")
        kind = head.split(" ")[0] if " -> " in arrow else ""
        told.setdefault(str(subject), []).append(
            Told(true(instant(int(str(at)))), str(event), kind, arrow if kind else "", str(detail))
        )
    return told


def _in_history(told: Sequence[Told], ends: Sequence[tuple[datetime, bool]]) -> Iterator[str]:
    for x in told:
        superseded = x.event == "delivery.superseded" and x.kind != "create"
        if x.event in _HISTORY and not superseded:
            yield _HISTORY[x.event]
        if x.event == "order.was_imported" and "CANCELED" in x.detail:
            yield "order seen only after it was cancelled"
    for kind in ("create", "cancel", "accept", "confirm", "stock"):
        yield from _of_kind(kind, [x for x in told if x.kind == kind], told, ends)


def _of_kind(
    kind: str, own: Sequence[Told], told: Sequence[Told], ends: Sequence[tuple[datetime, bool]]
) -> Iterator[str]:
    if kind == "cancel" and any(x.arrow.endswith("-> done") for x in own):
        yield "cancel of an order in the shop"
    if kind == "confirm" and sum(x.arrow.endswith("-> done") for x in own) > 1:
        yield "order confirmed in two parcels"
    for first, then in pairwise(own):
        between = [booted for at, booted in ends if first.at <= at <= then.at]
        absent = first.event == "delivery.was_probed" and first.arrow == "in_doubt -> queued"
        if kind == "create" and absent and then.arrow == "queued -> sent":
            yield "create sent again after it was absent"
        if first.arrow.endswith("-> in_doubt"):
            revised = [x for x in told if x.event == "order.was_revised" and first.at < x.at < then.at]
            if kind == "create" and any("CANCELED" in x.detail for x in revised):
                yield "cancel seen while the create was in doubt"
            if between:
                yield "doubt armed anew after a reboot" if any(between) else "doubt that outlived a restart"
        if between and first.arrow == "queued -> sent" and then.arrow == "sent -> in_doubt":
            yield "process that ended while a write was out"
        if (
            between
            and kind == "create"
            and first.arrow == "sent -> queued"
            and first.event.endswith("step_was_done")
        ):
            yield "half-built create resumed after a crash"
        if between and kind == "stock" and first.arrow.endswith("-> waiting"):
            yield "feed waited for over a restart"


def _on_the_wire(exchanges: Sequence[Exchange]) -> Iterator[str]:
    """Of the order lists by time: what their windows and offsets tell."""
    last: dict[str, tuple[str, str, int]] = {}
    yield from (f"called {x.operation}" for x in exchanges if 200 <= x.status < 300)
    for exchange in (x for x in exchanges if x.operation == "OR11"):
        query = parse_qs(urlsplit(exchange.target).query)
        low, high = query.get("start_update_date"), query.get("end_update_date")
        if low is None or high is None:
            continue
        offset = int(query.get("offset", ["0"])[0])
        before = last.get(exchange.connection, ("", "", 0))
        last[exchange.connection] = (low[0], high[0], offset)
        same = before[:2] == (low[0], high[0])
        if before[0] == low[0] and high[0] < before[1]:
            yield "window overfull and narrowed"
        if offset:
            yield "atom read page by page"
        if same and before[2] and not offset:
            yield "pass begun again"


def _in_the_end(directory: Path, reached: Mapping[str, int]) -> Iterator[str]:
    holes = rows(directory, "SELECT COUNT(*) FROM holes")[0][0]
    if reached.get("hole left in the coverage") and not holes:
        yield "hole filled later"
    if reached.get("order that could not be read") and not rows(
        directory, "SELECT 1 FROM parked WHERE kind = 'raw'"
    ):
        yield "unreadable order read in the end"
    if rows(directory, "SELECT 1 FROM claims WHERE target = 0 AND held = 0"):
        yield "claim given back"
    if rows(directory, "SELECT 1 FROM listings WHERE presumed IS NOT NULL AND done_at IS NOT NULL"):
        yield "listing known after its write"
    if rows(directory, "SELECT 1 FROM history WHERE event = 'order.was_revised' AND detail LIKE '%REFUSED%'"):
        yield "oversold order refused by the accept"


def table(counts: Iterable[Mapping[str, int]], names: Sequence[str]) -> list[str]:
    """One line for each name, with how often it came and in how many runs."""
    every = list(counts)
    lines = []
    for name in names:
        found = [count[name] for count in every if count.get(name)]
        lines.append(f"{sum(found):8} in {len(found):6} runs  {name}")
    return lines


def missing(counts: Iterable[Mapping[str, int]], names: Sequence[str]) -> list[str]:
    reached = {name for count in counts for name in count if count[name]}
    return [name for name in names if name not in reached]


class Counted(Protocol):
    @property
    def injected(self) -> Mapping[str, int]: ...
    @property
    def reached(self) -> Mapping[str, int]: ...


def report(runs: Sequence[Counted], say: Callable[[str], None] = print) -> bool:
    """False where so many runs, `RUNS_MIN` or more, never came to some trouble or state. Fewer only say what they lack."""
    injected, reached = [run.injected for run in runs], [run.reached for run in runs]
    absent = missing(injected, TROUBLES) + missing(reached, STATES)
    if RUNS_MIN <= len(runs) < RARER_RUNS_MIN:
        absent = [name for name in absent if name not in RARER]
    if len(runs) < RUNS_MIN:
        say(f"not met in {len(runs)} runs: {', '.join(absent) or 'nothing'}")
        return True
    for line in (*table(injected, TROUBLES), *table(reached, STATES)):
        say(line)
    for name in absent:
        say(f"NEVER MET: {name}")
    return not absent
