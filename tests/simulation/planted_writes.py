"""Defects of writing: one for each rule of deliveries that was shown to be needed."""

from __future__ import annotations

from tests.simulation.planting import Change, Defect

DELIVERIES = "marketsync/domain/deliveries.py"
DOUBT = "marketsync/domain/doubt.py"
SEQUENCE = "marketsync/domain/sequence.py"
STOCK = "marketsync/domain/stock.py"
PROBER = "marketsync/engine/prober.py"
PLANNING = "marketsync/engine/planning.py"
SETTLING = "marketsync/engine/settling.py"

WRITES: tuple[Defect, ...] = (
    Defect(
        "overtaking",
        "A1",
        "a cancel overtakes the create that may still land",
        "cancels",
        20,
        (
            Change(
                SEQUENCE,
                "case State.SENT | State.WAITING | State.IN_DOUBT | State.PARKED:\n            return True",
                "case State.SENT | State.WAITING | State.IN_DOUBT | State.PARKED:\n            return False",
            ),
            Change(
                "marketsync/store/deliveries.py",
                "AND b.state IN ('queued', 'sent', 'waiting', 'in_doubt', 'parked')",
                "AND b.state IN ('queued')",
            ),
        ),
    ),
    Defect(
        "early_acknowledgement",
        "A2",
        "the claim is taken for written before its COMMIT",
        "standard",
        40,
        (
            Change(
                "marketsync/store/writer.py",
                "        await self._commit(later, anything=bool(settled))\n        for job, result in settled:\n            job.settle(result)",
                "        for job, result in settled:\n            job.settle(result)\n        await self._commit(later, anything=bool(settled))",
            ),
        ),
    ),
    Defect(
        "greatest_wait",
        "A4",
        "the wait is the longest of its parts, not their sum",
        "edge",
        20,
        (
            Change(
                DOUBT,
                "wait = step.send_by_seconds + step.lands_within_seconds + step.visible_within_seconds",
                "wait = max(step.send_by_seconds, step.lands_within_seconds, step.visible_within_seconds)",
            ),
        ),
    ),
    Defect(
        "moment_too_short",
        "A4",
        "`lands_within` is taken a moment too short",
        "edge",
        20,
        (
            Change(
                DOUBT,
                "step.send_by_seconds + step.lands_within_seconds + step",
                "step.send_by_seconds + (step.lands_within_seconds - 3.0) + step",
            ),
        ),
    ),
    Defect(
        "look_without_wait",
        "A4",
        "a look is believed at once",
        "edge",
        20,
        (
            Change(
                DOUBT,
                "wait = step.send_by_seconds + step.lands_within_seconds + step.visible_within_seconds",
                "wait = 0.0",
            ),
        ),
    ),
    Defect(
        "wanted_counts_as_sent",
        "A9",
        "what was wanted meanwhile is never sent",
        "edits",
        20,
        (
            Change(
                DELIVERIES,
                "d = replace(d, done=d.sent, done_seq=seq",
                "d = replace(d, done=d.wanted, done_seq=seq",
            ),
        ),
    ),
    Defect(
        "no_watchdog",
        "A10",
        "what a dead task left as sent stays so",
        "full_disk",
        20,
        (
            Change(
                PROBER,
                "if row.id in before or row.id in self._dispatcher.in_flight:",
                "if row.id > 0:",
            ),
        ),
    ),
    Defect(
        "first_page_proves_absence",
        "A12",
        "one page of the shop's orders proves that there is none",
        "looks",
        20,
        (
            Change(
                "adapters/woocommerce/writers.py",
                "            if len(rows) == total:\n                return rows",
                "            if rows:\n                return rows",
            ),
        ),
    ),
    Defect(
        "other_payload_at_once",
        "A13",
        "an UPSERT leaves with other content while the one before may land",
        "edits",
        20,
        (
            Change(
                DOUBT,
                "step = steps[d.step]\n    wait = step",
                "step = steps[d.step]\n    wait = 0.0 if step.write_class is WriteClass.UPSERT else step",
            ),
            Change(
                DOUBT,
                "return max(0.0, min(span, last.last_departure_at + span - now))",
                "return 0.0",
            ),
        ),
    ),
    Defect(
        "woken_is_sent_again",
        "A16",
        "what may have landed is sent again when it is woken",
        "operator",
        20,
        (
            Change(
                DOUBT,
                "if d.unsettled:\n        return _in_doubt(d, steps, mono, boot)",
                "if d.unsettled and d.id < 0:\n        return _in_doubt(d, steps, mono, boot)",
            ),
        ),
    ),
    Defect(
        "generation_moves",
        "A17",
        "the last step counts for a newer generation than it carried",
        "retracked",
        20,
        (
            Change(
                DELIVERIES,
                "if d.step == 0:\n        if not d.done <= generation",
                "if d.step >= 0:\n        if not d.done <= generation",
            ),
        ),
    ),
    Defect(
        "half_built_dropped",
        "A18",
        "a half-built order is dropped as if it had never left",
        "halves",
        20,
        (
            Change(SEQUENCE, "or d.unsettled or d.step > 0 or d.checkpoint:", "or d.unsettled:"),
            Change(SEQUENCE, "(d.done == 0 and not link_ids)", "d.done == 0"),
            Change(SEQUENCE, "    send = bool(link_ids)\n", "    send = False\n"),
        ),
    ),
    Defect(
        "cancelled_is_created",
        "A19",
        "an order that was cancelled in doubt is created after all",
        "cancels",
        20,
        (
            Change(
                DOUBT,
                "if cancel_behind and d.kind is Kind.CREATE:\n        return ProbeDecision(end(",
                "if cancel_behind and d.kind is Kind.STOCK:\n        return ProbeDecision(end(",
            ),
            Change(SETTLING, "return row.state is State.QUEUED or (refused", "return (refused"),
        ),
    ),
    Defect(
        "cancel_ignored_in_doubt",
        "A19",
        "a cancel that meets a doubt is forgotten",
        "cancels",
        20,
        (
            Change(
                PLANNING,
                "    if any(link.kind == Kind.CANCEL.value for link in known):\n        return\n",
                "    if any(link.kind == Kind.CANCEL.value for link in known) or any(\n"
                "        row.state is State.IN_DOUBT for row in rows\n    ):\n        return\n",
            ),
        ),
    ),
    Defect(
        "no_second_look",
        "A21",
        "nobody looks again whether the path had made a twin",
        "twins",
        20,
        (
            Change(
                DELIVERIES,
                "second_probe_at=second_probe_due_at(now) if armed else d.second_probe_at",
                "second_probe_at=d.second_probe_at",
            ),
        ),
    ),
    Defect(
        "second_look_only_after_doubt",
        "A21",
        "only an Absent arms the second look",
        "twins",
        20,
        (Change(DELIVERIES, "armed = d.kind is Kind.CREATE or step.second_probe", "armed = d.attempt > 9"),),
    ),
    Defect(
        "twins_not_counted",
        "A22",
        "the second look does not count",
        "twins",
        20,
        (
            Change(
                DOUBT,
                'if len(ids) > 1:\n        found.append(f"{d.subject} has several',
                'if len(ids) > 9:\n        found.append(f"{d.subject} has several',
            ),
        ),
    ),
    Defect(
        "no_spacing",
        "A23",
        "two contents are on their way to one record at once",
        "echo",
        20,
        (Change(DOUBT, "return max(0.0, min(span, last.last_departure_at + span - now))", "return 0.0"),),
    ),
)
