"""Answers that are no good: what stands there instead of the far side's word, and whether it had done the work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Protocol, TypeVar

from msgspec.structs import replace

from marketsync.ports import Response
from marketsync.sandbox.kinds import Fault

T = TypeVar("T")

PAGE = b"<!doctype html><title>One moment</title><p>The shop is busy.</p>"
_HTML = {"content-type": "text/html; charset=UTF-8"}
_JSON = {"content-type": "application/json"}
_FORMS = (
    Fault.THROTTLED_SECONDS, Fault.THROTTLED_DATE, Fault.THROTTLED_PAST, Fault.THROTTLED_BARE,
    Fault.THROTTLED_NEGATIVE, Fault.THROTTLED_GARBAGE,
)  # fmt: skip


class Draws(Protocol):
    def coin(self) -> bool: ...
    def pick(self, choices: Sequence[T]) -> T: ...


def wrong_answer(fault: Fault, arrive: Callable[[], Response], dice: Draws, now: datetime) -> Response:
    """What comes back under `fault`; `arrive` does the work, once at most."""
    done = fault in _DONE or (fault is Fault.HTML_PAGE and dice.coin())
    true = arrive() if done else None
    match fault:
        case Fault.ERROR_BEFORE | Fault.ERROR_AFTER:
            return Response(dice.pick((500, 502, 503, 504)), dict(_HTML), b"<html>", 0.0)
        case Fault.TIMEOUT_BEFORE | Fault.TIMEOUT_AFTER:
            return Response(408, dict(_HTML), b"<html>", 0.0)
        case Fault.REFUSED_BEFORE | Fault.REFUSED_AFTER:
            return Response(dice.pick((400, 409, 422, 451)), dict(_JSON), b"{}", 0.0)
        case Fault.FORBIDDEN:
            return Response(403, dict(_HTML), PAGE, 0.0)
        case Fault.UNAUTHORISED:
            return Response(401, dict(_JSON), b"{}", 0.0)
        case Fault.HTML_PAGE:
            return Response(200, dict(_HTML), PAGE, 0.0)
        case Fault.MALFORMED | Fault.CHARSET | Fault.EMPTY if true is not None:
            return _spoiled(fault, true)
        case _:
            return _throttled(dice.pick(_FORMS) if fault is Fault.THROTTLED else fault, dice, now)


_DONE = (
    Fault.ERROR_AFTER, Fault.TIMEOUT_AFTER, Fault.REFUSED_AFTER, Fault.MALFORMED, Fault.CHARSET, Fault.EMPTY,
)  # fmt: skip


def _spoiled(fault: Fault, response: Response) -> Response:
    """Only an answer with a body can be unreadable."""
    if not 200 <= response.status < 300 or not response.body:
        return response
    match fault:
        case Fault.MALFORMED:
            body = b"<br />\n<b>Warning</b>: " + response.body[: len(response.body) // 2]
        case Fault.CHARSET:
            # As a server that was moved: UTF-16 under a header that says something else.
            body = response.body.decode("utf-8", "replace").encode("utf-16")
        case _:
            body = b""
    return replace(response, body=body)


def _throttled(form: Fault, dice: Draws, now: datetime) -> Response:
    """A Retry-After as real servers state it, wrong ones too (failure 37)."""
    match form:
        case Fault.THROTTLED_SECONDS:
            after = dice.pick(("5", "30"))
        case Fault.THROTTLED_DATE:
            after = _date(now + timedelta(seconds=20))
        case Fault.THROTTLED_PAST:
            after = _date(now - timedelta(days=1))
        case Fault.THROTTLED_NEGATIVE:
            after = "-1"
        case Fault.THROTTLED_GARBAGE:
            after = "soon"
        case Fault.THROTTLED_HUGE:
            after = "86400000000"
        case _:
            after = ""
    headers = {**_HTML, "retry-after": after} if after else dict(_HTML)
    return Response(429, headers, b"<html>", 0.0)


def _date(at: datetime) -> str:
    return format_datetime(at, usegmt=True)
