"""What every simulated marketplace is made of: its books, and the account through which buyers and the daemon meet them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

import msgspec
from msgspec.structs import replace

from marketsync.domain.orders import Party


class Habits(msgspec.Struct, frozen=True, kw_only=True):
    """How a marketplace is, and what is wrong with it just now; a vendor adds his own.

    `visibility_lag_seconds`: until lists show a change; `late_seconds`: how much later than that. `buyer` buys everything,
    None for people of its own. `unknown_state` and `bad_totals` spoil every order that is shown.
    """

    clock_skew_seconds: float = 0.0
    visibility_lag_seconds: float = 0.0
    late_seconds: float = 0.0
    unknown_state: str = ""
    bad_totals: bool = False
    buyer: Party | None = None


B = TypeVar("B", bound=Habits)
T = TypeVar("T")


class Event(msgspec.Struct, frozen=True):
    """One line of the truth: what took effect, and when, in the marketplace's own time."""

    at: datetime
    what: str
    subject: str
    detail: str = ""


class Versions(Generic[T]):
    """What is shown of something that changes: each version from its own time on, the newest of those that are."""

    def __init__(self) -> None:
        self._held: dict[str, list[tuple[datetime, T]]] = {}

    def add(self, key: str, shown_at: datetime, version: T) -> None:
        self._held.setdefault(key, []).append((shown_at, version))

    def held(self, key: str) -> Sequence[tuple[datetime, T]]:
        return self._held.get(key, ())

    def of(self, key: str, at: datetime) -> T | None:
        return next((version for shown, version in reversed(self.held(key)) if shown <= at), None)

    def all(self, at: datetime) -> list[T]:
        shown = (self.of(key, at) for key in self._held)
        return [version for version in shown if version is not None]


class Books(ABC, Generic[B, T]):
    """`log` is the truth that tests compare with; nothing else writes to it. `T` is a vendor's order, `at` his own time."""

    def __init__(self, behaviour: B) -> None:
        self.behaviour = behaviour
        self.orders: dict[str, T] = {}
        self.listed = Versions[T]()
        """What lists show of the orders."""
        self.log: list[Event] = []

    def clock(self, now: datetime) -> datetime:
        """The marketplace's own time: its stamps, its Date header."""
        return now.astimezone(UTC) + timedelta(seconds=self.behaviour.clock_skew_seconds)

    def record(self, at: datetime, what: str, subject: str, detail: str = "") -> None:
        self.log.append(Event(at, what, subject, detail))

    def show(self, order_id: str, order: T, at: datetime) -> None:
        """In the lists, after their lag."""
        late = self.behaviour.visibility_lag_seconds + self.behaviour.late_seconds
        self.listed.add(order_id, at + timedelta(seconds=late), order)

    @abstractmethod
    def put(self, order: T, at: datetime, *, stamp: datetime | None = None) -> T:
        """A new version, in the lists after their lag. `stamp` backdates it."""

    @abstractmethod
    def advance(self, at: datetime) -> None:
        """What has come due since the last call takes effect at its own time."""


class Account(Generic[B, T]):
    """Buyers act by its methods. `now` is the world's time, to which `clock_skew_seconds` is added."""

    def __init__(self, world: Books[B, T]) -> None:
        self.world = world
        self.spoilt: dict[str, Mapping[str, Any]] = {}
        """By order: the behaviour that it alone is shown with."""
        self.swallows: dict[str, int] = {}
        """How many of the next writes of a kind are acknowledged and have no effect."""
        self.swallowed: list[tuple[str, str]] = []

    @property
    def behaviour(self) -> B:
        return self.world.behaviour

    def set_behaviour(self, **changes: Any) -> None:
        self.world.behaviour = replace(self.world.behaviour, **changes)

    @property
    def log(self) -> Sequence[Event]:
        return self.world.log

    def count(self, what: str, subject: str) -> int:
        return sum(event.what == what and event.subject == subject for event in self.world.log)

    def touch(self, now: datetime, order_id: str, *, backdated_seconds: float = 0.0) -> None:
        """An update that changes nothing that we read, its stamp set back where asked for."""
        at = self.arrive(now)
        stamp = at - timedelta(seconds=backdated_seconds)
        self.world.put(self.world.orders[order_id], at, stamp=stamp)

    def arrive(self, now: datetime) -> datetime:
        """What is due by now has happened; the marketplace's own time."""
        at = self.world.clock(now)
        self.world.advance(at)
        return at

    def _swallowed(self, kind: str, subject: str) -> bool:
        left = self.swallows.get(kind, 0)
        self.swallows[kind] = max(0, left - 1)
        if left:
            self.swallowed.append((kind, subject))
        return left > 0
