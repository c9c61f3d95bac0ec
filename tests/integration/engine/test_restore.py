"""An older copy of the database, or none at all, over a world that went on: nothing happens twice, everything is adopted."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from adapters.woocommerce.settings import REF_META
from marketsync.commands.desk import Desk, UsageError
from marketsync.commands.restored import RestoredArgs, restored
from marketsync.domain.ids import DEFAULT_MERCHANT, ConnectionId, OrderId, OrderKey, reference
from marketsync.engine.context import Core
from marketsync.ops.clock import SystemClock, SystemRandom
from marketsync.ops.crash import NoCrash
from marketsync.ports import Request, Response
from marketsync.sandbox.faults import Fault
from marketsync.store import Store, open_store
from marketsync.store.mark import FILE_NAME as MARK
from marketsync.store.sqlite import FILE_NAME
from tests.integration.engine.bench import DAY_SECONDS, Bench, Life
from tests.integration.engine.conftest import NewBench
from tests.integration.engine.wire import Handler, Wire, meeting


def copy(bench: Bench) -> Path:
    """As `marketsync backup` makes it, beside the work."""
    path = bench.directory / "copy"
    source, target = sqlite3.connect(bench.directory / FILE_NAME), sqlite3.connect(path)
    with closing(source), closing(target):
        source.backup(target)
    return path


def restore(bench: Bench, path: Path | None) -> None:
    for suffix in ("", "-wal", "-shm"):
        (bench.directory / f"{FILE_NAME}{suffix}").unlink(missing_ok=True)
    if path is not None:
        shutil.copy(path, bench.directory / FILE_NAME)


@pytest.mark.failure(64)
@pytest.mark.rule("A15")
@pytest.mark.parametrize("with_mark", [True, False], ids=["same_machine", "new_machine"])
def test_a_restored_backup_repeats_nothing_and_adopts_everything(bench: Bench, with_mark: bool) -> None:
    orders: dict[str, str] = {}
    copies: list[Path] = []

    async def lost(life: Life) -> None:
        orders["pushed before"] = bench.buy(("SKU-1", 1))
        await life.done("create", orders["pushed before"])
        # One that has left and was refused at the moment of the backup, and succeeds after it.
        bench.script.on("orders.create", meeting(Fault.NOT_SENT))
        orders["queued"] = bench.buy(("SKU-2", 1))
        await life.until(lambda: bench.state("create", orders["queued"]) == "queued")
        await life.until(lambda: bench.delivery("create", orders["queued"]).attempt > 0)
        copies.append(copy(bench))
        orders["pushed after"] = bench.buy(("SKU-1", 1))
        orders["shipped after"] = bench.buy(("SKU-1", 1))
        orders["cancelled after"] = bench.buy(("SKU-2", 1))
        for name in ("queued", "pushed after", "shipped after", "cancelled after"):
            await life.done("create", orders[name])
        bench.ship(orders["shipped after"])
        bench.ship(orders["pushed before"], tracking="TRACK2")
        await life.done("confirm", orders["shipped after"])
        await life.done("confirm", orders["pushed before"])
        bench.cancel(orders["cancelled after"])
        await life.done("cancel", orders["cancelled after"])
        await life.rest()
        life.kill()

    async def back(life: Life) -> None:
        assert life.assembly.core.store.restored
        await life.until(lambda: bench.held() >= set(orders.values()))
        assert bench.ear.events["store.was_restored"] == 1
        await life.rest()
        later = bench.buy(("SKU-2", 1))
        await life.done("create", later)
        bench.ship(later, tracking="TRACK3")
        await life.done("confirm", later)
        for name in ("queued", "pushed after"):
            bench.ship(orders[name], tracking=f"LATER-{name[:3]}")
            await life.done("confirm", orders[name])
        await life.rest()

    bench.live(lost)
    writes = len(bench.calls("orders.create"))
    restore(bench, copies[0])
    if not with_mark:
        (bench.directory / MARK).unlink()
    bench.asleep(DAY_SECONDS)
    bench.live(back)
    assert bench.world.audit().duplicated == 0
    assert not bench.problems(), bench.problems()
    assert not bench.parked(), bench.parked()
    assert len(bench.calls("orders.create")) == writes + 1
    assert all(bench.links(order) for order in orders.values())


@pytest.mark.failure(64)
def test_what_the_other_life_never_sent_is_sent_once(bench: Bench) -> None:
    """The look finds nothing, so it leaves; an edit that the other life did not bring is brought."""
    orders: list[str] = []
    copies: list[Path] = []

    async def lost(life: Life) -> None:
        await life.rest()
        copies.append(copy(bench))
        orders.append(bench.buy(("SKU-1", 3)))
        await life.done("create", orders[0])
        life.kill()

    async def back(life: Life) -> None:
        await life.until(lambda: len(bench.held()) == 2)
        await life.rest()
        assert bench.units(orders[0]) == {"SKU-1": 2}
        assert bench.state("update", orders[0]) == "done"
        assert len(bench.created(orders[1])) == 1

    bench.live(lost)
    restore(bench, copies[0])
    bench.lower(orders[0])
    orders.append(bench.buy(("SKU-2", 1)))
    bench.asleep(3600)
    bench.live(back)
    assert bench.world.audit().duplicated == 0
    assert not bench.parked(), bench.parked()


@pytest.mark.failure(64)
@pytest.mark.rule("A4")
def test_a_request_of_the_other_life_may_still_land(new_bench: NewBench) -> None:
    """The copy is started at once: the look waits until what the other life sent last has landed."""
    bench = new_bench(configure={"shop": {"settings": {"lands_within_seconds": 600.0}}})
    orders: list[str] = []
    copies: list[Path] = []

    async def lost(life: Life) -> None:
        await life.rest()
        copies.append(copy(bench))
        bench.script.on("orders.create", lands_and_dies(life))
        orders.append(bench.buy(("SKU-1", 1)))
        await life.sleep(3600)

    async def back(life: Life) -> None:
        await life.done("create", orders[0])
        await life.sleep(900)

    bench.live(lost)
    restore(bench, copies[0])
    bench.live(back)
    assert len(bench.created(orders[0])) == 1


@pytest.mark.failure(57)
@pytest.mark.parametrize("with_mark", [True, False], ids=["same_directory", "new_directory"])
def test_a_lost_database_creates_nothing_twice(bench: Bench, with_mark: bool) -> None:
    """With its mark the installation keeps its name and adopts its orders; without, they are another's: a person decides."""
    orders: list[str] = []

    async def lost(life: Life) -> None:
        orders.append(bench.buy(("SKU-1", 1)))
        await life.done("create", orders[0])
        await life.rest()
        life.kill()

    async def back(life: Life) -> None:
        await life.until(lambda: bench.held() == set(orders))
        await life.until(lambda: bench.state("create", orders[0]) in ("done", "parked"))
        await life.sleep(600)

    bench.live(lost)
    restore(bench, None)
    if not with_mark:
        (bench.directory / MARK).unlink()
    bench.asleep(3600)
    bench.live(back)
    assert len(bench.created(orders[0])) == 1
    assert bench.state("create", orders[0]) == ("done" if with_mark else "parked")
    if not with_mark:
        (reason,) = bench.parked("delivery").values()
        assert bench.created(orders[0])[0].ref in reason


@pytest.mark.failure(60)
def test_a_second_installation_on_the_account_is_found_before_it_creates(new_bench: NewBench) -> None:
    bench = new_bench()
    orders: list[str] = []

    async def first(life: Life) -> None:
        orders.append(bench.buy(("SKU-1", 1)))
        await life.done("create", orders[0])

    async def second(life: Life) -> None:
        await life.until(lambda: bench.state("create", orders[0]) == "parked")
        assert bench.ear.events["conflict.was_found"] == 1

    bench.live(first)
    bench.directory = bench.directory / "other"
    bench.directory.mkdir()
    bench._config = bench._config.model_copy(  # another machine with the same accounts
        update={"daemon": bench._config.daemon.model_copy(update={"state_dir": bench.directory})}
    )
    bench.live(second)
    theirs = bench.created(orders[0])
    assert len(theirs) == 1
    causes = [row[0] for row in bench.rows("SELECT cause FROM parked_causes")]
    assert causes == [f"foreign:{theirs[0].ref}"]
    assert bench.delivery("create", orders[0]).ref != theirs[0].ref


@pytest.mark.failure(60)
def test_two_installations_at_once_are_seen_at_the_second_look(bench: Bench) -> None:
    """Both create before either could see the other: within a day a person hears of both orders."""
    orders: list[str] = []

    async def story(life: Life) -> None:
        orders.append(bench.buy(("SKU-1", 1)))
        await life.done("create", orders[0])
        twin(bench, orders[0])
        await life.sleep(DAY_SECONDS)
        (reason,) = bench.parked("conflict").values()
        assert all(order.remote_id in reason for order in bench.created(orders[0]))

    bench.live(story)


def twin(bench: Bench, order_id: str) -> None:
    """What another installation makes of the same order, a moment later."""
    (ours,) = bench.created(order_id)
    shop = bench.shop.shop
    key = OrderKey(DEFAULT_MERCHANT, ConnectionId("alpha"), OrderId(order_id))
    theirs = deepcopy(shop.orders[int(ours.remote_id)])
    theirs.id = shop.next_id()
    next(meta for meta in theirs.meta if meta.key == REF_META).value = reference("other", key)
    shop.orders[theirs.id] = theirs


def lands_and_dies(life: Life) -> Handler:
    async def handler(wire: Wire, request: Request) -> Response:
        wire.land(request, 590.0)
        life.kill()
        raise AssertionError

    return handler


def desk_of(store: Store, *, running: bool = False) -> Desk:
    core = cast("Core", SimpleNamespace(store=store, clock=SystemClock(), merchant=DEFAULT_MERCHANT))
    return Desk(core, ask=(lambda _, __: None) if running else None)


@pytest.mark.failure(64)
async def test_a_person_tells_of_a_restore_that_cannot_be_noticed(tmp_path: Path) -> None:
    """As on PostgreSQL, or after a snapshot of the whole machine."""
    since = datetime(2026, 3, 1, tzinfo=UTC)
    store = await open_store(str(tmp_path), SystemClock(), SystemRandom(), NoCrash())
    assert store.gap is not None
    assert not store.gap.lived
    told = await restored(desk_of(store), RestoredArgs(since))
    assert told.until >= told.since
    await store.close()
    again = await open_store(str(tmp_path), SystemClock(), SystemRandom(), NoCrash())
    try:
        assert again.gap is not None
        assert again.gap.lived
        assert again.gap.until == told.until
        assert not again.restored
        with pytest.raises(UsageError, match="stop the daemon"):
            await restored(desk_of(again, running=True), RestoredArgs(since))
        with pytest.raises(UsageError, match="zone"):
            await restored(desk_of(again), RestoredArgs(since.replace(tzinfo=None)))
        with pytest.raises(UsageError, match="before now"):
            await restored(desk_of(again), RestoredArgs(datetime(2100, 1, 1, tzinfo=UTC)))
    finally:
        await again.close()
