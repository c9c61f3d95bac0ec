"""`check`: asks every connection what it is, and changes nothing, here or there."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from marketsync.bootstrap import Surroundings, connect
from marketsync.commands.desk import links_of
from marketsync.config import Config
from marketsync.engine.context import BackOfficeLink, MarketplaceLink
from marketsync.errors import ConfigError, MarketsyncError, Refused, Retry
from marketsync.ops.clock import SystemClock, SystemRandom
from marketsync.ops.observe import Silence
from marketsync.ports import Traits

SKEW_SECONDS_MAX = 300.0


class Checked(msgspec.Struct, frozen=True):
    """`skew_seconds`: the far side's clock less ours."""

    connection: str
    adapter: str
    well: bool
    skew_seconds: float | None
    facts: dict[str, str]
    problems: tuple[str, ...]


async def check_all(config: Config, surroundings: Surroundings | None = None) -> list[dict[str, Any]]:
    """One connection's trouble does not hide the others'. ConfigError if the configuration itself is at fault."""
    around = surroundings or Surroundings(SystemClock(), SystemRandom(), Silence())
    if not config.connections:
        raise ConfigError("connections: none is configured")
    wired = connect(config, around)
    try:
        found = [
            await _check(link, config.connections[link.name].adapter, around)
            for link in links_of(wired.network)
        ]
    finally:
        await wired.close()
    return [msgspec.to_builtins(checked) for checked in found]


async def _check(link: MarketplaceLink | BackOfficeLink, adapter: str, around: Surroundings) -> Checked:
    try:
        traits = await link.adapter.probe_traits()
    except MarketsyncError as error:
        return Checked(link.name, adapter, False, None, {}, (f"{error}{_advice(error)}",))
    except Exception as error:  # noqa: BLE001 - an adapter's defect is one connection's trouble, and is shown
        return Checked(link.name, adapter, False, None, {}, (f"the adapter failed ({type(error).__name__})",))
    return judged(link.name, adapter, traits, around.clock.now())


def _advice(error: MarketsyncError) -> str:
    """What to look at, where the error itself does not know that somebody is setting the connection up."""
    match error:
        case Refused(status=status) if status < 400 or status == 404:  # noqa: PLR2004 - HTTP statuses
            return ": check the url, the API is not there"
        case Refused():
            return ": check what the credentials may do"
        case Retry():
            return ": check the url, and whether this machine reaches it"
        case _:
            return ""


def judged(name: str, adapter: str, traits: Traits, now: datetime) -> Checked:
    problems = list(traits.problems)
    skew = None if traits.server_date is None else round((traits.server_date - now).total_seconds(), 1)
    if skew is not None and abs(skew) > SKEW_SECONDS_MAX:
        problems.append(f"its clock differs from ours by {skew:.0f} s: set this machine's clock")
    return Checked(name, adapter, not problems, skew, dict(traits.facts), tuple(problems))
