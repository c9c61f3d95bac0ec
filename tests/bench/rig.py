"""The real daemon put before the far sides: configuration, adapters without rate limits, and what is counted."""

from __future__ import annotations

import asyncio
import os
import time
import urllib.request
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from adapters.rest import ADAPTER as REST
from adapters.rest import SHOP as REST_SHOP
from marketsync import bootstrap
from marketsync.config import Config, parse
from marketsync.http import AdapterSpec, Budget, ConnectionPlan
from marketsync.ops.clock import SystemRandom
from marketsync.ops.observe import Observations
from marketsync.ops.sink import LineSink
from marketsync.ports import AlarmClock, Clock
from tests.bench.far_side import SPAN
from tests.bench.server import Log

CALLS, PER_SECONDS = 200, 0.02
NEVER_SECONDS = 86400.0
TOKEN = "bench"


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """How the daemon is set up. `paced` keeps the adapters' own budgets and the default periods of polling."""

    marketplaces: int = 1
    stock: bool = False
    paced: bool = False
    history: bool = True


class Counts:
    """The daemon's own observer, with an ear for outcomes; and its crash points, as a counter of commits."""

    def __init__(self, clock: Clock) -> None:
        self._sink = os.open(os.devnull, os.O_WRONLY)
        self._inner = Observations(clock, LineSink(self._sink), log_format="json")
        self.commits = 0
        self.calls: dict[str, int] = {}
        self.done: dict[str, int] = {}
        self._awaited: tuple[str, int] | None = None
        self._reached = asyncio.Event()
        self.event, self.gauge, self.observe = self._inner.event, self._inner.gauge, self._inner.observe

    def count(self, metric: str, amount: float = 1, /, **labels: str) -> None:
        if metric == "marketsync_http_requests_total":
            name = labels["operation"]
            self.calls[name] = self.calls.get(name, 0) + 1
        elif metric == "marketsync_attempts_total" and labels["outcome"] == "done":
            kind = labels["kind"]
            self.done[kind] = self.done.get(kind, 0) + 1
            if self._awaited is not None and self._awaited[0] == kind and self.done[kind] >= self._awaited[1]:
                self._reached.set()
        self._inner.count(metric, amount, **labels)

    def reach(self, name: str) -> None:
        self.commits += name == "store.after_commit"

    async def until_done(self, kind: str, number: int, within_seconds: float = 120.0) -> None:
        if self.done.get(kind, 0) >= number:
            return
        self._awaited = (kind, number)
        self._reached.clear()
        async with asyncio.timeout(within_seconds):
            await self._reached.wait()


class Meter:
    """CPU of this process, commits and calls, since it was made."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._cpu = time.process_time()
        self._wall = time.monotonic()
        self._commits = counts.commits
        self._calls = dict(counts.calls)

    @property
    def cpu_seconds(self) -> float:
        return time.process_time() - self._cpu

    @property
    def wall_seconds(self) -> float:
        return time.monotonic() - self._wall

    @property
    def commits(self) -> int:
        return self._counts.commits - self._commits

    @property
    def calls(self) -> dict[str, int]:
        now = self._counts.calls
        return {
            name: n - self._calls.get(name, 0)
            for name, n in sorted(now.items())
            if n > self._calls.get(name, 0)
        }


async def build(
    scene: Scene, url: str, directory: Path, clock: AlarmClock, counts: Counts
) -> bootstrap.Assembly:
    config = configuration(scene, url, directory, clock.now())
    assembly = await bootstrap.build(
        config, clock=clock, random=SystemRandom(), observer=counts, crash=counts, adapters=_adapters(scene)
    )
    # Steady state: orders from before the very first start are looked for before they are created, later ones are not.
    assembly.core.store.gap = None
    return assembly


def configuration(scene: Scene, url: str, directory: Path, now: datetime) -> Config:
    return parse(
        {"daemon": {"state_dir": directory / "state"}, "connections": connections(scene, url, directory, now)}
    )


def connections(scene: Scene, url: str, directory: Path, now: datetime) -> dict[str, dict[str, Any]]:
    shop = {"url": url, "token": _secret(directory, "shop")}
    written: dict[str, dict[str, Any]] = {"shop": {"adapter": "rest-shop", "settings": shop}}
    begin = now - SPAN - timedelta(minutes=5) if scene.history else now
    quick = (
        {}
        if scene.paced
        else {"poll_seconds": NEVER_SECONDS, "publish_seconds": 1.0, "deep_span_seconds": 1.0}
    )
    for number in range(scene.marketplaces):
        settings: dict[str, Any] = {
            "url": url,
            "token": _secret(directory, f"market-{number}"),
            "publish_stock": scene.stock,
        }
        if not scene.paced:
            settings |= {"visibility_lag_seconds": 0.0}
        written[f"market-{number}"] = {
            "adapter": "rest", "back_office": "shop", "import_from": begin, "settings": settings, **quick,
        }  # fmt: skip
    if not scene.paced:
        written["shop"] |= {"shipments_seconds": NEVER_SECONDS, "in_flight_max": 32}
    return written


def told(url: str, what: str = "log") -> Log:
    with urllib.request.urlopen(f"{url}/control/{what}") as answer:  # noqa: S310 - our own server on loopback
        return msgspec.json.decode(answer.read(), type=Log)


async def until_held(url: str, number: int) -> None:
    """The daemon knows the shop's articles, and its first order list waits to be answered."""
    async with asyncio.timeout(60.0):
        while (await asyncio.to_thread(told, url)).held < number:  # noqa: ASYNC110 - it happens in another process
            await asyncio.sleep(0.1)
    await asyncio.sleep(0.7)


def _adapters(scene: Scene) -> Mapping[str, AdapterSpec]:
    if scene.paced:
        return {"rest": REST, "rest-shop": REST_SHOP}
    return {"rest": _unlimited(REST), "rest-shop": _unlimited(REST_SHOP)}


def _unlimited(spec: AdapterSpec) -> AdapterSpec:
    """Budgets that bind nobody: a wait costs time and no CPU."""

    def plan(settings: Any, secrets: Mapping[str, str]) -> ConnectionPlan:
        made = spec.plan(settings, secrets)
        budgets = tuple(Budget(budget.name, CALLS, PER_SECONDS, CALLS) for budget in made.budgets)
        return msgspec.structs.replace(made, budgets=budgets)

    return msgspec.structs.replace(spec, plan=plan)


def _secret(directory: Path, name: str) -> str:
    path = directory / f"{name}-token"
    path.touch(mode=0o600)
    path.write_text(TOKEN)
    return f"file:{path}"
