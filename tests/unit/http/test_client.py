from __future__ import annotations

import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from marketsync.errors import (
    ConfigError,
    InDoubt,
    MarketsyncError,
    PauseConnection,
    ReadFailed,
    Refused,
    Retry,
    TooLate,
)
from marketsync.http import ApiKey, Basic, Budgets, Call, Http, InBody, OAuth1, Operation
from marketsync.ports import Departure

READ = Call("orders.read", "GET", "/orders", query=(("email", "canary-person@mail.example"), ("page", "1")))
WRITE = Call("order.create", "POST", "/orders", body=b'{"name": "canary-buyer"}')
DEPARTURE = Departure(attempt=1, send_by=1030.0)
BOTH: tuple[Callable[[Http], Any], ...] = (
    lambda http: http.write(WRITE, DEPARTURE),
    lambda http: http.read(READ),
)


async def test_a_read_gets_its_answer_with_the_servers_date(rig: Any) -> None:
    rig.transport.answers(200, b"[1]", date="Sun, 01 Mar 2026 12:00:00 GMT")
    (answer,) = await rig.clock.run(rig.http().read(READ))
    assert (answer.status, answer.body) == (200, b"[1]")
    assert answer.server_date == datetime(2026, 3, 1, 12, tzinfo=UTC)
    sent = rig.transport.sent[0]
    assert sent.url == "https://shop.example/api/orders?email=canary-person%40mail.example&page=1"
    assert ("Authorization", "Bearer canary-secret") in sent.headers
    assert sent.send_by is None
    assert not sent.write


@pytest.mark.rule("B1")
async def test_server_now_is_the_last_date_plus_monotonic_time(rig: Any) -> None:
    http = rig.http()
    assert http.server_now() is None
    rig.transport.answers(200, date="Sun, 01 Mar 2026 12:00:00 GMT")
    await rig.clock.run(http.read(READ))
    rig.clock.time += 7.5
    assert http.server_now() == datetime(2026, 3, 1, 12, 0, 7, 500000, tzinfo=UTC)
    rig.transport.answers(200, date="not a date")
    await rig.clock.run(http.read(READ))
    assert http.server_now() == datetime(2026, 3, 1, 12, 0, 7, 500000, tzinfo=UTC)


async def test_a_budget_that_the_first_try_spent_does_not_hide_why_it_failed(rig: Any) -> None:
    async def unreachable(_: Any) -> Any:
        rig.budgets.block("scarce", 100.0)
        raise Retry("no connection to shop.example")

    rig.transport.send = unreachable
    call = Call("stock.write", "GET", "/stock")
    (error,) = await rig.clock.run(rig.http().read(call))
    assert str(error) == "no connection to shop.example"
    (error,) = await rig.clock.run(rig.http().read(call))
    assert "budget" in str(error)


@pytest.mark.failure(33)
@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 599])
async def test_a_read_is_repeated_within_bounds(rig: Any, status: int) -> None:
    for _ in range(3):
        rig.transport.answers(status)
    (error,) = await rig.clock.run(rig.http().read(READ))
    assert isinstance(error, ReadFailed)
    assert len(rig.transport.sent) == 3
    assert rig.clock.slept == [0.375, 0.75]  # three quarters of 0.5 and of 1.0, by a middling random
    assert rig.observer.outcomes() == ["failed"] * 3


async def test_a_read_that_recovers_is_an_answer(rig: Any) -> None:
    rig.transport.script.append(Retry("the name was not found"))
    rig.transport.script.append(InDoubt("cut"))
    rig.transport.answers(200)
    (answer,) = await rig.clock.run(rig.http().read(READ))
    assert answer.status == 200
    assert rig.observer.outcomes() == ["not_sent", "failed", "ok"]


@pytest.mark.failure(33)
@pytest.mark.requirement("R19")
@pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
async def test_a_write_with_a_server_error_is_in_doubt_and_left_once(rig: Any, status: int) -> None:
    rig.transport.answers(status, retry_after="5")
    (error,) = await rig.clock.run(rig.http().write(WRITE, DEPARTURE))
    assert type(error) is InDoubt
    assert len(rig.transport.sent) == 1
    assert rig.transport.sent[0].send_by == 1030.0
    assert rig.transport.sent[0].write


@pytest.mark.failure(41)
@pytest.mark.parametrize("status", [301, 302, 307, 400, 403, 404, 409, 422])
async def test_a_refusal_is_final_and_carries_its_body(rig: Any, status: int) -> None:
    for run in BOTH:
        rig.transport.answers(status, b'{"canary-buyer": 1}', location="http://inner.example/")
        (error,) = await rig.clock.run(run(rig.http()))
        assert isinstance(error, Refused)
        assert (error.status, error.body) == (status, b'{"canary-buyer": 1}')
    assert len(rig.transport.sent) == 2


@pytest.mark.failure(38)
async def test_credentials_refused_twice_pause_the_connection(rig: Any) -> None:
    http = rig.http()
    rig.transport.answers(401)
    rig.transport.answers(401)
    (error,) = await rig.clock.run(http.read(READ))
    assert isinstance(error, PauseConnection)
    assert len(rig.transport.sent) == 2


@pytest.mark.failure(38)
async def test_one_401_alone_is_tried_again(rig: Any) -> None:
    http = rig.http()
    rig.transport.answers(401)
    (error,) = await rig.clock.run(BOTH[0](http))
    assert isinstance(error, Retry)
    assert error.counted
    rig.transport.answers(200)
    await rig.clock.run(http.read(READ))
    rig.transport.answers(401)
    (error,) = await rig.clock.run(BOTH[0](http))
    assert isinstance(error, Retry)


@pytest.mark.rule("B1")
async def test_the_clock_of_a_gateway_is_not_the_far_side_s(rig: Any) -> None:
    http = rig.http()
    rig.transport.answers(200, date="Mon, 02 Mar 2026 08:00:00 GMT")
    await rig.clock.run(http.read(READ))
    told = http.server_now()
    rig.transport.answers(504, date="Mon, 02 Mar 2020 08:00:00 GMT")
    await rig.clock.run(BOTH[0](http))
    assert http.server_now() == told


@pytest.mark.failure(36)
@pytest.mark.parametrize("status", [429, 503])
async def test_a_throttled_read_waits_outside_and_blocks_everyone(rig: Any, status: int) -> None:
    first, second = rig.http(), rig.http()
    rig.transport.answers(status, retry_after="120")
    (error,) = await rig.clock.run(first.read(READ))
    assert isinstance(error, Retry)
    assert not error.counted
    assert error.after_seconds == 120.0
    (other,) = await rig.clock.run(second.read(READ))
    assert isinstance(other, Retry)
    assert not other.counted
    assert other.after_seconds == pytest.approx(126.0)  # 120 s and the middle of 0 to 10 % of jitter
    assert rig.clock.slept == []
    assert len(rig.transport.sent) == 1
    rig.clock.time += 126.0
    rig.transport.answers(200)
    (answer,) = await rig.clock.run(second.read(READ))
    assert answer.status == 200


@pytest.mark.failure(36)
async def test_a_throttled_write_did_not_happen(rig: Any) -> None:
    rig.transport.answers(429)
    (error,) = await rig.clock.run(rig.http().write(WRITE, DEPARTURE))
    assert type(error) is Retry
    assert (error.counted, error.after_seconds) == (False, 1.0)


@pytest.mark.rule("A3")
async def test_a_write_after_its_deadline_never_reaches_the_transport(rig: Any) -> None:
    rig.clock.time = 1030.0
    (error,) = await rig.clock.run(rig.http().write(WRITE, DEPARTURE))
    assert isinstance(error, TooLate)
    assert rig.transport.sent == []


@pytest.mark.rule("A3")
async def test_a_write_does_not_wait_past_its_deadline_for_a_budget(rig: Any) -> None:
    http = rig.http()
    write = Call("stock.write", "POST", "/stock", body=b"[]")
    rig.transport.answers(200)
    await rig.clock.run(http.write(write, DEPARTURE))
    (error,) = await rig.clock.run(http.write(write, DEPARTURE))
    assert isinstance(error, Retry)
    assert (error.counted, error.after_seconds) == (False, 60.0)
    assert len(rig.transport.sent) == 1


@pytest.mark.rule("A3")
async def test_ready_waits_first_so_that_the_deadline_does_not_run(rig: Any) -> None:
    http = rig.http()
    write = Call("stock.write", "POST", "/stock", body=b"[]")
    for _ in range(2):
        rig.transport.answers(200)
    await rig.clock.run(http.ready("stock.write"))
    await rig.clock.run(http.write(write, DEPARTURE))
    await rig.clock.run(http.ready("stock.write"))
    claimed_at = rig.clock.time
    assert claimed_at == 1060.0
    await rig.clock.run(http.write(write, Departure(2, claimed_at + 30)))
    assert rig.clock.time == claimed_at
    assert len(rig.transport.sent) == 2


async def test_a_next_link_is_read_with_a_new_signature(rig: Any) -> None:
    http = rig.http(auth=OAuth1("ck", "canary-secret"))
    rig.transport.answers(200)
    link = "https://shop.example:443/api/orders?cursor=a%20b&oauth_signature=old&oauth_nonce=old"
    await rig.clock.run(http.call_next("orders.read", link))
    (sent,) = rig.transport.sent
    assert sent.url == "https://shop.example/api/orders?cursor=a%20b"
    assert 'oauth_nonce="nonce1"' in dict(sent.headers)["Authorization"]


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/api/orders",
        "http://shop.example/api/orders",
        "https://shop.example:8443/api/orders",
        "https://user@shop.example/api/orders",
        "https://shop.example/other/orders",
        "https://shop.example/apiorders",
        "https://shop.example/api/../admin",
        "//shop.example/api/orders",
        "/api/orders",
        "file:///etc/passwd",
        "https://[broken/api",
        "https://shop.example:99999/api/orders",
    ],
)
async def test_a_next_link_to_elsewhere_is_never_called(rig: Any, link: str) -> None:
    (error,) = await rig.clock.run(rig.http().call_next("orders.read", link))
    assert isinstance(error, ReadFailed)
    assert link not in str(error)
    assert rig.transport.sent == []


@pytest.mark.parametrize(
    "base_url",
    [
        "shop.example",
        "ftp://shop.example",
        "https://",
        "https://u:p@shop.example",
        "https://shop.example/?a=1",
        "https://[x",
    ],
)
def test_a_bad_base_url_is_a_configuration_error(rig: Any, base_url: str) -> None:
    with pytest.raises(ConfigError):
        rig.http(base_url=base_url)


@pytest.mark.parametrize("auth", [ApiKey("X-Key", "s"), Basic("k", "s")])
def test_a_bare_secret_is_refused_on_plain_http(rig: Any, auth: Any) -> None:
    with pytest.raises(ConfigError, match="https"):
        rig.http(auth, "http://shop.example")
    assert rig.http(auth, "http://127.0.0.1:8080")
    assert rig.http(OAuth1("k", "s"), "http://shop.example")


async def test_a_secret_of_the_body_goes_into_it_on_the_way(rig: Any) -> None:
    rig.transport.answers(200)
    call = Call("orders.read", "POST", "/rpc", body=b'["KEY","x"]')
    await rig.clock.run(rig.http(InBody("KEY", "canary-secret")).read(call))
    assert rig.transport.sent[0].body == b'["canary-secret","x"]'
    with pytest.raises(ConfigError, match="https"):
        rig.http(InBody("KEY", "s"), "http://shop.example")


def test_an_operation_without_its_budget_is_a_configuration_error(rig: Any) -> None:
    with pytest.raises(ConfigError, match=r"orders\.read"):
        Http(
            connection="shop",
            base_url="https://shop.example",
            auth=ApiKey("X-Key", "s"),
            operations=(Operation("orders.read", "forgotten"),),
            budgets=Budgets(rig.clock),
            transport=rig.transport,
            clock=rig.clock,
            random=rig.random,
            observer=rig.observer,
        )


@pytest.mark.parametrize("status", [200, 302, 401, 404, 429, 500, 503])
@pytest.mark.parametrize("auth", [ApiKey("X-Key", "canary-secret"), Basic("canary-key", "canary-secret")])
async def test_no_secret_body_or_query_is_ever_shown(rig: Any, status: int, auth: Any) -> None:
    http = rig.http(auth)
    for _ in range(4):
        rig.transport.answers(status, b"canary-body", retry_after="3", set_cookie="canary-cookie")
    results = await rig.clock.run(http.read(READ))
    rig.clock.time += 100
    results += await rig.clock.run(http.write(WRITE, Departure(1, rig.clock.time + 9)))
    shown = [repr(http), repr(auth), str(auth), repr(READ), repr(WRITE), repr(rig.observer.calls)]
    for result in results:
        shown.append(repr(result))
        if isinstance(result, MarketsyncError):
            shown += ["".join(traceback.format_exception(result)), str(result)]
    assert rig.observer.calls
    assert "canary" not in "".join(shown)


async def test_labels_are_connection_operation_and_outcome_alone(rig: Any) -> None:
    rig.transport.answers(200)
    await rig.clock.run(rig.http().read(READ))
    counted = [call for call in rig.observer.calls if call[0] == "count"]
    assert counted == [
        (
            "count",
            "marketsync_http_requests_total",
            1,
            {"connection": "shop", "operation": "orders.read", "outcome": "ok"},
        )
    ]
    timed = [call for call in rig.observer.calls if call[1] == "marketsync_http_seconds"]
    assert timed == [
        ("observe", "marketsync_http_seconds", 0.0, {"connection": "shop", "operation": "orders.read"})
    ]


async def test_retry_after_as_a_date_is_in_the_servers_clock(rig: Any) -> None:
    server = rig.clock.now() - timedelta(hours=3)
    rig.transport.answers(
        429,
        date=server.strftime("%a, %d %b %Y %H:%M:%S GMT"),
        retry_after=(server + timedelta(seconds=90)).strftime("%a, %d %b %Y %H:%M:%S GMT"),
    )
    (error,) = await rig.clock.run(rig.http().read(READ))
    assert error.after_seconds == 90.0


async def test_who_reads_by_a_scarce_budget_stands_in_its_queue_as_long_as_it_is_told(rig: Any) -> None:
    """Else one who reads all the time, and stands there whenever another comes, leaves nothing to the other."""
    http, sent_at = rig.http(), []
    call = Call("list.read", "GET", "/orders")

    async def read() -> None:
        rig.transport.answers(200)
        await http.read(call)
        sent_at.append(rig.clock.time)

    outcomes = await rig.clock.run(*(read() for _ in range(4)))
    assert sent_at == [1000.0, 1060.0, 1120.0]
    assert isinstance(outcomes[3], Retry)
    assert not outcomes[3].counted
