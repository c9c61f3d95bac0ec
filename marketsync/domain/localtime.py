"""Far sides that state local times without a zone: windows are widened, never guessed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

# Longer than any change of a zone's offset: one near an end of a window shows within it.
NEAR = timedelta(hours=3)


def local_bounds(lo: datetime, hi: datetime, zone: tzinfo) -> tuple[datetime, datetime]:
    """Naive local bounds that hold every local stamp of the closed UTC interval, across a change of the clock."""
    probes = (lo, min(hi, lo + NEAR), max(lo, hi - NEAR), hi)
    offsets = [_offset(at, zone) for at in probes]
    return (lo + min(offsets)).replace(tzinfo=None), (hi + max(offsets)).replace(tzinfo=None)


def utc_stamp(local: datetime, zone: tzinfo) -> datetime:
    """The UTC instant of a naive local stamp.

    All stamps of an hour that occurs twice become that hour's first instant, so that the second edit of the
    hour never looks older than the first: they are equal, and B13 decides by when they were read.
    """
    first, second = (local.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    early, late = first.astimezone(UTC), second.astimezone(UTC)
    if early >= late:
        return early
    return _change_between(early, late, zone) - (late - early)


def _change_between(before: datetime, after: datetime, zone: tzinfo) -> datetime:
    """The instant at which the offset changes, to the second."""
    was = _offset(before, zone)
    while after - before > timedelta(seconds=1):
        middle = (before + (after - before) / 2).replace(microsecond=0)
        middle = middle if middle > before else before + timedelta(seconds=1)
        before, after = (middle, after) if _offset(middle, zone) == was else (before, middle)
    return after.replace(microsecond=0)


def _offset(at: datetime, zone: tzinfo) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta()
