"""Items that wait together: one unit for all, and to each its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from marketsync.engine.batch import BATCH_MAX, Batch
from tests.unit.engine.surroundings import Clock, let_run


class Work:
    """Doubles each number. `bad` fails whatever batch holds it, `refused` only itself."""

    def __init__(self, *, bad: Sequence[int] = (), refused: Sequence[int] = ()) -> None:
        self.batches: list[list[int]] = []
        self.bad = bad
        self.refused = refused
        self.free = asyncio.Event()
        self.free.set()

    async def __call__(self, items: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(items))
        await self.free.wait()
        for item in items:
            if item in self.bad:
                raise ValueError(f"bad {item}")
        return [KeyError(item) if item in self.refused else item * 2 for item in items]


async def submit_all(batch: Batch[int, int], items: Sequence[int]) -> list[int | BaseException]:
    return await asyncio.gather(*(batch.submit(item) for item in items), return_exceptions=True)


async def test_what_waits_together_is_one_batch_in_its_order() -> None:
    work = Work()
    assert await submit_all(Batch(work, Clock(hurries=True)), [3, 1, 2]) == [6, 2, 4]
    assert work.batches == [[3, 1, 2]]


async def test_the_next_batch_gathers_while_one_is_at_work() -> None:
    work = Work()
    work.free.clear()
    batch = Batch(work, Clock(hurries=True))
    first = asyncio.ensure_future(batch.submit(1))
    await let_run()
    rest = [asyncio.ensure_future(batch.submit(n)) for n in (2, 3)]
    await let_run()
    assert work.batches == [[1]]
    work.free.set()
    assert [await first, *[await x for x in rest]] == [2, 4, 6]
    assert work.batches == [[1], [2, 3]]


async def test_a_batch_has_its_limit_and_nothing_is_left_behind() -> None:
    work = Work()
    items = list(range(BATCH_MAX * 2 + 1))
    assert await submit_all(Batch(work, Clock(hurries=True)), items) == [n * 2 for n in items]
    assert [len(batch) for batch in work.batches] == [BATCH_MAX, BATCH_MAX, 1]


async def test_whoever_comes_after_the_last_batch_starts_another() -> None:
    work = Work()
    batch = Batch(work, Clock(hurries=True))
    assert await batch.submit(1) == 2
    await let_run()
    assert await batch.submit(2) == 4
    assert work.batches == [[1], [2]]


async def test_an_answer_that_is_an_exception_is_raised_to_its_submitter_alone() -> None:
    work = Work(refused=[2])
    one, two, three = await submit_all(Batch(work, Clock(hurries=True)), [1, 2, 3])
    assert (one, three) == (2, 6)
    assert isinstance(two, KeyError)
    assert work.batches == [[1, 2, 3]]


@pytest.mark.failure(71)
async def test_of_a_batch_that_fails_each_is_tried_once_alone() -> None:
    work = Work(bad=[2])
    one, two, three = await submit_all(Batch(work, Clock(hurries=True)), [1, 2, 3])
    assert (one, three) == (2, 6)
    assert isinstance(two, ValueError)
    assert str(two) == "bad 2"
    assert work.batches == [[1, 2, 3], [1], [2], [3]]


async def test_one_that_fails_alone_is_not_tried_again() -> None:
    work = Work(bad=[1])
    with pytest.raises(ValueError, match="bad 1"):
        await Batch(work, Clock(hurries=True)).submit(1)
    assert work.batches == [[1]]


async def test_work_goes_on_after_a_failure() -> None:
    work = Work(bad=[1])
    batch = Batch(work, Clock(hurries=True))
    with pytest.raises(ValueError, match="bad 1"):
        await batch.submit(1)
    assert await batch.submit(2) == 4


async def test_a_submitter_that_is_cancelled_harms_no_other_and_its_item_is_worked_on() -> None:
    """What was claimed or sent is written, whoever still waits for it."""
    work = Work()
    work.free.clear()
    batch = Batch(work, Clock(hurries=True))
    tasks = [asyncio.ensure_future(batch.submit(n)) for n in (1, 2, 3)]
    await let_run()
    tasks[1].cancel()
    await let_run()
    work.free.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert (found[0], found[2]) == (2, 6)
    assert isinstance(found[1], asyncio.CancelledError)
    assert work.batches == [[1, 2, 3]]


async def test_one_that_is_cancelled_before_its_batch_begins_is_worked_on_too() -> None:
    work = Work()
    work.free.clear()
    batch = Batch(work, Clock(hurries=True))
    first, second = (asyncio.ensure_future(batch.submit(n)) for n in (1, 2))
    await let_run()
    third = asyncio.ensure_future(batch.submit(3))
    await let_run()
    third.cancel()
    work.free.set()
    assert [await first, await second] == [2, 4]
    await batch.close()
    assert work.batches == [[1, 2], [3]]
    assert third.cancelled()


async def test_closing_waits_for_what_is_at_work() -> None:
    work = Work()
    work.free.clear()
    batch = Batch(work, Clock(hurries=True))
    task = asyncio.ensure_future(batch.submit(1))
    await let_run()
    closing = asyncio.ensure_future(batch.close())
    await let_run()
    assert not closing.done()
    work.free.set()
    await closing
    assert await task == 2


async def test_closing_one_that_never_worked_is_nothing() -> None:
    await Batch(Work(), Clock(hurries=True)).close()
