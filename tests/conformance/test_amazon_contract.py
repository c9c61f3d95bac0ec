"""Amazon's published models, where the kit does not reach: refusals, odd orders, and the files of feeds."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator

from adapters.amazon import ADAPTER
from adapters.amazon.sandbox import AmazonSandbox
from adapters.amazon.sandbox_world import Behaviour
from marketsync.domain.coverage import Axis
from marketsync.kit.journey import play
from marketsync.kit.reading import Reading, everything
from marketsync.ports import Request
from tests.conformance.played import described, fresh, wrong

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
FEEDS = "listings-feed"


async def test_what_its_buyer_asks_to_cancel_and_a_short_page_fit_their_model(contracts: Path) -> None:
    bench = await fresh(ADAPTER, short_page_every=1)()
    asked = bench.place()
    side: Any = bench.side
    side.sandbox.ask_cancel(bench.now, asked)
    await bench.wait(600.0)
    await bench.raw(asked)
    for axis in Axis:
        await Reading(bench).window(everything(bench, axis))
    assert b'"cancellationRequest"' in b"".join(x.response.body for x in bench.wire.exchanges)
    assert wrong(ADAPTER, contracts, bench.wire.exchanges) == []


def test_refusals_of_the_sandbox_fit_their_models(contracts: Path) -> None:
    sandbox = AmazonSandbox({}, Behaviour())
    calls = [
        ("searchOrders", "GET", "/orders/2026-01-01/orders?createdAfter=2026-03-01T00:00:00Z"),
        ("patchListingsItem", "PATCH", "/listings/2021-08-01/items/A/B?marketplaceIds=A1PA6795UKMFR9"),
        ("createFeed", "POST", "/feeds/2021-06-30/feeds"),
        ("confirmShipment", "POST", "/orders/v0/orders/302-1-1/shipmentConfirmation"),
    ]
    for operation, method, path in calls:
        request = Request("amazon", operation, method, f"https://sellingpartnerapi-eu.example{path}")
        response = sandbox.handle(request, START)
        assert response.status == 403
        assert list(described(ADAPTER, contracts).answer(request, response)) == []


async def test_feeds_and_their_reports_fit_their_schemas(contracts: Path) -> None:
    def schema(name: str) -> Draft7Validator:
        return Draft7Validator(
            json.loads((contracts / "amazon" / "feeds" / f"{FEEDS}-{name}.json").read_text())
        )

    exchanges = (await play(fresh(ADAPTER))).wire.exchanges
    up = [x.request.body for x in exchanges if x.request.operation == "uploadFeedDocument"]
    down = [x.response.body for x in exchanges if x.request.operation == "downloadFeedDocument"]
    sent = [json.loads(body) for body in up if body.startswith(b"{")]
    got = [
        body for body in (gzip.decompress(x) if x[:2] == b"\x1f\x8b" else x for x in down) if body[:1] == b"{"
    ]
    assert (len(sent), len(got)) == (1, 1)
    for body in sent:
        assert list(schema("schema-v2").iter_errors(body)) == []
        messages = [
            error for entry in body["messages"] for error in schema("message-schema-v2").iter_errors(entry)
        ]
        assert messages == []
    for plain in got:
        assert list(schema("processing-report-schema-v2").iter_errors(json.loads(plain))) == []
