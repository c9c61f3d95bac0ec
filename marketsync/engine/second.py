"""The second look at what is settled: count, content and existence, once more within a day (A21, A22)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from msgspec.structs import replace

from marketsync.domain.deliveries import (
    Absent,
    Delivery,
    Kind,
    ProbeAnswer,
    State,
    StepSpec,
    second_probe_due_at,
)
from marketsync.domain.doubt import after_second_probe, believed
from marketsync.engine.context import BackOfficeLink, Core, MarketplaceLink
from marketsync.engine.payloads import Built, Drafts
from marketsync.engine.settling import Move, Settling
from marketsync.errors import Park
from marketsync.ports import Payload, ProbeSpan
from marketsync.store import Unit, deliveries, links

BATCH = 50
NOT_QUIET_SECONDS = 3600.0
FAILED_SECONDS = 300.0
UNDER_WAY = (State.QUEUED, State.SENT, State.WAITING, State.IN_DOUBT)

Settled = tuple[list[Delivery], list[Delivery]]
Probe = Callable[[Delivery, Payload, int, ProbeSpan], Awaitable[ProbeAnswer]]


class SecondLook:
    """What has to wait is put off in the store, so that it never stands before what can be looked at."""

    def __init__(
        self, core: Core, link: MarketplaceLink | BackOfficeLink, drafts: Drafts, settling: Settling
    ) -> None:
        self._core = core
        self._link = link
        self._drafts = drafts
        self._settling = settling

    async def due(self, found: Settled) -> list[Delivery]:
        """Settled rows of quiet orders, of `split`. The others are put off for an hour: content is compared with what was done
        last, not while something newer is on its way. What waits for a person may wait for ever: beside it only the count
        is judged, and the content when it is over."""
        while True:
            quiet, others = found
            if others:
                await self._core.store.write(partial(self._rest, rows=others))
            if quiet or len(others) < BATCH:
                return quiet
            found = await self._core.store.read(self.split)

    async def put_off(self, row: Delivery, seconds: float) -> None:
        await self._core.store.write(lambda unit: self._later(unit, [row], seconds))

    async def look(self, row: Delivery, span: ProbeSpan, probe: Probe) -> None:
        draft = await self.rebuilt(row)
        if draft is None:
            await self._core.store.write(lambda unit: self._over(unit, row))
            return
        try:
            answer = await probe(row, draft.payload, 0, span)
        except Park as error:
            reason = str(error)
            await self._core.store.write(lambda unit: self._stopped(unit, row, reason))
            return
        steps = self._link.adapter.writers[row.kind].steps(draft.payload)
        began_at = span.now.timestamp()
        await self._core.store.write(lambda unit: self._judge(unit, row, steps, answer, began_at))

    async def rebuilt(self, row: Delivery) -> Built | None:
        """The payload is dropped once it is settled: a second look is made with what the record should hold now."""
        drafts = await self._core.store.read(lambda unit: self._drafts.build(unit, [row]))
        draft = drafts.get(row.id)
        return draft if isinstance(draft, Built) else None

    async def split(self, unit: Unit) -> Settled:
        """What is due a second look: of quiet orders, and of others."""
        merchant, name = self._core.merchant, self._link.name
        now = self._core.clock.now().timestamp()
        rows = await deliveries.second_probes_due(unit, merchant, name, now, BATCH)
        refs = list(dict.fromkeys(row.order_ref for row in rows))
        queues = await deliveries.queues_of(unit, merchant, name, refs) if refs else {}
        busy = {ref for ref, queue in queues.items() if _is_busy(queue)}
        quiet = [row for row in rows if row.order_ref not in busy]
        return quiet, [row for row in rows if row.order_ref in busy]

    async def _rest(self, unit: Unit, rows: Sequence[Delivery]) -> None:
        await self._later(unit, rows, NOT_QUIET_SECONDS)

    async def _later(self, unit: Unit, rows: Sequence[Delivery], seconds: float) -> None:
        """Those that moved on meanwhile are armed by whoever moved them."""
        now = self._core.clock.now()
        current = await deliveries.get_many(unit, [row.id for row in rows])
        still = [row for x in rows if (row := current.get(x.id)) is not None and row.state is x.state]
        at = now.timestamp() + seconds
        moves = [(row, replace(row, second_probe_at=at), "") for row in still if row.second_probe_at]
        await deliveries.move_many(unit, moves, now)

    async def _over(self, unit: Unit, row: Delivery) -> None:
        await deliveries.move_many(
            unit, [(row, replace(row, second_probe_at=None), "")], self._core.clock.now()
        )

    async def _stopped(self, unit: Unit, row: Delivery, reason: str) -> None:
        await self._over(unit, row)
        await self._settling.conflict(unit, row, reason, self._core.clock.now())

    async def _judge(
        self, unit: Unit, row: Delivery, steps: Sequence[StepSpec], answer: ProbeAnswer, began_at: float
    ) -> None:
        rows = await deliveries.queues_of(unit, self._core.merchant, self._link.name, [row.order_ref])
        same = rows.get(row.order_ref, ())
        if _is_busy(same):
            await self._rest(unit, [row])
            return
        known = await links.of(unit, self._core.merchant, self._link.name, row.subject)
        ids = [x.remote_id for x in known]
        cancelled = any(x.kind is Kind.CANCEL and x.state is State.DONE for x in same)
        skew = self._link.settings.skew_seconds if isinstance(self._link, BackOfficeLink) else 0.0
        answer = believed(row, steps, answer, ids, began_at=began_at, skew_seconds=skew)
        now = self._core.clock.now()
        parked = any(x.state is State.PARKED for x in same)
        expected = None if parked else row.payload_hash or None
        second = after_second_probe(
            row, answer, ids, expected_hash=expected, cancelled=cancelled, now=now.timestamp()
        )
        # A record that is gone is what the person is asked about already.
        conflicts = () if parked and isinstance(answer, Absent) else second.conflicts
        after = second.row
        if parked and not conflicts:
            after = replace(after, second_probe_at=second_probe_due_at(now.timestamp()))
        move = Move(row, after, "delivery.was_looked_at_again", second.links)
        await self._settling.carry_out(unit, [move], {})
        for text in conflicts:
            await self._settling.conflict(unit, row, text, now)


def _is_busy(queue: Sequence[Delivery]) -> bool:
    return any(row.state in UNDER_WAY for row in queue)
