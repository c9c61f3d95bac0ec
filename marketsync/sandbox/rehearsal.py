"""A world of configured adapters, and the configuration that leads to it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from marketsync.errors import ConfigError
from marketsync.http import AdapterSpec
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.roles import MarketplaceSide, OpenSide, ShopSide, Side, SidePlan, Ware
from marketsync.sandbox.world import Habits, World


class Stage(msgspec.Struct, frozen=True):
    """`sides` are the plans of the far sides with the name of the adapter of each. `routes`: the shop of each marketplace, where
    there are several; the first one of those that it leaves out."""

    sides: tuple[tuple[str, SidePlan], ...]
    wares: tuple[Ware, ...]
    habits: Habits
    start: datetime
    routes: Mapping[str, str] = {}


def new_world(stage: Stage, adapters: Mapping[str, AdapterSpec], chance: Chance) -> World:
    """ConfigError where an adapter has no simulated server."""
    sides = {plan.name: _open(adapters, adapter, plan) for adapter, plan in stage.sides}
    return World(
        {name: side for name, side in sides.items() if isinstance(side, MarketplaceSide)},
        {name: side for name, side in sides.items() if isinstance(side, ShopSide)},
        stage.wares,
        chance,
        stage.habits,
        stage.start,
    )


def connections(
    stage: Stage, world: World, addresses: Mapping[str, str], directory: Path
) -> dict[str, dict[str, Any]]:
    """`[connections]` as an operator would write it; the secrets are files in `directory`."""
    first = next(iter(world.shops))
    written: dict[str, dict[str, Any]] = {}
    for adapter, plan in stage.sides:
        side: Side = world.marketplaces.get(plan.name) or world.shops[plan.name]
        settings = dict(side.settings(addresses[plan.name]))
        for field, value in side.secrets().items():
            settings[field] = _secret(directory / f"{plan.name}-{field}", value)
        written[plan.name] = {"adapter": adapter, "settings": settings}
        if plan.name in world.marketplaces:
            shop = stage.routes.get(plan.name, first)
            written[plan.name] |= {"back_office": shop, "import_from": stage.start - timedelta(days=1)}
    return written


def _open(adapters: Mapping[str, AdapterSpec], name: str, plan: SidePlan) -> Side:
    spec = adapters.get(name)
    if spec is None or not spec.sandbox:
        raise ConfigError(f"the adapter {name} is not installed, or has no simulated server")
    module, _, function = spec.sandbox.partition(":")
    opened: OpenSide = getattr(import_module(module), function)
    return opened(plan)


def _secret(path: Path, value: str) -> str:
    path.touch(mode=0o600)
    path.write_text(value)
    return f"file:{path}"
