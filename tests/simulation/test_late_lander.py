"""A far side breaks its promise: what left takes effect long after `lands_within` is over (A25).

Then two effects are possible, and no look in time could have told. What is promised is that a person sees it: the second
look, within a day, makes it a conflict that names every id (A21, A22), and nothing is hidden.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from marketsync.config import Config
from marketsync.ports import Request
from marketsync.sandbox.faults import Fault
from marketsync.sandbox.world import Habits
from tests.integration.bad_input.rig import LANDS_WITHIN, NOBODY, Rig

BROKEN_BY = timedelta(hours=2)


class LateRig(Rig):
    """The first write that `is_it` lands hours after its sender gave up, in spite of LANDS_WITHIN."""

    def __init__(self, directory: Path, is_it: Callable[[Request], bool], habits: Habits = NOBODY) -> None:
        super().__init__(directory, habits=habits)
        self.landed_at: datetime | None = None
        self._is_it = is_it
        self._given_up: Request | None = None
        draw = self.dice.draw

        def late_once() -> Fault:
            found = draw()
            return Fault.LATE if self._given_up is None and self._leaving() else found

        self.dice.draw = late_once  # type: ignore[method-assign]

    def configuration(self) -> Config:
        """Asked seldom: a day has many minutes."""
        seldom = dict.fromkeys(
            ("poll_seconds", "publish_seconds", "shipments_seconds", "stock_by_name_seconds"), 300.0
        )
        config = super().configuration()
        calmer = {
            name: chosen.model_copy(update={x: y for x, y in seldom.items() if hasattr(chosen, x)})
            for name, chosen in config.connections.items()
        }
        return config.model_copy(update={"connections": calmer})

    def _leaving(self) -> bool:
        """Between the claim and the answer of the write that is meant."""
        return bool(
            self.rows("SELECT 1 FROM deliveries WHERE state = 'sent' AND step = 0 AND kind = ?", self.kind)
        )

    kind = "create"

    def land(self, name: str, request: Request, at: datetime) -> None:
        if not self._is_it(request):
            self.world.land(name, request, at)
            return
        self._given_up = request
        self.landed_at = at + BROKEN_BY
        assert (self.landed_at - self.world_now).total_seconds() > LANDS_WITHIN
        self.world.land(name, request, self.landed_at)

    @property
    def late_one_is_over(self) -> bool:
        return self.landed_at is not None and self.world_now > self.landed_at


async def within_a_day(rig: Rig, what: Callable[[], object]) -> None:
    for _ in range(24 * 12):
        if what():
            return
        await rig.sleep(300.0)
    pytest.fail("nobody was told within a day:\n" + "\n".join(rig.ear.lines[-20:]))


def creates(request: Request) -> bool:
    return request.operation == "orders.create"


def conflict(rig: Rig, since: datetime | None) -> str:
    """What a person is shown; found within a day of the effect."""
    ((reason, cause),) = rig.parked().values()
    assert cause.startswith("conflict:")
    assert rig.ear.counts["marketsync_conflicts_total"] >= 1
    assert since is not None
    return reason


@pytest.mark.rule("A21")
@pytest.mark.rule("A25")
@pytest.mark.failure(34)
def test_a_create_that_lands_late_beside_the_one_that_replaced_it_is_shown_with_both_ids(
    tmp_path: Path,
) -> None:
    rig = LateRig(tmp_path, creates)

    async def script(rig: Rig) -> None:
        assert isinstance(rig, LateRig)
        order_id = rig.buy(("SKU-1", 1))
        await rig.until(lambda: rig.pushed(order_id) == 1)
        assert len(rig.shop.orders()) == 1
        assert rig.parked() == {}
        await within_a_day(rig, lambda: rig.late_one_is_over)
        await rig.until(lambda: len(rig.shop.orders()) == 2)
        await within_a_day(rig, rig.parked)
        reason = conflict(rig, rig.landed_at)
        for order in rig.shop.orders():
            assert order.remote_id in reason

    rig.live(script)
    assert [problem.partition(":")[0] for problem in rig.world.audit().problems] == ["duplicated"]
    links = {
        remote
        for (remote,) in rig.rows("SELECT remote_id FROM links WHERE target = 'shop' AND kind <> 'marker'")
    }
    assert {order.remote_id for order in rig.shop.orders()} <= links


@pytest.mark.rule("A22")
def test_a_create_that_lands_late_after_its_order_was_cancelled_is_shown_with_its_id(tmp_path: Path) -> None:
    rig = LateRig(tmp_path, creates)

    async def script(rig: Rig) -> None:
        assert isinstance(rig, LateRig)
        order_id = rig.buy(("SKU-1", 1))
        await rig.until(lambda: rig.landed_at is not None)
        assert rig.market.cancel_order(rig.world_now, order_id)
        await rig.until(
            lambda: rig.rows("SELECT 1 FROM deliveries WHERE kind = 'create' AND state = 'cancelled'")
        )
        assert rig.shop.orders() == []
        await within_a_day(rig, lambda: rig.late_one_is_over)
        await within_a_day(rig, rig.parked)
        (order,) = rig.shop.orders()
        assert not order.released
        assert order.remote_id in conflict(rig, rig.landed_at)

    rig.live(script)


@pytest.mark.rule("A21")
def test_a_confirmation_that_lands_late_beside_its_second_try_is_shown_with_both_ids(tmp_path: Path) -> None:
    """The marketplace has no key of ours for a parcel: while units are left, the late one ships them too."""
    habits = Habits(orders_max=0, web_sales_max=0, ship_after_seconds=(20.0, 30.0), two_parcels=0.0)
    rig = LateRig(tmp_path, lambda request: request.operation == "ST01", habits)
    rig.kind = "confirm"

    async def script(rig: Rig) -> None:
        assert isinstance(rig, LateRig)
        order_id = rig.buy(("SKU-1", 2))
        await rig.until(lambda: rig.pushed(order_id) == 1)
        (order,) = rig.shop.orders()
        rig.world._packed.add(f"shop/{order.remote_id}")
        rig.shop.ship(rig.world_now, order.remote_id, [(order.lines[0].key, 1)], "TRACK-1")
        await rig.until(lambda: len(rig.market.world.parcels) == 1)
        await within_a_day(rig, lambda: rig.late_one_is_over)
        await rig.until(lambda: len(rig.market.world.parcels) == 2)
        await within_a_day(rig, rig.parked)
        reason = conflict(rig, rig.landed_at)
        for parcel in rig.market.world.parcels:
            assert parcel in reason

    rig.live(script)
    assert any(x.startswith("doubled_parcels") for x in rig.world.audit().problems)
