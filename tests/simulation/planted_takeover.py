"""Defects of a daemon that wakes beside its successor."""

from __future__ import annotations

from tests.simulation.planting import Change, Defect

TAKEOVERS: tuple[Defect, ...] = (
    Defect(
        "deadline_left_behind",
        "A3",
        "a request leaves without its send-by deadline, however long it was held",
        "takeover",
        20,
        (
            Change(
                "marketsync/http/client.py",
                "replace(request, write=True, send_by=departure.send_by)",
                "replace(request, write=True)",
            ),
        ),
    ),
    Defect(
        "late_outcome_counts",
        "A7",
        "an outcome is taken for that of the attempt in flight; the epoch would stop it, so its guard is gone, too",
        "woken",
        20,
        (
            Change(
                "marketsync/domain/deliveries.py",
                "return d.attempt == attempt and d.state is state",
                "return d.state is state",
            ),
            Change(
                "marketsync/store/deliveries.py",
                "AND (SELECT epoch FROM lease WHERE merchant = '*') = ?",
                "AND (SELECT epoch FROM lease WHERE merchant = '*') >= ?",
            ),
        ),
    ),
    Defect(
        "woken_works_on",
        "A7",
        "whose store was taken over goes on with all that has no guard of its own, and never ends",
        "takeover",
        20,
        (
            Change(
                "marketsync/store/writer.py",
                "if await self._session.fetch(_HELD_BY) != [(self._holder.epoch,)]:",
                "if await self._session.fetch(_HELD_BY) < [(self._holder.epoch,)]:",
            ),
        ),
    ),
)
