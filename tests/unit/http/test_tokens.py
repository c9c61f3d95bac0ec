"""A token is fetched, renewed in time, asked for by one at a time, and a refused one is told apart from a refused right."""

from __future__ import annotations

import asyncio
import traceback
from itertools import count
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest

from marketsync.errors import ConfigError, InDoubt, PauseConnection, ReadFailed, Refused, Retry
from marketsync.http import Call, MemoryTokens, OAuth2, Tokens
from marketsync.http.tokens import PATIENCE_SECONDS
from marketsync.ports import Departure, Response

AUTH = OAuth2(
    "https://auth.example/token", "client-1", "canary-client", "canary-refresh", header="x-token", prefix=""
)
READ = Call("orders.read", "GET", "/orders")
WRITE = Call("order.create", "POST", "/orders", body=b"{}")


def granted(token: str, seconds: float = 3600.0, **more: str) -> bytes:
    return msgspec.json.encode({"access_token": token, "token_type": "bearer", "expires_in": seconds, **more})


def token_of(request: Any) -> str:
    return str(dict(request.headers).get("x-token", ""))


def asked_with(rig: Any) -> list[str]:
    """The refresh tokens that were sent."""
    return [
        parse_qs(x.body.decode())["refresh_token"][0] for x in rig.transport.sent if x.operation == "token"
    ]


def departure(rig: Any) -> Departure:
    return Departure(1, rig.clock.time + 10)


async def test_a_token_is_fetched_once_for_all_who_wait_and_kept(rig: Any) -> None:
    rig.transport.answers(200, granted("first"))
    for _ in range(4):
        rig.transport.answers(200)
    http = rig.http(AUTH)
    await rig.clock.run(*(http.read(READ) for _ in range(3)), http.write(WRITE, departure(rig)))
    assert [x.operation for x in rig.transport.sent].count("token") == 1
    assert [token_of(x) for x in rig.transport.sent[1:]] == ["first"] * 4
    sent = rig.transport.sent[0]
    assert (sent.method, sent.url, sent.write) == ("POST", "https://auth.example/token", False)
    assert dict(sent.headers)["Authorization"].startswith("Basic ")


async def test_an_older_api_takes_the_same_token_under_another_word(rig: Any) -> None:
    rig.transport.answers(200, granted("first"))
    for _ in range(2):
        rig.transport.answers(200)
    http = rig.http(msgspec.structs.replace(AUTH, prefix="Bearer "))
    await http.write(WRITE, departure(rig))
    await http.write(msgspec.structs.replace(WRITE, operation="order.undo"), departure(rig))
    assert [token_of(x) for x in rig.transport.sent[1:]] == ["Bearer first", "IAF first"]


async def test_it_is_renewed_before_it_ends_and_before_a_write_is_claimed(rig: Any) -> None:
    rig.transport.answers(200, granted("first"))
    rig.transport.answers(200)
    http = rig.http(AUTH)
    await rig.clock.run(http.read(READ))
    rig.clock.time += 3600 - 300 - 1
    rig.transport.answers(200)
    await rig.clock.run(http.read(READ))
    rig.clock.time += 2
    rig.transport.answers(200, granted("second"))
    await rig.clock.run(http.ready("order.create"))
    rig.transport.answers(200)
    await rig.clock.run(http.write(WRITE, departure(rig)))
    assert [token_of(x) for x in rig.transport.sent] == ["", "first", "first", "", "second"]


async def test_an_old_token_goes_on_while_a_new_one_can_not_be_had(rig: Any) -> None:
    rig.transport.answers(200, granted("first"))
    rig.transport.answers(200)
    http = rig.http(AUTH)
    await rig.clock.run(http.read(READ))
    rig.clock.time += 3600 - 200
    rig.transport.answers(503)
    rig.transport.answers(200)
    await rig.clock.run(http.read(READ))
    assert token_of(rig.transport.sent[-1]) == "first"
    rig.clock.time += 200
    for _ in range(3):
        rig.transport.answers(503)
    (error,) = await rig.clock.run(http.read(READ))
    assert isinstance(error, Retry)


async def test_while_an_old_token_goes_on_a_new_one_is_asked_for_now_and_then(rig: Any) -> None:
    rig.transport.answers(200, granted("first"))
    rig.transport.answers(200)
    http = rig.http(AUTH)
    await rig.clock.run(http.read(READ))
    rig.clock.time += 3600 - 200
    rig.transport.answers(503)
    for _ in range(3):
        rig.transport.answers(200)
        await rig.clock.run(http.read(READ))
    assert [x.operation for x in rig.transport.sent].count("token") == 2
    rig.clock.time += 31
    rig.transport.answers(200, granted("second"))
    rig.transport.answers(200)
    await rig.clock.run(http.read(READ))
    assert token_of(rig.transport.sent[-1]) == "second"


@pytest.mark.failure(38)
@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, b'{"error": "invalid_grant", "error_description": "canary-description"}', PauseConnection),
        (401, b'{"error": "invalid_client"}', PauseConnection),
        (400, b'{"error": "canary-code"}', ReadFailed),
        (400, b"<html>canary-page</html>", ReadFailed),
        (429, b"", ReadFailed),
        (500, b'{"error": "invalid_grant"}', ReadFailed),
        (200, b'{"access_token": ""}', ReadFailed),
        (200, b'{"access_token": "canary-token", "expires_in": -1}', ReadFailed),
        (200, b"[" * 100_000, ReadFailed),
        (200, b"\xff", ReadFailed),
    ],
)
async def test_a_grant_that_is_gone_is_told_apart_from_trouble(
    rig: Any, status: int, body: bytes, expected: type[Exception]
) -> None:
    for _ in range(3):
        rig.transport.answers(status, body)
    (error,) = await rig.clock.run(rig.http(AUTH).write(WRITE, departure(rig)))
    assert type(error) is expected
    assert [x.operation for x in rig.transport.sent] == ["token"]
    shown = "".join(traceback.format_exception(error)) + repr(rig.observer.calls) + repr(AUTH)
    assert "canary" not in shown


async def test_no_answer_to_the_question_for_a_token_leaves_a_write_unsent(rig: Any) -> None:
    rig.transport.script.append(InDoubt("no whole answer in time"))
    (error,) = await rig.clock.run(rig.http(AUTH).write(WRITE, departure(rig)))
    assert type(error) is not InDoubt
    assert isinstance(error, Retry)
    assert [x.operation for x in rig.transport.sent] == ["token"]


@pytest.mark.failure(38)
async def test_a_rotated_token_is_kept_before_it_is_used(rig: Any) -> None:
    kept = MemoryTokens()
    tokens = Tokens(AUTH, rig.clock, kept)
    rig.transport.answers(200, granted("first", refresh_token="canary-rotated"))
    rig.transport.answers(200)
    await rig.clock.run(rig.http(AUTH, tokens=tokens).read(READ))
    assert await kept.load(AUTH.account) == "canary-rotated"
    rig.transport.answers(200, granted("second"))
    rig.transport.answers(200)
    await rig.clock.run(rig.http(AUTH, tokens=Tokens(AUTH, rig.clock, kept)).read(READ))
    assert asked_with(rig) == ["canary-refresh", "canary-rotated"]
    assert "canary" not in AUTH.account
    assert msgspec.structs.replace(AUTH, refresh_token="another").account != AUTH.account


@pytest.mark.failure(39)
async def test_a_lost_answer_with_a_rotated_token_is_asked_for_with_the_old_one_again(rig: Any) -> None:
    """A far side that knows the old one no more says so, and then a person must authorise anew."""
    http = rig.http(AUTH)
    rig.transport.script.append(ReadFailed("no whole answer in time"))
    rig.transport.answers(400, b'{"error": "invalid_grant"}')
    (lost, *_) = await rig.clock.run(http.write(WRITE, departure(rig)))
    (gone, *_) = await rig.clock.run(http.write(WRITE, departure(rig)))
    assert asked_with(rig) == ["canary-refresh", "canary-refresh"]
    assert type(lost) is ReadFailed
    assert isinstance(gone, PauseConnection)
    assert "authorise anew" in str(gone)


async def test_a_token_that_could_not_be_kept_is_not_used(rig: Any) -> None:
    class Full(MemoryTokens):
        async def save(self, credential: str, token: str) -> None:
            raise ReadFailed("no space")

    rig.transport.answers(200, granted("first", refresh_token="rotated"))
    (error,) = await rig.clock.run(
        rig.http(AUTH, tokens=Tokens(AUTH, rig.clock, Full())).write(WRITE, departure(rig))
    )
    assert isinstance(error, ReadFailed)
    assert [x.operation for x in rig.transport.sent] == ["token"]


@pytest.mark.failure(38)
async def test_a_token_that_ends_in_mid_run_is_renewed_once_and_the_read_goes_on(rig: Any) -> None:
    http = await _opened(rig)
    rig.transport.answers(401)
    rig.transport.answers(200, granted("second"))
    rig.transport.answers(200, b"[1]")
    (answer,) = await rig.clock.run(http.read(READ))
    assert answer.body == b"[1]"
    assert token_of(rig.transport.sent[-1]) == "second"


async def test_two_calls_that_meet_one_ended_token_renew_it_once(rig: Any) -> None:
    http = await _opened(rig)
    tokens = count(2)

    async def send(request: Any) -> Response:
        rig.transport.sent.append(request)
        if request.operation == "token":
            return Response(200, {}, granted(f"number {next(tokens)}"), rig.clock.time)
        await asyncio.sleep(0)
        return Response(401 if token_of(request) == "first" else 200, {}, b"{}", rig.clock.time)

    rig.transport.send = send
    await rig.clock.run(http.read(READ), http.read(READ))
    assert [token_of(x) for x in rig.transport.sent[2:]] == ["first", "first", "", "number 2", "number 2"]


@pytest.mark.failure(38)
async def test_fresh_tokens_that_are_refused_pause_the_connection_after_an_hour(rig: Any) -> None:
    """Far sides have refused good tokens for half an hour: at first it is waited."""
    http = await _opened(rig)
    began = rig.clock.time

    async def send(request: Any) -> Response:
        told = (200, granted("fresh")) if request.operation == "token" else (401, b"")
        return Response(told[0], {}, told[1], rig.clock.time)

    rig.transport.send = send
    while True:
        (error,) = await rig.clock.run(http.write(WRITE, departure(rig)))
        if isinstance(error, PauseConnection):
            break
        assert isinstance(error, Retry)
        assert rig.clock.time - began <= PATIENCE_SECONDS
        rig.clock.time += 300
    assert rig.clock.time - began > PATIENCE_SECONDS


async def test_a_right_that_is_missing_is_no_ended_token(rig: Any) -> None:
    """HTTP 403 for both: a fresh token is tried once, then the adapter is told, and no token is fetched for it again."""
    auth = msgspec.structs.replace(AUTH, refused=lambda status, _: status == 403)
    http = await _opened(rig, auth)
    rig.transport.answers(403)
    rig.transport.answers(200, granted("second"))
    rig.transport.answers(403, b"no role")
    (error,) = await rig.clock.run(http.read(READ))
    assert isinstance(error, Refused)
    rig.transport.answers(403)
    (again,) = await rig.clock.run(http.read(READ))
    assert isinstance(again, Refused)
    assert [x.operation for x in rig.transport.sent].count("token") == 2


async def test_a_token_is_never_asked_for_in_the_open(rig: Any) -> None:
    with pytest.raises(ConfigError, match="plain http"):
        rig.http(msgspec.structs.replace(AUTH, token_url="http://auth.example/token"))


@pytest.mark.parametrize(
    ("url", "goes"),
    [
        ("https://bucket.files.example/doc?X-Signature=canary", True),
        ("https://shop.example/doc", True),
        ("http://bucket.files.example/doc", False),
        ("https://files.example.evil.example/doc", False),
        ("https://evilfiles.example/doc", False),
        ("https://user@bucket.files.example/doc", False),
        ("https://bucket.files.example/doc of canary", False),
        ("https://bucket.files.example/doc\ncanary", False),
        ("https://[bucket.files.example/doc", False),
        ("https://bucket.files.example:port/doc", False),
    ],
)
async def test_files_are_moved_unsigned_and_only_to_known_hosts(rig: Any, url: str, goes: bool) -> None:
    http = await _opened(rig)
    sent = len(rig.transport.sent)
    clock = http.server_now()
    rig.transport.answers(200, b"done", date="Sun, 01 Mar 2020 12:00:00 GMT")
    (answer,) = await rig.clock.run(http.transfer("orders.read", "PUT", url, b"canary-stock", "text/plain"))
    assert len(rig.transport.sent) - sent == int(goes)
    assert http.server_now() == clock
    assert "canary" not in repr(rig.observer.calls)
    if goes:
        assert answer.body == b"done"
        assert {name for name, _ in rig.transport.sent[-1].headers} == {"Accept", "Content-Type"}
    else:
        assert isinstance(answer, ReadFailed)
        assert "canary" not in str(answer)


async def _opened(rig: Any, auth: OAuth2 = AUTH) -> Any:
    """A client that has a token, which was accepted."""
    http = rig.http(auth)
    rig.transport.answers(200, granted("first"))
    rig.transport.answers(200)
    await rig.clock.run(http.read(READ))
    return http
