"""The Observer: events to structlog, figures to Prometheus. Nothing here waits, and nothing here may stop the daemon."""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import msgspec

from marketsync import __version__
from marketsync.ops.events import EVENTS
from marketsync.ops.metrics import Metrics, Undeclared
from marketsync.ops.plain import structlog
from marketsync.ops.redaction import redact
from marketsync.ops.sink import LineSink
from marketsync.ports import Clock

Format = Literal["auto", "json", "console"]

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class Observations:
    """Implements ports.Observer. `strict` raises Undeclared for what stands in no list; otherwise it is counted and logged."""

    def __init__(
        self,
        clock: Clock,
        sink: LineSink,
        *,
        log_format: Format = "json",
        log_level: str = "info",
        strict: bool = False,
    ) -> None:
        self.metrics = Metrics()
        self._clock = clock
        self._sink = sink
        self._strict = strict
        self._dropped = 0
        self._log = _logger(clock, sink, log_format, log_level)
        self.metrics.gauge("marketsync_build_info", 1, {"version": __version__})

    def event(self, name: str, /, **fields: Any) -> None:
        known = EVENTS.get(name)
        if known is None:
            self._undeclared(Undeclared(f"event {name} is not declared"))
        self._log.log(_LEVELS[known.level if known else "error"], name, **fields)
        self._count_dropped()

    def count(self, metric: str, amount: float = 1, /, **labels: str) -> None:
        try:
            self.metrics.count(metric, amount, labels)
        except Undeclared as error:
            self._undeclared(error)

    def gauge(self, metric: str, value: float, /, **labels: str) -> None:
        try:
            self.metrics.gauge(metric, value, labels)
        except Undeclared as error:
            self._undeclared(error)

    def observe(self, metric: str, seconds: float, /, **labels: str) -> None:
        try:
            self.metrics.observe(metric, seconds, labels)
        except Undeclared as error:
            self._undeclared(error)

    def drain(self) -> None:
        """Write the log lines that still wait; called from a loop that turns anyway."""
        self._sink.drain()
        self._count_dropped()

    def close(self) -> None:
        self._sink.close()

    def _undeclared(self, error: Undeclared) -> None:
        if self._strict:
            raise error
        self.metrics.count("marketsync_undeclared_total", 1, {})
        self._log.error("observer.met_unknown", problem=str(error))

    def _count_dropped(self) -> None:
        if self._sink.dropped > self._dropped:
            self.metrics.count("marketsync_logs_dropped_total", self._sink.dropped - self._dropped, {})
            self._dropped = self._sink.dropped


class Silence:
    """An Observer for commands that run without a daemon: a person sees their result instead."""

    def event(self, name: str, /, **fields: Any) -> None: ...
    def count(self, metric: str, amount: float = 1, /, **labels: str) -> None: ...
    def gauge(self, metric: str, value: float, /, **labels: str) -> None: ...
    def observe(self, metric: str, seconds: float, /, **labels: str) -> None: ...


def to_stderr(clock: Clock, *, log_format: Format = "auto", log_level: str = "info") -> Observations:
    """`auto`: JSON under systemd or where nobody sits at a terminal."""
    chosen = log_format
    if chosen == "auto":
        alone = "INVOCATION_ID" in os.environ or not sys.stderr.isatty()
        chosen = "json" if alone else "console"
    return Observations(clock, LineSink(sys.stderr.fileno()), log_format=chosen, log_level=log_level)


def correlate(correlation: str) -> None:
    """Events of this task and of the tasks that it starts carry this id."""
    structlog.contextvars.bind_contextvars(correlation=correlation)


def _logger(
    clock: Clock, sink: LineSink, log_format: Format, log_level: str
) -> structlog.typing.FilteringBoundLogger:
    def stamp(_: Any, __: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {"timestamp": clock.now().isoformat(timespec="milliseconds"), **fields}

    def shown(_: Any, __: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return redact(fields)

    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer(serializer=_json)
    if log_format == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=False, pad_event_to=28)
    bound: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        _Lines(sink),
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.add_log_level, shown, stamp, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(log_level),
        cache_logger_on_first_use=True,
    )  # fmt: skip
    return bound


def _json(fields: dict[str, Any], **_: Any) -> str:
    return msgspec.json.encode(fields).decode()


class _Lines:
    """What structlog ends in: one method for all levels."""

    def __init__(self, sink: LineSink) -> None:
        self._sink = sink

    def msg(self, message: str) -> None:
        self._sink.write(message.encode(errors="replace") + b"\n")

    debug = info = warning = error = critical = msg
