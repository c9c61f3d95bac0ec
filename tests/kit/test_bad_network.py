"""What wrongs the network, the credentials or the buyer is found, and so is a far side that would let it pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.mirakl import ADAPTER as MIRAKL
from adapters.woocommerce import ADAPTER as WOOCOMMERCE
from marketsync.domain.deliveries import Kind
from marketsync.errors import InDoubt, MarketsyncError, Retry
from marketsync.http import AdapterSpec
from marketsync.kit import scorecard
from marketsync.kit.quality import of
from tests.kit import bad as sides
from tests.kit.bad import Around, bad


class SendsAgainByItself(Around):
    async def send(self, payload: Any, *more: Any) -> Any:
        for _ in range(4):
            try:
                return await self.inner.send(payload, *more)
            except (Retry, InDoubt):
                continue
        return await self.inner.send(payload, *more)


class QuotesTheBuyer(Around):
    async def send(self, payload: Any, *more: Any) -> Any:
        try:
            return await self.inner.send(payload, *more)
        except MarketsyncError as error:
            raise InDoubt(f"{error} for {payload.order.buyer}") from None


class HurriesAfterAThrottle(Around):
    async def fetch_orders(self, window: Any, offset: int) -> Any:
        try:
            return await self.inner.fetch_orders(window, offset)
        except Retry as error:
            raise Retry(error.reason, 0.1) from None


BAD: list[tuple[AdapterSpec, set[str]]] = [
    (bad(MIRAKL, writers={Kind.CONFIRM: SendsAgainByItself}), {"net.throttled"}),
    (bad(WOOCOMMERCE, writers={Kind.CREATE: QuotesTheBuyer}), {"net.throttled", "net.redaction"}),
    (bad(MIRAKL, HurriesAfterAThrottle), {"net.throttled"}),
]


@pytest.mark.parametrize("spec, expected", BAD)
def test_a_bad_neighbour_is_found(spec: AdapterSpec, expected: set[str]) -> None:
    assert set(scorecard(spec, ["net"]).reds) == expected


@pytest.mark.parametrize(
    "open_side, check",
    [
        (sides.never_throttles, "net.budgets"),
        (sides.LetsAnybodyIn, "net.credentials"),
        (sides.Forgetful, "plan.side"),
    ],
)
def test_a_far_side_that_lets_everything_pass_is_found(
    monkeypatch: pytest.MonkeyPatch, open_side: Callable[..., Any], check: str
) -> None:
    monkeypatch.setattr("adapters.mirakl.rehearsal.open_side", open_side)
    assert scorecard(MIRAKL, [check]).reds == (check,)


def test_a_figure_that_is_looser_than_the_vendor_s_is_found() -> None:
    quality = of(MIRAKL)
    stricter = replace(
        quality, vendor=replace(quality.vendor, budgets={"orders": (1, 120.0), "other": (1, 1.0)})
    )
    card = scorecard(MIRAKL, ["plan.budgets"], stricter)
    assert len(card.rows[0].why) == 2
