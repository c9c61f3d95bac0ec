"""What the shop's people cancel, refund or take back: a person hears of it, once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from marketsync.commands.parked import SkipArgs, skip
from marketsync.domain.ids import ConnectionId, RemoteId
from marketsync.ports import Aftersale, OpenOrder
from tests.integration.engine.bench import Bench, Life


class Told:
    """The shop tells of a refund of every open order, each time that it is asked."""

    def __init__(self, adapter: Any) -> None:
        self.asked = 0
        adapter.fetch_aftersales = self.fetch

    async def fetch(self, orders: Sequence[OpenOrder]) -> Sequence[Aftersale]:
        self.asked += 1
        return [
            Aftersale(x.ref, RemoteId(f"{x.remote_id}:refund:1"), f"order {x.remote_id} was refunded")
            for x in orders
        ]


def test_a_person_is_told_once(bench: Bench) -> None:
    async def story(life: Life) -> None:
        told = Told(life.daemon.network.back_offices[ConnectionId("shop")].adapter)
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: bool(bench.parked("conflict")), 900)
        ((item, reason),) = bench.parked("conflict").items()
        assert item.startswith("aftersale/")
        assert reason == f"in the shop: order {bench.created(order)[0].remote_id} was refunded"
        await skip(life.desk, SkipArgs(item))
        asked = told.asked
        await life.until(lambda: told.asked > asked + 3, 900)
        assert not bench.parked()
        assert bench.state("create", order) == "done"

    bench.live(story)
