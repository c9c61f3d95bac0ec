"""The bench itself: an order goes all the way, and time is virtual."""

from __future__ import annotations

from tests.integration.engine.bench import Bench, Life


def test_an_order_goes_all_the_way(bench: Bench) -> None:
    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 2))
        await life.until(lambda: bench.state("create", order) == "done")
        bench.ship(order)
        await life.until(lambda: bench.sale(order).shipped == 1)
        await life.rest()
        assert bench.units(order) == {"SKU-1": 2}
        assert await life.level("SKU-1") == (3, 3)

    bench.live(story)
    assert bench.at_rest()
    assert not bench.problems()
