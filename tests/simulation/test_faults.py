"""Every trouble has a switch of its own, does what it says, and the daemon gets over it alone or shows it to a person."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from marketsync.errors import InDoubt
from marketsync.ports import Request, Response
from marketsync.sandbox.answers import wrong_answer
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.faults import Dice, Fault, FaultyTransport, Rates
from marketsync.sandbox.mischief import Mischief, Mischievous
from marketsync.sandbox.rehearsal import new_world
from marketsync.sandbox.world import Habits, World
from marketsync.store.sqlite import FILE_NAME
from tests.simulation import rare
from tests.simulation.disk import DiskRates
from tests.simulation.harness import Outcome, simulate
from tests.simulation.life import VirtualClock
from tests.simulation.loop import SeededLoop
from tests.simulation.machine import Wall
from tests.simulation.scenario import (
    ADAPTERS,
    MISCHIEF,
    NETWORK,
    PAGED,
    SELDOM_MET,
    SHOP,
    Scenario,
    stage_of,
    standard,
)

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
RATE = 0.1


def calm(seed: int) -> Scenario:
    """A standard seed on which nothing goes wrong."""
    return replace(
        standard(seed), rates=Rates(), mischief=Mischief(), disk=DiskRates(), wall_moves=0, small_pages=False,
        lookup_lag=False, crashes=0, skewed=False,
    )  # fmt: skip


def passed(scenario: Scenario) -> Outcome:
    outcome = simulate(scenario)
    assert outcome.failures == ()
    return outcome


def test_there_are_thirty_classes_and_more_and_forty_states() -> None:
    assert len(set(rare.TROUBLES)) == len(rare.TROUBLES) >= 50
    assert len(set(rare.STATES)) == len(rare.STATES) >= 40
    assert {fault.value for fault in Fault} - {"none"} == set(Rates.__struct_fields__) - {"steady"}
    drawn = {*NETWORK, *SELDOM_MET, *MISCHIEF, *PAGED, *DiskRates.__struct_fields__, *rare.ALWAYS}
    assert drawn == set(rare.TROUBLES)


@pytest.mark.parametrize("name", [*NETWORK, *SELDOM_MET])
def test_each_fault_of_the_network_alone(name: str) -> None:
    outcome = passed(replace(calm(2), rates=Rates.of([name], 0.02 if name in SELDOM_MET else RATE)))
    assert set(outcome.injected) >= {name}
    assert not set(outcome.injected) & set(NETWORK) - {name}


@pytest.mark.parametrize("name", list(MISCHIEF))
def test_each_mischief_alone(name: str) -> None:
    rates = msgspec.convert({name: 0.8 if name == "stale" else 34.0}, Mischief)
    outcome = passed(replace(calm(3), mischief=rates, core=standard(3).core))
    assert outcome.injected.get(name)


class _Counting:
    """A FarWorld that answers each question with its words and a number that grows."""

    def __init__(self) -> None:
        self.asked = 0

    def handle(self, name: str, request: Request, now: datetime) -> Response:
        self.asked += 1
        return Response(200, {}, request.body + b" %d" % self.asked, 0.0)

    def land(self, name: str, request: Request, at: datetime) -> None: ...


def test_a_cache_gives_an_older_answer_to_the_same_question_alone() -> None:
    """Seeds 29 and 66 with Odoo, whose reads are all of one address, got the answer to another one."""
    mischief = Mischievous(_Counting(), _still(), Mischief(stale=1.0), Chance(1))
    told = [
        mischief.handle(
            SHOP, Request(SHOP, "orders.read", "POST", "https://shop.example/read", body=body), NOW
        )
        for body in (b"one", b"two", b"one")
    ]
    assert [response.body for response in told] == [b"one 1", b"two 2", b"one 1"]
    assert mischief.done == {"stale": 1}


def _still() -> World:
    stage = stage_of(replace(calm(1), habits=Habits(orders_max=0, web_sales_max=0)), Chance(1))
    return new_world(stage, ADAPTERS, Chance(1))


@pytest.mark.parametrize("name", ["page_short", "page_repeated", "page_expired"])
@pytest.mark.failure(13)
def test_each_trouble_with_pages_alone(name: str) -> None:
    rates = msgspec.convert({name: 200.0, "touched_at_once": 60.0, "touched": 60.0}, Mischief)
    outcome = passed(replace(calm(4), mischief=rates, small_pages=True, core=standard(4).core))
    assert outcome.injected.get(name)
    assert outcome.reached.get("atom read page by page")


@pytest.mark.rule("B9")
def test_a_window_that_is_refused_is_a_hole_until_it_is_read() -> None:
    sooner = {"deep_period_seconds": 700.0, "open_read_seconds": 700.0}
    outcome = passed(
        replace(calm(6), mischief=Mischief(reads_refused=25.0), core=dict.fromkeys(("alpha", "beta"), sooner))
    )
    assert outcome.reached.get("hole left in the coverage")
    assert outcome.reached.get("hole filled later")


@pytest.mark.parametrize(("name", "rate"), [("locked", 0.004), ("disk_full", 0.01), ("io_error", 0.0005)])
@pytest.mark.failure(54)
def test_each_trouble_with_the_disk_alone(name: str, rate: float) -> None:
    outcome = passed(replace(calm(5), disk=msgspec.convert({name: rate}, DiskRates)))
    assert outcome.injected.get(name)


@pytest.mark.failure(2)
def test_a_wall_clock_that_is_set_again_and_again() -> None:
    assert passed(replace(calm(6), wall_moves=5)).injected["wall_moved"] == 5


def test_a_time_that_the_wall_clock_showed_is_found_again() -> None:
    wall = Wall(replace(calm(7), wall_moves=3), Chance(1))
    for at in (10.0, 300.0, 700.0, 1100.0):
        told = NOW.timestamp() + at + wall.wrong_by(at)
        found = [
            moment.timestamp() - NOW.timestamp() for moment in wall.moments(datetime.fromtimestamp(told, UTC))
        ]
        assert any(abs(x - at) < 0.01 for x in found)


@pytest.mark.rule("A21")
@pytest.mark.rule("A25")
def test_a_path_that_duplicates_is_a_conflict_that_shows_all_ids(tmp_path: Path) -> None:
    """It breaks what A25 states, so two effects are possible; within a day a person sees each of them."""
    habits = Habits(order_every_seconds=60.0, orders_max=5, web_sales_max=0, two_parcels=0.0)
    scenario = replace(
        calm(9), habits=habits, rates=Rates(duplicate=0.4), marketplaces=("alpha",),
        active_seconds=600.0, look_seconds=7.5 * 3600, drain_seconds=30 * 3600.0,
    )  # fmt: skip
    outcome = simulate(scenario, tmp_path)
    kinds = {failure.partition(":")[0] for failure in outcome.failures}
    assert "duplicated" in kinds
    assert kinds <= {"duplicated", "parked without a plan"}
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as raw:
        made = raw.execute("SELECT subject, remote_id FROM links WHERE kind IN ('create', 'twin')").fetchall()
        told = dict(raw.execute("SELECT item, reason FROM parked WHERE kind = 'conflict'").fetchall())
    twice = {subject for subject, _ in made if sum(subject == other for other, _ in made) > 1}
    assert len(twice) == sum(failure.startswith("duplicated") for failure in outcome.failures)
    for subject, remote_id in made:
        if subject in twice:
            assert remote_id in told[f"create/{subject}"].partition("several records: ")[2].split(", ")


@pytest.mark.failure(31)
def test_a_page_for_people_is_no_answer_to_a_write() -> None:
    """Seed 5006 found it: an accept was taken as done because a page came back with 200."""
    outcome = passed(replace(calm(3), rates=Rates(html_page=0.25)))
    assert outcome.reached.get("doubt: accept absent")


@pytest.mark.parametrize(
    ("fault", "status", "applied"),
    [
        (Fault.TIMEOUT_BEFORE, 408, 0),
        (Fault.TIMEOUT_AFTER, 408, 1),
        (Fault.FORBIDDEN, 403, 0),
        (Fault.UNAUTHORISED, 401, 0),
        (Fault.EMPTY, 201, 1),
        (Fault.CHARSET, 201, 1),
    ],
)
def test_what_stands_in_the_place_of_an_answer(fault: Fault, status: int, applied: int) -> None:
    done = []

    def arrive() -> Response:
        done.append(1)
        return Response(201, {"content-type": "application/json"}, b'{"id": 1}', 0.0)

    answer = wrong_answer(fault, arrive, Dice(Rates(), Chance(1)), NOW)
    assert (answer.status, len(done)) == (status, applied)
    assert b'{"id": 1}' not in answer.body


@pytest.mark.failure(37)
@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("seconds", ("5", "30")),
        ("date", ("Mon, 02 Mar 2026 08:00:20 GMT",)),
        ("past", ("Sun, 01 Mar 2026 08:00:00 GMT",)),
        ("bare", (None,)),
        ("negative", ("-1",)),
        ("garbage", ("soon",)),
        ("huge", ("86400000000",)),
    ],
)
def test_each_form_of_retry_after(fault: str, told: tuple[str | None, ...]) -> None:
    answer = wrong_answer(Fault(f"throttled_{fault}"), _nothing, Dice(Rates(), Chance(1)), NOW)
    assert answer.status == 429
    assert answer.headers.get("retry-after") in told


def _nothing() -> Response:
    raise AssertionError("a throttled request does nothing")


def test_a_hanging_request_lands_while_it_is_waited_for() -> None:
    landed: list[float] = []
    loop = SeededLoop(Chance(1))

    class Side:
        def handle(self, name: str, request: Request, now: datetime) -> Response:
            landed.append(loop.time())
            return Response(201, {}, b"{}", 0.0)

        def land(self, name: str, request: Request, at: datetime) -> None:
            raise AssertionError("it does not land late")

    async def work() -> None:
        clock = VirtualClock(loop, 0, 0.0)
        transport = FaultyTransport(Side(), clock, Dice(Rates(hang=1.0), Chance(2)), lambda _: 60.0)
        with pytest.raises(InDoubt):
            await transport.send(Request("shop", "create", "POST", "https://shop.example/x", write=True))

    _run(loop, work)
    assert landed
    assert landed[0] < loop.time() == pytest.approx(30.0, abs=0.3)


def _run(loop: SeededLoop, work: Callable[[], Awaitable[object]]) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(work())
    finally:
        loop.bury()
        asyncio.set_event_loop(None)


class _Run(msgspec.Struct):
    injected: dict[str, int]
    reached: dict[str, int]


def test_a_long_run_that_never_met_something_fails_and_a_short_one_only_says_so() -> None:
    whole = _Run(dict.fromkeys(rare.TROUBLES, 1), dict.fromkeys(rare.STATES, 1))
    lacking = _Run({**whole.injected, "charset": 0}, {**whole.reached, "atom read page by page": 0})
    said: list[str] = []
    assert rare.report([whole, *[lacking] * 99], said.append)
    assert not rare.report([lacking] * 100, said.append)
    assert [line for line in said if line.startswith("NEVER")] == [
        "NEVER MET: charset",
        "NEVER MET: atom read page by page",
    ]
    said.clear()
    assert rare.report([lacking] * 99, said.append)
    assert said == ["not met in 99 runs: charset, atom read page by page"]
