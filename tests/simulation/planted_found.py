"""Defects that the daemon had, and that the simulation found: each cure taken away again."""

from __future__ import annotations

from tests.simulation.planting import Change, Defect

FOUND: tuple[Defect, ...] = (
    Defect(
        "gives_up_at_start",
        "",
        "a database that is locked at the very start ends the daemon for good",
        "locked",
        20,
        (
            Change(
                "marketsync/engine/daemon.py",
                "            except Broken:\n                raise\n            except StoreError as error:\n                kind",
                "            except StoreError as error:\n                raise\n                kind",
            ),
        ),
    ),
    Defect(
        "overwritten_sale_explains_listing",
        "C17",
        "a sale that a stock write has overwritten is taken off what is listed, for it was read in a later window",
        "touched",
        20,
        (
            Change(
                "marketsync/domain/publishing.py",
                "listing.may_land or overwritten or not listing.covered",
                "listing.may_land or not listing.covered",
            ),
        ),
    ),
    Defect(
        "release_says_what_is_wanted_now",
        "A17",
        "the release is booked with what is wanted now, not with what was created",
        "waiting_edits",
        20,
        (
            Change(
                "marketsync/engine/effects.py",
                "return held_before if row.step > 0 and claim.steps else claim.target",
                "return claim.target",
            ),
        ),
    ),
    Defect(
        "moved_although_home",
        "",
        "what came home while the watch read is put in doubt by it",
        "slow_reads",
        20,
        (
            Change(
                "marketsync/engine/prober.py",
                "if row.id in before or row.id in self._dispatcher.in_flight:",
                "if row.id in self._dispatcher.in_flight:",
            ),
        ),
    ),
    Defect(
        "page_for_people_is_believed",
        "",
        "a page for people with 200 counts as the marketplace's yes",
        "html",
        20,
        (
            Change(
                "adapters/mirakl/writers.py",
                "if answer.body.strip() and not _is_json(answer.body):",
                "if answer.body.strip() and not answer.body:",
            ),
        ),
    ),
    Defect(
        "ignored_edit_counts",
        "T3",
        "an edit counts as absorbed by a figure that ignores it",
        "ignored_edits",
        20,
        (
            Change(
                "marketsync/domain/stock.py",
                "effect = facts.effects.get(event, Effect.NOTHING)\n",
                "usual = {Event.RAISE: Effect.TAKES, Event.LOWER: Effect.GIVES_BACK}\n    effect = facts.effects.get(event, usual.get(event, Effect.NOTHING))\n",
            ),
        ),
    ),
    Defect(
        "marker_not_looked_at",
        "A24",
        "an order whose create is pruned is created again when it is read again",
        "pruned",
        20,
        (
            Change(
                "marketsync/engine/planning.py",
                "if (create is not None or link_ids) and not ended:",
                "if create is not None and not ended:",
            ),
            Change(
                "marketsync/domain/sequence.py",
                "if not creates or not link_ids:",
                "if not creates or link_ids is not None:",
            ),
        ),
    ),
    Defect(
        "marker_of_a_cancel_not_looked_at",
        "A24",
        "a cancel whose row is pruned is planned again when its order is read again",
        "pruned",
        20,
        (
            Change(
                "marketsync/engine/planning.py",
                "    if any(link.kind == Kind.CANCEL.value for link in known):\n        return\n",
                "",
            ),
        ),
    ),
    Defect(
        "open_orders_are_pruned",
        "A24",
        "what is settled is pruned while its order may still change",
        "pruned",
        20,
        (
            Change(
                "marketsync/store/upkeep.py",
                "AND o.open = 1)",
                "AND o.open = 2)",
            ),
        ),
    ),
    Defect(
        "marker_is_pruned",
        "A24",
        "a marker goes with the row that left it",
        "pruned",
        20,
        (
            Change(
                "marketsync/store/upkeep.py",
                "        if ids:\n            await unit.execute(\n",
                '        if ids:\n            await unit.execute(\n                "DELETE FROM links WHERE merchant = ? AND NOT EXISTS (SELECT 1 FROM deliveries d"\n                " WHERE d.target = links.target AND d.subject = links.subject AND d.kind = links.kind)",\n                merchant,\n            )\n            await unit.execute(\n',
            ),
        ),
    ),
    Defect(
        "coverage_is_not_written",
        "B4",
        "what was read is never claimed, and is read for ever",
        "standard",
        20,
        (
            Change(
                "marketsync/store/coverage.py",
                "    await _rewrite(unit, merchant, connection, held, joined)\n    return joined",
                "    return joined",
            ),
        ),
    ),
)
