"""An Amazon SQS queue as a source of hints: the vendor's own client, behind the port. Needs the extra `hints`.

SQS gives messages at least once and in no order, and again after the visibility timeout where they were not deleted.
Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import msgspec

from marketsync.errors import ConfigError, Retry
from marketsync.ports import Hint

WAIT_SECONDS = 20
MESSAGES_MAX = 10
VISIBILITY_SECONDS = 120


class QueueAccess(msgspec.Struct, frozen=True):
    """Where the queue is and who may read it. `endpoint_url` is the vendor's own where it is ""."""

    queue_url: str
    region: str
    access_key: str
    secret_key: str
    endpoint_url: str = ""

    def __repr__(self) -> str:
        return f"QueueAccess({self.region})"


class SqsQueue:
    """A HintSource. The connection is made when the first message is asked for, and anew after trouble."""

    def __init__(self, access: QueueAccess) -> None:
        try:
            from aiobotocore.session import get_session
        except ImportError:
            raise ConfigError(
                'a queue of hints needs the extra `hints`: pip install "marketsync[hints]"'
            ) from None
        self._access = access
        self._session = get_session()
        self._client: Any = None

    async def receive(self) -> Sequence[Hint]:
        async def call(client: Any) -> Sequence[Hint]:
            answer = await client.receive_message(
                QueueUrl=self._access.queue_url, MaxNumberOfMessages=MESSAGES_MAX,
                WaitTimeSeconds=WAIT_SECONDS, VisibilityTimeout=VISIBILITY_SECONDS,
            )  # fmt: skip
            return [Hint(x["Body"].encode(), x["ReceiptHandle"]) for x in answer.get("Messages", ())]

        return list(await self._called(call))

    async def done(self, hints: Sequence[Hint]) -> None:
        entries = [{"Id": str(n), "ReceiptHandle": hint.receipt} for n, hint in enumerate(hints)]
        await self._called(
            lambda client: client.delete_message_batch(QueueUrl=self._access.queue_url, Entries=entries)
        )

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            # What a foreign client raises while it is put away is of no use to anybody, and must not hide why it is.
            with contextlib.suppress(Exception):
                await client.__aexit__(None, None, None)

    async def _called(self, call: Any) -> Any:
        """Whatever goes wrong in the client is no more than a queue that can't be asked now; its texts may hold keys."""
        try:
            if self._client is None:
                self._client = await self._opened()
            return await call(self._client)
        except Exception as error:  # noqa: BLE001 - a foreign client: botocore, aiohttp and the system raise all sorts
            await self.close()
            raise Retry(f"the queue of hints can't be asked: {type(error).__name__}") from None

    async def _opened(self) -> Any:
        from aiobotocore.config import AioConfig

        access = self._access
        config = AioConfig(
            connect_timeout=10, read_timeout=WAIT_SECONDS + 10, retries={"max_attempts": 1}, proxies={}
        )
        context = self._session.create_client(
            "sqs", region_name=access.region, endpoint_url=access.endpoint_url or None, config=config,
            aws_access_key_id=access.access_key, aws_secret_access_key=access.secret_key,
        )  # fmt: skip
        return await context.__aenter__()
