"""What an adapter asks for and what it gets: operations, calls, answers and their decoding."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from itertools import accumulate
from typing import TypeVar
from urllib.parse import quote

import msgspec

from marketsync.errors import InDoubt, Park, ReadFailed

JSON_DEPTH_MAX = 64
PASSES = 8

T = TypeVar("T")


class Budget(msgspec.Struct, frozen=True):
    """How often a credential may call: `burst` at once after a rest, `calls` per `per_seconds` in the long run.

    With `burst <= calls` no window of `per_seconds` holds more than `calls`. A larger burst describes a far side
    that keeps a token bucket of that size itself; how full it is at our start nobody knows, so it begins with one call.
    `rate_header` is the answer's header, in lower case, in which the far side tells another pace, in calls a second.
    """

    name: str
    calls: int
    per_seconds: float
    burst: int = 1
    rate_header: str = ""


class Operation(msgspec.Struct, frozen=True):
    """Limits of one kind of call. `retries` is for reads alone; a write leaves once.

    `budget_wait_seconds`: how long a read stands in the queue for its budget before it goes away and comes again. Where
    several kinds of reading share a scarce one, it must be long enough for all of them to stand: who comes again stands last.
    `auth_prefix`: in place of that of OAuth2, where an older API of the same far side takes the token under another word.
    """

    name: str
    budget: str
    total_seconds: float = 30.0
    connect_seconds: float = 10.0
    body_bytes_max: int = 8 * 1024 * 1024
    retries: int = 2
    budget_wait_seconds: float = 60.0
    auth_prefix: str | None = None


def segment(text: str) -> str:
    """A text as one part of a path, percent-encoded. Park where it would lead elsewhere."""
    if text in {"", ".", ".."}:
        raise Park(f'"{text}" can be no part of an address')
    return quote(text, safe="")


class Call(msgspec.Struct, frozen=True):
    """One request as the adapter means it. `path` is below the base URL, percent-encoded; `query` is not encoded."""

    operation: str
    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not _PATH.fullmatch(self.path) or ".." in self.path.split("/"):
            raise ValueError(
                "a call's path begins with / and is percent-encoded, without query or dot segments"
            )
        if any(_CONTROL.search(text) for pair in self.headers for text in pair):
            raise ValueError("a call's headers hold no control characters")

    def __repr__(self) -> str:
        return f"Call({self.operation}, {self.method}, {self.path})"


class Answer(msgspec.Struct, frozen=True):
    """A 2xx answer. `headers` has lower-case names; `received_at` is monotonic."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    server_date: datetime | None
    received_at: float

    def __repr__(self) -> str:
        return f"Answer({self.status}, {len(self.body)} bytes)"


def decode(answer: Answer, type: type[T], *, write: bool) -> T:  # noqa: A002 - msgspec's own word
    """The JSON body as `type`. What is not that is InDoubt for a write, ReadFailed for a read.

    The text has the place and a hash of the body, never a value: msgspec quotes what it met.
    """
    reason = "it is nested too deeply"
    if json_depth_within(answer.body):
        try:
            _check_utf8(answer.body)
            return msgspec.json.decode(answer.body, type=type)
        except msgspec.ValidationError as error:
            place = _PLACE.search(str(error))
            reason = f"it breaks the contract at {place.group(1) if place else '$'}"
        except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError):
            reason = "it is not JSON in UTF-8"
    sample = hashlib.sha256(answer.body).hexdigest()[:12]
    text = f"unusable answer (HTTP {answer.status}, {len(answer.body)} bytes, sha256 {sample}): {reason}"
    if write:
        raise InDoubt(text) from None
    raise ReadFailed(text) from None


def _check_utf8(body: bytes) -> None:
    """msgspec passes over what a type does not name, so a wrong charset there, or in a raw slice, goes unseen."""
    if not body.isascii():
        body.decode()


def json_depth_within(body: bytes, depth_max: int = JSON_DEPTH_MAX) -> bool:
    """Whether arrays and objects nest at most `depth_max` deep; linear in the body, whatever it holds."""
    if body.count(b"[") + body.count(b"{") <= depth_max:
        return True
    left = _STRING.sub(b"", body).translate(_SQUARE, delete=_NO_BRACKETS)
    # Each pass takes the innermost level away: what people write has a few, and of anything else each pass costs the whole body.
    passes = min(PASSES, depth_max)
    for _ in range(passes):
        left = left.replace(b"[]", b"")
        if not left:
            return True
    steps = memoryview(left.translate(_SIGNED)).cast("b")
    return max(accumulate(steps)) <= depth_max - passes


_PATH = re.compile(r"/[!$%&'()*+,\-./0-9:;=@A-Z_a-z~]*")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_PLACE = re.compile(r" - at `([^`]*)`")
# Possessive, and with an optional end: a string that is never closed costs one pass, not one per quote.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_SQUARE = bytes.maketrans(b"{}", b"[]")
_SIGNED = bytes.maketrans(b"[]", b"\x01\xff")
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
