"""Rotating tokens: the new one is on disk before it is used."""

from __future__ import annotations

from marketsync.store.unit import Unit


async def load(unit: Unit, credential: str) -> str | None:
    rows = await unit.fetch("SELECT token FROM tokens WHERE credential = ?", credential)
    return rows[0][0] if rows else None


async def save(unit: Unit, credential: str, text: str) -> None:
    await unit.execute(
        """INSERT INTO tokens (credential, token) VALUES (?, ?)
            ON CONFLICT (credential) DO UPDATE SET token = excluded.token""",
        credential, text,
    )  # fmt: skip
