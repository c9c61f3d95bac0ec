from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import msgspec
import pytest

from adapters.ebay import ADAPTER
from adapters.ebay.adapter import Ebay
from adapters.ebay.hints import MESSAGE_BYTES_MAX, challenge_answer, read_hint
from adapters.ebay.sandbox import EbaySandbox
from adapters.ebay.sandbox_push import KID, Signer, pushes
from marketsync.domain.ids import ConnectionId, MerchantId
from marketsync.errors import Malformed, Retry
from marketsync.http import BuildContext, client_of
from marketsync.ports import Request, Response
from tests.fuzz.rig import Chance, Clock

BODY = b'{"metadata":{"topic":"ORDER_CONFIRMATION"},"notification":{"data":{"orderId":"11-20001-30001"}}}'
NEEDS_EXTRA = "the extra `hints` is not installed: signatures can't be made or checked"


class Quiet:
    def event(self, name: str, /, **fields: Any) -> None: ...
    def count(self, metric: str, amount: float = 1, /, **labels: str) -> None: ...
    def gauge(self, metric: str, value: float, /, **labels: str) -> None: ...
    def observe(self, metric: str, seconds: float, /, **labels: str) -> None: ...


class Account:
    """The adapter over the simulated account, which gives out the signer's key. `down`: it answers 503 to that."""

    def __init__(self, *signers: Any) -> None:
        self.clock = Clock()
        self.sandbox = EbaySandbox({"TEA-1": 5, "MUG-2": 5})
        self.keys_read = 0
        self.down = False
        for signer in signers:
            self.sandbox.world.public_keys[signer.kid] = signer.public_key
        named = {"client_id": "Sandbox-App-0001", "client_secret": "cert", "refresh_token": "token"}
        settings = ADAPTER.settings(url="https://api.ebay.example", **named)
        secrets = {"client_secret": "sandbox-cert", "refresh_token": "v^1.1#sandbox-refresh"}
        plan = ADAPTER.plan(settings, secrets)
        http = client_of(plan, "ebay", transport=self, clock=self.clock, random=Chance(), observer=Quiet())
        built = ADAPTER.build(
            BuildContext(MerchantId("main"), ConnectionId("ebay"), http, self.clock), settings
        )
        assert isinstance(built, Ebay)
        self.adapter = built

    async def send(self, request: Request) -> Response:
        if request.operation == "getPublicKey":
            self.keys_read += 1
            if self.down:
                return Response(503, {}, b"", self.clock.monotonic())
        response = self.sandbox.handle(request, self.clock.now())
        return msgspec.structs.replace(response, received_at=self.clock.monotonic())

    async def close(self) -> None: ...

    async def verify(self, header: str, body: bytes = BODY) -> bool:
        return await self.adapter.verify_hint({"x-ebay-signature": header}, body)


def new_signer(kid: str = KID, seed: int = 7) -> Signer:
    pytest.importorskip("cryptography", reason=NEEDS_EXTRA)
    return Signer(kid, seed)


async def test_what_ebay_has_signed_is_believed_and_nothing_else() -> None:
    signer, stranger = new_signer(), new_signer(seed=8)
    account = Account(signer)
    assert await account.verify(signer.header(BODY))
    assert not await account.verify(signer.header(BODY), BODY + b" ")
    assert not await account.verify(stranger.header(BODY))
    assert not await account.verify(signer.header(BODY, signature=""))
    assert not await account.verify(signer.header(BODY, signature=base64.b64encode(b"\x30\x00").decode()))
    assert not await account.verify("")


@pytest.mark.parametrize("header", ["x", "eyJraWQiOjF9", base64.b64encode(b"{}").decode(), "A" * 5000, "é"])
async def test_a_header_that_is_none_costs_no_call(header: str) -> None:
    account = Account()
    assert not await account.verify(header)
    assert account.keys_read == 0


async def test_a_key_is_kept_for_an_hour() -> None:
    signer = new_signer()
    account = Account(signer)
    for _ in range(5):
        assert await account.verify(signer.header(BODY))
    assert account.keys_read == 1
    account.clock.time += 3601
    assert await account.verify(signer.header(BODY))
    assert account.keys_read == 2


async def test_keys_that_nobody_knows_are_asked_for_once_a_minute_and_hide_no_known_one() -> None:
    signer, later = new_signer(), new_signer("another-key", 9)
    account = Account(signer, later)
    assert await account.verify(signer.header(BODY))
    account.clock.time += 61
    assert not await account.verify(signer.header(BODY, kid="invented"))
    for n in range(20):
        assert not await account.verify(signer.header(BODY, kid="invented"))
        with pytest.raises(Retry):
            await account.verify(signer.header(BODY, kid=f"invented-{n}"))
    assert account.keys_read == 2
    assert await account.verify(signer.header(BODY))
    with pytest.raises(Retry):
        await account.verify(later.header(BODY))
    account.clock.time += 61
    assert await account.verify(later.header(BODY))


async def test_while_the_key_cannot_be_had_nobody_knows() -> None:
    signer = new_signer()
    account = Account(signer)
    account.down = True
    with pytest.raises(Retry):
        await account.verify(signer.header(BODY))
    account.down = False
    read = account.keys_read
    with pytest.raises(Retry):
        await account.verify(signer.header(BODY))
    assert account.keys_read == read
    account.clock.time += 61
    assert await account.verify(signer.header(BODY))


async def test_a_key_that_can_not_be_had_anew_serves_on_and_is_asked_for_once_a_minute() -> None:
    signer = new_signer()
    account = Account(signer)
    assert await account.verify(signer.header(BODY))
    account.clock.time += 3601
    account.down = True
    with pytest.raises(Retry):
        await account.verify(signer.header(BODY))
    read = account.keys_read
    assert await account.verify(signer.header(BODY))
    assert account.keys_read == read
    account.down = False
    account.clock.time += 61
    del account.sandbox.world.public_keys[KID]
    assert not await account.verify(signer.header(BODY))


@pytest.mark.parametrize("key", ["", "-----BEGIN PUBLIC KEY-----AAAA-----END PUBLIC KEY-----", "%%%"])
async def test_a_key_that_is_none_proves_nothing(key: str) -> None:
    signer = new_signer()
    account = Account(signer)
    account.sandbox.world.public_keys[KID] = key
    assert not await account.verify(signer.header(BODY))


async def test_each_line_that_is_paid_is_pushed_and_names_its_order() -> None:
    signer = new_signer()
    account = Account(signer)
    order_id = account.sandbox.place_order(account.clock.now(), [("TEA-1", 1), ("MUG-2", 2)])
    assert pushes(account.sandbox.world, 0) == []
    account.clock.time += 60
    account.sandbox.place_order(account.clock.now(), [("TEA-1", 1)])
    messages = pushes(account.sandbox.world, 0)
    assert [read_hint(message) for message in messages] == [(order_id,), (order_id,)]
    for message in messages:
        assert await account.verify(signer.header(message), message)
    assert pushes(account.sandbox.world, len(account.sandbox.log)) == []


def test_the_answer_to_a_challenge() -> None:
    """Code, token and endpoint, in this order, without anything between them."""
    expected = hashlib.sha256(b"a8628072tokentokenhttps://hints.example/ebay").hexdigest()
    assert challenge_answer("a8628072", "tokentoken", "https://hints.example/ebay") == expected


@pytest.mark.parametrize("data", [{"orderId": "11-20001-30001"}, {"order": {"orderId": "11-20001-30001"}}])
def test_a_hint_names_an_order(data: dict[str, Any]) -> None:
    message = {"metadata": {"topic": "ORDER_CONFIRMATION"}, "notification": {"data": data}}
    assert read_hint(json.dumps(message).encode()) == ("11-20001-30001",)


def test_a_message_about_something_else_names_none() -> None:
    assert read_hint(b'{"notification":{"data":{"username":"example"}}}') == ()
    assert read_hint(b'{"notification":{}}') == ()


@pytest.mark.parametrize(
    "message",
    [
        b"", b"[]", b"{}", b"<html>", b'{"notification":{"data":{"orderId":7}}}',
        b'{"notification":{"data":{"orderId":"../../etc"}}}', b" " * (MESSAGE_BYTES_MAX + 1),
    ],
)  # fmt: skip
def test_a_message_that_is_none_is_refused(message: bytes) -> None:
    with pytest.raises(Malformed):
        read_hint(message)
