"""What an operator states about a marketplace that keeps the contract."""

from __future__ import annotations

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`url` is what stands before `/marketplace`; `token` names the credential. `publish_stock`: False for one whose stock is
    kept elsewhere. All times but the overlap are assumptions about the far side (A25)."""

    url: str
    token: str
    publish_stock: bool = True
    visibility_lag_seconds: float = 30.0
    overlap_seconds: float = 60.0
    lands_within_seconds: float = 60.0
    visible_within_seconds: float = 5.0
    stock_lands_within_seconds: float = 60.0
    calls_per_minute: int = 240
    allow_private: bool = False
