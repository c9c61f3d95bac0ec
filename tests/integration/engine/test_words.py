"""A person's word on the real daemon: what is answered elsewhere, what was looked at by hand, what is mended later."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from marketsync.commands.desk import UsageError
from marketsync.commands.maps import MapKind, MapSetArgs, set_map
from marketsync.commands.parked import AbsentArgs, FoundArgs, RetryArgs, SkipArgs, absent, found, retry, skip
from marketsync.domain.ids import OrderId
from marketsync.errors import Park
from marketsync.ports import Request, Response
from marketsync.sandbox.faults import Fault
from tests.integration.engine.bench import DAY_SECONDS, Bench, Life
from tests.integration.engine.conftest import NewBench
from tests.integration.engine.wire import Handler, Wire, altered, meeting

CREATES = "orders.create"


# Who answers the marketplace


@pytest.mark.parametrize("says_yes", [True, False], ids=["a person accepts", "a person refuses"])
def test_without_automatic_acceptance_a_person_answers_and_we_go_on(
    new_bench: NewBench, says_yes: bool
) -> None:
    """The answer is given in the marketplace's own screens."""
    bench = new_bench(configure={"alpha": {"accept_automatic": False}})

    async def story(life: Life) -> None:
        await life.rest()
        order = bench.buy(("SKU-1", 2))
        await life.sleep(1800)
        assert order in bench.held()
        assert not bench.deliveries("accept")
        assert not bench.calls("OR21")
        assert not bench.created(order)
        decide(life, order, accepted=says_yes)
        if says_yes:
            await life.until(lambda: bench.state("create", order) == "done")
            assert bench.units(order) == {"SKU-1": 2}
        await life.rest()
        assert len(bench.created(order)) == int(says_yes)
        assert not bench.deliveries("accept")
        assert not bench.calls("OR21")
        assert await life.level("SKU-1") == ((3, 3) if says_yes else (5, 5))

    bench.live(story)
    assert not bench.problems("unshipped")


def test_automatic_acceptance_stays_what_it_is_for_another_marketplace(new_bench: NewBench) -> None:
    bench = new_bench(marketplaces=("alpha", "beta"), configure={"alpha": {"accept_automatic": False}})

    async def story(life: Life) -> None:
        by_hand, by_us = bench.buy(("SKU-1", 1), at="alpha"), bench.buy(("SKU-2", 1), at="beta")
        await life.until(lambda: len(bench.created(by_us, "beta")) == 1)
        await life.sleep(600)
        assert {x.connection for x in bench.calls("OR21")} == {"beta"}
        assert not bench.created(by_hand, "alpha")

    bench.live(story)


# A delivery in doubt, and nothing but a person can tell


@pytest.mark.rule("A24")
def test_parked_found_is_taken_for_the_answer_that_was_lost(bench: Bench) -> None:
    """The half-built order in the shop is released, not created again, and its parcel is told."""

    async def story(life: Life) -> None:
        order = await in_doubt(life, meeting(Fault.ANSWER_LOST))
        (made,) = bench.created(order)
        assert not made.released
        with pytest.raises(Park, match="say the id"):
            await found(life.desk, FoundArgs(item_of(bench, order)))
        settled = await found(life.desk, FoundArgs(item_of(bench, order), made.remote_id))
        assert settled.became == "goes on with its next step"
        await life.until(lambda: bench.state("create", order) == "done")
        assert bench.links(order) == {made.remote_id}
        assert [x.released for x in bench.created(order)] == [True]
        assert len(bench.calls(CREATES)) == 1
        bench.ship(order)
        await life.until(lambda: bench.sale(order).shipped == 1)
        await life.rest()
        assert not bench.parked()
        assert await life.level("SKU-1") == (4, 4)

    bench.live(story)
    assert not bench.problems()


@pytest.mark.rule("A21")
def test_parked_absent_sends_it_again_and_looks_once_more_within_a_day(bench: Bench) -> None:
    async def story(life: Life) -> None:
        order = await in_doubt(life, meeting(Fault.REQUEST_LOST))
        assert not bench.created(order)
        settled = await absent(life.desk, AbsentArgs(item_of(bench, order)))
        assert settled.became == "queued again"
        await life.until(lambda: bench.state("create", order) == "done")
        assert len(bench.created(order)) == 1
        row = bench.delivery("create", order)
        assert row.second_probe_at is not None
        assert not bench.parked()
        await life.rest()
        assert await life.level("SKU-1") == (4, 4)

    bench.live(story)
    assert not bench.problems("unshipped")


@pytest.mark.rule("A21")
def test_a_wrong_absent_is_seen_within_a_day(bench: Bench) -> None:
    """The person overlooked it: there are two now, and both are named."""
    bought: list[OrderId] = []

    async def first(life: Life) -> None:
        bought.append(await in_doubt(life, meeting(Fault.ANSWER_LOST)))
        await absent(life.desk, AbsentArgs(item_of(bench, bought[0])))
        await life.until(lambda: bench.state("create", bought[0]) == "done")
        assert len(bench.created(bought[0])) == 2
        assert not bench.parked()

    async def second(life: Life) -> None:
        await life.until(lambda: bool(bench.parked("conflict")))
        (text,) = bench.parked("conflict").values()
        assert all(made.remote_id in text for made in bench.created(bought[0]))

    bench.live(first)
    bench.asleep(DAY_SECONDS)
    bench.live(second)


def test_a_word_is_taken_only_on_what_is_in_doubt(bench: Bench) -> None:
    async def story(life: Life) -> None:
        order = await in_doubt(life, meeting(Fault.REQUEST_LOST))
        item = item_of(bench, order)
        with pytest.raises(UsageError, match="nothing is parked"):
            await found(life.desk, FoundArgs("4711", "1"))
        await retry(life.desk, RetryArgs(item))
        assert bench.state("create", order) == "in_doubt"
        with pytest.raises(UsageError, match="nothing is parked"):
            await absent(life.desk, AbsentArgs(item))
        await life.until(lambda: bench.state("create", order) == "done")
        assert len(bench.created(order)) == 1

    bench.live(story)


def test_what_was_refused_is_not_in_doubt(new_bench: NewBench) -> None:
    bench = new_bench(behaviour={"other_carriers": False})

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: bench.state("create", order) == "done")
        bench.ship(order, carrier="slowpost")
        await life.until(lambda: bench.state("confirm", order) == "parked")
        (item,) = bench.parked("delivery")
        with pytest.raises(Park, match="nothing of it is in doubt"):
            await absent(life.desk, AbsentArgs(item))
        with pytest.raises(Park, match="nothing of it is in doubt"):
            await found(life.desk, FoundArgs(item))
        assert item in bench.parked("delivery")
        assert bench.sale(order).shipped == 0

    bench.live(story)


# Two records


@pytest.mark.rule("A11")
@pytest.mark.rule("A8")
@pytest.mark.parametrize("keeps", [0, 1], ids=["the first", "the second"])
def test_two_records_park_the_delivery_too_until_a_person_says_which(bench: Bench, keeps: int) -> None:
    """Neither is released and nothing is created meanwhile; the conflict is seen off for itself."""
    bench.script.on(CREATES, _twice_and_lost)

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: bench.state("create", order) == "parked")
        ids = [made.remote_id for made in bench.created(order)]
        ((conflict, text),) = bench.parked("conflict").items()
        assert len(ids) == 2
        assert all(remote_id in text for remote_id in ids)
        assert bench.links(order) == set(ids)
        assert bench.delivery("create", order).error == text
        await life.sleep(3600)
        assert [x.released for x in bench.created(order)] == [False, False]

        kept = ids.pop(keeps)
        bench.shop.shop.trash(int(ids[0]), life.clock.now())
        await found(life.desk, FoundArgs(item_of(bench, order), kept))
        await life.until(lambda: bench.state("create", order) == "done")
        assert [x.remote_id for x in bench.created(order) if x.released] == [kept]
        assert conflict in bench.parked("conflict")
        await skip(life.desk, SkipArgs(conflict, reason="the other one is in the trash"))
        await life.rest()
        assert not bench.parked()
        assert await life.level("SKU-1") == (4, 4)
        assert len(bench.calls(CREATES)) == 1
        bench.shop.shop.ship(int(kept), life.clock.now(), tracking="TRACK1", carrier="dhl")
        await life.until(lambda: bench.sale(order).shipped == 1)

    bench.live(story)


# What is mended later


@pytest.mark.failure(42)
@pytest.mark.rule("A20")
def test_a_carrier_that_is_filled_in_later_wakes_its_confirmation(new_bench: NewBench) -> None:
    bench = new_bench(behaviour={"other_carriers": False})

    async def story(life: Life) -> None:
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: bench.state("create", order) == "done")
        bench.ship(order, carrier="")
        await life.until(lambda: bench.state("confirm", order) == "parked")
        assert "(none)" in bench.delivery("confirm", order).error
        await life.sleep(1800)
        assert bench.state("confirm", order) == "parked"
        (made,) = bench.shop.shop.orders.values()
        (parcel,) = made.fulfillments
        for entry in parcel.meta:
            if entry.key == "_shipment_provider":
                entry.value = "dhl"
        parcel.updated = life.clock.now()
        await life.until(lambda: bench.sale(order).shipped == 1)
        assert bench.sale(order).told == ("TRACK1",)
        await life.rest()
        assert not bench.parked()

    bench.live(story)
    assert not bench.problems()


@pytest.mark.failure(22)
@pytest.mark.requirement("R22")
def test_a_map_that_was_wrong_and_is_mended_wakes_the_order(bench: Bench) -> None:
    """It waits under the wrong name; its units are taken from the right article alone."""
    bench.market().sandbox.world.offers["SKU-9"] = 3

    async def story(life: Life) -> None:
        await life.rest()
        await set_map(life.desk, MapSetArgs("alpha", MapKind.SKU, "SKU-9", "SKU-TYPO"))
        order = bench.buy(("SKU-9", 2))
        await life.until(lambda: bool(bench.parked()))
        (reason,) = bench.parked().values()
        assert "SKU-TYPO" in reason
        await life.sleep(1800)
        assert not bench.created(order)
        assert await life.level("SKU-1") == (5, 5)
        changed = await set_map(life.desk, MapSetArgs("alpha", MapKind.SKU, "SKU-9", "SKU-1"))
        assert changed.woken == 1
        await life.until(lambda: bench.state("create", order) == "done")
        assert bench.units(order) == {"SKU-1": 2}
        assert not bench.parked()
        await life.lists("SKU-9", 3)
        assert await life.level("SKU-1") == (3, 3)
        assert bench.rows("SELECT sku, target FROM claims WHERE target > 0") == [("SKU-1", 2)]

    bench.live(story)


async def in_doubt(life: Life, fault: Handler) -> OrderId:
    """A create that met this fault, and whose look could not tell."""
    bench = life.bench
    bench.script.on(CREATES, fault)
    bench.script.on("orders.read", altered(_without_total))
    order = bench.buy(("SKU-1", 1))
    await life.until(lambda: bench.state("create", order) == "parked")
    assert bench.delivery("create", order).error == "a look could not tell whether it was applied"
    return order


def item_of(bench: Bench, order: str) -> str:
    item = str(bench.delivery("create", order).id)
    assert item in bench.parked("delivery")
    return item


def decide(life: Life, order: str, *, accepted: bool) -> None:
    """Somebody of the merchant's answers in the marketplace's own screens."""
    world = life.bench.market().sandbox.world
    sold = world.orders[order]
    lines = [line.line_id for line in sold.lines] if accepted else []
    world.decide(sold, lines, world.clock(life.clock.now()), "by_hand")


async def _twice_and_lost(wire: Wire, request: Request) -> Response:
    """The path repeats it, and its answer is lost."""
    wire.land(request, 5.0)
    return await wire.plain(request, Fault.ANSWER_LOST)


def _without_total(response: Response) -> Response:
    """A proxy dropped a header: the list no longer says where it ends."""
    return replace(response, headers={k: v for k, v in response.headers.items() if k != "x-wp-total"})
