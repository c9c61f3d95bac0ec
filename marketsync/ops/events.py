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
    "store.was_restored": _warning("The database is an older copy: what was done after `since` is looked for before anything is sent."),
    "daemon.was_stopped": _info("Everything that was under way ended; the process exits."),
    "daemon.drain_began": _info("A stop was asked for: no new work is taken."),
    "daemon.drain_ran_out": _warning("The drain took too long: what was under way is left to the next start, which resolves it."),
    "daemon.failed": _error("The engine cannot go on, as after an error of the disk: the process ends and is started again."),
    "task.failed": _error("Something beside the engine failed; it is tried again."),
    "loop.lagged": _warning("The event loop was blocked for longer than a second."),
    "observer.met_unknown": _error("An event or metric was used that stands in no list."),
    "connection.came_back": _info("Calls go through again after the circuit was open."),
    "connection.went_down": _warning("Several calls in a row failed: one try per interval from now on."),
    "connection.was_paused": _error("The connection stopped until a person resumes it."),
    "connection.was_resumed": _info("A person resumed the connection."),
    "http.answer_refused": _warning("An answer was not 2xx; shown without its body."),
    "orders.were_read": _info("A page brought new, changed or unreadable orders."),
    "sweep.had_missed_an_order": _warning("The deep sweep found an order that the live sweep had passed."),
    "window.left_a_hole": _warning("A stretch of time could not be read whole; it is tried again."),
    "resync.was_finished": _info("A window that a person asked for was read."),
    "stock.was_swept": _info("The stock of all articles of a shop was read."),
    "order.read_was_refused": _warning("The marketplace refuses to tell of one order by its id: it is not asked for again until a person says so, or its time comes."),
    "order.was_imported": _info("An order was seen for the first time; `correlation` is our reference of it from here on."),
    "order.was_revised": _info("A newer version of an order was taken."),
    "delivery.was_moved": _info("An attempt ended, or a look did: `action` says how, `state` where the delivery stands now."),
    "delivery.was_parked": _warning("A delivery waits for a person, or for its cause to go away."),
    "delivery.was_overdue": _warning("The far side still works on it long after it should have ended: it counts as unknown, and is looked at or sent anew."),
    "conflict.was_found": _error("What is there does not agree with what we did: a person decides."),
    "dispatch.failed": _error("A delivery could not be built or settled by an unexpected error."),
    "adapter.failed": _error("An adapter raised what is no decision: its write counts as unknown."),
    "probe.failed": _warning("A look after an unknown outcome failed; it is repeated."),
    "loop.failed": _error("A turn of a loop failed; shown once until it is back."),
    "loop.recovered": _info("The loop that failed turns again."),
    "daemon.is_draining": _info("The engine takes no new work and waits for what is on the wire."),
    "hints.request_failed": _warning("A message that was pushed met an unexpected error; none of it is shown."),
    "control.request_failed": _warning("A command over the control socket failed unexpectedly."),
}  # fmt: skip
