"""What a loop waits for: a word, or its time."""

from __future__ import annotations

import asyncio

import pytest

from marketsync.engine.context import Wake
from tests.unit.engine.surroundings import Clock, let_run


def waiting(wake: Wake, clock: Clock, seconds: float = 30.0) -> asyncio.Future[None]:
    return asyncio.ensure_future(wake.wait(clock, seconds))


async def test_it_ends_when_its_time_has_come() -> None:
    clock = Clock()
    waiter = waiting(Wake(), clock)
    await let_run()
    clock.hand(29.9)
    await let_run()
    assert not waiter.done()
    clock.hand(0.1)
    await waiter
    assert clock.slept == [30.0]


async def test_a_word_ends_it_at_once_and_leaves_no_sleeper() -> None:
    clock, wake = Clock(), Wake()
    waiter = waiting(wake, clock)
    await let_run()
    wake.set()
    await waiter
    assert clock.sleepers == 0
    assert len(asyncio.all_tasks()) == 1


async def test_a_word_before_the_wait_is_not_lost() -> None:
    clock, wake = Clock(), Wake()
    wake.set()
    await wake.wait(clock, 30.0)
    assert clock.slept == []


async def test_a_word_is_heard_once() -> None:
    """Several words before the wait are one piece of work."""
    clock, wake = Clock(), Wake()
    wake.set()
    wake.set()
    await wake.wait(clock, 30.0)
    waiter = waiting(wake, clock)
    await let_run()
    assert not waiter.done()
    clock.hand(30.0)
    await waiter


async def test_a_word_during_the_work_between_two_waits_is_heard_at_the_second() -> None:
    clock, wake = Clock(), Wake()
    waiter = waiting(wake, clock)
    await let_run()
    wake.set()
    await waiter
    wake.set()
    await wake.wait(clock, 30.0)
    assert clock.slept == [30.0]


async def test_a_word_at_the_very_moment_of_its_time_is_heard() -> None:
    clock, wake = Clock(), Wake()
    waiter = waiting(wake, clock)
    await let_run()
    clock.hand(30.0)
    wake.set()
    await waiter
    assert wake.times == 1


async def test_words_are_counted_whether_somebody_waits_or_not() -> None:
    clock, wake = Clock(), Wake()
    wake.set()
    wake.set()
    assert wake.times == 2
    await wake.wait(clock, 1.0)
    waiter = waiting(wake, clock)
    await let_run()
    clock.hand(30.0)
    await waiter
    assert wake.times == 2


async def test_whoever_gives_up_waiting_leaves_nothing_behind() -> None:
    clock, wake = Clock(), Wake()
    waiter = waiting(wake, clock)
    await let_run()
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert clock.sleepers == 0
    assert len(asyncio.all_tasks()) == 1
    wake.set()
    await wake.wait(clock, 30.0)


async def test_a_clock_that_breaks_is_heard() -> None:
    clock = Clock()
    clock.breaks = OSError("no timer")
    with pytest.raises(OSError, match="no timer"):
        await Wake().wait(clock, 30.0)
