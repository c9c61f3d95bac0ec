"""The Retry-After header in all the forms that servers send."""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

SECONDS_MIN = 1.0
SECONDS_MAX = 900.0
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """Seconds to wait, within 1 and 900; None without the header. Garbage counts as the least wait.

    `now` is the server's clock where it is known, as a date in the header is in it.
    """
    if value is None:
        return None
    text = value.strip()
    number = _NUMBER.fullmatch(text)
    if number is not None:
        return _clamp(float(number.group()))
    date = http_date(text)
    return SECONDS_MIN if date is None else _clamp((date - now).total_seconds())


@functools.lru_cache(maxsize=64)
def http_date(value: str | None) -> datetime | None:
    """An HTTP date as an aware UTC datetime, None for what is none."""
    if not value:
        return None
    try:
        date = parsedate_to_datetime(value)
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _clamp(seconds: float) -> float:
    return min(max(seconds, SECONDS_MIN), SECONDS_MAX)
