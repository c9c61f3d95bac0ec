"""`parked list|retry|skip`: what waits for a person, and the person's word on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from marketsync.commands.connections import known_connection
from marketsync.commands.desk import Desk, NeedsDaemon, UsageError
from marketsync.commands.explain import ParkedRow, parked_row
from marketsync.store import Unit, parked
from marketsync.store.rows import Parked

LIST_MAX = 1000
REASON_LENGTH_MAX = 200


class ParkedListArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: str | None = None
    connection: str | None = None
    limit: int = 200


class RetryArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`item` as `parked list` shows it; `kind` where several kinds have an item of that name."""

    item: str
    kind: str | None = None


class SkipArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    item: str
    kind: str | None = None
    reason: str = "a person gave it up"


class FoundArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`id` is the far side's own, "" where it gives none."""

    item: str
    id: str = ""


class AbsentArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    item: str


class Settled(msgspec.Struct, frozen=True):
    """`became` says where the item went."""

    kind: str
    item: str
    became: str


async def list_parked(desk: Desk, args: ParkedListArgs) -> tuple[ParkedRow, ...]:
    """Newest first."""
    if not 1 <= args.limit <= LIST_MAX:
        raise UsageError(f"a list has 1 to {LIST_MAX} items")

    async def look(unit: Unit) -> tuple[ParkedRow, ...]:
        if args.connection is not None:
            await known_connection(unit, desk, args.connection)
        found: list[Parked] = []
        after: Parked | None = None
        while len(found) < args.limit:
            page = await parked.page(unit, desk.merchant, LIST_MAX, after)
            found += [item for item in page if _asked_for(item, args)]
            if len(page) < LIST_MAX:
                break
            after = page[-1]
        return tuple(parked_row(item) for item in found[: args.limit])

    return await desk.core.store.read(look)


def _asked_for(item: Parked, args: ParkedListArgs) -> bool:
    return args.kind in {None, item.kind} and args.connection in {None, item.connection}


async def retry(desk: Desk, args: RetryArgs) -> Settled:
    """Try again: a delivery is queued, or looked for first where it may have landed (A16); an order is planned anew."""
    release = desk.need_release("trying again")

    async def work(unit: Unit, item: Parked) -> str:
        if item.kind == "raw" and not desk.running:
            raise NeedsDaemon("reading an order again needs the running daemon: start it, then retry")
        return await release.retry(unit, item)

    return await _settle(desk, args.item, args.kind, work)


async def skip(desk: Desk, args: SkipArgs) -> Settled:
    """Give up on it: a delivery ends, an order stays as it is held, a conflict counts as seen."""
    release = desk.need_release("giving up")
    reason = args.reason.strip()[:REASON_LENGTH_MAX]

    async def work(unit: Unit, item: Parked) -> str:
        return await release.skip(unit, item, reason)

    return await _settle(desk, args.item, args.kind, work)


async def found(desk: Desk, args: FoundArgs) -> Settled:
    """A person looked at the far side: the delivery in doubt is there."""
    release = desk.need_release("saying that it is there")
    return await _settle(desk, args.item, "delivery", lambda unit, item: release.found(unit, item, args.id))


async def absent(desk: Desk, args: AbsentArgs) -> Settled:
    """A person looked at the far side: the delivery in doubt is not there, and can't arrive any more."""
    release = desk.need_release("saying that it is not there")
    return await _settle(desk, args.item, "delivery", release.absent)


async def _settle(
    desk: Desk, name: str, kind: str | None, work: Callable[[Unit, Parked], Awaitable[str]]
) -> Settled:
    async def one(unit: Unit) -> Settled:
        item = await _one(unit, desk, name, kind)
        return Settled(item.kind, item.item, await work(unit, item))

    settled = await desk.core.store.write(one)
    desk.wake_all()
    return settled


async def _one(unit: Unit, desk: Desk, name: str, kind: str | None) -> Parked:
    kinds = [kind] if kind else list(await parked.counts(unit, desk.merchant))
    found = [await parked.get(unit, desk.merchant, each, name) for each in kinds]
    items = [item for item in found if item is not None]
    if not items:
        raise UsageError(f"nothing is parked under {name!r}")
    if len(items) > 1:
        raise UsageError(f"{name!r} is parked as {', '.join(item.kind for item in items)}: say --kind")
    return items[0]
