"""Hints hurry a reading along; whatever is wrong with them changes nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from marketsync.domain.ids import ConnectionId, OrderId
from marketsync.engine.byid import ASKED_MAX
from marketsync.engine.hints import Heard, Hints
from marketsync.errors import Malformed, Retry
from marketsync.ports import Hint
from tests.integration.engine.bench import Bench, Life
from tests.simulation.life import Ear

ALPHA = ConnectionId("alpha")


class Queue:
    """Gives what is put into it; `broken`: it can't be asked."""

    def __init__(self) -> None:
        self.waiting: list[Hint] = []
        self.done_with: list[Hint] = []
        self.broken = False

    async def receive(self) -> Sequence[Hint]:
        if self.broken:
            raise Retry("the queue can't be asked")
        given, self.waiting = self.waiting, []
        return given

    async def done(self, hints: Sequence[Hint]) -> None:
        self.done_with += hints

    async def close(self) -> None: ...


def _read_hint(message: bytes) -> tuple[OrderId, ...]:
    if not message.startswith(b"order "):
        raise Malformed("$", "no order is named")
    return (OrderId(message.decode().removeprefix("order ")),)


def hinted(bench: Bench, life: Life) -> tuple[Queue, Hints]:
    """The marketplace's hints, taken note of by the daemon's own part for them."""
    sweeper = life.daemon.sweepers[ALPHA]
    queue, adapter = Queue(), sweeper._link.adapter
    adapter.read_hint = _read_hint  # type: ignore[attr-defined]

    class Link:
        name, hints, gate = ALPHA, queue, sweeper._link.gate

    Link.adapter = adapter  # type: ignore[attr-defined]
    link: Any = Link()
    return queue, Hints(life.daemon.core, link, sweeper.ask)


@pytest.mark.failure(28)
def test_a_hint_brings_an_order_before_its_list_does(bench: Bench) -> None:
    """Doubled, of an order that nobody knows, and of nothing at all: what is read is what the marketplace holds."""

    async def story(life: Life) -> None:
        await life.until(lambda: life.daemon.coverage_until(ALPHA) is not None)
        queue, hints = hinted(bench, life)
        await life.sleep(30)
        order = bench.buy(("SKU-1", 1))
        messages = [f"order {order}", f"order {order}", "order SBX-99999-A", "garbage", ""]
        queue.waiting = [Hint(x.encode(), str(n)) for n, x in enumerate(messages)]
        await hints.round()
        await life.until(lambda: order in bench.held(), 61)
        assert [x.receipt for x in queue.done_with] == ["0", "1", "2", "3", "4"]
        assert bench.held() == {order} or list(bench.held()) == [order]

    bench.live(story)


@pytest.mark.failure(30)
def test_a_queue_in_trouble_stops_nothing_and_its_silence_is_shown(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: dict[str, float] = {}
    monkeypatch.setattr(Ear, "gauge", lambda _, metric, value, **__: shown.update({metric: value}))

    async def story(life: Life) -> None:
        await life.until(lambda: life.daemon.coverage_until(ALPHA) is not None)
        queue, hints = hinted(bench, life)
        await hints.round()
        queue.broken = True
        await life.sleep(900)
        assert await hints.round() < 0
        assert shown["marketsync_hint_silence_seconds"] == pytest.approx(900, abs=1)
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: order in bench.held(), 180)

    bench.live(story)


def test_a_hint_that_came_before_its_change_was_shown_is_followed_up_once(bench: Bench) -> None:
    async def story(life: Life) -> None:
        await life.until(lambda: life.daemon.coverage_until(ALPHA) is not None)
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: order in bench.held())
        await life.sleep(300)
        before = len(_by_id(bench, order))
        life.daemon.sweepers[ALPHA].ask(OrderId(order), hinted=True)
        await life.sleep(600)
        assert len(_by_id(bench, order)) == before + 2
        life.daemon.sweepers[ALPHA].ask(OrderId(order))
        await life.sleep(600)
        assert len(_by_id(bench, order)) == before + 3

    bench.live(story)


def _by_id(bench: Bench, order: str) -> list[str]:
    return [x.target for x in bench.calls("OR11") if f"order_ids={order}" in x.target]


@pytest.mark.requirement("R33")
def test_a_storm_of_hints_is_bounded_its_age_is_shown_and_it_drains_beside_the_lists(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mirakl reads 100 ids a call and a call a minute, every other one a list: 10,000 are through in 200 minutes."""
    shown: dict[str, list[float]] = {"marketsync_orders_asked": [], "marketsync_oldest_asked_seconds": []}
    monkeypatch.setattr(
        Ear, "gauge", lambda _, metric, value, **__: shown.setdefault(metric, []).append(value)
    )

    async def story(life: Life) -> None:
        await life.until(lambda: life.daemon.coverage_until(ALPHA) is not None)
        sweeper = life.daemon.sweepers[ALPHA]
        for number in range(ASKED_MAX + 500):
            sweeper.ask(OrderId(f"FORGED-{number}"))
        assert len(sweeper._by_id._asked) == ASKED_MAX
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: order in bench.held(), 180)
        assert sweeper._by_id.waits
        await life.until(lambda: not sweeper._by_id.waits, 3.5 * 3600.0, every=60.0)

    bench.live(story)
    assert max(shown["marketsync_orders_asked"]) == ASKED_MAX
    assert max(shown["marketsync_oldest_asked_seconds"]) > 3000.0


class Signed:
    """Pushes that are genuine where they say so."""

    def answer_challenge(self, query: Mapping[str, str]) -> bytes | None:
        return None

    async def verify_hint(self, headers: Mapping[str, str], body: bytes) -> bool:
        return headers["signed"] == "yes"


@pytest.mark.failure(29)
def test_what_is_pushed_is_taken_once_and_only_if_it_is_genuine(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("marketsync.engine.hints.REMEMBERED_MAX", 3)
    asked: list[str] = []

    async def story(life: Life) -> None:
        _, hints = hinted(bench, life)
        hints._link.pushes = Signed()  # type: ignore[misc]
        hints._ask = lambda order_id, hinted=False: asked.append(order_id)
        yes, no = {"signed": "yes"}, {"signed": "no"}
        assert await hints.pushed(no, b"order A") is Heard.FORGED
        assert [await hints.pushed(yes, b"order A") for _ in range(3)] == [Heard.TAKEN] * 3
        assert asked == ["A"]
        for name in "BCDE":
            await hints.pushed(yes, f"order {name}".encode())
        assert len(hints._known) == 3
        await hints.pushed(yes, b"order A")
        assert asked == [*"ABCDEA"]
        assert await hints.pushed(yes, b"garbage") is Heard.TAKEN
        hints._link.gate.pause("a person said so")
        assert await hints.pushed(yes, b"order F") is Heard.UNSURE

    bench.live(story)
    assert asked == [*"ABCDEA"]
