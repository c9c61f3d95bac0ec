"""Reads an answer's body under limits: size after decompression, and how much it may grow by it."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator

RATIO_MAX = 100
RATIO_FREE_BYTES = 256 * 1024
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


class UnusableBody(Exception):
    """The body is too large, not whole, or encoded in a way that was not asked for."""


async def read_body(chunks: AsyncIterator[bytes], encoding: str, bytes_max: int) -> bytes:
    match encoding.strip().lower():
        case "" | "identity":
            return await _read_plain(chunks, bytes_max)
        case "gzip" | "x-gzip" | "deflate":
            return await _read_compressed(chunks, bytes_max)
        case _:
            raise UnusableBody("the answer has a content encoding that was not asked for")


async def _read_plain(chunks: AsyncIterator[bytes], bytes_max: int) -> bytes:
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > bytes_max:
            raise UnusableBody(f"the answer is larger than {bytes_max} bytes")
    return bytes(body)


async def _read_compressed(chunks: AsyncIterator[bytes], bytes_max: int) -> bytes:
    stream = zlib.decompressobj(_GZIP_OR_ZLIB)
    body = bytearray()
    received = 0
    async for chunk in chunks:
        received += len(chunk)
        allowed = min(bytes_max, max(RATIO_FREE_BYTES, received * RATIO_MAX))
        try:
            body += stream.decompress(chunk, max(1, allowed + 1 - len(body)))
        except zlib.error:
            raise UnusableBody("the answer's compression is broken") from None
        if len(body) > allowed or stream.unconsumed_tail:
            raise UnusableBody(f"the answer unpacks to more than {allowed} bytes")
    if received and not stream.eof:
        raise UnusableBody("the answer's compression ends early")
    if stream.unused_data:
        raise UnusableBody("the answer has bytes behind its compressed end")
    return bytes(body)
