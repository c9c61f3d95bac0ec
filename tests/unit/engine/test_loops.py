"""Whatever a piece of work raises ends in a state and a wait, and never ends its loop (failure 71)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from marketsync.domain.ids import ConnectionId, MerchantId
from marketsync.engine.context import Core, Wake
from marketsync.engine.gate import FAILURES_TO_OPEN, Gate
from marketsync.engine.loops import PAUSED_SECONDS, STORE_SECONDS, Loop
from marketsync.errors import (
    ConfigError,
    Fenced,
    InDoubt,
    Malformed,
    Park,
    PauseConnection,
    ReadFailed,
    Refused,
    Retry,
    StoreError,
    StoreLocked,
    TooLate,
)
from marketsync.store import Broken, Store, connections, open_store
from marketsync.store.rows import ConnectionRow
from marketsync.store.unit import NoSpace
from tests.unit.engine.surroundings import Clock, Ear, NoCrash, Random

MERCHANT, ALPHA = MerchantId("main"), ConnectionId("alpha")
FAILURES = "marketsync_loop_failures_total"


class Over(BaseException):
    """Ends the loop of a test."""


class Bed:
    """A loop whose work does what the test says, one turn each, and is over after the last."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = Clock(hurries=True)
        self.ear = Ear()
        self.gate = Gate(ALPHA, self.clock, Random(), self.ear)
        self.turns = 0
        core = Core(MERCHANT, store, self.clock, Random(), self.ear, NoCrash())
        self.loop = Loop(core, "sweep", ALPHA, self.gate, Wake())

    async def run(self, *turns: float | Exception, calls: bool = True) -> list[float]:
        """The waits between the turns."""
        left = list(turns)

        async def work() -> float:
            self.turns += 1
            if not left:
                raise Over
            turn = left.pop(0)
            if isinstance(turn, Exception):
                raise turn
            return turn

        before = len(self.clock.slept)
        await self.forever(work, calls=calls)
        return self.clock.slept[before:]

    async def forever(self, work: Callable[[], Awaitable[float]], *, calls: bool = True) -> None:
        with pytest.raises(Over):
            await self.loop.forever(work, calls=calls)

    async def once(self, turn: float | Exception) -> float:
        return (await self.run(turn))[0]

    async def paused(self) -> tuple[str, str]:
        row = await self.store.read(lambda unit: connections.get(unit, MERCHANT, ALPHA))
        assert row is not None
        return row.paused, row.paused_by


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[Bed]:
    store = await open_store(str(tmp_path), Clock(), Random(), NoCrash())
    row = ConnectionRow(MERCHANT, ALPHA, "marketplace", "", "", "")
    await store.write(lambda unit: connections.put(unit, row))
    yield Bed(store)
    await store.close()


async def test_the_work_says_how_long_to_wait(bed: Bed) -> None:
    assert await bed.run(60.0, 0.0, -5.0) == [60.0, 0.0, 5.0]
    assert bed.loop.last_success == 60.0
    assert bed.ear.events == []


async def test_only_a_turn_that_called_closes_the_circuit(bed: Bed) -> None:
    bed.gate.failed("a")
    bed.gate.failed("b")
    await bed.run(-1.0)
    bed.gate.failed("c")
    assert bed.gate.is_open
    await bed.run(1.0)
    assert not bed.gate.is_open


async def test_a_loop_that_makes_no_calls_of_its_own_takes_no_probes_place(bed: Bed) -> None:
    for _ in range(FAILURES_TO_OPEN):
        bed.gate.failed("HTTP 503")
    assert await bed.run(-2.0, -2.0, calls=False) == [2.0, 2.0]
    assert bed.gate.is_open
    assert bed.gate.wait_seconds() == 1.0


@pytest.mark.failure(40)
async def test_behind_an_open_circuit_it_waits_for_the_next_probe(bed: Bed) -> None:
    """5, 10 and 20 s between the probes, however often the loop turns."""
    for _ in range(FAILURES_TO_OPEN):
        bed.gate.failed("HTTP 503")
    at: list[float] = []

    async def work() -> float:
        at.append(bed.clock.at)
        if len(at) == 4:
            raise Over
        raise Retry("HTTP 503", 0.0)

    await bed.forever(work)
    assert at == [5.0, 15.0, 35.0, 75.0]


@pytest.mark.failure(36)
@pytest.mark.parametrize(
    ("error", "waits", "counts"),
    [
        (Retry("HTTP 503"), PAUSED_SECONDS, True),
        (Retry("HTTP 503", 7.0), 7.0, True),
        (Retry("too many requests", 90.0, counted=False), 90.0, False),
        (Retry("the budget is used up", 0.0, counted=False), 0.0, False),
        (TooLate(), 0.0, False),
        (ReadFailed("HTML instead of JSON"), PAUSED_SECONDS, True),
    ],
    ids=str,
)
async def test_a_wait_is_kept_and_only_failures_count(
    bed: Bed, error: Exception, waits: float, counts: bool
) -> None:
    assert await bed.once(error) == waits
    assert FAILURES not in bed.ear.counts
    for _ in range(FAILURES_TO_OPEN - 1):
        await bed.once(error)
    assert bed.gate.is_open is counts


@pytest.mark.failure(71)
@pytest.mark.parametrize(
    "error",
    [
        InDoubt("no whole answer"),
        Park("nobody knows"),
        Malformed("$.lines", "no list"),
        Refused("OR11", 400, b"Erika"),
        ConfigError("connections.alpha"),
        Fenced("another epoch"),
    ],
    ids=lambda x: type(x).__name__,
)
async def test_a_word_that_is_no_loops_business_is_said_once(bed: Bed, error: Exception) -> None:
    assert await bed.run(*[error] * 4) == [PAUSED_SECONDS] * 4
    fields = {"connection": ALPHA, "loop": "sweep", "error": type(error).__name__, "reason": str(error)}
    assert bed.ear.events == [("loop.failed", fields)]
    assert bed.ear.counts == {FAILURES: 4}
    assert not bed.gate.is_open
    assert "Erika" not in str(bed.ear.events)


@pytest.mark.failure(71)
@pytest.mark.parametrize(
    "error",
    [
        ValueError("Erika Beispiel"), KeyError("x"), TypeError("garbage"), AttributeError("none"), OSError(5, "I/O"),
        RecursionError(), MemoryError(), AssertionError("never"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        ExceptionGroup("several", [ValueError("x")]), StopAsyncIteration(), TimeoutError(),
    ],
    ids=lambda x: type(x).__name__,
)  # fmt: skip
async def test_anything_at_all_backs_this_connection_off_and_is_said_by_its_kind(
    bed: Bed, error: Exception
) -> None:
    await bed.run(*[error] * FAILURES_TO_OPEN)
    assert bed.gate.is_open
    assert bed.turns == FAILURES_TO_OPEN + 1
    assert bed.ear.names == ["loop.failed", "connection.went_down"]
    name, fields = bed.ear.events[0]
    assert (name, fields["error"], fields["reason"]) == ("loop.failed", type(error).__name__, "")
    assert "Erika" not in str(bed.ear.events)


async def test_it_is_said_once_when_it_is_back(bed: Bed) -> None:
    await bed.run(ValueError("a"), ValueError("b"), 1.0, 1.0, KeyError("c"), 1.0)
    assert bed.ear.names == ["loop.failed", "loop.recovered", "loop.failed", "loop.recovered"]
    assert bed.ear.counts == {FAILURES: 3}


async def test_another_kind_of_failure_is_said_too(bed: Bed) -> None:
    await bed.run(Park("a"), Park("b"), Fenced("c"), Park("d"))
    assert [fields["error"] for _, fields in bed.ear.events] == ["Park", "Fenced", "Park"]


@pytest.mark.failure(38)
async def test_refused_credentials_pause_the_connection_on_disk(bed: Bed) -> None:
    """No call is made until a person, five waits later, has mended the key."""
    bed.clock.after[5] = bed.gate.resume
    assert await bed.run(PauseConnection("the key was refused")) == [PAUSED_SECONDS] * 5
    assert bed.turns == 2
    assert await bed.paused() == ("the key was refused", "credentials")
    assert bed.ear.names == ["connection.was_paused", "connection.was_resumed"]


@pytest.mark.failure(38)
async def test_a_pause_that_cannot_be_written_holds_all_the_same(bed: Bed) -> None:
    async def full(*_: object) -> bool:
        raise NoSpace("no space left")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connections, "pause", full)
        waited = await bed.loop._once(_raising(PauseConnection("the key was refused")), calls=True)
    assert waited == PAUSED_SECONDS
    assert bed.gate.paused == "the key was refused"
    assert bed.ear.names == ["connection.was_paused", "loop.failed"]
    assert await bed.paused() == ("", "")


@pytest.mark.failure(54)
@pytest.mark.failure(56)
@pytest.mark.parametrize(
    "error", [NoSpace("no space left"), StoreLocked("held"), StoreError("the database stayed locked")]
)
async def test_a_store_that_fails_opens_no_circuit(bed: Bed, error: StoreError) -> None:
    """The far side is well: when there is room again everything goes on at once."""
    waits = await bed.run(*[error] * 10, 60.0)
    assert waits == [STORE_SECONDS] * 10 + [60.0]
    assert not bed.gate.is_open
    assert bed.ear.names == ["loop.failed", "loop.recovered"]
    assert bed.ear.events[0][1]["reason"] == str(error)


@pytest.mark.failure(55)
async def test_a_broken_store_ends_the_process(bed: Bed) -> None:
    with pytest.raises(Broken, match="fsync"):
        await bed.loop.forever(_raising(Broken("fsync failed")))
    assert bed.clock.slept == []


@pytest.mark.failure(55)
async def test_a_store_that_breaks_at_a_pause_ends_the_process_too(bed: Bed) -> None:
    async def broken(*_: object) -> bool:
        raise Broken("fsync failed")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connections, "pause", broken)
        with pytest.raises(Broken, match="fsync"):
            await bed.loop.forever(_raising(PauseConnection("the key was refused")))


def _raising(error: Exception) -> Callable[[], Awaitable[float]]:
    async def work() -> float:
        raise error

    return work


def _answering(seconds: float) -> Callable[[], Awaitable[float]]:
    async def work() -> float:
        return seconds

    return work
