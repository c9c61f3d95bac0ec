from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from marketsync.errors import StoreError
from marketsync.ops.notify import Notifier, from_environment
from marketsync.ops.observe import Observations
from marketsync.ops.pulse import Pulse
from marketsync.ops.sink import LineSink


class Manager:
    """The service manager's end of the socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return messages


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(tmp_path / "notify")
    yield manager
    manager.socket.close()


def test_ready_status_and_stopping_are_told(manager: Manager) -> None:
    notifier = Notifier(str(manager.path))
    notifier.ready("2 connections")
    notifier.status("a\nb")
    notifier.stopping(45)
    ready, status, stopping = manager.heard()
    assert ready.startswith("READY=1\nSTATUS=2 connections\nMAINPID=")
    assert status == "STATUS=a b"
    assert stopping.splitlines() == ["STOPPING=1", "STATUS=draining", "EXTEND_TIMEOUT_USEC=45000000"]


def test_a_manager_that_is_absent_or_deaf_is_no_reason_to_stop(tmp_path: Path) -> None:
    Notifier(None).alive()
    Notifier(str(tmp_path / "nobody")).alive()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "7"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdogs_interval_is_what_the_manager_says(
    environment: dict[str, str], expected: float | None
) -> None:
    assert from_environment(environment, 7).watchdog_seconds == expected


class Enough(Exception):
    """Ends a loop that goes on for ever."""


class Clock:
    boot_id = "boot"

    def __init__(self) -> None:
        self.mono = 1000.0

    def now(self) -> datetime:
        return datetime(2026, 5, 1, tzinfo=UTC) + timedelta(seconds=self.mono)

    def monotonic(self) -> float:
        return self.mono

    async def sleep(self, seconds: float) -> None:
        self.mono += seconds
        if self.mono > 1500:
            raise Enough


class Engine:
    def __init__(self) -> None:
        self.progress: float | None = 1000.0
        self.broken = False

    async def commit(self) -> None:
        if self.broken:
            raise StoreError("the disk is gone")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def pulse(manager: Manager, tmp_path: Path, clock: Clock, engine: Engine) -> Iterator[Pulse]:
    with (tmp_path / "log").open("wb") as log:
        yield Pulse(
            clock,
            Observations(clock, LineSink(log.fileno())),
            Notifier(str(manager.path), 60.0),
            commit=engine.commit,
            progress_at=lambda: engine.progress,
            stall_seconds=900.0,
        )


def turn(pulse: Pulse, clock: Clock, seconds: int) -> None:
    for _ in range(seconds):
        clock.mono += 1
        pulse.turn(0.0)


def test_the_watchdog_is_fed_four_times_an_interval(pulse: Pulse, clock: Clock, manager: Manager) -> None:
    turn(pulse, clock, 45)
    assert manager.heard() == ["WATCHDOG=1"] * 3


@pytest.mark.failure(6)
def test_without_a_commit_it_starves(pulse: Pulse, clock: Clock, manager: Manager) -> None:
    """The last commit is 60 s old at the end: fed at 15, 30 and 45, never after."""
    turn(pulse, clock, 200)
    assert manager.heard() == ["WATCHDOG=1"] * 3
    assert not pulse.committed


async def test_a_commit_keeps_it_fed_and_a_failing_store_does_not(
    pulse: Pulse, clock: Clock, engine: Engine
) -> None:
    with pytest.raises(Enough):
        await pulse.prove()
    assert pulse.committed
    engine.broken = True
    clock.mono = 1400.0
    with pytest.raises(Enough):
        await pulse.prove()
    clock.mono += 60
    assert not pulse.committed


def test_an_engine_that_does_nothing_starves_it_although_the_store_commits(
    pulse: Pulse, clock: Clock, engine: Engine, manager: Manager
) -> None:
    clock.mono = 1000.0 + 901
    pulse._committed_at = clock.mono
    turn(pulse, clock, 30)
    assert manager.heard() == []
    engine.progress = clock.mono
    turn(pulse, clock, 14)
    assert manager.heard() == ["WATCHDOG=1"]


def test_an_engine_that_may_do_nothing_does_not_starve_it(
    pulse: Pulse, clock: Clock, engine: Engine, manager: Manager
) -> None:
    engine.progress = None
    clock.mono = 1000.0 + 5000
    pulse._committed_at = clock.mono
    turn(pulse, clock, 20)
    assert "WATCHDOG=1" in manager.heard()


@pytest.mark.failure(66)
def test_a_loop_that_was_blocked_is_seen(pulse: Pulse, clock: Clock) -> None:
    clock.mono += 12
    assert not pulse.healthy
    pulse.turn(11.0)
    assert pulse.healthy
    assert pulse._observations.metrics.value("marketsync_loop_lag_seconds") == 11.0
