"""How an adapter is found and put together: its settings, its way to the network, its builder."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from marketsync.domain.ids import ConnectionId, MerchantId
from marketsync.http.auth import Auth, OAuth2
from marketsync.http.budgets import Budgets
from marketsync.http.calls import Budget, Operation
from marketsync.http.client import Http
from marketsync.http.tokens import Tokens
from marketsync.ports import BackOffice, Clock, HintSource, Marketplace, Observer, Pushes, Random, Transport


class Role(enum.Enum):
    MARKETPLACE = "marketplace"
    BACK_OFFICE = "back_office"


class ConnectionPlan(msgspec.Struct, frozen=True):
    """The network side of one connection. `credential` names who is metered: connections that share it share its budgets.

    `allow_private` permits addresses that are not public, for a shop in the merchant's own network. `other_hosts` are the
    domains below which the far side keeps files that `Http.transfer` fetches or fills.
    """

    base_url: str
    auth: Auth | OAuth2
    credential: str
    budgets: tuple[Budget, ...]
    operations: tuple[Operation, ...]
    allow_private: bool = False
    other_hosts: tuple[str, ...] = ()


def client_of(
    plan: ConnectionPlan, connection: str, *, transport: Transport, clock: Clock, random: Random, observer: Observer,
    budgets: Budgets | None = None, tokens: Tokens | None = None,
) -> Http:  # fmt: skip
    """The client of one connection. `budgets` and `tokens`: those of its credential, where it may share them; tokens of its own
    are not kept. ConfigError if the plan is wrong."""
    return Http(
        connection=connection, base_url=plan.base_url, auth=plan.auth, tokens=tokens, operations=plan.operations,
        other_hosts=plan.other_hosts,
        budgets=Budgets(clock, plan.budgets) if budgets is None else budgets,
        transport=transport, clock=clock, random=random, observer=observer,
    )  # fmt: skip


class BuildContext(msgspec.Struct, frozen=True):
    merchant: MerchantId
    connection: ConnectionId
    http: Http
    clock: Clock


class AdapterSpec(msgspec.Struct, frozen=True):
    """What an adapter package registers under the entry-point group `marketsync.adapters`.

    `settings` is a frozen Struct with `forbid_unknown_fields`; `secrets` names those of its fields that hold
    the name of a credential; one that is "" is not read. `plan` gets the settings and the secrets' values by field name,
    and so does `hints`, which opens the queue of the vendor's messages where there is one; `pushes` gets the adapter besides, and
    is None where the settings want none to be pushed. `sandbox` names the factory of
    its simulated server, `module:function`, "" if it has none: see `marketsync.sandbox.roles`. `defaults` are values for
    keys of the connection that its file leaves out, where the vendor's budgets ask for others than ours.
    """

    name: str
    role: Role
    settings: type[msgspec.Struct]
    secrets: tuple[str, ...]
    plan: Callable[[Any, Mapping[str, str]], ConnectionPlan]
    build: Callable[[BuildContext, Any], Marketplace | BackOffice]
    sandbox: str = ""
    defaults: Mapping[str, float | str] = {}
    hints: Callable[[Any, Mapping[str, str]], HintSource | None] | None = None
    pushes: Callable[[Any, Mapping[str, str], Any], Pushes | None] | None = None
