"""Group commit: one task owns all transactions; units that wait together share one COMMIT, and so one fsync."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

from marketsync.errors import StoreError
from marketsync.ports import CrashPoints
from marketsync.store.unit import Broken, Busy, NoSpace, Row, Session, Unit, Violated, WriteSession

T = TypeVar("T")

GROUP_MAX = 64
ATTEMPTS_MAX = 3

_PERSIST = "UPDATE sequence SET value = ? WHERE name = 'global'"
_HELD_BY = "SELECT epoch FROM lease WHERE merchant = '*'"
TAKEN_OVER = (
    "another daemon took the database over while this one stood still: this one ends; run only one of them"
)


class Holder(Protocol):
    """Who holds the store: its epoch, and the one global sequence of which `last_seq` was given out last."""

    @property
    def epoch(self) -> int: ...
    @property
    def last_seq(self) -> int: ...
    def next_seq(self) -> int: ...
    def committed(self, seq: int) -> None: ...


class Work:
    """The Unit that runs on a session. Its `later` rows count only if it succeeds."""

    def __init__(self, session: Session, holder: Holder) -> None:
        self._holder = holder
        self.fetch = session.fetch
        self.execute = session.execute
        self.execute_many = session.execute_many
        self.rows: list[tuple[str, Row]] = []

    @property
    def epoch(self) -> int:
        return self._holder.epoch

    def later(self, sql: str, row: Row) -> None:
        self.rows.append((sql, row))

    def seq(self) -> int:
        return self._holder.next_seq()


class _Job:
    __slots__ = ("future", "work")

    def __init__(self, work: Callable[[Unit], Awaitable[Any]], future: asyncio.Future[Any]) -> None:
        self.work = work
        self.future = future

    def settle(self, result: Any) -> None:
        if not self.future.done():
            self.future.set_result(result)

    def fail(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Writer:
    def __init__(self, session: WriteSession, holder: Holder, crash: CrashPoints) -> None:
        self._session = session
        self._holder = holder
        self._crash = crash
        self._queue: deque[_Job] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self._failed = ""
        self._persisted = holder.last_seq
        self._task = asyncio.create_task(self._run(), name="store-writer")

    async def write(self, work: Callable[[Unit], Awaitable[T]]) -> T:
        """Returns after the COMMIT. A caller that is cancelled while it waits changes nothing: the unit still runs."""
        if self._closing:
            raise StoreError("the store is closed")
        if self._failed:
            raise Broken(self._failed)
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.append(_Job(work, future))
        self._wake.set()
        return await future

    async def close(self) -> None:
        """Finish what waits, then stop."""
        self._closing = True
        self._wake.set()
        await self._task

    def abandon(self) -> None:
        self._closing = True
        self._task.cancel()

    async def _run(self) -> None:
        try:
            while not (self._closing and not self._queue):
                await self._wake.wait()
                self._wake.clear()
                while self._queue:
                    await self._group(
                        [self._queue.popleft() for _ in range(min(GROUP_MAX, len(self._queue)))]
                    )
        finally:
            self._failed = self._failed or "the store's writer has ended"
            while self._queue:
                self._queue.popleft().fail(Broken(self._failed))

    async def _group(self, jobs: Sequence[_Job]) -> None:
        try:
            await self._attempts(jobs)
        except Exception as error:  # noqa: BLE001 - the one place where the task meets what it did not expect
            for job in jobs:
                job.fail(error)
        except BaseException:
            for job in jobs:
                job.fail(Broken("the store's writer was stopped before the commit"))
            raise

    async def _attempts(self, jobs: Sequence[_Job]) -> None:
        for _ in range(ATTEMPTS_MAX):
            try:
                await self._once(jobs)
            except Busy:
                await self._session.rollback()
            except Violated:
                # A `later` row of one of them was refused: alone, each answers for itself.
                await self._session.rollback()
                if len(jobs) == 1:
                    raise
                for job in jobs:
                    await self._group([job])
                return
            except NoSpace:
                await self._session.rollback()
                raise
            except Exception as error:
                self._fail(error)
                raise
            else:
                return
        raise StoreError(
            "another program keeps the database locked: find it (a backup tool, a shell) and stop it"
        )

    def _fail(self, error: Exception) -> None:
        """A COMMIT that failed may or may not be on disk: nothing is written after it (failure 55)."""
        self._failed = self._failed or f"the store stopped after an error: {error}"

    async def _once(self, jobs: Sequence[_Job]) -> None:
        if self._failed:
            raise Broken(self._failed)
        await self._session.begin()
        await self._demand_lease()
        later: dict[str, list[Row]] = {}
        settled: list[tuple[_Job, Any]] = []
        failed: list[tuple[_Job, Exception]] = []
        for job in jobs:
            unit = Work(self._session, self._holder)
            if len(jobs) > 1:
                await self._session.savepoint()
            try:
                result = await job.work(unit)
            except (Busy, NoSpace, Broken):
                raise
            except Exception as error:  # noqa: BLE001 - a unit's error is its caller's
                await self._undo(alone=len(jobs) == 1)
                failed.append((job, error))
                continue
            settled.append((job, result))
            for sql, row in unit.rows:
                later.setdefault(sql, []).append(row)
        await self._commit(later, anything=bool(settled))
        for job, result in settled:
            job.settle(result)
        for job, reason in failed:
            job.fail(reason)

    async def _demand_lease(self) -> None:
        """A7: who was taken for dead writes nothing more; not all that it would write has a guard of its own."""
        if await self._session.fetch(_HELD_BY) != [(self._holder.epoch,)]:
            await self._session.rollback()
            raise Broken(TAKEN_OVER)

    async def _undo(self, *, alone: bool) -> None:
        if alone:
            await self._session.rollback()
        else:
            await self._session.undo()

    async def _commit(self, later: dict[str, list[Row]], *, anything: bool) -> None:
        if not anything:
            await self._session.rollback()
            return
        last = self._holder.last_seq
        if last > self._persisted:
            # In the transaction of whatever carries these numbers: none is given out twice (C1).
            later[_PERSIST] = [(last,)]
        self._crash.reach("store.before_commit")
        await self._session.commit(list(later.items()))
        if last > self._persisted:
            self._holder.committed(last)
        self._persisted = last
        self._crash.reach("store.after_commit")
