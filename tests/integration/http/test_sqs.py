"""The queue's real client against a server that speaks SQS, over loopback."""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator, Iterator
from itertools import count
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from marketsync.errors import ConfigError, Retry
from marketsync.http import sqs
from marketsync.http.sqs import QueueAccess, SqsQueue
from marketsync.ports import Hint

NUMBERS = count(1)
KEYS = ("canary-access-key", "canary-secret-key")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
async def queue(server: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SqsQueue]:
    monkeypatch.setattr(sqs, "WAIT_SECONDS", 1)
    bare = SqsQueue(QueueAccess("", "eu-west-1", *KEYS, server))
    client = await bare._opened()
    url = (await client.create_queue(QueueName=f"hints-{next(NUMBERS)}"))["QueueUrl"]
    await client.__aexit__(None, None, None)
    opened = SqsQueue(QueueAccess(url, "eu-west-1", *KEYS, server))
    yield opened
    await opened.close()


async def _send(queue: SqsQueue, *bodies: str) -> None:
    await queue.receive()
    for body in bodies:
        await queue._client.send_message(QueueUrl=queue._access.queue_url, MessageBody=body)


async def _all(queue: SqsQueue) -> list[Hint]:
    found: list[Hint] = []
    while hints := await queue.receive():
        found += hints
    return found


@pytest.mark.failure(27)
async def test_messages_are_received_and_gone_once_they_are_done(queue: SqsQueue) -> None:
    await _send(queue, *(f"message {n}" for n in range(12)))
    hints = await _all(queue)
    assert sorted(x.body.decode() for x in hints) == sorted(f"message {n}" for n in range(12))
    await queue.done(hints[:10])
    await queue.done(hints[10:])
    attributes = await queue._client.get_queue_attributes(
        QueueUrl=queue._access.queue_url, AttributeNames=["ApproximateNumberOfMessagesNotVisible"]
    )
    assert attributes["Attributes"]["ApproximateNumberOfMessagesNotVisible"] == "0"


async def test_a_message_that_was_not_done_comes_again(
    queue: SqsQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqs, "VISIBILITY_SECONDS", 0)
    await _send(queue, "once")
    first, second = await queue.receive(), await queue.receive()
    assert [x.body for x in first] == [x.body for x in second] == [b"once"]


async def test_a_queue_that_can_not_be_had_is_waited_for_and_no_key_is_told(queue: SqsQueue) -> None:
    access = QueueAccess("http://127.0.0.1:9/queue", "eu-west-1", *KEYS, "http://127.0.0.1:9")
    gone = SqsQueue(access)
    with pytest.raises(Retry) as raised:
        await gone.receive()
    shown = "".join(traceback.format_exception(raised.value)) + repr(access)
    assert "canary" not in shown
    unknown = SqsQueue(
        QueueAccess(f"{queue._access.queue_url}-unknown", "eu-west-1", *KEYS, queue._access.endpoint_url)
    )
    with pytest.raises(Retry):
        await unknown.receive()
    assert await queue.receive() == []


def test_without_its_extra_the_configuration_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = __import__

    def without(name: str, *more: Any) -> Any:
        if name.startswith("aiobotocore"):
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr("builtins.__import__", without)
    with pytest.raises(ConfigError, match="marketsync\\[hints\\]"):
        SqsQueue(QueueAccess("", "eu-west-1", *KEYS))


async def test_a_client_that_can_not_be_put_away_hides_no_reason(queue: SqsQueue) -> None:
    class Stuck:
        async def receive_message(self, **_: object) -> None:
            raise OSError("no route")

        async def __aexit__(self, *_: object) -> None:
            raise RuntimeError("no loop")

    queue._client = Stuck()
    with pytest.raises(Retry, match="OSError"):
        await queue.receive()
    assert await queue.receive() == []
