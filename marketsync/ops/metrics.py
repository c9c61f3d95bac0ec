"""Every metric, declared once. Labels are connections, kinds and states: their number never grows with orders."""

from __future__ import annotations

import enum
from typing import TypeVar

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

T = TypeVar("T", Counter, Gauge, Histogram)
Labels = tuple[tuple[str, str], ...]

SECONDS_BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Sort(enum.Enum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(msgspec.Struct, frozen=True):
    name: str
    sort: Sort
    labels: tuple[str, ...]
    help: str


class Undeclared(LookupError):
    """A metric, label or event that stands in no list: a defect of the caller."""


def _counter(name: str, labels: str, meaning: str) -> Metric:
    return Metric(f"marketsync_{name}_total", Sort.COUNTER, tuple(labels.split()), meaning)


def _gauge(name: str, labels: str, meaning: str) -> Metric:
    return Metric(f"marketsync_{name}", Sort.GAUGE, tuple(labels.split()), meaning)


def _seconds(name: str, labels: str, meaning: str) -> Metric:
    return Metric(f"marketsync_{name}_seconds", Sort.HISTOGRAM, tuple(labels.split()), meaning)


METRICS = (
    _gauge("build_info", "version", "Always 1; the version is the label."),
    _counter("http_requests", "connection operation outcome", "Requests by what their answer meant."),
    _seconds("http", "connection operation", "From signing a request to judging its answer."),
    _seconds("budget_wait", "connection budget", "How long calls waited for their budget; those that did not have to are not counted."),
    _gauge("budget_left", "connection budget", "Calls that may leave at once."),
    _gauge("connection_up", "connection", "1 while calls go through, 0 while the circuit is open or the connection is paused."),
    _gauge("connection_paused", "connection", "1 while a person, or refused credentials, keep the connection stopped."),
    _counter("orders_read", "connection outcome", "Orders read: new, changed, or parked because they could not be read."),
    _counter("hints", "connection outcome", "Messages of the marketplace that hurry a reading along: asked, other (about no order), repeated, forged, unreadable; unreachable where the queue, or the key of a signature, could not be had."),
    _gauge("hint_silence_seconds", "connection", "How long ago the last of those messages came; they may stop without a word."),
    _counter("hints_refused", "status", "Requests at daemon.hints_listen that were refused, by HTTP status."),
    _gauge("orders_asked", "connection", "Orders that wait to be read by their id: at most 10,000, then the oldest are left to the sweep."),
    _gauge("oldest_asked_seconds", "connection", "How long the first of them has waited."),
    _counter("late_orders", "connection ground", "Orders that only the deep sweep found: the live sweep had passed them."),
    _gauge("coverage_lag_seconds", "connection stream", "How far the newest covered moment is behind the marketplace's now."),
    _gauge("coverage_holes", "connection stream", "Stretches of time that could not be read yet."),
    _counter("parcels_read", "connection", "Parcels of the shop that were new or changed."),
    _counter("attempts", "connection kind outcome", "Attempts to deliver, by how they ended."),
    _counter("probes", "connection kind answer", "Looks after an unknown outcome, by what they found."),
    _gauge("look_first", "connection", "Deliveries that are looked for before they are sent: another life may have sent them."),
    _gauge("deliveries_unfinished", "target kind state", "Deliveries that are not done, by where they stand."),
    _gauge("oldest_undelivered_seconds", "target", "How long the oldest delivery could have been sent already."),
    _gauge("in_doubt", "target", "Deliveries whose outcome is not known yet."),
    _gauge("parked", "kind", "Items that wait for a person or for their cause to go away."),
    _counter("conflicts", "connection", "Things found that do not agree with what we did; each waits for a person."),
    _counter("stock_writes", "connection reason", "Quantities sent to a marketplace, by why."),
    _gauge("stock_drift_units", "connection", "Units by which what is listed differs from what should be, summed over SKUs."),
    _gauge("stock_unknown_listings", "connection", "SKUs of which it is not known what the marketplace lists."),
    _gauge("stock_open_skus", "back_office", "SKUs whose availability is a range until they are read again."),
    _gauge("stock_short_units", "back_office", "Units sold that are not there."),
    _gauge("oversell_cap_units", "back_office", "Most units that what is listed now could oversell, whatever the rate of sales; known listings only."),
    _counter("loop_failures", "connection loop", "Turns of a loop of the engine that ended by an error."),
    _counter("tasks_failed", "task", "Unexpected errors in what runs beside the engine."),
    _gauge("store_bytes", "file", "Size of the database and of its write-ahead log."),
    _gauge("loop_lag_seconds", "", "How late the event loop woke up last."),
    _counter("logs_dropped", "", "Log lines that were dropped because nobody read them."),
    _counter("undeclared", "", "Events and metrics that stand in no list: defects of this program."),
)  # fmt: skip


class Metrics:
    """A registry of its own with all declared metrics; what is not declared raises Undeclared."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        self._counting: dict[str, dict[Labels, Counter]] = {}
        self._gauging: dict[str, dict[Labels, Gauge]] = {}
        self._observing: dict[str, dict[Labels, Histogram]] = {}
        self._labels = {metric.name: metric.labels for metric in METRICS}
        for metric in METRICS:
            self._declare(metric)

    def count(self, name: str, amount: float, labels: dict[str, str]) -> None:
        self._series(self._counters, self._counting, name, labels).inc(amount)

    def gauge(self, name: str, value: float, labels: dict[str, str]) -> None:
        self._series(self._gauges, self._gauging, name, labels).set(value)

    def observe(self, name: str, seconds: float, labels: dict[str, str]) -> None:
        self._series(self._histograms, self._observing, name, labels).observe(seconds)

    def clear(self, name: str) -> None:
        """Forget the series of a gauge, before it is set anew for what is there now."""
        _known(self._gauges, name).clear()
        self._gauging.pop(name, None)

    def value(self, name: str, labels: dict[str, str] | None = None) -> float | None:
        return self._registry.get_sample_value(name, labels or {})

    def exposition(self) -> bytes:
        """In the text format that Prometheus scrapes."""
        return generate_latest(self._registry)

    def _declare(self, metric: Metric) -> None:
        match metric.sort:
            case Sort.COUNTER:
                self._counters[metric.name] = Counter(
                    metric.name, metric.help, metric.labels, registry=self._registry
                )
            case Sort.GAUGE:
                self._gauges[metric.name] = Gauge(
                    metric.name, metric.help, metric.labels, registry=self._registry
                )
            case Sort.HISTOGRAM:
                self._histograms[metric.name] = Histogram(
                    metric.name, metric.help, metric.labels, registry=self._registry, buckets=SECONDS_BUCKETS
                )

    def _series(
        self, metrics: dict[str, T], used: dict[str, dict[Labels, T]], name: str, labels: dict[str, str]
    ) -> T:
        """The one of these labels; it is judged and looked up by the library only the first time."""
        key = tuple(labels.items())
        found = used.get(name, {}).get(key)
        if found is None:
            values = self._values(name, labels)
            metric = _known(metrics, name)
            found = used.setdefault(name, {})[key] = metric.labels(*values) if values else metric
        return found

    def _values(self, name: str, labels: dict[str, str]) -> tuple[str, ...]:
        declared = self._labels.get(name)
        if declared is None:
            raise Undeclared(f"metric {name} is not declared")
        if sorted(declared) != sorted(labels):
            raise Undeclared(f"metric {name} has the labels {declared}, not {tuple(labels)}")
        return tuple(str(labels[label]) for label in declared)


def _known(metrics: dict[str, T], name: str) -> T:
    if name not in metrics:
        raise Undeclared(f"metric {name} is of another sort")
    return metrics[name]
