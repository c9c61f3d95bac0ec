"""Deliveries: one row for each record that we keep. Every change is one UPDATE that names the state it leaves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from marketsync.domain.deliveries import Delivery, Kind, Lane, State
from marketsync.domain.ids import MerchantId
from marketsync.errors import Fenced
from marketsync.store import history
from marketsync.store.private import DROP_PAYLOAD, PUT_PAYLOAD
from marketsync.store.rows import HistoryRow
from marketsync.store.unit import Row, Unit, Violated

_KINDS = {kind.value: kind for kind in Kind}
_LANES = {lane.value: lane for lane in Lane}
_STATES = {state.value: state for state in State}

IN_FLIGHT = (State.SENT, State.WAITING, State.IN_DOUBT)

_INSERT = """INSERT INTO deliveries (id, merchant, kind, target, subject, order_ref, lane, state, wanted, sent, done,
    attempt, step, unsettled, payload_hash, checkpoint, due_at, first_departure_at, last_departure_at, doubt_boot,
    doubt_since, doubt_wait_seconds, send_by, second_probe_at, failures, error, created_seq, sent_seq, done_seq)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""

# A7: guarded by the holder's epoch and by state, attempt, step and generation of the row that was read.
_MOVE = """UPDATE deliveries SET lane = ?, state = ?, wanted = ?, sent = ?, done = ?, attempt = ?, step = ?,
    unsettled = ?, payload_hash = ?, checkpoint = ?, due_at = ?, first_departure_at = ?, last_departure_at = ?,
    doubt_boot = ?, doubt_since = ?, doubt_wait_seconds = ?, send_by = ?, second_probe_at = ?, failures = ?, error = ?,
    sent_seq = ?, done_seq = ?
    WHERE merchant = ? AND id = ? AND state = ? AND attempt = ? AND step = ? AND wanted = ?
    AND (SELECT epoch FROM lease WHERE merchant = '*') = ?"""

# An index of its own serves each of the two, where its condition stands in the query word for word.
_FLYING = """SELECT * FROM delivery_rows WHERE merchant = ? AND target = ?
    AND state IN ('sent', 'waiting', 'in_doubt') AND state IN (?, ?, ?) ORDER BY id LIMIT ?"""
_UNFINISHED = """SELECT * FROM delivery_rows WHERE merchant = ? AND target = ?
    AND state IN ('queued', 'sent', 'waiting', 'in_doubt', 'parked') AND state IN (?, ?, ?) ORDER BY id LIMIT ?"""


async def insert(unit: Unit, rows: Sequence[Delivery]) -> None:
    await unit.execute_many(_INSERT, [_inserted(row) for row in rows])
    payloads = [(row.merchant, row.id, row.payload) for row in rows if row.payload]
    if payloads:
        await unit.execute_many(PUT_PAYLOAD, payloads)


async def move(unit: Unit, before: Delivery, after: Delivery, event: str, at: datetime) -> None:
    """Fenced if the row is not as `before` any more, or another of its order is in flight: nothing is changed."""
    await move_many(unit, [(before, after, event)], at)


async def move_many(unit: Unit, moves: Sequence[tuple[Delivery, Delivery, str]], at: datetime) -> None:
    """All of them or, by Fenced, none; `event` names the arrow for the history."""
    try:
        moved = await unit.execute_many(
            _MOVE, [_moved(before, after, unit.epoch) for before, after, _ in moves]
        )
    except Violated as error:
        raise Fenced(f"{_named(moves)}: another delivery of the same order is in flight") from error
    if moved != len(moves):
        raise Fenced(f"{_named(moves)}: moved by somebody else meanwhile")
    await _keep_payloads(unit, moves)
    for before, after, event in moves:
        detail = f"{before.kind.value} {before.target}: {before.state.value} -> {after.state.value}"
        history.add(unit, HistoryRow(MerchantId(before.merchant), before.order_ref, at, event, detail))


async def live(
    unit: Unit, merchant: str, kind: Kind, target: str, subjects: Sequence[str]
) -> dict[str, Delivery]:
    """The one row of each subject, in whatever state."""
    rows = await unit.fetch(
        "SELECT * FROM delivery_rows WHERE merchant = ? AND target = ? AND kind = ? AND subject = ANY(?)",
        merchant, target, kind.value, list(subjects),
    )  # fmt: skip
    return {row[4]: _delivery(row) for row in rows}


async def get(unit: Unit, delivery_id: int) -> Delivery | None:
    return (await get_many(unit, [delivery_id])).get(delivery_id)


async def get_many(unit: Unit, ids: Sequence[int]) -> dict[int, Delivery]:
    rows = await unit.fetch("SELECT * FROM delivery_rows WHERE id = ANY(?)", list(ids))
    return {row[0]: _delivery(row) for row in rows}


async def of_order(unit: Unit, merchant: str, order_ref: str) -> list[Delivery]:
    rows = await unit.fetch(
        "SELECT * FROM delivery_rows WHERE merchant = ? AND order_ref = ? ORDER BY created_seq, id",
        merchant,
        order_ref,
    )
    return [_delivery(row) for row in rows]


async def queue_of(unit: Unit, merchant: str, target: str, order_ref: str) -> list[Delivery]:
    """All rows of an order at one target, finished ones too, in the order of A1."""
    return (await queues_of(unit, merchant, target, [order_ref]))[order_ref]


async def queues_of(
    unit: Unit, merchant: str, target: str, order_refs: Sequence[str]
) -> dict[str, list[Delivery]]:
    """All rows of these orders at one target, finished ones too, in the order of A1."""
    rows = await unit.fetch(
        """SELECT * FROM delivery_rows WHERE merchant = ? AND target = ? AND order_ref = ANY(?)
            ORDER BY created_seq, id""",
        merchant, target, list(order_refs),
    )  # fmt: skip
    queues: dict[str, list[Delivery]] = {ref: [] for ref in order_refs}
    for row in rows:
        queues[row[5]].append(_delivery(row))
    return queues


async def due(
    unit: Unit, merchant: str, target: str, now: float, limit: int
) -> tuple[list[Delivery], float | None]:
    """Queued rows whose time has come and that A1 lets go, by lane, time and id; and unix seconds of the first one that is
    due later, whether or not another blocks it."""
    lanes = await _lanes(unit, merchant, target, now)
    found: list[Delivery] = []
    for lane, first, _ in lanes:
        if first is not None and first <= now and len(found) < limit:
            found += await _due_in_lane(unit, merchant, target, lane, now, limit - len(found))
    return found, min((later for _, _, later in lanes if later is not None), default=None)


async def oldest_queued(unit: Unit, merchant: str, target: str) -> float | None:
    """Unix seconds since when the row that waits longest could have gone."""
    lanes = await _lanes(unit, merchant, target, 0.0)
    return min((first for _, first, _ in lanes if first is not None), default=None)


async def in_state(
    unit: Unit, merchant: str, target: str, states: Sequence[State], limit: int
) -> list[Delivery]:
    """Unfinished rows in these states, three at most, by id."""
    names = [state.value for state in states]
    narrow = all(state in IN_FLIGHT for state in states)
    rows = await unit.fetch(
        _FLYING if narrow else _UNFINISHED, merchant, target, *(names * 3)[:3], limit,
    )  # fmt: skip
    return [_delivery(row) for row in rows]


async def second_probes_due(unit: Unit, merchant: str, target: str, now: float, limit: int) -> list[Delivery]:
    """A21: settled rows that must be looked at once more."""
    rows = await unit.fetch(
        """SELECT * FROM delivery_rows WHERE merchant = ? AND target = ? AND second_probe_at <= ?
            AND second_probe_at IS NOT NULL AND state IN ('done', 'cancelled') ORDER BY second_probe_at, id LIMIT ?""",
        merchant, target, now, limit,
    )  # fmt: skip
    return [_delivery(row) for row in rows]


async def counts(unit: Unit, merchant: str) -> dict[tuple[str, Kind, State], int]:
    """How many unfinished rows there are by (target, kind, state)."""
    rows = await unit.fetch(
        """SELECT target, kind, state, COUNT(*) FROM deliveries WHERE merchant = ?
            AND state IN ('queued', 'sent', 'waiting', 'in_doubt', 'parked')
            GROUP BY target, kind, state ORDER BY target, kind, state""",
        merchant,
    )  # fmt: skip
    return {(target, Kind(kind), State(state)): count for target, kind, state, count in rows}


async def put_items(unit: Unit, delivery_id: int, items: Sequence[tuple[str, int]]) -> None:
    """What one bulk write carries, in place of what it carried before."""
    merchant = await _merchant_of(unit, delivery_id)
    await unit.execute("DELETE FROM batch_items WHERE merchant = ? AND delivery = ?", merchant, delivery_id)
    await unit.execute_many(
        """INSERT INTO batch_items (merchant, delivery, subject, quantity, settled, error)
            VALUES (?, ?, ?, ?, 0, '')""",
        [(merchant, delivery_id, subject, quantity) for subject, quantity in items],
    )


async def items(unit: Unit, delivery_id: int) -> list[tuple[str, int]]:
    """(subject, quantity) of the items that are not settled yet."""
    rows = await unit.fetch(
        """SELECT subject, quantity FROM batch_items WHERE delivery = ? AND settled = 0
            AND merchant = (SELECT merchant FROM deliveries WHERE id = ?) ORDER BY subject""",
        delivery_id, delivery_id,
    )  # fmt: skip
    return [(subject, quantity) for subject, quantity in rows]


async def settle_items(unit: Unit, delivery_id: int, results: Sequence[tuple[str, str]]) -> None:
    """(subject, error), the error "" where it was applied."""
    merchant = await _merchant_of(unit, delivery_id)
    await unit.execute_many(
        "UPDATE batch_items SET settled = 1, error = ? WHERE merchant = ? AND delivery = ? AND subject = ?",
        [(error, merchant, delivery_id, subject) for subject, error in results],
    )


async def _lanes(
    unit: Unit, merchant: str, target: str, now: float
) -> list[tuple[Lane, float | None, float | None]]:
    """Each lane with the times of its first queued row, and of its first one that is due later than `now`."""
    rows = await unit.fetch(
        """WITH lanes (lane) AS (VALUES (0), (1), (2), (3), (4))
            SELECT lane,
                (SELECT MIN(d.due_at) FROM deliveries d WHERE d.merchant = ? AND d.target = ?
                    AND d.lane = lanes.lane AND d.state = 'queued'),
                (SELECT MIN(d.due_at) FROM deliveries d WHERE d.merchant = ? AND d.target = ?
                    AND d.lane = lanes.lane AND d.state = 'queued' AND d.due_at > ?)
            FROM lanes ORDER BY lane""",
        merchant, target, merchant, target, now,
    )  # fmt: skip
    return [(Lane(lane), first, later) for lane, first, later in rows]


async def _due_in_lane(
    unit: Unit, merchant: str, target: str, lane: Lane, now: float, limit: int
) -> list[Delivery]:
    rows = await unit.fetch(
        """SELECT d.* FROM delivery_rows d
            WHERE d.merchant = ? AND d.target = ? AND d.lane = ? AND d.state = 'queued' AND d.due_at <= ?
            AND NOT EXISTS (SELECT 1 FROM deliveries b WHERE b.merchant = d.merchant AND b.target = d.target
                AND b.order_ref = d.order_ref AND b.id <> d.id
                AND b.state IN ('queued', 'sent', 'waiting', 'in_doubt', 'parked')
                AND (b.state <> 'queued' OR b.created_seq < d.created_seq
                    OR (b.created_seq = d.created_seq AND b.id < d.id)))
            ORDER BY d.due_at, d.id LIMIT ?""",
        merchant, target, int(lane), now, limit,
    )  # fmt: skip
    return [_delivery(row) for row in rows]


async def _keep_payloads(unit: Unit, moves: Sequence[tuple[Delivery, Delivery, str]]) -> None:
    put = [
        (after.merchant, after.id, after.payload) for before, after, _ in moves if _new_payload(before, after)
    ]
    drop = [(after.merchant, after.id) for before, after, _ in moves if before.payload and not after.payload]
    if put:
        await unit.execute_many(PUT_PAYLOAD, put)
    if drop:
        await unit.execute_many(DROP_PAYLOAD, drop)


def _new_payload(before: Delivery, after: Delivery) -> bool:
    return bool(after.payload) and after.payload != before.payload


async def _merchant_of(unit: Unit, delivery_id: int) -> str:
    rows = await unit.fetch("SELECT merchant FROM deliveries WHERE id = ?", delivery_id)
    if not rows:
        raise Fenced(f"delivery {delivery_id} is gone")
    return str(rows[0][0])


def _named(moves: Sequence[tuple[Delivery, Delivery, str]]) -> str:
    return "delivery " + ", ".join(str(before.id) for before, _, _ in moves[:5])


def _inserted(d: Delivery) -> Row:
    return (
        d.id, d.merchant, d.kind.value, d.target, d.subject, d.order_ref, int(d.lane), d.state.value, d.wanted, d.sent,
        d.done, d.attempt, d.step, int(d.unsettled), d.payload_hash, d.checkpoint, d.due_at, d.first_departure_at,
        d.last_departure_at, d.doubt_boot, d.doubt_since, d.doubt_wait_seconds, d.send_by, d.second_probe_at,
        d.failures, d.error, d.created_seq, d.sent_seq, d.done_seq,
    )  # fmt: skip


def _moved(before: Delivery, d: Delivery, epoch: int) -> Row:
    return (
        int(d.lane), d.state.value, d.wanted, d.sent, d.done, d.attempt, d.step, int(d.unsettled), d.payload_hash,
        d.checkpoint, d.due_at, d.first_departure_at, d.last_departure_at, d.doubt_boot, d.doubt_since,
        d.doubt_wait_seconds, d.send_by, d.second_probe_at, d.failures, d.error, d.sent_seq, d.done_seq,
        before.merchant, before.id, before.state.value, before.attempt, before.step, before.wanted, epoch,
    )  # fmt: skip


def _delivery(row: Row) -> Delivery:
    values = list(row)
    values[2], values[6], values[7] = _KINDS[row[2]], _LANES[row[6]], _STATES[row[7]]
    values[13], values[14] = bool(row[13]), row[14] or b""
    return Delivery(*values)
