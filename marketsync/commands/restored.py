"""`restored`: a person's word that the database is an older copy, where the daemon can't notice it by itself."""

from __future__ import annotations

from datetime import datetime

import msgspec

from marketsync.commands.desk import Desk, UsageError
from marketsync.domain.gap import Gap


class RestoredArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`since`: when the copy was made, or earlier."""

    since: datetime


class Restored(msgspec.Struct, frozen=True):
    """What was done between the two is looked for before anything is sent."""

    since: datetime
    until: datetime


async def restored(desk: Desk, args: RestoredArgs) -> Restored:
    """Only without a daemon: one that runs would have sent already what it should have looked for."""
    if desk.running:
        raise UsageError("stop the daemon first: a restore is told before the first start")
    if args.since.tzinfo is None:
        raise UsageError("give the time with its zone, such as 2026-01-01T00:00:00Z")
    if args.since > desk.now():
        raise UsageError("the copy was made before now")
    gap = await desk.core.store.widen_gap(Gap(args.since, desk.now()))
    return Restored(gap.since, gap.until)
