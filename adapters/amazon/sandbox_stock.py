"""The simulated Amazon's listings: patches and feeds, acknowledged now and done later."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec.structs import replace

from adapters.amazon.sandbox_aftersales import FLAT_FEEDS, carried_out, rows_of
from adapters.amazon.sandbox_http import (
    JSON,
    Fault,
    Shaped,
    answer,
    body_of,
    headers_of,
    invalid,
    moment,
    only,
    query_of,
    stamp,
    text_of,
)
from adapters.amazon.sandbox_world import World
from marketsync.ports import Request

URL_SECONDS = 300.0
FEED_TYPE = "JSON_LISTINGS_FEED"
PAGE_MAX = 100
PATH = "/attributes/fulfillment_availability"

Json = dict[str, Any]


class Document(msgspec.Struct, frozen=True):
    """What a feed is made from, or its report. Its address works for `URL_SECONDS`."""

    id: str
    content_type: str
    expires_at: datetime
    body: bytes | None = None
    is_report: bool = False


class Feed(msgspec.Struct, frozen=True):
    """What becomes of it is decided when it is taken, and shown and landed when it ends. `result` is its report."""

    id: str
    at: datetime
    ends_at: datetime
    ends: str
    result: str = ""
    type: str = FEED_TYPE


class Stock:
    """`swallows`: how many of the next writes are acknowledged and have no effect."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.documents: dict[str, Document] = {}
        self.feeds: dict[str, Feed] = {}
        self.swallows = 0
        self.swallowed: list[str] = []

    # One listing

    def patch(self, request: Request, sku: str, at: datetime) -> Shaped:
        """A 200 may say INVALID. What is fine is ACCEPTED, and lands later."""
        body = body_of(request)
        text_of(body, "productType")
        patches = body.get("patches")
        if not isinstance(patches, list) or not patches:
            raise invalid("patches is missing or empty.")
        quantity, wipes, problem = _wanted(patches, sku in self._world.listings)
        if problem is not None:
            issue = {"code": problem[0], "message": problem[1], "severity": "ERROR", "categories": []}
            return answer(_submission(sku, "INVALID", _unmade(sku, at), [issue]))
        lands_at = self._world.patch_lands(at, sku)
        name = self._submit(at, {sku: quantity}, lands_at, wipes)
        return answer(_submission(sku, "ACCEPTED", name, []))

    def _submit(self, at: datetime, quantities: Mapping[str, int], lands_at: datetime, wipes: bool) -> str:
        if self.swallows:
            self.swallows -= 1
            self.swallowed += list(quantities)
            quantities = {}
        return self._world.submit(at, quantities, lands_at, wipes)

    # Many at once

    def create_document(self, request: Request, at: datetime, origin: str) -> Shaped:
        kind = text_of(body_of(request), "contentType")
        name = f"amzn1.tortuga.4.eu.{len(self.documents) + 1:08d}"
        document = Document(name, kind, at + timedelta(seconds=URL_SECONDS))
        self.documents[name] = document
        return answer({"feedDocumentId": name, "url": _address(origin, document)}, 201)

    def upload(self, request: Request, document_id: str, at: datetime) -> Shaped:
        document = self._reached(request, document_id, at)
        if document.is_report or headers_of(request).get("content-type") != document.content_type:
            return _denied("SignatureDoesNotMatch")
        self.documents[document_id] = replace(document, body=request.body)
        return 200, {}, b""

    def download(self, request: Request, document_id: str, at: datetime) -> Shaped:
        document = self._reached(request, document_id, at)
        if not document.is_report or document.body is None:
            return _denied("AccessDenied")
        return 200, {"content-type": "binary/octet-stream"}, document.body

    def create_feed(self, request: Request, at: datetime) -> Shaped:
        body = body_of(request)
        stores = body.get("marketplaceIds")
        kind = text_of(body, "feedType")
        if kind not in (FEED_TYPE, *FLAT_FEEDS) or not isinstance(stores, list) or not stores:
            raise invalid("The feed's type or stores are not known.")
        if not set(stores) <= set(self._world.behaviour.marketplace_ids):
            raise Fault(403, "Unauthorized", "Access to requested resource is denied.")
        document = self.documents.get(text_of(body, "inputFeedDocumentId"))
        if document is None or document.body is None:
            raise invalid("The feed document has no contents.")
        name = str(50_000_000_000 + len(self.feeds) + 1)
        self._world.record(at, "feed", name, "" if kind == FEED_TYPE else kind)
        if kind == FEED_TYPE:
            self.feeds[name] = self._taken(name, document.body, at)
        else:
            self._take_flat(name, kind, document, at)
        return answer({"feedId": name}, 202)

    def feed(self, feed_id: str, at: datetime) -> Shaped:
        feed = self.feeds.get(feed_id)
        if feed is None:
            raise Fault(404, "NotFound", "There is no such feed.")
        return answer(self._shown(feed, at))

    def list_feeds(self, request: Request, at: datetime) -> Shaped:
        """Newest first, those that are old enough to be listed: a page says no more than that there is another one."""
        query = query_of(request)
        only(
            query,
            "feedTypes",
            "createdSince",
            "createdUntil",
            "pageSize",
            "marketplaceIds",
            "processingStatuses",
        )
        since, size = moment(query, "createdSince"), query.get("pageSize", "10")
        if not query.get("feedTypes") or not size.isdigit() or not 1 <= int(size) <= PAGE_MAX:
            raise invalid("feedTypes is missing, or pageSize is out of range.")
        kinds, lag = (
            query["feedTypes"].split(","),
            timedelta(seconds=self._world.behaviour.feeds_listed_seconds),
        )
        found = [
            feed
            for feed in reversed(self.feeds.values())
            if feed.type in kinds and feed.at + lag <= at and (since is None or feed.at >= since)
        ]
        body: Json = {"feeds": [self._shown(feed, at) for feed in found[: int(size)]]}
        if len(found) > int(size):
            body["nextToken"] = "bmV4dA=="
        return answer(body)

    def _shown(self, feed: Feed, at: datetime) -> Json:
        begins_at, ended = feed.at + (feed.ends_at - feed.at) / 2, feed.ends_at <= at
        shown: Json = {
            "feedId": feed.id,
            "feedType": feed.type,
            "marketplaceIds": list(self._world.behaviour.marketplace_ids),
            "createdTime": stamp(feed.at),
            "processingStatus": feed.ends if ended else "IN_PROGRESS" if begins_at <= at else "IN_QUEUE",
        }
        if begins_at <= at:
            shown["processingStartTime"] = stamp(begins_at)
        if ended:
            shown["processingEndTime"] = stamp(feed.ends_at)
        if ended and feed.result:
            shown["resultFeedDocumentId"] = feed.result
        return shown

    def report(self, document_id: str, at: datetime, origin: str) -> Shaped:
        document = self.documents.get(document_id)
        if document is None:
            raise Fault(404, "NotFound", "There is no such document.")
        document = replace(document, expires_at=at + timedelta(seconds=URL_SECONDS))
        self.documents[document_id] = document
        shown = {"feedDocumentId": document_id, "url": _address(origin, document)}
        if document.content_type == "gzip":
            shown["compressionAlgorithm"] = "GZIP"
        return answer(shown)

    def _reached(self, request: Request, document_id: str, at: datetime) -> Document:
        document = self.documents.get(document_id)
        if document is None or not request.url.endswith(_address("", document)) or at >= document.expires_at:
            raise Expired
        return document

    def _taken(self, name: str, body: bytes, at: datetime) -> Feed:
        """One that ends FATAL may have done a part of it."""
        ends_at, ends = self._world.feed_ends(at, name), self._world.behaviour.feed_ends
        feed = _feed_of(body, self._world.behaviour.seller_id)
        if feed is None:
            return Feed(name, at, ends_at, "FATAL")
        quantities, issues = self._judged(feed)
        done = len(quantities) if ends == "DONE" else len(quantities) // 2 if ends == "FATAL" else 0
        submission = self._submit(at, dict(list(quantities.items())[:done]), ends_at, False)
        ends_at = self._world.submissions[submission].lands_at
        result = self._reported(name, len(feed["messages"]), issues, ends_at) if ends == "DONE" else ""
        return Feed(name, at, ends_at, ends, result)

    def _take_flat(self, name: str, kind: str, document: Document, at: datetime) -> None:
        """Judged when it ends. One that ends badly has done nothing here."""
        rows = rows_of(kind, document.content_type, document.body or b"")
        ends = self._world.behaviour.feed_ends if rows is not None else "FATAL"
        ends_at = self._world.feed_ends(at, name)
        self.feeds[name] = Feed(name, at, ends_at, ends, type=kind)

        def end(moment: datetime) -> None:
            report = carried_out(self._world, kind, rows or (), moment)
            self.feeds[name] = replace(self.feeds[name], result=self._document(report, moment))

        if ends == "DONE":
            self._world.later(ends_at, end)

    def _judged(self, feed: Json) -> tuple[dict[str, int], list[Json]]:
        quantities: dict[str, int] = {}
        issues: list[Json] = []
        for message in feed["messages"]:
            sku = message["sku"]
            quantity, _, problem = _wanted(message.get("patches", []), sku in self._world.listings)
            if problem is None:
                quantities[sku] = quantity
                continue
            issues.append(
                {
                    "messageId": message["messageId"], "sku": sku, "code": problem[0], "severity": "ERROR",
                    "message": problem[1],
                }
            )  # fmt: skip
        return quantities, issues

    def _reported(self, name: str, messages: int, issues: list[Json], at: datetime) -> str:
        summary = {
            "errors": len(issues), "warnings": 0, "messagesProcessed": messages,
            "messagesAccepted": messages - len(issues), "messagesInvalid": len(issues),
        }  # fmt: skip
        header = {"sellerId": self._world.behaviour.seller_id, "version": "2.0", "feedId": name}
        report = JSON.encode({"header": header, "issues": issues, "summary": summary})
        return self._document(report, at)

    def _document(self, report: bytes, at: datetime) -> str:
        packed = len(self.feeds) % 2 == 0
        document_id = f"amzn1.tortuga.4.eu.{len(self.documents) + 1:08d}"
        content = gzip.compress(report, mtime=0) if packed else report
        kind = "gzip" if packed else "json"
        self.documents[document_id] = Document(document_id, kind, at, content, is_report=True)
        return document_id


class Expired(Exception):
    """The address of a document is wrong, or not good any more."""


def denied() -> Shaped:
    return _denied("AccessDenied")


def _denied(code: str) -> Shaped:
    return 403, {"content-type": "application/xml"}, f"<Error><Code>{code}</Code></Error>".encode()


def _address(origin: str, document: Document) -> str:
    until = int(document.expires_at.timestamp())
    signature = f"{zlib.crc32(f'{document.id} {until}'.encode()):08x}"
    return f"{origin}/documents/{document.id}?X-Amz-Expires={until}&X-Amz-Signature={signature}"


def _feed_of(body: bytes, seller_id: str) -> Json | None:
    try:
        feed = msgspec.json.decode(body)
        header, messages = feed["header"], feed["messages"]
        numbers = [message["messageId"] for message in messages]
        fine = (
            header["sellerId"] == seller_id and header["version"] == "2.0" and all(x["sku"] for x in messages)
        )
    except (msgspec.MsgspecError, KeyError, TypeError, UnicodeDecodeError):
        return None
    return feed if fine and numbers and len(set(numbers)) == len(numbers) else None


def _wanted(patches: list[Json], listed: bool) -> tuple[int, bool, tuple[str, str] | None]:
    """The quantity of these patches, whether they wipe the rest of the attribute, and what is wrong with them."""
    if not listed:
        return 0, False, ("13013", "This SKU does not exist in the Amazon catalog.")
    quantity, wipes = -1, False
    for patch in patches:
        if patch.get("path") != PATH or patch.get("op") not in {"add", "replace", "merge"}:
            return 0, False, ("4000001", "The provided path is invalid.")
        for entry in patch.get("value") or ():
            found = entry.get("quantity")
            if entry.get("fulfillment_channel_code") != "DEFAULT" or not isinstance(found, int) or found < 0:
                return 0, False, ("90244", "The value of quantity or channel is invalid.")
            quantity, wipes = found, patch["op"] == "replace"
    if quantity < 0:
        return 0, False, ("4000003", "The patch has no value.")
    return quantity, wipes, None


def _submission(sku: str, status: str, name: str, issues: list[Json]) -> Json:
    return {"sku": sku, "status": status, "submissionId": name, "issues": issues}


def _unmade(sku: str, at: datetime) -> str:
    return f"{zlib.crc32(f'{sku} {at}'.encode()):08x}-0000-4000-8000-000000000000"
