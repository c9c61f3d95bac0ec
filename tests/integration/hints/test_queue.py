"""Amazon's queue, from the configuration to the order: the queue's real client, a server that speaks SQS, the daemon."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
from moto.server import ThreadedMotoServer

from adapters.amazon import ADAPTER
from marketsync.domain.ids import OrderId
from marketsync.errors import ConfigError
from marketsync.http import sqs
from marketsync.http.sqs import QueueAccess, SqsQueue
from tests.integration.hints.rig import MARKET, Rig, at_work

REGION = "eu-west-1"
KEYS = {"queue_access_key": "canary-access-key", "queue_secret_key": "canary-secret-key"}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


class Amazon:
    """What Amazon does with a queue."""

    def __init__(self, server: str, name: str) -> None:
        self._access = QueueAccess("", REGION, "amazon", "amazon", server)
        self._name = name
        self.url = ""

    async def __aenter__(self) -> Self:
        self._client = await SqsQueue(self._access)._opened()
        self.url = (await self._client.create_queue(QueueName=self._name))["QueueUrl"]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.__aexit__(None, None, None)

    async def tells(self, *bodies: str) -> None:
        for body in bodies:
            await self._client.send_message(QueueUrl=self.url, MessageBody=body)

    async def left(self) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = await self._client.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)
        return sum(map(int, found["Attributes"].values()))


def changed(rig: Rig, order_id: str) -> str:
    seller = rig.side.sandbox.behaviour.seller_id
    change = {"NotificationLevel": "OrderLevel", "SellerId": seller, "AmazonOrderId": order_id}
    return json.dumps({"NotificationType": "ORDER_CHANGE", "Payload": {"OrderChangeNotification": change}})


@pytest.mark.failure(27)
@pytest.mark.failure(28)
async def test_an_order_is_read_within_seconds_of_amazon_s_word(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its list would not show it for two minutes. Doubled, foreign and senseless messages are done with as well."""
    monkeypatch.setattr(sqs, "WAIT_SECONDS", 1)
    async with Amazon(server, "changes") as amazon:
        settings = {"queue_url": amazon.url, "queue_region": REGION, "queue_endpoint_url": server}
        async with at_work(tmp_path, ADAPTER, settings, secrets=KEYS) as rig:
            first, second = rig.buy(), rig.buy()
            word = changed(rig, second)
            await amazon.tells("garbage", word, word, changed(rig, "302-9999999-9999999"))
            assert await rig.until_held(second) < 10.0
            await rig.until(lambda: rig.outcomes("asked") == 3 and rig.outcomes("unreadable") == 1)
            assert not await rig.is_held(first)
        assert await amazon.left() == 0
    assert "canary" not in "".join(rig.ear.said)


async def test_a_queue_that_is_gone_stops_nothing(server: str, tmp_path: Path) -> None:
    settings = {"queue_url": f"{server}/0/none", "queue_region": REGION, "queue_endpoint_url": server}
    async with at_work(tmp_path, ADAPTER, settings, secrets=KEYS) as rig:
        await rig.until(lambda: rig.outcomes("unreachable") >= 1)
        order_id = rig.buy()
        rig.assembly.daemon.sweepers[MARKET].ask(OrderId(order_id))
        await rig.until_held(order_id)
        assert not rig.assembly.network.marketplaces[MARKET].gate.paused


async def test_half_a_queue_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"connections\.market\.settings: a queue needs all of queue_url"):
        async with at_work(tmp_path, ADAPTER, {"queue_url": "https://queue.example"}, secrets=KEYS):
            pass


async def test_a_queue_of_another_region_than_its_address_says_is_refused(tmp_path: Path) -> None:
    settings = {"queue_url": "https://sqs.eu-west-1.amazonaws.com/1/orders", "queue_region": "eu-west-2"}
    with pytest.raises(ConfigError, match="queue_region: the address of the queue says eu-west-1"):
        async with at_work(tmp_path, ADAPTER, settings, secrets=KEYS):
            pass


async def test_without_a_queue_nobody_listens_for_one(tmp_path: Path) -> None:
    async with at_work(tmp_path, ADAPTER, {}, secrets={}) as rig:
        assert rig.assembly.daemon.hints == {}
