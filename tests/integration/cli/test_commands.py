"""Each command against a real store and a wired, unstarted daemon: nothing is called over the network."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.ebay import ADAPTER as EBAY
from adapters.mirakl import ADAPTER as MIRAKL
from adapters.woocommerce import ADAPTER as WOOCOMMERCE
from marketsync.bootstrap import Assembly, Surroundings, build
from marketsync.cli import tables
from marketsync.cli.checking import check_all, judged
from marketsync.commands.desk import Desk, NeedsDaemon, UsageError
from marketsync.commands.table import COMMANDS, run
from marketsync.config import parse
from marketsync.domain.coverage import Axis, Window
from marketsync.domain.deliveries import State
from marketsync.domain.ids import ConnectionId, OrderId, RemoteId, Sku
from marketsync.domain.shipments import Shipment, ShippedLine
from marketsync.domain.stock import Effect, Event, Report, StockFacts
from marketsync.errors import ConfigError, Retry
from marketsync.http import AdapterSpec
from marketsync.ops.census import census, stock_census
from marketsync.ops.clock import SystemRandom
from marketsync.ops.crash import CrashAt, NoCrash, crash_points
from marketsync.ops.observe import Observations, Silence
from marketsync.ops.sink import LineSink
from marketsync.ports import Article, Request, Response, Traits
from marketsync.store import (
    Unit,
    coverage,
    deliveries,
    history,
    links,
    maps,
    orders,
    parked,
    shipments,
    stock,
)
from marketsync.store.rows import HistoryRow, Hole, Link, Parked
from tests.integration.store.examples import (
    MARKET,
    MERCHANT,
    SHOP,
    claim,
    delivery,
    done,
    held,
    in_doubt,
    ref,
    sent,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ADAPTERS: Mapping[str, AdapterSpec] = {"mirakl": MIRAKL, "woocommerce": WOOCOMMERCE}


class Clock:
    boot_id = "boot-1"

    def __init__(self) -> None:
        self.slept = 0.0

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.slept)

    def monotonic(self) -> float:
        return 1000.0 + self.slept

    async def sleep(self, seconds: float) -> None:
        self.slept += seconds

    def call_later(self, seconds: float, ring: Callable[[], object]) -> Callable[[], object]:
        raise AssertionError("no loop waits here")


def configuration(tmp_path: Path, **settings: Any) -> dict[str, Any]:
    return {
        "daemon": {"state_dir": str(tmp_path / "state")},
        "connections": {
            "market": {
                "adapter": "mirakl",
                "back_office": "shop",
                "import_from": "2026-11-01T00:00:00Z",
                "settings": {"url": "https://market.example", "api_key": "cred:key", **settings},
            },
            "shop": {
                "adapter": "woocommerce",
                "settings": {
                    "url": "https://shop.example",
                    "consumer_key": "cred:key",
                    "consumer_secret": "cred:key",
                },
            },
        },
    }


async def assembled(
    tmp_path: Path, data: dict[str, Any], adapters: Mapping[str, AdapterSpec] = ADAPTERS
) -> Assembly:
    (tmp_path / "state").mkdir(exist_ok=True, mode=0o700)
    (tmp_path / "key").write_text("s3cret-canary")
    return await build(
        parse(data),
        clock=Clock(),
        random=SystemRandom(),
        observer=Silence(),
        adapters=adapters,
        credentials=tmp_path,
    )


@pytest.fixture
async def assembly(tmp_path: Path) -> AsyncIterator[Assembly]:
    made = await assembled(tmp_path, configuration(tmp_path))
    yield made
    await made.close()


@pytest.fixture
def desk(assembly: Assembly) -> Desk:
    """At a running daemon."""

    def ask(connection: ConnectionId, order_id: OrderId) -> None:
        assembly.daemon.sweepers[connection].ask(order_id)

    return Desk(assembly.core, assembly.network, assembly.daemon.release, ask)


async def nobody(_: str) -> None:
    raise AssertionError("no progress was expected")


async def call(desk: Desk, name: str, **args: Any) -> Any:
    return await run(desk, name, args, nobody)


async def fill(desk: Desk) -> None:
    """One order with its claim, its parked create, a link, a parcel, coverage, stock."""

    async def work(unit: Unit) -> None:
        await orders.put(unit, [held(1), held(2, open=False, external=True)])
        await stock.put_claims(unit, SHOP, [claim(1)])
        row = delivery(1)
        await deliveries.insert(unit, [row])
        await deliveries.move(
            unit, row, replace(row, state=State.PARKED, error="no such SKU"), "delivery.was_parked", NOW
        )
        cause = "sku:SKU-1@shop"
        await parked.park(
            unit, Parked(MERCHANT, "delivery", "1", SHOP, "the shop does not know SKU-1", (cause,), NOW)
        )
        await parked.park(
            unit, Parked(MERCHANT, "conflict", f"create/{ref(1)}", SHOP, "two records", ("conflict:x",), NOW)
        )
        await links.add(unit, Link(MERCHANT, MARKET, "accept", ref(1), "M-1"))
        parcel = Shipment(
            ref(1), RemoteId("7"), (ShippedLine(held(1).order.lines[0].line_id, 1),), "dhl", "T-1"
        )
        await shipments.put(unit, MERCHANT, [(parcel, "hash")])
        await coverage.add(
            unit,
            MERCHANT,
            MARKET,
            Window(Axis.UPDATED, NOW - timedelta(hours=2), NOW - timedelta(minutes=5)),
            NOW,
        )
        await coverage.put_hole(
            unit, Hole(MERCHANT, MARKET, "updated", NOW - timedelta(hours=1), NOW, "overfull")
        )
        facts = StockFacts(effects={Event.CREATE: Effect.TAKES})
        await stock.put_articles(
            unit, MERCHANT, SHOP, [Article(Sku("SKU-1"), RemoteId("5"), True, facts, Decimal(9))], NOW
        )
        await stock.put_reports(unit, MERCHANT, SHOP, [Report("SKU-1", "pool", 10, 1, 2)], NOW)
        history.add(unit, HistoryRow(MERCHANT, ref(1), NOW, "order.was_imported", "revision 1"))

    await desk.core.store.write(work)


async def test_status_says_how_far_each_connection_is(desk: Desk) -> None:
    await fill(desk)
    found = await call(desk, "status")
    market, shop = found["connections"]
    assert (market["connection"], market["state"], shop["state"]) == ("market", "up", "up")
    updated = next(stream for stream in market["streams"] if stream["axis"] == "updated")
    assert (updated["lag_seconds"], updated["holes"], updated["hole_causes"]) == (300.0, 1, ["overfull"])
    assert shop["deliveries"] == {"queued": 0, "sent": 0, "waiting": 0, "in_doubt": 0, "parked": 1}
    assert found["parked"] == {"conflict": 1, "delivery": 1}
    shown = tables.status(found)
    assert "5 m ago" in shown
    assert "1 conflict, 1 delivery" in shown


async def test_orders_are_listed_newest_first_and_shown_without_their_buyer(desk: Desk) -> None:
    await fill(desk)
    listed = await call(desk, "orders.list")
    assert [row["order_id"] for row in listed] == ["M-2", "M-1"]
    assert [row["order_id"] for row in await call(desk, "orders.list", open_only=True)] == ["M-1"]
    assert [
        row["order_id"] for row in await call(desk, "orders.list", before_arrival=listed[0]["arrival"])
    ] == ["M-1"]
    assert "external" in tables.orders(listed)
    for name in (ref(1), "M-1", "market/M-1"):
        shown = await call(desk, "orders.show", order=name)
        assert shown["order"]["ref"] == ref(1)
        assert "Ada" not in tables.order(shown)


async def test_explain_tells_one_order_from_poll_to_parcel(desk: Desk) -> None:
    await fill(desk)
    told = await call(desk, "explain", order="M-1")
    assert [row["state"] for row in told["deliveries"]] == ["parked"]
    assert told["links"] == [{"target": "market", "kind": "accept", "remote_id": "M-1"}]
    assert [row["shipment_id"] for row in told["parcels"]] == ["7"]
    assert {row["kind"] for row in told["parked"]} == {"delivery", "conflict"}
    assert "order.was_imported" in [row["event"] for row in told["history"]]
    assert told["claims"][0]["why"] == "2 held back: the shop's figure cannot contain it yet"
    text = tables.explanation(told)
    for word in ("no such SKU", "sku:SKU-1@shop", "two records", "dhl", "order.was_imported"):
        assert word in text


async def test_stock_shows_the_facts_and_what_follows_from_them(desk: Desk) -> None:
    """10 reported, 2 claimed by an order that the shop does not hold yet: 8 are available."""
    await fill(desk)
    (row,) = await call(desk, "stock.show")
    assert (row["reported"], row["claimed"], row["low"], row["high"], row["short"]) == (
        {"pool": 10},
        2,
        8,
        8,
        0,
    )
    assert (await call(desk, "stock.show", sku="SKU-1"))[0] == row
    with pytest.raises(UsageError, match="not known"):
        await call(desk, "stock.show", sku="NOPE")
    assert "SKU-1" in tables.stock([row])


async def test_a_parked_delivery_that_certainly_did_not_land_is_queued_again(desk: Desk) -> None:
    await fill(desk)
    listed = await call(desk, "parked.list", kind="delivery")
    assert [row["item"] for row in listed] == ["1"]
    assert "sku:SKU-1@shop" in tables.parked(listed)
    assert (await call(desk, "parked.retry", item="1"))["became"] == "queued again"
    row = await desk.core.store.read(lambda unit: deliveries.get(unit, 1))
    assert row is not None
    assert row.state is State.QUEUED
    assert await call(desk, "parked.list", kind="delivery") == []
    with pytest.raises(UsageError, match="nothing is parked"):
        await call(desk, "parked.retry", item="1")


async def test_skip_ends_a_delivery_and_counts_a_conflict_as_seen(desk: Desk) -> None:
    await fill(desk)
    await call(desk, "parked.skip", item="1", reason="sold out for good")
    await call(desk, "parked.skip", item=f"create/{ref(1)}")
    row = await desk.core.store.read(lambda unit: deliveries.get(unit, 1))
    assert row is not None
    assert row.state is State.CANCELLED
    assert await call(desk, "parked.list") == []
    told = await call(desk, "explain", order=ref(1))
    assert "sold out for good" in [moment["detail"] for moment in told["history"]]


@pytest.mark.failure(22)
async def test_a_map_wakes_what_waited_for_it(desk: Desk) -> None:
    await fill(desk)
    changed = await call(desk, "map.set", connection="market", kind="sku", source="SKU-1", value="shop-1")
    assert changed["woken"] == 1
    assert await call(desk, "map.list") == [
        {"connection": "market", "kind": "sku", "source": "SKU-1", "value": "shop-1"}
    ]
    assert await call(desk, "map.list", kind="carrier") == []
    assert await call(desk, "parked.list", kind="delivery") == []
    await call(desk, "map.drop", connection="market", kind="sku", source="SKU-1")
    assert await desk.core.store.read(lambda unit: maps.get(unit, MERCHANT, MARKET, "sku", ["SKU-1"])) == {}
    with pytest.raises(UsageError, match="no sku map"):
        await call(desk, "map.drop", connection="market", kind="sku", source="SKU-1")


@pytest.mark.parametrize(
    ("name", "args", "text"),
    [
        ("nonsense", {}, "no command"),
        ("status", {"x": 1}, "unknown field"),
        ("orders.list", {"limit": 0}, "1 to 1000"),
        ("orders.list", {"connection": "nope"}, "no marketplace 'nope' is known; there are: market"),
        ("parked.list", {"connection": "nope"}, "there are: market, shop"),
        (
            "map.set",
            {"connection": "shop", "kind": "sku", "source": "a", "value": "b"},
            "no marketplace 'shop'",
        ),
        ("map.set", {"connection": "market", "kind": "tax", "source": "a", "value": "b"}, "tax"),
        ("map.set", {"connection": "market", "kind": "sku", "source": " ", "value": "b"}, "printable"),
        ("pause", {"connection": "nope"}, "there are: market, shop"),
        ("resync", {"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "ends before"),
        ("resync", {"since": "2026-01-02T00:00:00"}, "zone"),
        ("resync", {"recent_days": -1}, "recent days"),
        ("backup", {"path": "relative"}, "absolute"),
        ("explain", {"order": "M-404"}, "no order"),
    ],
)
async def test_what_makes_no_sense_is_said(desk: Desk, name: str, args: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        await call(desk, name, **args)


async def test_status_says_why_the_last_call_failed(desk: Desk) -> None:
    assert desk.network is not None
    gate = desk.network.marketplaces[MARKET].gate
    told = []
    for _ in range(3):
        gate.failed("the name market.example was not found")
        row = (await call(desk, "status"))["connections"][0]
        told.append((row["state"], row["reason"]))
    gate.succeeded()
    row = (await call(desk, "status"))["connections"][0]
    assert told == [
        ("up", "the last call failed: the name market.example was not found"),
        ("up", "the last call failed: the name market.example was not found"),
        ("down", "several calls in a row failed, the last: the name market.example was not found"),
    ]
    assert (row["state"], row["reason"]) == ("up", "")


async def test_a_pause_holds_over_a_restart_until_it_is_taken_back(desk: Desk) -> None:
    await call(desk, "pause", connection="market", reason="stock-taking")
    assert desk.network is not None
    gate = desk.network.marketplaces[MARKET].gate
    assert gate.paused == "stock-taking"
    assert (await call(desk, "status"))["connections"][0]["reason"] == "stock-taking"
    without = replace(desk, network=None, release=None, ask=None)
    assert (await call(without, "status"))["connections"][0]["state"] == "paused"
    await call(desk, "resume", connection="market")
    assert gate.paused == ""
    assert (await call(desk, "status"))["connections"][0]["state"] == "up"


async def test_a_resync_is_a_row_that_the_sweep_reads(desk: Desk) -> None:
    asked = await call(desk, "resync", connection="market", recent_days=2)
    (row,) = await desk.core.store.read(lambda unit: coverage.open_resyncs(unit, MERCHANT, MARKET))
    assert (row.lo, row.hi) == (NOW - timedelta(days=2), NOW)
    assert asked["requests"][0]["id"] == row.id
    assert "asked for" in tables.resync(asked)
    whole = await call(desk, "resync")
    assert whole["requests"][0]["since"] == "2026-11-01T00:00:00Z"


async def test_waiting_for_a_resync_tells_how_far_it_is(desk: Desk) -> None:
    """The sweep stands still here: each piece of news moves it on, as the sweep would."""
    told: list[str] = []

    async def move(done_to: datetime, finished: datetime | None) -> None:
        async def work(unit: Unit) -> None:
            (row,) = await coverage.open_resyncs(unit, MERCHANT, MARKET)
            await coverage.move_resync(unit, row.id, done_to, finished)

        await desk.core.store.write(work)

    async def progress(text: str) -> None:
        told.append(text)
        await move(NOW, NOW)

    slept = desk.core.clock.sleep

    async def sleep(seconds: float) -> None:
        await slept(seconds)
        if not told:
            await move(NOW - timedelta(hours=1), None)

    desk.core.clock.sleep = sleep  # type: ignore[method-assign]
    result = await run(desk, "resync", {"connection": "market", "recent_days": 1, "wait": True}, progress)
    assert result["finished"] is True
    assert told == ["market: read up to 2026-11-21T11:00:00+00:00 of 2026-11-21T12:00:00+00:00"]


async def test_an_order_is_read_again_by_its_id_by_the_daemon_alone(desk: Desk, assembly: Assembly) -> None:
    await fill(desk)
    assert (await call(desk, "resync", order=ref(1)))["order"] == "market/M-1"
    assert (await call(desk, "resync", order="market/M-99"))["order"] == "market/M-99"
    assert list(assembly.daemon.sweepers[MARKET]._by_id._asked) == ["M-1", "M-99"]
    with pytest.raises(NeedsDaemon):
        await call(replace(desk, ask=None), "resync", order=ref(1))


async def test_without_connections_what_needs_them_says_so(desk: Desk) -> None:
    alone = replace(desk, network=None, release=None, ask=None)
    for name, args in (
        ("parked.retry", {"item": "1"}),
        ("parked.skip", {"item": "1"}),
        ("map.set", {"connection": "market", "kind": "sku", "source": "a", "value": "b"}),
    ):
        with pytest.raises(NeedsDaemon):
            await call(alone, name, **args)
    with pytest.raises(UsageError, match="--from"):
        await call(alone, "resync")


async def test_a_backup_is_a_new_file(desk: Desk, tmp_path: Path) -> None:
    made = await call(desk, "backup", path=str(tmp_path / "copy.sqlite3"))
    assert made["size_bytes"] == (tmp_path / "copy.sqlite3").stat().st_size > 0
    with pytest.raises(UsageError, match="never overwrites"):
        await call(desk, "backup", path=str(tmp_path / "copy.sqlite3"))
    assert set(COMMANDS) >= {"backup", "status"}


async def test_the_census_fills_the_gauges(desk: Desk, tmp_path: Path) -> None:
    await fill(desk)
    with (tmp_path / "log").open("wb") as log:
        observations = Observations(desk.core.clock, LineSink(log.fileno()), strict=True)
        await census(desk, observations)
        await stock_census(desk, observations)

        async def doubt(unit: Unit) -> None:
            fresh = delivery(2)
            await deliveries.insert(unit, [fresh])
            await deliveries.move(unit, fresh, sent(fresh), "delivery.was_sent", NOW)
            await deliveries.move(unit, sent(fresh), in_doubt(sent(fresh)), "delivery.is_in_doubt", NOW)

        await desk.core.store.write(doubt)
        await census(desk, observations)
    value = observations.metrics.value
    assert value("marketsync_parked", {"kind": "delivery"}) == 1
    assert value("marketsync_coverage_holes", {"connection": "market", "stream": "updated"}) == 1
    assert value("marketsync_in_doubt", {"target": "shop"}) == 1
    assert value("marketsync_connection_up", {"connection": "shop"}) == 1
    assert value("marketsync_stock_open_skus", {"back_office": "shop"}) == 0
    states = {"target": "shop", "kind": "create"}
    assert value("marketsync_deliveries_unfinished", states | {"state": "parked"}) == 1
    assert value("marketsync_deliveries_unfinished", states | {"state": "in_doubt"}) == 1
    assert done(sent(delivery(3))).state is State.DONE


# Wiring


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"urll": "x"}, "connections.market.settings: unknown key `urll`"),
        ({"api_key": "s3cret-canary"}, "connections.market.settings.api_key: a secret is only named"),
        ({"api_key": "cred:absent"}, "connections.market.settings.api_key: secret cred:absent"),
        ({"url": "ftp://market.example"}, "connections.market"),
        (
            {"shop_id": "one"},
            "connections.market.settings.shop_id: it takes a whole number, and this is text",
        ),
    ],
)
async def test_an_adapters_settings_are_checked_before_anything_is_opened(
    tmp_path: Path, change: dict[str, Any], text: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        await assembled(tmp_path, configuration(tmp_path, **change))
    assert text in str(raised.value)
    assert "canary" not in str(raised.value)
    assert list((tmp_path / "state").iterdir()) == []


async def test_an_adapter_is_known_and_in_its_role(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no adapter 'mirakl' is installed; there are: woocommerce"):
        await assembled(tmp_path, configuration(tmp_path), {"woocommerce": WOOCOMMERCE})
    data = configuration(tmp_path)
    data["connections"]["market"]["adapter"] = "woocommerce"
    with pytest.raises(ConfigError, match="it is one"):
        await assembled(tmp_path, data)


async def test_connections_of_one_credential_share_its_budgets(tmp_path: Path) -> None:
    data = configuration(tmp_path)
    data["connections"]["second"] = data["connections"]["market"]
    made = await assembled(tmp_path, data)
    try:
        links_ = list(made.network.marketplaces.values())
        assert links_[0].http._budgets is links_[1].http._budgets
        assert links_[0].http._budgets is not made.network.back_offices[SHOP].http._budgets
    finally:
        await made.close()


async def test_other_figures_for_one_budget_are_told_with_the_connection_that_states_them(
    tmp_path: Path,
) -> None:
    data = configuration(tmp_path)
    secret = tmp_path / "ebay"
    secret.write_text("secret")
    secret.chmod(0o600)
    for name, calls in (("first", 5000), ("second", 6000)):
        stated = {"client_id": "App", "daily_calls": calls}
        named = {"client_secret": f"file:{secret}", "refresh_token": f"file:{secret}"}
        data["connections"][name] = {
            **data["connections"]["market"],
            "adapter": "ebay",
            "settings": stated | named,
        }
    with pytest.raises(ConfigError, match=r"connections\.second: budget 'fulfillment'"):
        await assembled(tmp_path, data, {**ADAPTERS, "ebay": EBAY})


@pytest.mark.failure(70)
async def test_a_connection_that_left_the_configuration_keeps_its_work_and_is_shown(tmp_path: Path) -> None:
    first = await assembled(tmp_path, configuration(tmp_path))
    await fill(Desk(first.core, first.network))
    await first.close()
    data = configuration(tmp_path)
    del data["connections"]["market"], data["connections"]["shop"]
    second = await assembled(tmp_path, data)
    try:
        desk = Desk(second.core, second.network, second.daemon.release, lambda _, __: None)
        found = await call(desk, "status")
        assert [row["reason"] for row in found["connections"]] == ["it is not in the configuration"] * 2
        assert found["connections"][1]["deliveries"]["parked"] == 1
        assert found["parked"]["connection"] == 2
        listed = await call(desk, "parked.list")
        assert [row["item"] for row in listed if row["kind"] == "connection"] == ["market", "shop"]
        assert len(listed) == 4
    finally:
        await second.close()


class Refusing:
    """A transport without a network."""

    async def send(self, request: Request) -> Response:
        raise Retry(f"no connection for {request.operation}")

    async def close(self) -> None: ...


class Broken:
    async def send(self, request: Request) -> Response:
        raise RuntimeError("a defect with s3cret-canary inside")

    async def close(self) -> None: ...


@pytest.mark.failure(71)
@pytest.mark.parametrize(
    ("transport", "text"), [(Refusing(), "no connection"), (Broken(), "the adapter failed (RuntimeError)")]
)
async def test_check_tells_of_each_connection_and_changes_nothing(
    tmp_path: Path, transport: Refusing | Broken, text: str
) -> None:
    (tmp_path / "key").write_text("s3cret-canary")
    around = Surroundings(Clock(), SystemRandom(), Silence(), transport, ADAPTERS, tmp_path)
    found = await check_all(parse(configuration(tmp_path)), around)
    assert [(row["connection"], row["well"]) for row in found] == [("market", False), ("shop", False)]
    assert text in found[0]["problems"][0]
    assert "canary" not in tables.check(found)
    assert not (tmp_path / "state").exists()


@pytest.mark.failure(4)
def test_a_clock_that_differs_too_much_is_a_problem() -> None:
    near = judged("market", "mirakl", Traits(server_date=NOW + timedelta(seconds=299)), NOW)
    far = judged("market", "mirakl", Traits(server_date=NOW - timedelta(seconds=301)), NOW)
    assert (near.well, near.skew_seconds, near.problems) == (True, 299.0, ())
    assert (far.well, far.skew_seconds) == (False, -301.0)
    assert "301 s" in far.problems[0]
    assert judged("market", "mirakl", Traits(problems=("no scope",)), NOW).problems == ("no scope",)


def test_crash_points_are_named_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    monkeypatch.setattr("os.kill", lambda _, number: killed.append(number))
    assert isinstance(crash_points({}), NoCrash)
    point = crash_points({"MARKETSYNC_CRASH_AT": "store.after_commit:2"})
    assert isinstance(point, CrashAt)
    for name, kills in (("store.after_commit", 0), ("store.before_commit", 0), ("store.after_commit", 1)):
        point.reach(name)
        assert len(killed) == kills
    with pytest.raises(ConfigError):
        crash_points({"MARKETSYNC_CRASH_AT": "somewhere"})
