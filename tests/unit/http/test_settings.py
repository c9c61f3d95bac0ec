"""A setting that is wrong is named in words that say what to do."""

from __future__ import annotations

import enum
from typing import Annotated, Any, Literal

import msgspec
import pytest

from marketsync.errors import ConfigError
from marketsync.http import settings_of

CANARY = "s3cret-canary"


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    seller_id: str
    marketplace_ids: tuple[str, ...] = ()
    daily_calls: Annotated[int, msgspec.Meta(ge=100)] = 100
    shipments: Literal["fulfillments", "tracking"] = "tracking"
    colour: Colour = Colour.RED
    stock: bool = True


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({}, "settings: missing `seller_id`"),
        ({"sellerid": CANARY}, "settings: unknown key `sellerid`; did you mean `seller_id`?"),
        ({"other": CANARY}, "settings: unknown key `other`; missing `seller_id`"),
        (
            {"poll_seconds": 5},
            "settings: unknown key `poll_seconds`; it belongs above the settings, into [connections.x]",
        ),
        (
            {"seller_id": "A", "marketplace_ids": CANARY},
            'settings.marketplace_ids: it takes a list such as ["..."], and this is text',
        ),
        ({"seller_id": 7}, "settings.seller_id: it takes text, and this is a whole number"),
        ({"seller_id": "A", "daily_calls": 1}, "settings.daily_calls: it takes a whole number >= 100"),
        ({"seller_id": "A", "shipments": CANARY}, "settings.shipments: none of fulfillments, tracking"),
        ({"seller_id": "A", "colour": CANARY}, "settings.colour: none of red, blue"),
        ({"seller_id": "A", "stock": CANARY}, "settings.stock: it takes true or false, and this is text"),
    ],
)
def test_what_is_wrong_is_named_and_what_it_takes(stated: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        settings_of(Settings, stated, "connections.x.settings", ("poll_seconds",))
    assert str(raised.value).startswith(f"connections.x.{said}")
    assert CANARY not in str(raised.value)


def test_what_is_right_is_taken() -> None:
    found = settings_of(Settings, {"seller_id": "A", "shipments": "fulfillments"}, "connections.x.settings")
    assert found == Settings(seller_id="A", shipments="fulfillments")
