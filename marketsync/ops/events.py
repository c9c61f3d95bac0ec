"""Every log event by name, with its level and what it means. `noun.past_verb`, flat keys."""

from __future__ import annotations

import msgspec


class Event(msgspec.Struct, frozen=True):
    level: str
    meaning: str


def _info(meaning: str) -> Event:
    return Event("info", meaning)


def _warning(meaning: str) -> Event:
    return Event("warning", meaning)


def _error(meaning: str) -> Event:
    return Event("error", meaning)


EVENTS: dict[str, Event] = {
    "daemon.was_started": _info("The store is open and migrated, the lock held, the loops run."),
    "daemon.was_stopped": _info("Everything that was under way ended; the process exits."),
    "daemon.drain_began": _info("A stop was asked for: no new work is taken."),
    "daemon.drain_ran_out": _warning("The drain took too long: what was under way is left to the next start, which resolves it."),
    "task.failed": _error("A loop ended by an unexpected error and is started again."),
    "loop.lagged": _warning("The event loop was blocked for longer than a second."),
    "observer.met_unknown": _error("An event or metric was used that stands in no list."),
    "connection.came_back": _info("Calls go through again after the circuit was open."),
    "connection.went_down": _warning("Several calls in a row failed: one try per interval from now on."),
    "connection.was_paused": _error("The connection stopped until a person resumes it."),
    "connection.was_resumed": _info("A person resumed the connection."),
    "http.answer_refused": _warning("An answer was not 2xx; shown without its body."),
    "orders.were_read": _info("A page brought new, changed or unreadable orders."),
    "control.request_failed": _warning("A command over the control socket failed unexpectedly."),
    "metrics.scrape_refused": _warning("A request to the metrics port was over its limits."),
}  # fmt: skip
