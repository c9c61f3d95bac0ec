"""What is done to a far side, and in which order where a budget is short."""

from __future__ import annotations

import enum
from typing import assert_never


class Kind(enum.Enum):
    ACCEPT = "accept"
    CREATE = "create"
    UPDATE = "update"
    CANCEL = "cancel"
    CONFIRM = "confirm"
    STOCK = "stock"
    ADJUST = "adjust"
    # At the marketplace, asked for by a person: CANCEL is what follows from it in the shop.
    CANCEL_SALE = "cancel_sale"
    REFUND = "refund"


KEEPS_PAYLOAD = frozenset({Kind.CANCEL_SALE, Kind.REFUND})
"""What a person asked for stands in the payload alone."""


class Lane(enum.IntEnum):
    """Order of service when a budget is short; BULK is for backfills and is never a kind's own lane."""

    ACCEPT = 0
    CONFIRM = 1
    PUSH = 2
    STOCK = 3
    BULK = 4


def lane_of(kind: Kind) -> Lane:
    match kind:
        case Kind.ACCEPT:
            return Lane.ACCEPT
        case Kind.CONFIRM | Kind.CANCEL_SALE | Kind.REFUND:
            return Lane.CONFIRM
        case Kind.CREATE | Kind.UPDATE | Kind.CANCEL:
            return Lane.PUSH
        case Kind.STOCK | Kind.ADJUST:
            return Lane.STOCK
        case _:
            assert_never(kind)
