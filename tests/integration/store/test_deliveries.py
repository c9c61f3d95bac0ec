"""Deliveries: the guarded UPDATE, A1 in the database, what is due."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from marketsync.domain.deliveries import Delivery, Kind, Lane, State
from marketsync.domain.sequence import next_runnable
from marketsync.errors import Fenced
from marketsync.store import Store, Unit, Violated, deliveries, history, private
from tests.integration.store.conftest import Engine, Write
from tests.integration.store.examples import MERCHANT, NOW, SHOP, delivery, done, in_doubt, ref, sent


async def test_a_row_comes_back_as_it_went_in(write: Write, read: Write) -> None:
    row = sent(
        delivery(), checkpoint='{"receipt":"r"}', error="e", failures=2, doubt_boot="b", doubt_since=1.5
    )
    await write(deliveries.insert, [row, delivery(2, lane=Lane.BULK)])
    assert await read(deliveries.get, 1) == row
    assert (await read(deliveries.get, 2)).lane is Lane.BULK
    assert await read(deliveries.get, 3) is None
    assert await read(deliveries.get_many, [2, 1, 9]) == {1: row, 2: delivery(2, lane=Lane.BULK)}


async def test_a_life_with_its_payload_and_history(write: Write, read: Write) -> None:
    queued = delivery()
    left = sent(queued)
    over = done(left)
    await write(deliveries.insert, [queued])
    await write(deliveries.move, queued, left, "delivery.was_sent", NOW)
    assert await read(deliveries.get, 1) == left
    assert await read(private.payload, 1) == b'{"frozen":1}'
    await write(deliveries.move, left, over, "delivery.was_done", NOW)
    assert await read(deliveries.get, 1) == over
    assert await read(private.payload, 1) is None
    events = [row.event for row in await read(history.of, MERCHANT, ref(1), 10)]
    assert events == ["delivery.was_sent", "delivery.was_done"]


@pytest.mark.rule("A7")
@pytest.mark.trace("A", 8)
@pytest.mark.parametrize(
    "stale",
    [
        {"state": State.IN_DOUBT},
        {"attempt": 0},
        {"attempt": 2},
        {"wanted": 2},
        {"step": 1},
        {"id": 7},
        {"merchant": "other"},
    ],
)
async def test_whoever_comes_late_changes_nothing(write: Write, read: Write, stale: dict[str, Any]) -> None:
    row = sent(delivery())
    await write(deliveries.insert, [row])
    with pytest.raises(Fenced):
        await write(deliveries.move, replace(row, **stale), done(row), "delivery.was_done", NOW)
    assert await read(deliveries.get, 1) == row
    assert await read(history.of, MERCHANT, ref(1), 10) == []


@pytest.mark.rule("A7")
async def test_a_holder_of_an_older_epoch_changes_nothing(store: Store, write: Write, read: Write) -> None:
    row = delivery()
    await write(deliveries.insert, [row])

    async def taken_over_meanwhile(unit: Unit) -> None:
        store.epoch -= 1
        await deliveries.move(unit, row, sent(row), "delivery.was_sent", NOW)

    with pytest.raises(Fenced):
        await store.write(taken_over_meanwhile)
    assert await read(deliveries.get, 1) == row


async def test_many_moves_are_all_or_none(write: Write, read: Write) -> None:
    rows = [delivery(n) for n in range(1, 4)]
    await write(deliveries.insert, rows)
    stale = [(row, sent(row), "sent") for row in rows[:2]] + [(sent(rows[2]), done(sent(rows[2])), "done")]
    with pytest.raises(Fenced):
        await write(deliveries.move_many, stale, NOW)
    assert [row.state for row in (await read(deliveries.get_many, [1, 2, 3])).values()] == [State.QUEUED] * 3
    await write(deliveries.move_many, stale[:2], NOW)
    found = await read(deliveries.get_many, [1, 2, 3])
    assert [found[n].state for n in (1, 2, 3)] == [State.SENT, State.SENT, State.QUEUED]
    assert found[1].payload == b'{"frozen":1}'


@pytest.mark.rule("A1")
@pytest.mark.parametrize(
    "first", [sent(delivery()), in_doubt(sent(delivery())), sent(delivery(), state=State.WAITING)]
)
async def test_the_database_refuses_a_second_one_in_flight(write: Write, first: Delivery) -> None:
    update = delivery(2, kind=Kind.UPDATE, order_ref=ref(1), subject="u")
    elsewhere = delivery(3, order_ref=ref(1), subject="c", target="market")
    await write(deliveries.insert, [first, update, elsewhere])
    with pytest.raises(Fenced, match="in flight"):
        await write(deliveries.move, update, sent(update), "delivery.was_sent", NOW)
    await write(deliveries.move, elsewhere, sent(elsewhere), "delivery.was_sent", NOW)


async def test_one_row_for_each_subject(write: Write) -> None:
    await write(deliveries.insert, [delivery()])
    with pytest.raises(Violated):
        await write(deliveries.insert, [delivery(2, subject=ref(1))])
    await write(deliveries.insert, [delivery(3, subject=ref(1), kind=Kind.UPDATE)])


@pytest.mark.parametrize(
    "broken",
    [
        sent(delivery(), send_by=0.0),
        sent(delivery(), attempt=0),
        sent(delivery(), sent_seq=None),
        replace(in_doubt(sent(delivery())), doubt_boot=""),
        replace(in_doubt(sent(delivery())), unsettled=False),
        delivery(unsettled=True),
        delivery(order_ref=""),
        done(sent(delivery()), done=0),
        done(sent(delivery()), unsettled=True),
        delivery(done=2),
    ],
)
async def test_a_state_that_cannot_be_is_refused(write: Write, broken: Delivery) -> None:
    with pytest.raises(Violated):
        await write(deliveries.insert, [broken])


async def test_what_is_found_by_subject_order_and_queue(write: Write, read: Write) -> None:
    create = done(sent(delivery(1)))
    update = delivery(2, kind=Kind.UPDATE, subject="u", order_ref=ref(1))
    confirm = delivery(3, kind=Kind.CONFIRM, subject="p", order_ref=ref(1), target="market")
    await write(deliveries.insert, [create, update, confirm, delivery(4)])
    assert await read(deliveries.live, MERCHANT, Kind.CREATE, SHOP, [ref(1), "u", "no"]) == {ref(1): create}
    assert await read(deliveries.of_order, MERCHANT, ref(1)) == [create, update, confirm]
    assert await read(deliveries.queue_of, MERCHANT, SHOP, ref(1)) == [create, update]
    assert await read(deliveries.queues_of, MERCHANT, SHOP, [ref(1), "none"]) == {
        ref(1): [create, update],
        "none": [],
    }


async def test_due_is_by_lane_then_time(write: Write, read: Write) -> None:
    rows = [
        delivery(1, due_at=30.0),
        delivery(2, due_at=20.0),
        delivery(3, due_at=40.0, kind=Kind.CONFIRM, lane=Lane.CONFIRM),
        delivery(4, due_at=500.0),
        delivery(5, due_at=10.0, target="market"),
        delivery(6, due_at=5.0, lane=Lane.BULK),
        delivery(7, due_at=20.0),
    ]
    await write(deliveries.insert, rows)

    async def due(now: float, limit: int, target: str = SHOP) -> tuple[list[int], float | None]:
        rows, following = await read(deliveries.due, MERCHANT, target, now, limit)
        return [row.id for row in rows], following

    assert await due(100.0, 9) == ([3, 2, 7, 1, 6], 500.0)
    assert await due(100.0, 3) == ([3, 2, 7], 500.0)
    assert await due(9.0, 9) == ([6], 20.0)
    assert await due(0.0, 9) == ([], 5.0)
    assert await due(1000.0, 1, "nobody") == ([], None)
    assert await read(deliveries.oldest_queued, MERCHANT, SHOP) == 5.0


def _rows(drawn: list[tuple[int, str, int, State, float]]) -> list[Delivery]:
    rows: list[Delivery] = []
    out: set[str] = set()
    for number, (order, _, created, state, due_at) in enumerate(drawn, start=1):
        row = delivery(number, order_ref=f"o{order}", created_seq=created, due_at=due_at)
        if state in deliveries.IN_FLIGHT:
            if row.order_ref in out:
                continue
            out.add(row.order_ref)
            row = in_doubt(sent(row)) if state is State.IN_DOUBT else sent(row, state=state)
        elif state is State.DONE:
            row = done(sent(row))
        rows.append(replace(row, state=state))
    return rows


@pytest.mark.rule("A1")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.integers(1, 3),
            st.just(""),
            st.integers(1, 6),
            st.sampled_from(list(State)),
            st.sampled_from([5.0, 50.0]),
        ),
        max_size=9,
    )
)
def test_due_agrees_with_the_rule(
    sequence_runner: Any, drawn: list[tuple[int, str, int, State, float]]
) -> None:
    rows = _rows(drawn)
    expected = sorted(row.id for row in next_runnable(rows, now=10.0))
    assert sorted(sequence_runner(rows)) == expected


@pytest.fixture
def sequence_runner(engine_runner: Any) -> Any:
    async def run(store: Store, rows: list[Delivery]) -> list[int]:
        class Undo(Exception):
            pass

        found: list[int] = []

        async def unit(work: Unit) -> None:
            await deliveries.insert(work, rows)
            rows_due, _ = await deliveries.due(work, MERCHANT, SHOP, 10.0, 100)
            found.extend(row.id for row in rows_due)
            raise Undo

        with pytest.raises(Undo):
            await store.write(unit)
        return found

    return lambda rows: engine_runner(lambda store: run(store, rows))


async def test_states_and_counts(write: Write, read: Write) -> None:
    rows = [
        delivery(1), sent(delivery(2)), in_doubt(sent(delivery(3))), sent(delivery(4), state=State.WAITING),
        delivery(5, state=State.PARKED), done(sent(delivery(6))), delivery(7, target="market"),
    ]  # fmt: skip
    await write(deliveries.insert, rows)

    async def ids(target: str, *states: State) -> list[int]:
        return [row.id for row in await read(deliveries.in_state, MERCHANT, target, states, 10)]

    assert await ids(SHOP, State.SENT) == [2]
    assert await ids(SHOP, State.SENT, State.IN_DOUBT) == [2, 3]
    assert await ids(SHOP, State.SENT, State.IN_DOUBT, State.WAITING) == [2, 3, 4]
    assert await ids(SHOP, State.QUEUED, State.SENT) == [1, 2]
    assert await ids(SHOP, State.SENT, State.IN_DOUBT, State.PARKED) == [2, 3, 5]
    assert await ids("market", State.SENT, State.IN_DOUBT, State.WAITING) == []
    assert await ids("market", State.QUEUED) == [7]
    assert await read(deliveries.counts, MERCHANT) == {
        ("market", Kind.CREATE, State.QUEUED): 1,
        ("shop", Kind.CREATE, State.IN_DOUBT): 1,
        ("shop", Kind.CREATE, State.PARKED): 1,
        ("shop", Kind.CREATE, State.QUEUED): 1,
        ("shop", Kind.CREATE, State.SENT): 1,
        ("shop", Kind.CREATE, State.WAITING): 1,
    }


@pytest.mark.rule("A21")
async def test_second_probes_are_due_once_settled(write: Write, read: Write) -> None:
    rows = [
        done(sent(delivery(1), second_probe_at=10.0)), sent(delivery(2), second_probe_at=10.0),
        done(sent(delivery(3), second_probe_at=5.0)), done(sent(delivery(4), second_probe_at=90.0)),
        done(sent(delivery(5), second_probe_at=None)),
    ]  # fmt: skip
    await write(deliveries.insert, rows)
    assert [row.id for row in await read(deliveries.second_probes_due, MERCHANT, SHOP, 20.0, 9)] == [3, 1]


async def test_items_of_a_bulk_write_settle_one_by_one(write: Write, read: Write) -> None:
    await write(deliveries.insert, [delivery()])
    await write(deliveries.put_items, 1, [("b", 2), ("a", 0), ("c", 5)])
    await write(deliveries.settle_items, 1, [("a", ""), ("c", "unknown SKU")])
    assert await read(deliveries.items, 1) == [("b", 2)]
    await write(deliveries.put_items, 1, [("d", 1)])
    assert await read(deliveries.items, 1) == [("d", 1)]


async def test_due_reads_only_its_partial_index(sqlite_engine: Engine) -> None:
    store = await sqlite_engine.open()
    sql = """EXPLAIN QUERY PLAN SELECT * FROM delivery_rows WHERE merchant = ? AND target = ? AND lane = ?
        AND state = 'queued' AND due_at <= ? ORDER BY due_at, id LIMIT ?"""
    plan = await store.read(lambda unit: unit.fetch(sql, "main", "shop", 2, 10.0, 5))
    text = " ".join(str(row[3]) for row in plan)
    assert "deliveries_due" in text
    assert "TEMP B-TREE" not in text
