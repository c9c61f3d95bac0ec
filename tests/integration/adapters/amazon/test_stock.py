from __future__ import annotations

import gzip
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from adapters.amazon.sandbox_world import LEAD_DAYS
from adapters.amazon.stock import read_report
from marketsync.domain.deliveries import Kind, Unknown, WriteClass
from marketsync.domain.ids import Sku
from marketsync.errors import InDoubt, Park, ReadFailed, Retry, TooLate
from marketsync.ports import Batch, ItemResult, PublishStock, StepDone, StepWaiting, StockItem


def stock(**quantities: int) -> PublishStock:
    return PublishStock(tuple(StockItem(Sku(sku.replace("_", "-")), n) for sku, n in quantities.items()))


def writer(rig: Any) -> Any:
    return rig.adapter.writers[Kind.STOCK]


def listed(rig: Any) -> dict[str, int]:
    rig.sandbox.arrive(rig.now)
    return dict(rig.sandbox.offers)


async def sent(rig: Any, payload: PublishStock) -> Any:
    return await writer(rig).send(payload, 0, "", rig.departure())


async def ended(rig: Any, payload: PublishStock, waiting: StepWaiting) -> Any:
    """What the feed came to, polled as it asks to be."""
    for _ in range(100):
        rig.wait(waiting.poll_after_seconds)
        result = await writer(rig).poll(payload, 0, waiting.receipt)
        if isinstance(result, StepDone):
            return await writer(rig).results(payload, result.checkpoint)
    raise AssertionError("the feed does not end")


async def errors(rig: Any, payload: PublishStock) -> tuple[ItemResult, ...]:
    result = await sent(rig, payload)
    assert isinstance(result, StepDone)
    found: tuple[ItemResult, ...] = await writer(rig).results(payload, result.checkpoint)
    return found


async def test_a_few_are_patched_one_by_one_and_many_go_in_a_feed(make_rig: Any) -> None:
    rig = make_rig({"patched_max": 3})
    assert writer(rig).batch(3) == Batch(1, "patchListingsItem", 4)
    assert writer(rig).batch(4) == Batch(500, "createFeed", 1)
    (one,), (many,) = writer(rig).steps(stock(TEA_1=1)), writer(rig).steps(stock(TEA_1=1, MUG_2=1))
    assert (one.name, one.write_class, one.lands_within_seconds, one.applied_after_seconds) == (
        "patch",
        WriteClass.UPSERT,
        1800.0,
        900.0,
    )
    assert (many.name, many.write_class, many.lands_within_seconds, many.applied_after_seconds) == (
        "feed",
        WriteClass.UPSERT,
        21600.0,
        900.0,
    )
    # What was computed leaves soon or not at all.
    assert many.send_by_seconds == 15.0
    assert Kind.STOCK not in make_rig({"stock": False}).adapter.writers


async def test_a_patch_merges_the_quantity_into_its_listing(make_rig: Any) -> None:
    rig = make_rig()
    assert await errors(rig, stock(TEA_1=7)) == (ItemResult("TEA-1"),)
    request = rig.transport.sent[-1]
    assert request.method == "PATCH"
    parts = urlsplit(request.url)
    assert (parts.path, parts.query) == (
        "/listings/2021-08-01/items/A2SANDBOXSELLER/TEA-1",
        "marketplaceIds=A1PA6795UKMFR9",
    )
    assert json.loads(request.body) == {
        "productType": "PRODUCT",
        "patches": [
            {
                "op": "merge",
                "path": "/attributes/fulfillment_availability",
                "value": [{"fulfillment_channel_code": "DEFAULT", "quantity": 7}],
            }
        ],
    }
    assert listed(rig)["TEA-1"] == 10
    (step,) = writer(rig).steps(stock(TEA_1=7))
    rig.wait(step.applied_after_seconds)
    assert listed(rig)["TEA-1"] == 7
    assert rig.sandbox.world.listings["TEA-1"].lead_days == LEAD_DAYS


@pytest.mark.parametrize("sku", ["NONE", "A/B ?#ü"])
async def test_a_200_that_says_invalid_is_a_refusal_of_that_listing(make_rig: Any, sku: str) -> None:
    rig = make_rig()
    payload = PublishStock((StockItem(Sku(sku), 1),))
    assert await errors(rig, payload) == (ItemResult(sku, "INVALID: 13013"),)


async def test_a_listing_that_amazon_refuses_stops_only_itself(make_rig: Any) -> None:
    rig = make_rig()
    rig.transport.instead["patchListingsItem"] = (
        400,
        b'{"errors":[{"code":"InvalidInput","message":"Ada"}]}',
    )
    assert await errors(rig, stock(TEA_1=1)) == (
        ItemResult("TEA-1", "patchListingsItem was refused: InvalidInput"),
    )


@pytest.mark.parametrize(
    "status, body",
    [
        (200, b'{"sku":"TEA-1","status":"PERHAPS","submissionId":"1"}'),
        (200, b'{"sku":"OTHER","status":"ACCEPTED","submissionId":"1"}'),
        (200, b"<html>"),
        (500, b""),
    ],
)
@pytest.mark.failure(32)
async def test_what_a_patch_came_to_is_never_guessed(make_rig: Any, status: int, body: bytes) -> None:
    rig = make_rig()
    rig.transport.instead["patchListingsItem"] = (status, body)
    with pytest.raises(InDoubt):
        await sent(rig, stock(TEA_1=1))
    assert await writer(rig).probe(stock(TEA_1=1), 0, "", rig.span()) == Unknown()


async def test_a_feed_is_uploaded_made_polled_and_its_report_read(make_rig: Any) -> None:
    rig = make_rig()
    payload = stock(TEA_1=4, NONE=1, MUG_2=9)
    for _ in range(2):
        waiting = await sent(rig, payload)
        assert isinstance(waiting, StepWaiting)
        assert await ended(rig, payload, waiting) == (
            ItemResult("TEA-1"),
            ItemResult("NONE", "13013"),
            ItemResult("MUG-2"),
        )
        assert (listed(rig)["TEA-1"], listed(rig)["MUG-2"]) == (4, 9)
        rig.wait(600)
    operations = [name for name in rig.operations() if name != "getFeed"]
    assert operations[:5] == [
        "createFeedDocument",
        "uploadFeedDocument",
        "createFeed",
        "getFeedDocument",
        "downloadFeedDocument",
    ]
    writes = {request.operation for request in rig.transport.sent if request.write}
    assert writes == {"createFeed"}


@pytest.mark.requirement("R19")
async def test_files_travel_without_our_token(make_rig: Any) -> None:
    rig = make_rig()
    payload = stock(TEA_1=4, MUG_2=9)
    await ended(rig, payload, await sent(rig, payload))
    files = [x for x in rig.transport.sent if x.operation in {"uploadFeedDocument", "downloadFeedDocument"}]
    assert len(files) == 2
    assert not any("x-amz-access-token" in dict(request.headers) for request in files)


@pytest.mark.failure(32)
@pytest.mark.rule("A3")
async def test_what_is_certain_not_to_have_left_is_told_from_what_may_have(make_rig: Any) -> None:
    rig = make_rig()
    payload = stock(TEA_1=4, MUG_2=9)
    with pytest.raises(TooLate):
        await writer(rig).send(payload, 0, "", rig.departure(within=-1.0))
    rig.transport.instead["uploadFeedDocument"] = (403, b"<Error>")
    with pytest.raises(ReadFailed):
        await sent(rig, payload)
    assert rig.sandbox.stock.feeds == {}
    rig.transport.instead["createFeed"] = (400, b'{"errors":[{"code":"InvalidInput"}]}')
    with pytest.raises(Park, match=r"^createFeed was refused: InvalidInput$"):
        await sent(rig, payload)
    for status, body in ((202, b"{}"), (202, b'{"feedId":"../x"}'), (503, b"")):
        rig.wait(121)
        rig.transport.instead["createFeed"] = (status, body)
        with pytest.raises(InDoubt):
            await sent(rig, payload)
    rig.transport.lose_answers = 1
    rig.wait(121)
    with pytest.raises(InDoubt):
        await sent(rig, payload)
    rig.wait(1800)
    assert listed(rig)["TEA-1"] == 4


async def test_a_fatal_feed_may_have_done_a_part_and_a_cancelled_one_has_not(make_rig: Any) -> None:
    payload = stock(TEA_1=4, MUG_2=9)
    fatal = make_rig(feed_ends="FATAL")
    results = await ended(fatal, payload, await sent(fatal, payload))
    assert all(result.unsure for result in results)
    assert listed(fatal) == {"TEA-1": 4, "MUG-2": 3}
    gone = make_rig(feed_ends="CANCELLED")
    with pytest.raises(Park, match="cancelled"):
        await ended(gone, payload, await sent(gone, payload))
    assert listed(gone) == {"TEA-1": 10, "MUG-2": 3}


async def test_a_feed_that_is_not_known_any_more_is_a_doubt(make_rig: Any) -> None:
    rig, payload = make_rig(), stock(TEA_1=4, MUG_2=9)
    with pytest.raises(InDoubt):
        await writer(rig).poll(payload, 0, "1")
    rig.transport.instead["getFeed"] = (200, b'{"processingStatus":"NEW"}')
    with pytest.raises(InDoubt):
        await writer(rig).poll(payload, 0, "1")
    rig.transport.instead["getFeed"] = (200, b'{"processingStatus":"DONE"}')
    done = await writer(rig).poll(payload, 0, "1")
    assert all(result.unsure for result in await writer(rig).results(payload, done.checkpoint))


async def test_a_report_that_can_not_be_fetched_is_asked_for_again(make_rig: Any) -> None:
    rig = make_rig()
    payload = stock(TEA_1=4, MUG_2=9)
    waiting = await sent(rig, payload)
    rig.wait(1300)
    done = await writer(rig).poll(payload, 0, waiting.receipt)
    rig.transport.instead["downloadFeedDocument"] = (403, b"<Error>")
    with pytest.raises(Retry):
        await writer(rig).results(payload, done.checkpoint)
    assert [result.error for result in await writer(rig).results(payload, done.checkpoint)] == ["", ""]
    elsewhere = json.dumps({"feedDocumentId": "d", "url": "https://evil.example/x?signature=canary"})
    rig.wait(60)
    rig.transport.instead["getFeedDocument"] = (200, elsewhere.encode())
    with pytest.raises(ReadFailed) as held:
        await writer(rig).results(payload, done.checkpoint)
    assert "canary" not in str(held.value)


ITEMS = stock(A=1, B=2).items


def report(accepted: int, *issues: dict[str, Any], processed: int = 2, feed: str = "7") -> bytes:
    header = {"sellerId": "S", "version": "2.0", "feedId": feed}
    summary = {"messagesProcessed": processed, "messagesAccepted": accepted}
    return json.dumps({"header": header, "summary": summary, "issues": list(issues)}).encode()


def issue(severity: str = "ERROR", **more: Any) -> dict[str, Any]:
    return {"severity": severity, "code": "90220", "message": "Ada Beispiel", **more}


@pytest.mark.parametrize(
    "body, found",
    [
        (report(2), ["", ""]),
        (report(2, issue("WARNING", messageId=2)), ["", ""]),
        (report(1, issue(messageId=2)), ["", "90220"]),
        (report(1, issue(messageId=2, code="one"), issue(messageId=2, code="two")), ["", "one"]),
        (report(1, issue(messageId=1, code=None)), ["without a code", ""]),
        (report(0, issue(code="90000")), ["90000", "90000"]),
    ],
)
def test_a_report_settles_each_message(body: bytes, found: list[str]) -> None:
    assert [result.error for result in read_report(body, ITEMS, "7")] == found


def test_an_error_of_the_feed_as_a_whole_leaves_all_of_it_unsure() -> None:
    results = read_report(report(1, issue()), ITEMS, "7")
    assert all(result.unsure and "Beispiel" not in result.error for result in results)


@pytest.mark.parametrize(
    "body, error",
    [
        (b"<html>", ReadFailed),
        (gzip.compress(report(2)), ReadFailed),
        (report(2, feed="8"), ReadFailed),
        (report(3, processed=3), ReadFailed),
        (report(1), ReadFailed),
        (report(0), ReadFailed),
        (report(1, issue(messageId=3)), ReadFailed),
    ],
)
def test_a_report_that_does_not_explain_itself_says_nothing(body: bytes, error: type[Exception]) -> None:
    with pytest.raises(error) as held:
        read_report(body, ITEMS, "7")
    assert "Beispiel" not in str(held.value)
