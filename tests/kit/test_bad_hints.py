"""Messages that are believed, or that stop the loop: each bug is found by the check that is made for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.amazon import ADAPTER as AMAZON
from adapters.ebay import ADAPTER as EBAY
from adapters.mirakl import ADAPTER as MIRAKL
from marketsync.errors import Retry
from marketsync.http import AdapterSpec
from marketsync.kit import scorecard
from marketsync.kit.quality import Power, of
from marketsync.kit.score import Runs
from tests.kit.bad import Around, bad


class ReadsAnySeller(Around):
    """Whose order it is, is not looked at."""

    def read_hint(self, message: bytes) -> Any:
        return self.inner.read_hint(message.replace(b"A9ANOTHERSELLER", b"A2SANDBOXSELLER"))


class TrustsTheForm(Around):
    """A message of another form ends the loop."""

    def read_hint(self, message: bytes) -> Any:
        return (json.loads(message)["Payload"]["OrderChangeNotification"]["AmazonOrderId"],)


class CleansIds(Around):
    """An id is brought into a form of its own."""

    def read_hint(self, message: bytes) -> Any:
        return tuple(name.replace("-", "") for name in self.inner.read_hint(message))


class BelievesTheState(Around):
    """What a message calls cancelled is cancelled."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.cancelled: list[str] = []

    def read_hint(self, message: bytes) -> Any:
        named = self.inner.read_hint(message)
        self.cancelled += named if b'"Canceled"' in message else ()
        return named

    def parse_order(self, raw: bytes) -> Any:
        order = self.inner.parse_order(raw)
        if order.key.order_id not in self.cancelled:
            return order
        return replace(order, lines=tuple(replace(x, cancelled=x.quantity) for x in order.lines))


class BelievesAnybody(Around):
    async def verify_hint(self, headers: Any, body: bytes) -> bool:
        return True


class BelievesWhoNamesAKey(Around):
    """The key is looked for, and the body is not held against it."""

    async def verify_hint(self, headers: Any, body: bytes) -> bool:
        await self.inner.verify_hint(headers, body)
        return "x-ebay-signature" in headers


class AsksForTheKeyEachTime(Around):
    async def verify_hint(self, headers: Any, body: bytes) -> bool:
        hints = self.inner._hints
        hints._keys.clear()
        hints._asked_at, hints._unknown = float("-inf"), ""
        found: bool = await self.inner.verify_hint(headers, body)
        return found


class CallsDoubtForged(Around):
    """A message that can't be judged now is thrown away."""

    async def verify_hint(self, headers: Any, body: bytes) -> bool:
        try:
            found: bool = await self.inner.verify_hint(headers, body)
        except Retry:
            return False
        return found


@pytest.mark.parametrize(
    "spec, wrong, expected",
    [
        (AMAZON, ReadsAnySeller, {"unknown"}),
        (AMAZON, TrustsTheForm, {"unknown"}),
        (AMAZON, CleansIds, {"read", "told"}),
        (AMAZON, BelievesTheState, {"told"}),
        (EBAY, BelievesAnybody, {"signed"}),
        (EBAY, BelievesWhoNamesAKey, {"signed"}),
        (EBAY, AsksForTheKeyEachTime, {"signed"}),
        (EBAY, CallsDoubtForged, {"signed"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_bad_readers_of_hints_are_found(spec: AdapterSpec, wrong: type[Around], expected: set[str]) -> None:
    if wrong not in (ReadsAnySeller, TrustsTheForm, CleansIds, BelievesTheState):
        pytest.importorskip("cryptography", reason="the extra `hints` is not installed")
    reds = scorecard(bad(spec, wrong), ["hints"]).reds
    assert set(reds) == {f"hints.{check}" for check in expected}


def test_a_power_that_is_called_absent_and_is_there_is_found_and_the_reverse() -> None:
    assert list(_problems(AMAZON, Power(absent="there are no messages at all"))) == [
        "[kit.powers.hints] says that it is absent, and the adapter has it"
    ]
    assert list(_problems(MIRAKL, Power())) == [
        '[kit.powers.hints]: the adapter does not have read_hint: say `absent = "why"`'
    ]


def test_an_operation_that_no_check_calls_is_found() -> None:
    runs = Runs(MIRAKL)
    rows = [runs.row(check, variant) for check, variant in runs.wanted() if check.power == "plan"]
    assert "the operation STO02 of the plan is called by no check" in list(runs._uncalled(rows))


def _problems(spec: AdapterSpec, hints: Power) -> Iterator[str]:
    quality = of(spec)
    powers = {**quality.kit.powers, "hints": hints}
    return Runs(spec, (), replace(quality, kit=replace(quality.kit, powers=powers)))._problems()
