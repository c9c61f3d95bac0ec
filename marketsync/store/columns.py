"""How values stand in columns: times as microseconds since 1970 UTC, documents as JSON bytes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

encode = msgspec.json.Encoder().encode


def micros(t: datetime) -> int:
    return (t - _EPOCH) // _MICROSECOND


def instant(us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=us)


def micros_or_null(t: datetime | None) -> int | None:
    return None if t is None else micros(t)


def instant_or_none(us: int | None) -> datetime | None:
    return None if us is None else instant(us)
