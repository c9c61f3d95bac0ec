"""The person at the desk: corrects credentials and tries parked work again, but only what the seed has planted."""

from __future__ import annotations

from marketsync.bootstrap import Assembly
from marketsync.commands import connections, parked
from marketsync.commands.desk import Desk
from marketsync.errors import Park, StoreError
from marketsync.sandbox.faults import Dice, Fault
from marketsync.sandbox.mischief import Planted
from marketsync.sandbox.world import World

LOOK_SECONDS = 90.0
TRIES_MAX = 12
REFUSALS = (Fault.REFUSED_BEFORE, Fault.REFUSED_AFTER)
UNAUTHORISED = (Fault.UNAUTHORISED, Fault.FORBIDDEN)


class Clerk:
    """`excuses` knows what may wait for a person; what else is parked or paused is left for the judge. `only`: the
    connections that are this clerk's business, all by default."""

    def __init__(
        self, assembly: Assembly, planted: Planted, dice: Dice, only: frozenset[str] = frozenset()
    ) -> None:
        self._only = only
        self._desk = Desk(assembly.core, assembly.network, assembly.daemon.release, lambda *_: None)
        self._network = assembly.network
        self._planted = planted
        self._dice = dice
        self._tries: dict[str, int] = {}

    async def work(self) -> None:
        """Until cancelled. A store that fails just now is the daemon's business."""
        while True:
            await self._desk.core.clock.sleep(LOOK_SECONDS)
            try:
                await self._look()
            except StoreError:
                continue

    async def _look(self) -> None:
        for link in self._network.all:
            if link.gate.paused and self._concerns(link.name) and self._may_be_paused(link.name):
                await connections.resume(self._desk, connections.ResumeArgs(link.name))
        for row in await parked.list_parked(self._desk, parked.ParkedListArgs()):
            tries = self._tries.get(row.item, 0)
            planted = excused(row.reason, self._planted, self._dice)
            # Who took an order out of the shop, and brought it back, tries what the shop refused meanwhile.
            planted = planted or (bool(self._planted.trashed) and "refused" in row.reason)
            if row.kind == "delivery" and self._concerns(row.connection) and planted and tries < TRIES_MAX:
                self._tries[row.item] = tries + 1
                try:
                    await parked.retry(self._desk, parked.RetryArgs(row.item, row.kind))
                except Park:
                    continue

    def _concerns(self, name: str) -> bool:
        return not self._only or name in self._only

    def _may_be_paused(self, name: str) -> bool:
        met = any(self._dice.injected.get(fault) for fault in UNAUTHORISED)
        return met or name in self._planted.revoked


class Excused:
    """What a seed has planted may wait for a person."""

    def __init__(self, world: World, planted: Planted, dice: Dice) -> None:
        self._world = world
        self._planted = planted
        self._dice = dice

    def may_wait(self, reason: str, connection: str, order_id: str) -> bool:
        """`order_id` at the marketplace `connection`."""
        key = self._world.books.key_of(connection, order_id)
        trashed = {self._world.books.key_of_ref(ref) for ref in self._planted.trashed}
        return key in trashed or excused(reason, self._planted, self._dice)

    def may_be_tried(self, reason: str) -> bool:
        """The clerk may just have let it go on."""
        return excused(reason, self._planted, self._dice)


def excused(reason: str, planted: Planted, dice: Dice) -> bool:
    """Whether a delivery that is parked for this reason may be tried again."""
    refused = planted.refuses or any(dice.injected.get(fault) for fault in REFUSALS)
    trashed = any(word in reason for word in ("trash", "gone", "deleted", "in the shop", "look"))
    return (refused and "refused" in reason) or (bool(planted.trashed) and trashed)
