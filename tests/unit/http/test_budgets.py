from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketsync.errors import ConfigError, Retry
from marketsync.http import Budget, Budgets

NewClock = Callable[[], Any]


async def user(
    budgets: Budgets, clock: Any, left: list[float], pauses: list[float], *, reserving: bool
) -> None:
    for pause in pauses:
        if pause:
            await clock.sleep(pause)
        if reserving:
            await budgets.reserve("calls", 1e9)
            await clock.sleep(0.3)
            if not budgets.spend("calls"):
                await budgets.acquire("calls", 1e9)
        else:
            await budgets.acquire("calls", 1e9)
        left.append(clock.monotonic())


@pytest.mark.requirement("R30")
@pytest.mark.requirement("R31")
@pytest.mark.failure(36)
@settings(max_examples=60)
@given(
    calls=st.integers(1, 12),
    burst=st.integers(1, 12),
    users=st.lists(
        st.tuples(
            st.booleans(), st.lists(st.sampled_from([0.0, 0.0, 0.5, 7.0, 61.0]), min_size=1, max_size=12)
        ),
        min_size=1,
        max_size=4,
    ),
    block=st.sampled_from([0.0, 5.0, 90.0]),
)
def test_no_window_holds_more_than_its_calls(
    new_clock: NewClock, calls: int, burst: int, users: list[tuple[bool, list[float]]], block: float
) -> None:
    """Concurrent users, with and without reservations, idle times and a storm in the middle."""
    burst = min(burst, calls)
    left: list[float] = []

    async def run() -> float:
        clock = new_clock()
        budgets = Budgets(clock, (Budget("calls", calls, 60.0, burst),))

        async def storm() -> None:
            await clock.sleep(3.0)
            budgets.block("calls", block)

        work = [user(budgets, clock, left, pauses, reserving=reserving) for reserving, pauses in users]
        results = await clock.run(*work, *([storm()] if block else []))
        assert [result for result in results if result is not None] == []
        return float(clock.time)

    asyncio.run(run())
    assert len(left) == sum(len(pauses) for _, pauses in users)
    left.sort()
    for begin in left:
        assert sum(begin <= moment < begin + 60.0 - 1e-6 for moment in left) <= calls
        assert sum(begin <= moment < begin + 1e-6 for moment in left) <= burst
        if block:
            assert not 1003.0 < begin < 1003.0 + block - 1e-6


async def test_a_bucket_larger_than_its_calls_is_a_token_bucket(new_clock: NewClock) -> None:
    clock = new_clock()
    budgets = Budgets(clock, (Budget("calls", 1, 178.0, 20),))
    clock.time += 19 * 178.0
    now, left = clock.time, list[float]()
    await clock.run(user(budgets, clock, left, [0.0] * 22, reserving=False))
    assert left[:20] == [now] * 20
    assert left[20:] == pytest.approx([now + 178.0, now + 356.0])


async def test_a_token_bucket_is_not_taken_for_full_at_our_start(new_clock: NewClock) -> None:
    """The life before may have spent it a moment ago."""
    clock = new_clock()
    budgets = Budgets(clock, (Budget("calls", 1, 178.0, 20),))
    assert budgets.left("calls") == 1
    await budgets.acquire("calls", 0)
    with pytest.raises(Retry) as raised:
        await budgets.acquire("calls", 0)
    assert raised.value.after_seconds == 178.0


@pytest.mark.parametrize(
    ("stated", "interval"),
    [
        ("0.01", 100.0),
        ("0.0333", 30.03),
        ("5", 178.0),
        ("0.0001", 178.0),
        ("nan", 178.0),
        ("x", 178.0),
        ("0", 178.0),
    ],
)
async def test_the_far_side_may_tell_another_pace(new_clock: NewClock, stated: str, interval: float) -> None:
    clock = new_clock()
    budgets = Budgets(clock, (Budget("calls", 1, 178.0, 20, rate_header="x-rate"),))
    await budgets.acquire("calls", 0)
    budgets.told("calls", {"x-rate": stated})
    with pytest.raises(Retry) as raised:
        await budgets.acquire("calls", 0)
    assert raised.value.after_seconds == pytest.approx(interval, abs=0.01)


@pytest.mark.failure(2)
async def test_time_that_steps_back_counts_as_standing_still(new_clock: NewClock) -> None:
    clock = new_clock()
    budgets = Budgets(clock, (Budget("calls", 1, 60.0),))
    await budgets.acquire("calls", 0)
    clock.time -= 3600
    with pytest.raises(Retry) as raised:
        await budgets.acquire("calls", 0)
    assert raised.value.after_seconds == 60.0
    clock.time += 60
    await budgets.acquire("calls", 0)


async def test_who_waits_is_served_in_order_and_may_leave_the_queue(new_clock: NewClock) -> None:
    clock = new_clock()
    budgets = Budgets(clock, (Budget("calls", 1, 10.0),))
    served: list[tuple[str, float]] = []

    async def wait(name: str) -> None:
        await budgets.acquire("calls", 1000)
        served.append((name, clock.monotonic()))

    await wait("a")
    tasks = {name: asyncio.ensure_future(wait(name)) for name in "bcd"}
    await asyncio.sleep(0)
    tasks["c"].cancel()
    await clock.run(*tasks.values())
    assert served == [("a", 1000.0), ("b", 1010.0), ("d", 1020.0)]


async def test_the_queue_counts_when_a_wait_is_refused(new_clock: NewClock) -> None:
    clock = new_clock()
    budgets = Budgets(clock, (Budget("calls", 1, 10.0),))
    await budgets.acquire("calls", 0)
    waiting = asyncio.ensure_future(budgets.acquire("calls", 15))
    await asyncio.sleep(0)
    with pytest.raises(Retry) as raised:
        await budgets.acquire("calls", 15)
    assert raised.value.after_seconds == 20.0
    await clock.run(waiting)


async def test_a_reservation_that_nobody_uses_is_forgotten_after_its_period(new_clock: NewClock) -> None:
    clock = new_clock()
    budgets = Budgets(clock, (Budget("calls", 1, 10.0),))
    await budgets.reserve("calls", 0)
    clock.time += 9.0
    assert budgets.spend("calls")
    assert not budgets.spend("calls")
    await clock.run(budgets.reserve("calls", 100))
    assert clock.time == pytest.approx(1019.0)
    clock.time += 10.0
    assert not budgets.spend("calls")


async def test_a_reserved_call_counts_from_when_it_leaves(new_clock: NewClock) -> None:
    """The far side's bucket holds one: two calls that leave together would find it empty."""
    clock = new_clock()
    budgets = Budgets(clock, (Budget("calls", 10, 10.0),))
    await budgets.reserve("calls", 0)
    clock.time += 1.0
    assert budgets.spend("calls")
    with pytest.raises(Retry):
        await budgets.acquire("calls", 0.9)
    clock.time += 1.0
    await budgets.acquire("calls", 0)


@pytest.mark.failure(36)
async def test_a_block_stops_reserved_calls_too_and_other_budgets_go_on(new_clock: NewClock) -> None:
    clock = new_clock()
    budgets = Budgets(clock, (Budget("calls", 10, 10.0, 10), Budget("other", 10, 10.0, 10)))
    await budgets.reserve("calls", 0)
    budgets.block("calls", 5)
    assert not budgets.spend("calls")
    assert budgets.left("calls") == 0
    assert budgets.left("other") == 10
    clock.time += 5
    assert budgets.spend("calls")
    assert budgets.left("calls") == 1


def test_one_name_has_one_meaning(new_clock: NewClock) -> None:
    budgets = Budgets(new_clock(), (Budget("calls", 1, 10.0),))
    budgets.add((Budget("calls", 1, 10.0), Budget("more", 2, 1.0)))
    assert "more" in budgets
    assert "less" not in budgets
    with pytest.raises(ConfigError):
        budgets.add((Budget("calls", 2, 10.0),))
    with pytest.raises(ConfigError):
        Budgets(new_clock(), (Budget("none", 0, 10.0),))
