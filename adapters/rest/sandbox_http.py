"""HTTP of both simulated roles: who may, how often, what a request says, and problems as the contract states them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import msgspec

from adapters.rest import wire
from marketsync.ports import Request, Response

T = TypeVar("T")
Query = Mapping[str, Sequence[str]]
BODY_BYTES_MAX = 1024 * 1024
OFFSET_MAX = 1_000_000


class Refusal(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, code: str, detail: str = "", retry_after: int | None = None) -> None:
        super().__init__(code)
        self.status, self.code, self.detail, self.retry_after = status, code, detail, retry_after


class Gate:
    """Lets in who has the token and does not call too often: `calls_per_minute` in any minute."""

    def __init__(self, token: str, calls_per_minute: int) -> None:
        self.token, self.calls_per_minute = token, calls_per_minute
        self._calls: deque[datetime] = deque()

    def check(self, request: Request, at: datetime) -> None:
        headers = {name.lower(): value for name, value in request.headers}
        if headers.get("authorization") != f"Bearer {self.token}":
            raise Refusal(401, "unauthorised")
        while self._calls and not 0 <= (at - self._calls[0]).total_seconds() < 60.0:
            self._calls.popleft()
        if self.calls_per_minute and len(self._calls) >= self.calls_per_minute:
            left = 60.0 - (at - self._calls[0]).total_seconds()
            raise Refusal(429, "too_many_requests", retry_after=math.ceil(left))
        self._calls.append(at)
        if not request.body:
            return
        if len(request.body) > BODY_BYTES_MAX:
            raise Refusal(413, "too_large", f"at most {BODY_BYTES_MAX} bytes")
        if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise Refusal(415, "wrong_type", "application/json is expected")


def route(request: Request) -> tuple[str, tuple[str, ...], Query]:
    """The method, the parts of the path behind the base, and the query."""
    parts = urlsplit(request.url)
    return (
        request.method,
        tuple(parts.path.strip("/").split("/")),
        parse_qs(parts.query, keep_blank_values=True),
    )


def body_of(request: Request, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(request.body, type=kind)
    except msgspec.ValidationError as error:
        place = str(error).rpartition(" - at ")[2]
        raise Refusal(400, "malformed", f"not as the contract says: {place}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refusal(400, "malformed", "the body is not JSON in UTF-8") from None


def moment(query: Query, name: str) -> datetime | None:
    if name not in query:
        return None
    try:
        return msgspec.convert(query[name][0], wire.Time).astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        raise Refusal(400, "malformed", f"{name} is no time with its zone") from None


def number(query: Query, name: str, default: int, low: int, high: int) -> int:
    text = query.get(name, [str(default)])[0]
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not low <= int(text) <= high:
        raise Refusal(400, "malformed", f"{name} is not from {low} to {high}")
    return int(text)


def several(query: Query, name: str, most: int) -> Sequence[str]:
    found = query.get(name, ())
    if len(found) > most:
        raise Refusal(400, "malformed", f"{name}: at most {most}")
    return found


def answered(status: int, body: Any, at: datetime) -> Response:
    return Response(status, _headers("application/json", at), msgspec.json.encode(body), at.timestamp())


def refused(refusal: Refusal, at: datetime) -> Response:
    title = refusal.code.replace("_", " ")
    problem = {"type": "about:blank", "title": title, "status": refusal.status, "code": refusal.code}
    if refusal.detail:
        problem["detail"] = refusal.detail
    headers = _headers("application/problem+json", at)
    if refusal.retry_after is not None:
        headers["retry-after"] = str(refusal.retry_after)
    return Response(refusal.status, headers, msgspec.json.encode(problem), at.timestamp())


def _headers(kind: str, at: datetime) -> dict[str, str]:
    return {"content-type": kind, "date": format_datetime(at.replace(microsecond=0), usegmt=True)}
