"""The faults of a network, one by one, and how often each of them comes."""

from __future__ import annotations

import enum
from collections.abc import Iterable

import msgspec


class Fault(enum.Enum):
    """Each by itself: a rate of its own in `Rates`, under its value."""

    NONE = "none"
    NOT_SENT = "not_sent"
    """No name, no connection: it certainly did not leave."""
    REQUEST_LOST = "request_lost"
    ANSWER_LOST = "answer_lost"
    HANG = "hang"
    """It is done while we wait, at some time, and nothing comes until our time is over."""
    LATE = "late"
    """We give up, and it lands afterwards."""
    CUT = "cut"
    """The connection ends, done or not."""
    SLOW = "slow"
    DUPLICATE = "duplicate"
    """The path delivers it twice. This breaks an assumption (A25), so it is off unless asked for."""
    ERROR_BEFORE = "error_before"
    """A 5xx, and nothing was done."""
    ERROR_AFTER = "error_after"
    """A 5xx, although it was done."""
    TIMEOUT_BEFORE = "timeout_before"
    """A gateway's 408, and nothing was done."""
    TIMEOUT_AFTER = "timeout_after"
    """A gateway's 408, although it was done."""
    REFUSED_BEFORE = "refused_before"
    """A 4xx, and nothing was done: what it names is parked for a person."""
    REFUSED_AFTER = "refused_after"
    """A 4xx, although it was done. A 4xx is taken at its word, so it is off unless asked for."""
    FORBIDDEN = "forbidden"
    """A firewall's 403 page."""
    UNAUTHORISED = "unauthorised"
    """One 401; the next request is let in again."""
    THROTTLED = "throttled"
    """A 429 with a Retry-After of any form."""
    THROTTLED_SECONDS = "throttled_seconds"
    THROTTLED_DATE = "throttled_date"
    THROTTLED_PAST = "throttled_past"
    THROTTLED_BARE = "throttled_bare"
    THROTTLED_NEGATIVE = "throttled_negative"
    THROTTLED_GARBAGE = "throttled_garbage"
    THROTTLED_HUGE = "throttled_huge"
    MALFORMED = "malformed"
    """Done, and the 2xx can't be read."""
    HTML_PAGE = "html_page"
    """A page for people with 200, done or not."""
    CHARSET = "charset"
    """Done, and the 2xx is in another charset than it says."""
    EMPTY = "empty"
    """Done, and the 2xx has no body."""


ASKED_FOR = ("duplicate", "refused_before", "refused_after", "forbidden", "steady")
"""What a daemon alone can't get over, or what breaks an assumption that it states."""


class Rates(msgspec.Struct, frozen=True):
    """The probability of each fault for one request. `steady` keeps connecting and answering at a constant pace."""

    not_sent: float = 0.0
    request_lost: float = 0.0
    answer_lost: float = 0.0
    hang: float = 0.0
    late: float = 0.0
    cut: float = 0.0
    slow: float = 0.0
    duplicate: float = 0.0
    error_before: float = 0.0
    error_after: float = 0.0
    timeout_before: float = 0.0
    timeout_after: float = 0.0
    refused_before: float = 0.0
    refused_after: float = 0.0
    forbidden: float = 0.0
    unauthorised: float = 0.0
    throttled: float = 0.0
    throttled_seconds: float = 0.0
    throttled_date: float = 0.0
    throttled_past: float = 0.0
    throttled_bare: float = 0.0
    throttled_negative: float = 0.0
    throttled_garbage: float = 0.0
    throttled_huge: float = 0.0
    malformed: float = 0.0
    html_page: float = 0.0
    charset: float = 0.0
    empty: float = 0.0
    steady: bool = False

    @classmethod
    def of_all(cls, rate: float) -> Rates:
        """The classic ones: what every network does to everybody."""
        return cls.of(_CLASSIC, rate)

    @classmethod
    def of(cls, names: Iterable[str], rate: float) -> Rates:
        return msgspec.convert(dict.fromkeys(names, rate), cls)


_CLASSIC = (
    "not_sent", "request_lost", "answer_lost", "error_before", "error_after", "late", "throttled", "malformed",
    "cut", "slow",
)  # fmt: skip
