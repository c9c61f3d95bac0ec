"""What the simulated Amazon puts into a seller's queue: one ORDER_CHANGE for each thing that befell an order, and messages of
other sorts beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from adapters.amazon.sandbox_http import stamp
from adapters.amazon.sandbox_world import SoldOrder, World
from marketsync.sandbox.books import Event

STATUSES = {
    "PENDING": "Pending",
    "UNSHIPPED": "Unshipped",
    "PARTIALLY_SHIPPED": "PartiallyShipped",
    "SHIPPED": "Shipped",
    "CANCELLED": "Canceled",
}
ANOTHER_SELLER = "A9ANOTHERSELLER"
ORDER_STATUS, BUYER_WISH = "OrderStatusChange", "BuyerRequestedChange"


def order_changes(world: World, order_id: str) -> Sequence[bytes]:
    seller, order = world.behaviour.seller_id, world.orders[order_id]
    return [
        _order_change(order, seller, event, number)
        for number, event in enumerate(world.log, 1)
        if event.subject == order_id
    ]


def others(world: World) -> Mapping[str, bytes]:
    """What comes by the same queue and names no order of this seller."""
    event = world.log[-1]
    found = {
        "of another sort": _message("LISTINGS_ITEM_STATUS_CHANGE", {"SellerId": ANOTHER_SELLER}, event, 1)
    }
    if event.subject in world.orders:
        changed = _order_change(world.orders[event.subject], ANOTHER_SELLER, event, 2)
        found["of another seller"] = changed
    return found


def _order_change(order: SoldOrder, seller_id: str, event: Event, number: int) -> bytes:
    wish = order.cancel_asked
    shipped = sum(order.shipped(line.item_id) for line in order.lines)
    notification = {
        "NotificationLevel": "OrderLevel",
        "SellerId": seller_id,
        "AmazonOrderId": order.order_id,
        "OrderChangeType": BUYER_WISH if wish else ORDER_STATUS,
        "OrderChangeTrigger": {
            "TimeOfOrderChange": stamp(event.at),
            "ChangeReason": "Buyer Requested Cancel" if wish else "Order Status Change",
        },
        "Summary": {
            "MarketplaceId": order.marketplace_id,
            "OrderStatus": STATUSES[order.status],
            "PurchaseDate": stamp(order.created),
            "DestinationPostalCode": "10115",
            "FulfillmentType": "AFN" if order.by_amazon else "MFN",
            "OrderType": "StandardOrder",
            "NumberOfItemsShipped": shipped,
            "NumberOfItemsUnshipped": sum(order.left(line) for line in order.lines),
            "OrderItems": [
                {
                    "OrderItemId": line.item_id,
                    "SellerSKU": line.sku,
                    "SupplySourceId": "supply-source-sandbox",
                    "OrderItemStatus": "Shipped"
                    if order.shipped(line.item_id) >= line.quantity
                    else "Unshipped",
                    "Quantity": line.quantity,
                    "QuantityShipped": order.shipped(line.item_id),
                    "IsBuyerRequestedCancel": wish,
                }
                for line in order.lines
            ],
        },
    }
    return _message("ORDER_CHANGE", {"OrderChangeNotification": notification}, event, number)


def _message(kind: str, payload: Mapping[str, Any], event: Event, number: int) -> bytes:
    return msgspec.json.encode(
        {
            "NotificationVersion": "1.0",
            "NotificationType": kind,
            "PayloadVersion": "1.0",
            "EventTime": stamp(event.at),
            "Payload": payload,
            "NotificationMetadata": {
                "ApplicationId": "app-id-sandbox",
                "SubscriptionId": "subscription-id-sandbox",
                "PublishTime": stamp(event.at),
                "NotificationId": f"00000000-0000-4000-8000-{number:012d}",
            },
        }
    )
