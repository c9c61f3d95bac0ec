"""A short run of what `make simulate` does at length: seeds, a crash at sampled boundaries, and a replay."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from marketsync.errors import InDoubt, ReadFailed, Retry, TooLate
from marketsync.ports import Request, Response
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.faults import Dice, FaultyTransport, Rates
from tests.simulation.fleet import Run, perform, perform_all, points
from tests.simulation.harness import Outcome, simulate
from tests.simulation.life import VirtualClock
from tests.simulation.loop import SeededLoop, Stalled
from tests.simulation.rare import TROUBLES
from tests.simulation.scenario import standard
from tests.simulation.scenes import SCENES, scene

SEEDS = 100
POINTS = 20
JOBS = 2


@pytest.mark.failure(51)
@pytest.mark.timeout(900)
def test_a_hundred_seeds_lose_and_double_nothing() -> None:
    outcomes = dict(perform_all((Run(seed) for seed in range(SEEDS)), JOBS))
    assert _broken(outcomes) == {}
    assert min(outcome.orders for outcome in outcomes.values()) > 5


def test_the_same_seed_is_the_same_history_in_this_process_and_in_another() -> None:
    runs = [Run(3), Run(4), Run(700, "import")]
    here, again = ([outcome.digest for _, outcome in perform_all(runs, jobs)] for jobs in (1, 2))
    assert here == again
    assert len(set(here)) == len(runs)


@pytest.mark.failure(51)
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", SCENES)
def test_a_crash_at_any_boundary_changes_nothing_in_the_end(name: str) -> None:
    every = points(name, awaits=False)
    sample = every[:: len(every) // POINTS]
    assert len(sample) >= POINTS
    assert _broken(dict(perform_all(sample, JOBS))) == {}


@pytest.mark.failure(51)
@pytest.mark.timeout(900)
def test_a_crash_at_any_await_changes_nothing_in_the_end() -> None:
    every = points("import", awaits=True)
    sample = every[:: len(every) // POINTS]
    assert len(sample) >= POINTS
    assert _broken(dict(perform_all(sample, JOBS))) == {}


def test_a_scene_is_cut_before_and_after_each_statement_and_call() -> None:
    whole = simulate(scene("import"))
    assert whole.named["sql.before"] == whole.named["sql.after"] > 400
    assert whole.named["http.before"] == whole.named["http.after"] > 20
    assert sum(whole.named.values()) == whole.boundaries


@pytest.mark.rule("A17")
@pytest.mark.rule("C5")
def test_a_release_counts_the_units_that_were_created_and_not_those_that_are_wanted_since() -> None:
    """A unit is taken off the order between the two steps of its create: it comes back by the update, and not before."""
    assert simulate(scene("edit")).failures == ()


def test_a_crash_that_never_comes_is_a_failure() -> None:
    assert not perform(Run(1_000_000, "import")).passed


def test_a_scene_goes_through_what_it_is_for() -> None:
    """Else its crash points prove little."""
    moved = {name: "\n".join(simulate(scene(name)).log) for name in SCENES}
    for kind in ("'kind': 'create'", "'kind': 'update'", "'kind': 'cancel'"):
        assert kind in moved["edit"]
    assert "delivery.was_probed" in moved["edit"]
    assert moved["parcels"].count(" ST01 none 201 ") == 3
    assert moved["import"].count(" ST01 none 201 ") == 2
    assert moved["outage"].count(" none 503 ") > 3
    assert simulate(scene("storm")).oversold > 0


def _broken(outcomes: dict[Run, Outcome]) -> dict[str, tuple[str, ...]]:
    return {str(run): outcome.failures for run, outcome in outcomes.items() if not outcome.passed}


@pytest.mark.failure(51)
def test_the_seeds_reach_every_fault_and_many_crashes() -> None:
    outcomes = [simulate(standard(seed)) for seed in range(40, 45)]
    injected = {name for outcome in outcomes for name in outcome.injected}
    assert len(injected & set(TROUBLES)) >= 25
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
