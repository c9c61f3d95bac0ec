"""The files of feeds: they are kept by Amazon elsewhere, at addresses that work for some minutes."""

from __future__ import annotations

import msgspec

from adapters.amazon import wire
from adapters.amazon.api import Api
from marketsync.errors import ReadFailed, Refused
from marketsync.http import Http, decode

DOCUMENTS = "/feeds/2021-06-30/documents"


class Documents:
    """Raises ReadFailed (nothing has happened yet) where a file can't be put or fetched."""

    def __init__(self, api: Api, http: Http) -> None:
        self._api = api
        self._http = http

    async def upload(self, content: bytes, content_type: str) -> str:
        """The new document's id."""
        body = msgspec.json.encode(wire.NewDocument(content_type))
        answer = await self._api.read("createFeedDocument", DOCUMENTS, method="POST", body=body)
        made = decode(answer, wire.Document, write=False)
        await self._transfer("uploadFeedDocument", "PUT", made.url, content, content_type)
        return made.feed_document_id

    async def download(self, document_id: str) -> tuple[bytes, str | None]:
        """Its contents, and how they are packed."""
        answer = await self._api.read("getFeedDocument", f"{DOCUMENTS}/{document_id}")
        held = decode(answer, wire.Document, write=False)
        return await self._transfer("downloadFeedDocument", "GET", held.url), held.compression_algorithm

    async def _transfer(
        self, operation: str, method: str, url: str, body: bytes = b"", content_type: str = ""
    ) -> bytes:
        """An address that is over is no refusal of the work: another one is asked for."""
        try:
            return (await self._http.transfer(operation, method, url, body, content_type)).body
        except Refused as refused:
            raise ReadFailed(f"{operation}: HTTP {refused.status}") from None
