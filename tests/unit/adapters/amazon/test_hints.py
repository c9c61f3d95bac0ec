from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.amazon.hints import read_hint
from marketsync.errors import Malformed


def message(order_id: Any = "302-0000001-0000001", kind: str = "ORDER_CHANGE") -> bytes:
    change = {"SellerId": "A1", "AmazonOrderId": order_id, "Summary": {"DestinationPostalCode": "00001"}}
    return json.dumps({"NotificationType": kind, "Payload": {"OrderChangeNotification": change}}).encode()


def test_a_message_names_an_order_of_this_seller_alone() -> None:
    assert read_hint(message(), "A1") == ("302-0000001-0000001",)
    assert read_hint(message(), "B2") == ()


@pytest.mark.requirement("R19")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        b"{}",
        message(7),
        message(" "),
        message("a\x00"),
        message("../../etc"),
        message("302 1"),
        message(kind="FEED"),
    ],
)
def test_what_says_nothing_is_refused_without_being_quoted(body: bytes) -> None:
    with pytest.raises(Malformed) as held:
        read_hint(body, "A1")
    assert "00001" not in str(held.value)
