"""The process dies at a named point, and the next life needs no person."""

from __future__ import annotations

import pytest

from tests.integration.engine.bench import Bench, Life
from tests.integration.engine.conftest import NewBench

WHOLE_LIFE = (
    "sweep.before_page", "sweep.after_page", "dispatch.before_claim", "send.before_accept.0", "send.after_accept.0",
    "send.before_create.0", "send.after_create.1", "send.before_create.1", "dispatch.after_settle",
    "parcels.before_commit", "parcels.after_commit", "send.before_confirm.0", "send.after_confirm.0",
    "send.before_confirm.1", "send.after_confirm.1", "publish.after_claim", "publish.after_send",
)  # fmt: skip


@pytest.mark.trace("A", 14)
@pytest.mark.failure(51)
@pytest.mark.requirement("R7")
@pytest.mark.parametrize("point", WHOLE_LIFE)
def test_crash_recovers_without_a_human(new_bench: NewBench, point: str) -> None:
    bench = new_bench(people=True)

    async def first(life: Life) -> None:
        await life.until(lambda: bench.rows("SELECT 1 FROM listings WHERE presumed IS NOT NULL") != [])
        bench.buy(("SKU-1", 1), ("SKU-2", 1))
        await life.sleep(3600)

    bench.live(first, crash_at=point)
    bench.asleep(7.0)
    _finish(bench)


@pytest.mark.trace("A", 14)
@pytest.mark.requirement("R19")
@pytest.mark.parametrize("reboot", [False, True])
def test_kill_between_remote_create_and_local_record(new_bench: NewBench, reboot: bool) -> None:
    bench = new_bench(people=True)

    async def first(life: Life) -> None:
        bench.buy(("SKU-1", 1))
        await life.sleep(3600)

    bench.live(first, crash_at="send.after_create.0")
    assert len(bench.shop.orders()) == 1
    assert bench.deliveries("create")[0].state == "sent"
    bench.asleep(5.0, reboot=reboot)
    _finish(bench)
    assert len(bench.calls("orders.create")) == 1


def _finish(bench: Bench) -> None:
    async def rest(life: Life) -> None:
        if not bench.market().sales(bench.now):
            bench.buy(("SKU-1", 1), ("SKU-2", 1))
        await life.until(lambda: bench.at_rest() and bool(bench.shop.orders()), 2 * 3600.0, every=20.0)

    bench.live(rest)
    assert not bench.problems()
    assert not bench.parked()
    assert len(bench.shop.orders()) == 1
