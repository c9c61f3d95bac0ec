"""The kit's own journey and descriptions, for what the kit does not compare with."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from marketsync.http import AdapterSpec
from marketsync.kit.bench import Fresh
from marketsync.kit.contract import Published
from marketsync.kit.quality import of
from marketsync.kit.wire import Exchange


def fresh(spec: AdapterSpec, **options: Any) -> Fresh:
    """A far side with these switches besides those of its quality.toml."""
    quality = of(spec)
    setup = replace(quality.kit.setup, options={**quality.kit.setup.options, **options})
    return Fresh(spec, replace(quality, kit=replace(quality.kit, setup=setup)))


def described(spec: AdapterSpec, contracts: Path) -> Published:
    stated = of(spec).vendor.contract
    assert stated is not None
    return Published(stated, contracts)


def wrong(spec: AdapterSpec, contracts: Path, exchanges: Iterable[Exchange]) -> list[str]:
    """What is wrong with both sides of all these, and no reason speaks for."""
    given = described(spec, contracts)
    found: list[str] = []
    for exchange in exchanges:
        found += given.request(exchange.request)
        found += given.answer(exchange.request, exchange.response)
    return found
