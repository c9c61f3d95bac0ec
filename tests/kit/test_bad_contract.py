"""What the vendor's published description does not know is found, on either side; without the description nothing is said."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.amazon import ADAPTER as AMAZON
from adapters.mirakl import ADAPTER as MIRAKL
from adapters.mirakl.rehearsal import MiraklSide
from marketsync.kit import scorecard
from marketsync.kit.quality import of
from marketsync.kit.score import Outcome
from marketsync.ports import Request, Response
from tests.kit.bad import with_calls


def asks_for_more(call: Any) -> Any:
    return replace(call, query=(*call.query, ("with_colours", "true"))) if call.operation == "OR11" else call


class AnswersMore(MiraklSide):
    def handle(self, request: Request, now: datetime) -> Response:
        response = super().handle(request, now)
        return replace(
            response, body=response.body.replace(b'"order_id":', b'"order_colour":"red","order_id":')
        )


def test_a_parameter_that_is_not_described_is_found(contracts: Path) -> None:
    card = scorecard(with_calls(MIRAKL, asks_for_more), ["contract"])
    assert card.reds == ("contract.requests", "contract.requests@parcels")
    assert card.rows[0].why == ("OR11: has a parameter with_colours that is not described",)


def test_a_field_that_is_not_described_is_found(contracts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.mirakl.rehearsal.open_side", AnswersMore)
    card = scorecard(MIRAKL, ["contract"])
    assert card.reds == ("contract.answers", "contract.answers@parcels")


def test_an_operation_without_a_description_needs_its_reason(contracts: Path) -> None:
    quality = of(AMAZON)
    assert quality.vendor.contract is not None
    mute = replace(quality.vendor.contract, undescribed={"getOrder": "it is described all the same"})
    card = scorecard(AMAZON, ["contract"], replace(quality, vendor=replace(quality.vendor, contract=mute)))
    assert card.reds == ("contract.requests",)
    assert card.rows[0].why == (
        "token: is an operation of no description",
        "uploadFeedDocument: is an operation of no description",
        "downloadFeedDocument: is an operation of no description",
        "[vendor.contract] undescribed getOrder: the reason is not needed any more",
    )


def test_without_a_folder_it_is_not_run_and_nothing_is_red(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MARKETSYNC_CONTRACTS", raising=False)
    card = scorecard(MIRAKL, ["contract"])
    assert {row.outcome for row in card.rows} == {Outcome.NOT_RUN}
    assert card.sound
