"""The circuit breaker of one connection, and its pause (failures 36, 40)."""

from __future__ import annotations

import pytest

from marketsync.engine.gate import FAILURES_TO_OPEN, OPEN_SECONDS_MAX, Gate
from marketsync.errors import PauseConnection
from tests.unit.engine.surroundings import Clock, Ear, Random

UP = "marketsync_connection_up"
DAY_SECONDS = 86400.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def gate(clock: Clock, ear: Ear) -> Gate:
    return Gate("alpha", clock, Random(), ear)


def opened(gate: Gate) -> Gate:
    for _ in range(FAILURES_TO_OPEN):
        gate.failed("HTTP 503")
    return gate


def test_a_closed_gate_lets_everything_through(gate: Gate, ear: Ear) -> None:
    assert all(gate.admit() for _ in range(100))
    assert gate.wait_seconds() == 0
    assert not gate.is_open
    assert ear.names == []


@pytest.mark.failure(40)
def test_three_failures_in_a_row_open_it(gate: Gate, ear: Ear) -> None:
    gate.failed("HTTP 503")
    gate.failed("HTTP 503")
    assert gate.admit()
    assert not gate.is_open
    gate.failed("no answer")
    assert gate.is_open
    assert not gate.admit()
    assert gate.wait_seconds() == 5.0
    assert ear.events == [("connection.went_down", {"connection": "alpha", "reason": "no answer"})]
    assert ear.gauges == {UP: 0}


@pytest.mark.failure(40)
def test_a_success_between_failures_keeps_it_closed(gate: Gate, ear: Ear) -> None:
    for _ in range(10):
        gate.failed("HTTP 503")
        gate.failed("HTTP 503")
        gate.succeeded()
    assert gate.admit()
    assert ear.names == []


@pytest.mark.failure(36)
@pytest.mark.failure(40)
def test_one_probe_goes_through_per_interval_whoever_asks(gate: Gate, clock: Clock) -> None:
    opened(gate)
    clock.hand(4.9)
    assert not gate.admit()
    clock.hand(0.1)
    assert gate.wait_seconds() == 0
    # Sweep, publisher, prober and dispatcher of one account ask at the same moment.
    assert [gate.admit() for _ in range(5)] == [True, False, False, False, False]
    assert gate.wait_seconds() == 10.0
    gate.failed("HTTP 503")
    assert gate.wait_seconds() == 10.0


@pytest.mark.failure(40)
def test_the_intervals_double_up_to_five_minutes(gate: Gate, clock: Clock) -> None:
    opened(gate)
    intervals = []
    for _ in range(9):
        intervals.append(gate.wait_seconds())
        clock.hand(intervals[-1])
        assert gate.admit()
        gate.failed("HTTP 503")
    assert intervals == [5, 10, 20, 40, 80, 160, 300, 300, 300]


@pytest.mark.failure(40)
def test_a_day_of_being_down_costs_a_call_in_five_minutes_and_two_lines(
    gate: Gate, clock: Clock, ear: Ear
) -> None:
    opened(gate)
    probes = 0
    while clock.at < DAY_SECONDS:
        clock.hand(max(gate.wait_seconds(), 1.0))
        probes += gate.admit()
        gate.failed("HTTP 503")
    # 315 s for the six short intervals, then 300 s each: 6 + 287
    assert probes == 6 + 287
    gate.succeeded()
    assert ear.names == ["connection.went_down", "connection.came_back"]
    assert ear.gauges == {UP: 1}


@pytest.mark.failure(40)
def test_the_first_success_closes_it_and_the_schedule_begins_anew(gate: Gate, clock: Clock, ear: Ear) -> None:
    opened(gate)
    for _ in range(4):
        clock.hand(gate.wait_seconds())
        gate.admit()
        gate.failed("HTTP 503")
    clock.hand(gate.wait_seconds())
    assert gate.admit()
    gate.succeeded()
    assert all(gate.admit() for _ in range(10))
    assert ear.names[-1] == "connection.came_back"
    gate.succeeded()
    assert ear.names.count("connection.came_back") == 1
    opened(gate)
    assert gate.wait_seconds() == 5.0


@pytest.mark.failure(36)
@pytest.mark.parametrize(("share", "first"), [(0.0, 4.0), (1.0, 6.0)])
def test_intervals_of_several_machines_drift_apart(share: float, first: float) -> None:
    gate = opened(Gate("alpha", Clock(), Random(share), Ear()))
    assert gate.wait_seconds() == pytest.approx(first)
    assert gate.wait_seconds() < OPEN_SECONDS_MAX


@pytest.mark.failure(36)
def test_other_connections_are_not_concerned(clock: Clock, ear: Ear) -> None:
    one, other = Gate("alpha", clock, Random(), ear), Gate("beta", clock, Random(), ear)
    opened(one)
    one.pause("for a while")
    assert other.admit()
    assert not other.paused
    assert other.wait_seconds() == 0


@pytest.mark.failure(38)
def test_a_pause_holds_until_a_person_resumes(gate: Gate, clock: Clock, ear: Ear) -> None:
    gate.pause(PauseConnection("the key was refused"))
    gate.pause("again")
    clock.hand(DAY_SECONDS)
    gate.succeeded()
    assert not gate.admit()
    assert ear.events == [("connection.was_paused", {"connection": "alpha", "reason": "the key was refused"})]
    assert ear.gauges == {UP: 0}
    gate.resume()
    assert gate.paused == ""
    assert gate.admit()
    gate.resume()
    assert ear.names == ["connection.was_paused", "connection.was_resumed"]


def test_a_resumed_connection_starts_without_its_old_failures(gate: Gate) -> None:
    opened(gate)
    gate.pause("for a while")
    gate.resume()
    assert gate.admit()
    gate.failed("HTTP 503")
    gate.failed("HTTP 503")
    assert gate.admit()
