"""What Amazon's queue says of changed orders (ORDER_CHANGE): which order to read, and nothing else that is relied on."""

from __future__ import annotations

import msgspec

from marketsync.domain.ids import OrderId
from marketsync.errors import Malformed
from marketsync.http.documents import is_id

TYPE = "ORDER_CHANGE"


class _Change(msgspec.Struct, rename="pascal"):
    amazon_order_id: str
    seller_id: str = ""


class _Payload(msgspec.Struct, rename="pascal"):
    order_change_notification: _Change


class _Message(msgspec.Struct, rename="pascal"):
    notification_type: str
    payload: _Payload


def read_hint(message: bytes, seller_id: str) -> tuple[OrderId, ...]:
    """None for another seller's order. Raises Malformed."""
    try:
        stated = msgspec.json.decode(message, type=_Message)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Malformed("$", "not a message of changed orders") from None
    if stated.notification_type != TYPE:
        raise Malformed("$.NotificationType", "not a message of changed orders")
    change = stated.payload.order_change_notification
    if change.seller_id not in {"", seller_id}:
        return ()
    if not is_id(change.amazon_order_id):
        raise Malformed("$.Payload.OrderChangeNotification.AmazonOrderId", "not a usable id")
    return (OrderId(change.amazon_order_id),)
