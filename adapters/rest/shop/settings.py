"""What an operator states about a shop that keeps the contract."""

from __future__ import annotations

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`url` is what stands before `/shop`; `token` names the credential. `overlap_seconds`: how far the news of parcels reach
    back. The other times are assumptions about the far side (A25)."""

    url: str
    token: str
    wait_for_tracking: bool = True
    overlap_seconds: float = 300.0
    lands_within_seconds: float = 60.0
    visible_within_seconds: float = 5.0
    read_lag_seconds: float = 0.0
    calls_per_minute: int = 240
    allow_private: bool = False
