"""Feeds: a document is put up, one write makes a feed of it, and what became of it is asked for later."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime

import msgspec

from adapters.amazon import wire
from adapters.amazon.api import Api, refusal, usable_id
from adapters.amazon.uploads import Documents
from marketsync.errors import InDoubt, ReadFailed, Refused
from marketsync.http import decode, segment
from marketsync.ports import Departure

FEEDS = "/feeds/2021-06-30/feeds"
POLL_SECONDS = 30.0
# From the moment at which the contents were made to the feed made of them, document and upload included (C15).
SEND_SECONDS = 15.0
REPORT_BYTES_MAX = 16 * 1024 * 1024
LIST_MAX = 100


class Made(msgspec.Struct, frozen=True):
    """What was made since a moment; `whole` is False where there is more than a page of it."""

    names: tuple[str, ...]
    whole: bool


class Feeds:
    def __init__(self, api: Api, documents: Documents) -> None:
        self._api = api
        self._documents = documents

    async def create(
        self, feed_type: str, stores: tuple[str, ...], content: bytes, content_type: str, departure: Departure
    ) -> str:
        """Document and upload change nothing that anybody sees: the one write is the feed made of them."""
        document_id = await self._documents.upload(content, content_type)
        body = wire.NewFeed(feed_type, list(stores), document_id)
        try:
            answer = await self._api.write("createFeed", "POST", FEEDS, body, departure)
        except Refused as refused:
            raise refusal(refused) from refused
        return usable_id(decode(answer, wire.FeedCreated, write=True).feed_id, "createFeed")

    async def state(self, feed_id: str) -> wire.Feed:
        try:
            answer = await self._api.read("getFeed", f"{FEEDS}/{segment(feed_id)}")
        except Refused as refused:
            raise InDoubt("Amazon does not know the feed any more") from refused
        return decode(answer, wire.Feed, write=False)

    async def made_since(self, feed_type: str, moment: datetime) -> Made:
        since = moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        query = (("feedTypes", feed_type), ("createdSince", since), ("pageSize", str(LIST_MAX)))
        try:
            answer = await self._api.read("getFeeds", FEEDS, query)
        except Refused as refused:
            raise ReadFailed(f"getFeeds: HTTP {refused.status}") from refused
        page = decode(answer, wire.Feeds, write=False)
        names = tuple(
            usable_id(feed.feed_id, "getFeeds") for feed in page.feeds if feed.feed_type == feed_type
        )
        return Made(names, not page.next_token)

    async def report(self, document_id: str) -> bytes:
        body, packing = await self._documents.download(usable_id(document_id, "getFeed"))
        return body if packing is None else _unpacked(body, packing)


def _unpacked(body: bytes, algorithm: str) -> bytes:
    if algorithm != "GZIP":
        raise ReadFailed("the feed's report is packed in a way that is not known")
    stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        report = stream.decompress(body, REPORT_BYTES_MAX)
    except zlib.error:
        raise ReadFailed("the feed's report can't be unpacked") from None
    if not stream.eof:
        raise ReadFailed("the feed's report is cut short or too large")
    return report
