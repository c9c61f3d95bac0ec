from __future__ import annotations

import ast
import json
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog

from marketsync.ops.events import EVENTS
from marketsync.ops.metrics import METRICS, Metrics, Undeclared
from marketsync.ops.observe import Observations, correlate
from marketsync.ops.redaction import HIDDEN, SHOWN, redact
from marketsync.ops.sink import LineSink

ROOT = Path(__file__).parents[3]


class FixedClock:
    boot_id = "boot"

    def now(self) -> datetime:
        return datetime(2026, 5, 1, 12, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None: ...


@pytest.fixture(autouse=True)
def _no_context() -> Iterator[None]:
    structlog.contextvars.clear_contextvars()
    yield
    structlog.contextvars.clear_contextvars()


def observed(path: Path, **options: Any) -> tuple[Observations, Path]:
    log = path / "log"
    fd = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    return Observations(FixedClock(), LineSink(fd), **options), log


def lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_an_event_is_one_line_of_json_with_flat_keys(tmp_path: Path) -> None:
    observations, log = observed(tmp_path)
    correlate("c-1")
    observations.event("orders.were_read", connection="market", new=2, headers={"date": "today"})
    assert lines(log) == [
        {
            "timestamp": "2026-05-01T12:00:00.000+00:00",
            "level": "info",
            "event": "orders.were_read",
            "correlation": "c-1",
            "connection": "market",
            "new": 2,
            "headers_date": "today",
        }
    ]


def test_a_level_below_the_chosen_one_is_not_written(tmp_path: Path) -> None:
    observations, log = observed(tmp_path, log_level="warning")
    observations.event("orders.were_read", connection="market")
    observations.event("connection.went_down", connection="market")
    assert [line["event"] for line in lines(log)] == ["connection.went_down"]


def test_a_field_that_nobody_declared_is_hidden() -> None:
    shown = redact(
        {"connection": "m", "buyer": "Ada Example", "reason": "wrote to ada@mail.example\nand more"}
    )
    assert shown == {"connection": "m", "buyer": HIDDEN, "reason": f"wrote to {HIDDEN} and more"}


def test_what_stands_in_no_list_raises_where_it_is_strict(tmp_path: Path) -> None:
    observations, _ = observed(tmp_path, strict=True)
    with pytest.raises(Undeclared):
        observations.event("order.was_invented")
    with pytest.raises(Undeclared):
        observations.count("marketsync_invented_total")
    with pytest.raises(Undeclared):
        observations.count("marketsync_conflicts_total", 1, sku="A")
    with pytest.raises(Undeclared):
        observations.gauge("marketsync_conflicts_total", 1, connection="m")
    with pytest.raises(Undeclared):
        observations.observe("marketsync_parked", 1, kind="order")


def test_in_a_daemon_it_is_counted_and_logged_instead(tmp_path: Path) -> None:
    observations, log = observed(tmp_path)
    observations.count("marketsync_invented_total")
    assert observations.metrics.value("marketsync_undeclared_total") == 1
    assert lines(log)[0]["event"] == "observer.met_unknown"


def test_figures_reach_the_exposition() -> None:
    metrics = Metrics()
    metrics.count(
        "marketsync_http_requests_total", 2, {"connection": "m", "operation": "OR11", "outcome": "ok"}
    )
    metrics.gauge("marketsync_parked", 3, {"kind": "order"})
    metrics.observe("marketsync_http_seconds", 0.2, {"connection": "m", "operation": "OR11"})
    text = metrics.exposition().decode()
    assert 'marketsync_http_requests_total{connection="m",operation="OR11",outcome="ok"} 2.0' in text
    assert 'marketsync_http_seconds_bucket{connection="m",le="0.25",operation="OR11"} 1.0' in text
    metrics.clear("marketsync_parked")
    assert 'kind="order"' not in metrics.exposition().decode()
    metrics.gauge("marketsync_parked", 4, {"kind": "order"})
    assert metrics.value("marketsync_parked", {"kind": "order"}) == 4


@pytest.mark.failure(72)
def test_a_reader_that_stands_still_costs_lines_and_no_time() -> None:
    """A full pipe holds 64 KiB and the queue 20 lines: what is more is dropped and counted, and nothing waits."""
    reader, writer = os.pipe()
    try:
        sink = LineSink(writer, lines_max=20)
        observations = Observations(FixedClock(), sink)
        for _ in range(1000):
            observations.event("orders.were_read", connection="m", reason="x" * 200)
        dropped = observations.metrics.value("marketsync_logs_dropped_total")
        assert dropped is not None
        assert dropped > 500
        assert os.get_blocking(writer)
        received = os.read(reader, 1 << 20)
        observations.drain()
        received += os.read(reader, 1 << 20)
        assert all(json.loads(line)["connection"] == "m" for line in received.splitlines())
        sink.close()
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.failure(72)
def test_a_journal_that_stands_still_is_a_socket_and_costs_no_time_either() -> None:
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with reader, writer:
        sink = LineSink(writer.fileno(), lines_max=5)
        while not sink.dropped:
            sink.write(b"x" * 4096 + b"\n")
        assert not sink.drain()
        received = b""
        while b"\n" not in received[4097:]:
            received += reader.recv(1 << 20)
        sink.drain()
        assert received.startswith(b"x" * 4096 + b"\n")
        sink.close()


def test_a_reader_that_is_gone_ends_nothing() -> None:
    reader, writer = os.pipe()
    sink = LineSink(writer)
    os.close(reader)
    sink.write(b"to nobody\n")
    assert sink.dropped == 1
    os.close(writer)


def _uses() -> Iterator[tuple[str, str, str, list[str | None]]]:
    """(file, method, name, keywords) of every call to an Observer in the product."""
    for folder in ("marketsync", "adapters"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                match node:
                    case ast.Call(
                        func=ast.Attribute(attr="event" | "count" | "gauge" | "observe" as method),
                        args=[ast.Constant(value=str(name)), *_],
                        keywords=keywords,
                    ) if method == "event" or name.startswith("marketsync_"):
                        yield path.name, method, name, [keyword.arg for keyword in keywords]
                    case _:
                        pass


def test_every_event_in_the_code_is_declared_and_every_declared_one_is_used() -> None:
    used = {name for _, method, name, _ in _uses() if method == "event"}
    assert used - set(EVENTS) == set()
    assert set(EVENTS) - used == {"observer.met_unknown"}


def test_every_field_of_an_event_may_be_shown() -> None:
    fields = {key for _, method, _, keys in _uses() if method == "event" for key in keys if key}
    assert fields - SHOWN == set()


def test_every_metric_in_the_code_is_declared_with_its_labels() -> None:
    declared = {metric.name: metric for metric in METRICS}
    used = [(file, name, keys) for file, method, name, keys in _uses() if method != "event"]
    assert {name for _, name, _ in used} == set(declared)
    for file, name, keys in used:
        if None not in keys and file != "observe.py":
            assert (file, name, sorted(filter(None, keys))) == (file, name, sorted(declared[name].labels))


def test_names_of_events_are_a_noun_and_what_happened() -> None:
    for name in EVENTS:
        noun, _, verb = name.partition(".")
        assert noun.isidentifier()
        assert verb.isidentifier()


def test_no_label_can_hold_an_order_a_sku_or_a_person() -> None:
    allowed = set(
        "version connection operation outcome budget stream ground kind answer target state reason file back_office loop task status".split()
    )
    assert {label for metric in METRICS for label in metric.labels} <= allowed
