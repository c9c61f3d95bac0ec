"""What a configuration with an OAuth 2 adapter is put together to: one token an account, kept over restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs

import msgspec
import pytest

from marketsync import bootstrap
from marketsync.config import Config, parse
from marketsync.http import (
    AdapterSpec,
    Budget,
    BuildContext,
    Call,
    ConnectionPlan,
    OAuth2,
    Operation,
    Role,
)
from marketsync.ports import Marketplace, Request, Response

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
READ = Call("orders", "GET", "/orders")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    refresh_token: str


def _plan(settings: Settings, secrets: Mapping[str, str]) -> ConnectionPlan:
    auth = OAuth2("https://auth.example/token", "client", "secret", secrets["refresh_token"])
    operations = (Operation("token", "calls", retries=0), Operation("orders", "calls", retries=0))
    return ConnectionPlan(
        "https://market.example", auth, settings.refresh_token, (Budget("calls", 9, 9.0, 9),), operations
    )


class Idle:
    """An adapter that nobody asks for anything."""

    ids_max = 1


def _build(context: BuildContext, settings: Settings) -> Marketplace:
    return cast("Marketplace", Idle())


SPEC = AdapterSpec(
    "modern", Role.MARKETPLACE, Settings, ("refresh_token",), _plan, _build, defaults={"poll_seconds": 180.0}
)
SHOP = msgspec.structs.replace(SPEC, name="shop", role=Role.BACK_OFFICE, defaults={})


class Clock:
    boot_id = "boot"
    time = 1000.0

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.time)

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds
        await asyncio.sleep(0)

    def call_later(self, seconds: float, ring: Callable[[], object]) -> Callable[[], object]:
        raise AssertionError("no loop waits here")


class Chance:
    def uniform(self, low: float, high: float) -> float:
        return low

    def token(self, length: int) -> str:
        return "x" * length


class Silent:
    def event(self, name: str, /, **fields: Any) -> None: ...
    def count(self, metric: str, amount: float = 1, /, **labels: str) -> None: ...
    def gauge(self, metric: str, value: float, /, **labels: str) -> None: ...
    def observe(self, metric: str, seconds: float, /, **labels: str) -> None: ...


class FarSide:
    """Gives a new refresh token with each token, and takes each once."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def send(self, request: Request) -> Response:
        if request.operation != "token":
            return Response(200, {}, b"{}", 0.0)
        self.asked.append(parse_qs(request.body.decode())["refresh_token"][0])
        number = len(self.asked)
        body = {"access_token": f"access-{number}", "expires_in": 3600, "refresh_token": f"refresh-{number}"}
        return Response(200, {}, msgspec.json.encode(body), 0.0)

    async def close(self) -> None: ...


def _config(tmp_path: Path, **more: Any) -> Config:
    secret = tmp_path / "secret"
    secret.write_text("consented")
    secret.chmod(0o600)
    settings = {"refresh_token": f"file:{secret}"}
    market = {
        "adapter": "modern",
        "back_office": "shop",
        "import_from": "2026-01-01T00:00:00Z",
        "settings": settings,
    }
    connections = {
        "first": {**market, **more},
        "second": market,
        "shop": {"adapter": "shop", "settings": settings},
    }
    return parse({"daemon": {"state_dir": str(tmp_path / "state")}, "connections": connections})


async def _life(tmp_path: Path, far: FarSide, *names: str) -> None:
    """A process that reads once through each of the connections."""
    assembly = await bootstrap.build(
        _config(tmp_path), clock=Clock(), random=Chance(), observer=Silent(), transport=far,
        adapters={"modern": SPEC, "shop": SHOP},
    )  # fmt: skip
    try:
        for name in names:
            link = assembly.network.link(name)
            assert link is not None
            await link.http.read(READ)
    finally:
        await assembly.close()


@pytest.mark.failure(38)
async def test_connections_of_one_account_share_a_token_and_the_next_process_goes_on_with_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    far = FarSide()
    await _life(tmp_path, far, "first", "second")
    assert far.asked == ["consented"]
    await _life(tmp_path, far, "second")
    assert far.asked == ["consented", "refresh-1"]


def test_what_a_vendor_needs_is_the_default_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    around = bootstrap.Surroundings(Clock(), Chance(), Silent(), FarSide(), {"modern": SPEC, "shop": SHOP})
    network = bootstrap.connect(_config(tmp_path, poll_seconds=240.0), around).network
    first, second = (network.marketplaces[name] for name in network.marketplaces)
    assert (first.settings.poll_seconds, second.settings.poll_seconds) == (240.0, 180.0)
    assert second.settings.publish_seconds == 60.0
