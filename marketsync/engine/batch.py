"""Items that wait together are worked on together: one unit of the store for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from marketsync.ports import Clock

A = TypeVar("A")
B = TypeVar("B")

BATCH_MAX = 64
GATHER_SECONDS = 0.003


class Batch(Generic[A, B]):
    """`work` answers for each item in order: its result, or the exception that is raised to whoever submitted it.

    Whoever comes within GATHER_SECONDS, or while a batch is at work, shares the next one. Where a batch as a whole
    fails, each item is tried alone.
    """

    def __init__(
        self, work: Callable[[Sequence[A]], Awaitable[Sequence[B | Exception]]], clock: Clock
    ) -> None:
        self._work = work
        self._clock = clock
        self._waiting: list[tuple[A, asyncio.Future[B]]] = []
        self._runner: asyncio.Task[None] | None = None

    def submit(self, item: A) -> asyncio.Future[B]:
        future: asyncio.Future[B] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._runner is None or self._runner.done():
            self._runner = asyncio.ensure_future(self._run())
        return future

    async def close(self) -> None:
        if self._runner is not None:
            await asyncio.gather(self._runner, return_exceptions=True)

    async def _run(self) -> None:
        while self._waiting:
            if len(self._waiting) < BATCH_MAX:
                await self._clock.sleep(GATHER_SECONDS)
            batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
            await self._attempt(batch)

    async def _attempt(self, batch: list[tuple[A, asyncio.Future[B]]]) -> None:
        try:
            results = await self._work([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - handed to whoever submitted
            if len(batch) > 1:
                for single in batch:
                    await self._attempt([single])
                return
            results = [error]
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
