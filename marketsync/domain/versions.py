"""Which of two reads of one order is the newer one, and what a find means (rules B13, B15, B18)."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import assert_never

import msgspec

from marketsync.domain.coverage import Coverage


class Version(msgspec.Struct, frozen=True):
    """One read of one order; the numbers are from the store's sequence, around the request."""

    stamp: datetime
    content_hash: str
    begin_seq: int
    end_seq: int


class VersionVerdict(enum.Enum):
    TAKE = "take"
    DROP = "drop"
    READ_BY_ID = "read_by_id"


def judge_version(held: Version | None, read: Version) -> VersionVerdict:
    """B13: which of two reads of an order is the newer one; READ_BY_ID if nothing can tell."""
    if held is None or read.stamp > held.stamp:
        return VersionVerdict.TAKE
    if read.stamp < held.stamp or read.content_hash == held.content_hash:
        return VersionVerdict.DROP
    if read.begin_seq > held.end_seq:
        return VersionVerdict.TAKE
    return VersionVerdict.DROP if read.end_seq < held.begin_seq else VersionVerdict.READ_BY_ID


def version_after(held: Version | None, read: Version) -> Version:
    """What to hold after a read. The same content read later is known to be true later."""
    verdict = judge_version(held, read)
    if held is None or verdict is VersionVerdict.TAKE:
        return read
    if verdict is VersionVerdict.READ_BY_ID or read.stamp < held.stamp:
        return held
    same = read.content_hash == held.content_hash
    return read if same and read.begin_seq > held.begin_seq else held


class Find(enum.Enum):
    """What the deep sweep met: KNOWN, FOUND (counted), LIVE_MISSED (counted, and an alarm)."""

    KNOWN = "known"
    FOUND = "found"
    LIVE_MISSED = "live_missed"


def judge_find(held: Version | None, read: Version, live: Coverage) -> Find:
    """B15: a version that the live sweep claims to have read, and has not, is its failure."""
    match judge_version(held, read):
        case VersionVerdict.DROP:
            return Find.KNOWN
        case VersionVerdict.TAKE | VersionVerdict.READ_BY_ID:
            return Find.LIVE_MISSED if live.covers(read.stamp) else Find.FOUND
        case other:
            assert_never(other)


def is_external(created_at: datetime, import_from: datetime, decided: bool | None = None) -> bool:
    """B18: decided by the creation stamp at first sight; what was `decided` then stands."""
    return created_at < import_from if decided is None else decided
