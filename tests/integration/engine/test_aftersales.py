"""What a person asks of a marketplace after a sale, through the real daemon: once, looked for, and told of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from marketsync.commands.desk import Desk, NeedsDaemon, UsageError
from marketsync.commands.table import run
from marketsync.domain.aftersales import CancelSale, RefundSale
from marketsync.domain.deliveries import Absent, Found, Kind, ProbeAnswer, Record, StepSpec, WriteClass
from marketsync.domain.ids import ConnectionId
from marketsync.domain.unmarked import Unmarked
from marketsync.errors import InDoubt, Park
from marketsync.ports import Departure, ProbeSpan, StepDone, StepResult, StepWaiting
from tests.integration.engine.bench import DAY_SECONDS, Bench, Life

ALPHA = ConnectionId("alpha")


class Canceller:
    """Cancels at once. `lost`: the answers of so many of the next writes; `idle`: they have no effect either."""

    def __init__(self, bench: Bench, life: Life) -> None:
        self.bench = bench
        self.sent: list[CancelSale] = []
        self.lost = 0
        self.idle = False
        self.refuses = False
        writers_of(life)[Kind.CANCEL_SALE] = self

    def objection(self, payload: CancelSale) -> str:
        return "" if payload.reason in {"", "NoStock"} else "the reasons are NoStock"

    def operation(self, step: int) -> str:
        return "OR24"

    def steps(self, payload: CancelSale) -> tuple[StepSpec, ...]:
        return (StepSpec("cancel", WriteClass.LOOKUP, 60.0),)

    async def send(self, payload: CancelSale, step: int, checkpoint: str, departure: Departure) -> StepResult:
        self.sent.append(payload)
        if self.refuses:
            raise Park("it does not want to")
        if not self.idle:
            self.bench.cancel(payload.order_id)
        if self.lost:
            self.lost -= 1
            self.idle = False
            raise InDoubt("the answer was lost")
        return StepDone(payload.order_id)

    async def probe(self, payload: CancelSale, step: int, checkpoint: str, span: ProbeSpan) -> ProbeAnswer:
        live = self.bench.sale(payload.order_id).live
        return Absent() if live else Found((Record(payload.order_id, 1),))


class Refunder:
    """Makes files without a mark, and says what became of each a minute later."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.made: list[tuple[str, RefundSale]] = []
        self.lost = 0
        self.strangers: list[str] = []
        writers_of(life)[Kind.REFUND] = self

    def objection(self, payload: RefundSale) -> str:
        return ""

    def operation(self, step: int) -> str:
        return "OR24"

    def steps(self, payload: RefundSale) -> tuple[StepSpec, ...]:
        return (
            StepSpec("file", WriteClass.SCAN, 60.0, 30.0, send_by_seconds=5.0, second_probe=True),
            StepSpec("outcome", WriteClass.LOOKUP, 600.0, carries_content=False),
        )

    async def send(self, payload: RefundSale, step: int, checkpoint: str, departure: Departure) -> StepResult:
        if step == 1:
            return StepWaiting(checkpoint, 60.0)
        name = f"file-{len(self.made) + 1}"
        self.made.append((name, payload))
        if self.lost:
            self.lost -= 1
            raise InDoubt("the answer was lost")
        return StepDone(name, f'{{"remote_id":"{name}"}}')

    async def poll(self, payload: RefundSale, step: int, receipt: str) -> StepResult:
        return StepDone()

    async def probe(
        self, payload: RefundSale, step: int, checkpoint: str, span: ProbeSpan
    ) -> ProbeAnswer | Unmarked:
        names = (*(name for name, _ in self.made), *self.strangers)
        return Unmarked(names, 1 if step == 0 else 2, span.since.timestamp(), span.now.timestamp())


def writers_of(life: Life) -> Any:
    adapter: Any = life.daemon.sweepers[ALPHA]._link.adapter
    return adapter.writers


async def nobody(_: str) -> None: ...


async def ask(life: Life, name: str, **args: Any) -> Any:
    return await run(life.desk, name, args, nobody)


async def pushed(bench: Bench, life: Life) -> str:
    order = bench.buy(("SKU-1", 2))
    await life.until(lambda: bench.state("create", order) == "done")
    return order


async def shipped(bench: Bench, life: Life) -> str:
    order = await pushed(bench, life)
    bench.ship(order)
    await life.done("confirm", order)
    await life.until(lambda: phase_of(bench, order) == "shipped", 4 * 3600)
    return order


def phase_of(bench: Bench, order: str) -> str:
    lines = bench.rows(f"SELECT open FROM orders WHERE order_id = '{order}'")
    return "open" if lines[0][0] else "shipped"


def test_a_cancel_leaves_once_and_the_shop_follows_the_marketplace(bench: Bench) -> None:
    async def story(life: Life) -> None:
        seller = Canceller(bench, life)
        order = await pushed(bench, life)
        asked = await ask(life, "orders.cancel", order=order, reason="NoStock")
        assert (asked["connection"], asked["order_id"], asked["kind"]) == ("alpha", order, "cancel_sale")
        await life.until(lambda: bench.state("cancel_sale", order) == "done")
        assert [(x.order_id, x.lines, x.reason) for x in seller.sent] == [(order, (), "NoStock")]
        await life.until(lambda: bench.state("cancel", order) == "done")
        assert [x.cancelled for x in bench.created(order)] == [True]
        told = await ask(life, "explain", order=order)
        assert [x["kind"] for x in told["deliveries"] if x["kind"] != "accept"] == [
            "create",
            "cancel_sale",
            "cancel",
        ]
        assert "cancel_sale.was_asked" in [x["event"] for x in told["history"]]
        assert not bench.parked()
        with pytest.raises(UsageError, match="is cancelled already"):
            await ask(life, "orders.cancel", order=order)

    bench.live(story)


@pytest.mark.rule("A11")
@pytest.mark.parametrize("idle", [False, True])
def test_a_lost_answer_to_a_cancel_is_looked_for_before_it_is_sent_again(bench: Bench, idle: bool) -> None:
    async def story(life: Life) -> None:
        seller = Canceller(bench, life)
        seller.lost, seller.idle = 1, idle
        order = await pushed(bench, life)
        await ask(life, "orders.cancel", order=order)
        await life.until(lambda: bench.state("cancel_sale", order) == "in_doubt")
        with pytest.raises(UsageError, match=r"is under way \(in_doubt\)"):
            await ask(life, "orders.cancel", order=order)
        await life.until(lambda: bench.state("cancel_sale", order) == "done")
        assert len(seller.sent) == 1 + idle
        assert len({x.order_id for x in seller.sent}) == 1

    bench.live(story)


def test_a_refused_cancel_waits_for_a_person_who_may_try_again_or_give_up(bench: Bench) -> None:
    async def story(life: Life) -> None:
        seller = Canceller(bench, life)
        seller.refuses = True
        order = await pushed(bench, life)
        asked = await ask(life, "orders.cancel", order=order, reason="NoStock")
        item = str(asked["delivery"])
        await life.until(lambda: item in bench.parked("delivery"))
        await ask(life, "parked.retry", item=item)
        await life.until(lambda: len(seller.sent) == 2 and item in bench.parked("delivery"))
        # What was asked for is what is sent again.
        assert seller.sent[1] == seller.sent[0]
        await ask(life, "parked.skip", item=item)
        assert bench.state("cancel_sale", order) == "cancelled"
        seller.refuses = False
        await ask(life, "orders.cancel", order=order)
        await life.until(lambda: len(seller.sent) == 3)

    bench.live(story)


def test_a_cancel_that_the_parcel_has_overtaken_ends_and_a_person_hears_of_it(bench: Bench) -> None:
    async def story(life: Life) -> None:
        seller = Canceller(bench, life)
        order = await pushed(bench, life)
        life.daemon.sweepers[ALPHA]._link.gate.pause("by hand")
        await ask(life, "orders.cancel", order=order)
        bench.ship(order)
        await life.until(lambda: bench.state("confirm", order) == "queued")
        with pytest.raises(UsageError, match="under way"):
            await ask(life, "orders.cancel", order=order)
        life.daemon.sweepers[ALPHA]._link.gate.resume()
        await life.done("confirm", order)
        assert bench.state("cancel_sale", order) == "cancelled"
        assert not seller.sent
        assert ["it was not cancelled: line" in text for text in bench.parked("conflict").values()] == [True]

    bench.live(story)


def test_what_can_not_be_asked_for_is_refused_with_its_reason(bench: Bench) -> None:
    async def story(life: Life) -> None:
        order = await pushed(bench, life)
        line = f"{order}-1"
        for name, args in (("orders.cancel", {}), ("orders.refund", {"line": line, "amount": "1"})):
            with pytest.raises(
                UsageError, match=r"alpha: its adapter has no way to .* do it at the marketplace itself"
            ):
                await ask(life, name, order=order, **args)
        Canceller(bench, life)
        Refunder(life)
        wrong: Sequence[tuple[str, dict[str, Any], str]] = (
            ("orders.cancel", {"reason": "Whim"}, "alpha: the reasons are NoStock"),
            ("orders.cancel", {"reason": "x" * 61}, "at most 60"),
            ("orders.cancel", {"lines": ["9"]}, "no line '9'"),
            ("orders.refund", {"line": line, "amount": "1"}, "not shipped yet"),
            ("orders.refund", {"line": line, "amount": "much"}, "amount"),
        )
        for name, args, text in wrong:
            with pytest.raises(UsageError, match=text):
                await ask(life, name, order=order, **args)
        with pytest.raises(UsageError, match="no order"):
            await ask(life, "orders.cancel", order="M-404")
        bare = Desk(life.desk.core)
        with pytest.raises(NeedsDaemon):
            await run(bare, "orders.cancel", {"order": order}, nobody)
        assert not bench.deliveries("cancel_sale") + bench.deliveries("refund")
        bench.ship(order)
        await life.until(lambda: bool(bench.deliveries("confirm", order)))
        with pytest.raises(UsageError, match="is shipped"):
            await ask(life, "orders.cancel", order=order)

    bench.live(story)


def test_a_refund_leaves_once_and_is_no_more_than_was_paid(bench: Bench) -> None:
    async def story(life: Life) -> None:
        seller = Refunder(life)
        order = await shipped(bench, life)
        shown = await ask(life, "orders.show", order=order)
        line = shown["lines"][0]
        paid = line["line_total"]
        args = {"order": order, "line": line["line_id"]}
        await ask(life, "orders.refund", **args, amount="2.00")
        await life.until(lambda: bench.state("refund", order) == "done")
        with pytest.raises(UsageError, match="not refunded yet"):
            await ask(life, "orders.refund", **args, amount=str(float(paid) + 1000))
        await ask(life, "orders.refund", **args, amount="1.50")
        await life.until(lambda: [x.state for x in bench.deliveries("refund")] == ["done", "done"])
        assert [str(x.lines[0].amount) for _, x in seller.made] == ["2.00", "1.50"]
        assert len({x.key for _, x in seller.made}) == 2

    bench.live(story)


@pytest.mark.rule("A12")
def test_a_lost_answer_to_a_refund_is_found_by_what_nobody_else_made(bench: Bench) -> None:
    async def story(life: Life) -> None:
        seller = Refunder(life)
        first, second = await shipped(bench, life), await shipped(bench, life)
        await ask(life, "orders.refund", order=first, line=f"{first}-1", amount="1")
        await life.until(lambda: bench.state("refund", first) == "done")
        seller.lost = 1
        await ask(life, "orders.refund", order=second, line=f"{second}-1", amount="2")
        await life.until(lambda: bench.state("refund", second) == "in_doubt")
        await life.until(lambda: bench.state("refund", second) == "done")
        assert [name for name, _ in seller.made] == ["file-1", "file-2"]
        told = await ask(life, "explain", order=second)
        assert "file-2" in [x["remote_id"] for x in told["links"]]
        assert not bench.parked()

    bench.live(story)


@pytest.mark.rule("A1")
def test_while_a_refund_is_in_doubt_no_other_one_leaves(bench: Bench) -> None:
    async def story(life: Life) -> None:
        seller = Refunder(life)
        first, second = await shipped(bench, life), await shipped(bench, life)
        seller.lost = 1
        await ask(life, "orders.refund", order=first, line=f"{first}-1", amount="1")
        await ask(life, "orders.refund", order=second, line=f"{second}-1", amount="2")
        # Both are due at once: which of them leaves first is the schedule's.
        await life.until(lambda: "in_doubt" in (bench.state("refund", first), bench.state("refund", second)))
        lost, other = sorted((first, second), key=lambda x: bench.state("refund", x) != "in_doubt")
        assert (bench.state("refund", other), len(seller.made)) == ("queued", 1)
        await life.until(lambda: bench.state("refund", other) == "done")
        assert bench.state("refund", lost) == "done"
        assert [x.order_id for _, x in seller.made] == [lost, other]

    bench.live(story)


@pytest.mark.rule("A16")
def test_a_refund_that_can_not_be_told_from_anothers_is_never_sent_again(bench: Bench) -> None:
    async def story(life: Life) -> None:
        seller = Refunder(life)
        order = await shipped(bench, life)
        seller.lost, seller.strangers = 1, ["somebody's"]
        asked = await ask(life, "orders.refund", order=order, line=f"{order}-1", amount="1")
        item = str(asked["delivery"])
        await life.until(lambda: "a look could not tell" in bench.parked("delivery").get(item, ""))
        assert len(seller.made) == 1
        await ask(life, "parked.found", item=item, id="file-1")
        await life.until(lambda: bench.state("refund", order) == "done")
        assert len(seller.made) == 1

    bench.live(story)


@pytest.mark.rule("A22")
def test_a_refund_is_looked_at_once_more_and_a_second_file_is_a_conflict(bench: Bench) -> None:
    async def story(life: Life) -> None:
        seller = Refunder(life)
        order = await shipped(bench, life)
        await ask(life, "orders.refund", order=order, line=f"{order}-1", amount="1")
        await life.until(lambda: bench.state("refund", order) == "done")
        (row,) = bench.deliveries("refund", order)
        assert row.second_probe_at is not None
        seller.strangers = ["twin"]
        await life.until(lambda: bool(bench.parked("conflict")), 2 * DAY_SECONDS, every=600.0)
        assert "twin" in "".join(bench.parked("conflict").values())

    bench.live(story)
