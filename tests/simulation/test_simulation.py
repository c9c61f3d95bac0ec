"""A short run of what `make simulate` does at length: seeds, a crash at sampled boundaries, and a replay."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from marketsync.errors import InDoubt, ReadFailed, Retry, TooLate
from marketsync.ports import Request, Response
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.faults import Dice, Fault, FaultyTransport, Rates
from tests.simulation.harness import simulate
from tests.simulation.life import VirtualClock
from tests.simulation.loop import SeededLoop, Stalled
from tests.simulation.scenario import small, standard

SEEDS = 15
BOUNDARIES = 40


@pytest.mark.failure(51)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_seed_loses_and_doubles_nothing(seed: int) -> None:
    outcome = simulate(standard(seed))
    assert outcome.failures == ()
    assert outcome.orders > 5


def test_the_same_seed_is_the_same_history() -> None:
    first, again, other = simulate(standard(3)), simulate(standard(3)), simulate(standard(4))
    assert first.digest == again.digest
    assert first.digest != other.digest


@pytest.mark.failure(51)
def test_a_crash_at_any_boundary_changes_nothing_in_the_end() -> None:
    last = simulate(small()).boundaries
    assert last > BOUNDARIES
    for boundary in range(1, last + 1, -(-last // BOUNDARIES)):
        outcome = simulate(small(boundary=boundary))
        assert (boundary, outcome.lives, outcome.failures) == (boundary, 2, ())


@pytest.mark.failure(51)
def test_the_seeds_reach_every_fault_and_many_crashes() -> None:
    outcomes = [simulate(standard(seed)) for seed in range(40, 45)]
    injected = {name for outcome in outcomes for name in outcome.injected}
    assert injected >= {fault.value for fault in Fault} - {Fault.DUPLICATE.value}
    assert sum(outcome.lives - 1 for outcome in outcomes) >= 5


def _run(work: Callable[[], Awaitable[object]], seed: int = 1) -> SeededLoop:
    loop = SeededLoop(Chance(seed))
    try:
        loop.run_until_complete(work())
    finally:
        loop.bury()
    return loop


def test_time_is_virtual_and_the_order_a_seeds() -> None:
    def order(seed: int) -> list[int]:
        done: list[int] = []

        async def step(number: int) -> None:
            await asyncio.sleep(3600.0)
            done.append(number)

        async def work() -> None:
            await asyncio.gather(*(step(n) for n in range(6)))

        assert _run(work, seed).time() == 3600.0
        return done

    assert order(1) == order(1)
    assert len({tuple(order(seed)) for seed in range(8)}) > 1


def test_a_thread_is_refused() -> None:
    async def work() -> None:
        await asyncio.to_thread(int)

    with pytest.raises(AssertionError, match="thread"):
        _run(work)


def test_waiting_for_ever_and_turning_for_ever_are_seen() -> None:
    async def wait() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Stalled):
        _run(wait)


class _OneSide:
    """A far side that counts what took effect."""

    def __init__(self) -> None:
        self.done = 0
        self.late: list[float] = []

    def handle(self, name: str, request: Request, now: object) -> Response:
        self.done += 1
        return Response(201, {}, b'{"id": 1}', 0.0)

    def land(self, name: str, request: Request, at: object) -> None:
        self.late.append((at - VirtualClock(asyncio.get_running_loop(), 0, 0.0).now()) / timedelta(seconds=1))  # type: ignore[operator,arg-type]


def _send(fault: str, *, write: bool = True, send_by: float | None = None) -> tuple[object, _OneSide, float]:
    """One request under one certain fault: what came of it, the far side, and how long it took."""
    side = _OneSide()
    result: list[object] = []
    loop = SeededLoop(Chance(1))

    async def work() -> None:
        clock = VirtualClock(loop, 0, 0.0)
        rates = Rates(**{fault: 1.0} if fault else {})  # type: ignore[arg-type]
        transport = FaultyTransport(side, clock, Dice(rates, Chance(2)), lambda _: 60.0)
        request = Request("shop", "create", "POST", "https://shop.example/x", write=write, send_by=send_by)
        try:
            result.append(await transport.send(request))
        except Exception as error:  # noqa: BLE001 - which one is what the test asks
            result.append(error)

    try:
        loop.run_until_complete(work())
    finally:
        loop.bury()
    return result[0], side, loop.time()


@pytest.mark.parametrize(
    ("fault", "applied", "error"),
    [
        ("not_sent", 0, Retry),
        ("request_lost", 0, InDoubt),
        ("answer_lost", 1, InDoubt),
        ("late", 0, InDoubt),
    ],
)
@pytest.mark.failure(31)
def test_what_a_fault_does_and_what_its_sender_is_told(
    fault: str, applied: int, error: type[Exception]
) -> None:
    result, side, took = _send(fault)
    assert type(result) is error
    assert side.done == applied
    assert took == pytest.approx(30.0, abs=0.3) or fault == "not_sent"


@pytest.mark.failure(34)
def test_a_late_request_lands_after_its_sender_gave_up_and_within_its_limit() -> None:
    _, side, _ = _send("late")
    assert len(side.late) == 1
    assert 29.0 < side.late[0] <= 30.0 + 60.0


@pytest.mark.parametrize(
    ("fault", "applied", "status"),
    [
        ("", 1, 201),
        ("error_after", 1, 500),
        ("error_before", 0, 500),
        ("throttled", 0, 429),
        ("malformed", 1, 201),
        ("slow", 1, 201),
    ],
)
@pytest.mark.failure(33)
def test_an_answer_need_not_say_what_was_done(fault: str, applied: int, status: int) -> None:
    result, side, _ = _send(fault)
    assert isinstance(result, Response)
    assert (result.status if status != 500 else result.status // 100 * 100) == status
    assert side.done == applied
    assert (b'"id": 1}' in result.body) is (fault in {"", "slow"})


@pytest.mark.rule("A3")
def test_a_request_that_is_too_late_does_not_leave() -> None:
    result, side, _ = _send("", send_by=0.0)
    assert isinstance(result, TooLate)
    assert side.done == 0


def test_a_read_fails_where_a_write_is_in_doubt() -> None:
    result, _, _ = _send("answer_lost", write=False)
    assert isinstance(result, ReadFailed)
