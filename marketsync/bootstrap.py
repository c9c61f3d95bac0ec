"""The only place where concrete things are put together."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

import msgspec

from marketsync.config import (
    BackOfficeConfig,
    Config,
    MarketplaceConfig,
    database_location,
    read_secret,
    uncovered,
)
from marketsync.domain.ids import ConnectionId, MerchantId
from marketsync.domain.lifecycle import Switches
from marketsync.domain.publishing import Policy
from marketsync.engine.context import (
    AcceptPolicy,
    BackOfficeLink,
    BackOfficeSettings,
    Core,
    MarketplaceLink,
    MarketplaceSettings,
    Network,
    Wake,
)
from marketsync.engine.daemon import Daemon
from marketsync.engine.gate import Gate
from marketsync.errors import ConfigError, StoreError
from marketsync.http import (
    AdapterSpec,
    Budgets,
    BuildContext,
    ConnectionPlan,
    Http,
    MemoryTokens,
    OAuth2,
    Role,
    Tokens,
    client_of,
    did_you_mean,
    settings_of,
)
from marketsync.installed import installed_adapters
from marketsync.ops.crash import crash_points
from marketsync.ports import (
    AlarmClock,
    CrashPoints,
    HintSource,
    Observer,
    Pushes,
    Random,
    TokenStore,
    Transport,
)
from marketsync.store import Store, Unit, connections, open_store, parked, tokens
from marketsync.store.rows import ConnectionRow, Parked


class Surroundings(msgspec.Struct, frozen=True):
    """What the world gives: the machine's by default, a simulator's where it is handed in.

    `transport` serves all connections; None opens sockets, one set for each connection. `adapters` stand in for the
    installed ones. `credentials` stands for $CREDENTIALS_DIRECTORY. `hints` stand in for the queues, by connection.
    """

    clock: AlarmClock
    random: Random
    observer: Observer
    transport: Transport | None = None
    adapters: Mapping[str, AdapterSpec] | None = None
    credentials: Path | None = None
    hints: Mapping[str, HintSource] = {}


class Wired(msgspec.Struct, frozen=True):
    """The connections of a configuration, and what must be closed after them."""

    network: Network
    open: tuple[Transport | HintSource, ...]

    async def close(self) -> None:
        for one in self.open:
            await one.close()


class Assembly(msgspec.Struct, frozen=True):
    """A daemon, ready to run, and what it stands on."""

    core: Core
    network: Network
    daemon: Daemon
    wired: Wired

    async def close(self) -> None:
        await self.wired.close()
        await self.core.store.close()


class SqliteConnect(Protocol):
    def __call__(self, database: str, **options: Any) -> Any: ...


async def build(
    config: Config,
    *,
    clock: AlarmClock,
    random: Random,
    observer: Observer,
    transport: Transport | None = None,
    crash: CrashPoints | None = None,
    sqlite_connect: SqliteConnect | None = None,
    adapters: Mapping[str, AdapterSpec] | None = None,
    credentials: Path | None = None,
    hints: Mapping[str, HintSource] | None = None,
) -> Assembly:
    """Take the store (StoreLocked if another holds it) and put a daemon together. The caller closes the Assembly.

    ConfigError before anything is opened where the configuration is at fault.
    """
    surroundings = Surroundings(clock, random, observer, transport, adapters, credentials, hints or {})
    kept = _KeptTokens(config.daemon.merchant)
    wired = connect(config, surroundings, kept)
    points = crash or crash_points(os.environ)
    try:
        store = await open_for(
            config, clock, random, points, sqlite_connect=sqlite_connect, credentials=credentials
        )
    except BaseException:
        await wired.close()
        raise
    kept.store = store
    core = Core(MerchantId(config.daemon.merchant), store, clock, random, observer, points)
    try:
        await _remember(core, wired.network, config)
    except BaseException:
        await wired.close()
        await store.close()
        raise
    return Assembly(core, wired.network, Daemon(core, wired.network), wired)


async def refuse_other_merchant(unit: Unit, config: Config) -> None:
    """Under another name every open order would be a new one, and be created once more. ConfigError."""
    merchant, known = config.daemon.merchant, await connections.merchants(unit)
    if known and merchant not in known:
        raise ConfigError(
            f"daemon.merchant: the database in {database_location(config)} is of merchant {known[0]!r}, not of {merchant!r}: "
            "the name of a merchant never changes, and each merchant has a state_dir, or a database, of its own"
        )


async def open_for(
    config: Config,
    clock: AlarmClock,
    random: Random,
    crash: CrashPoints,
    *,
    read_only: bool = False,
    sqlite_connect: SqliteConnect | None = None,
    credentials: Path | None = None,
) -> Store:
    """The store that the configuration names."""
    location = database_location(config)
    if config.daemon.database_password is not None:
        secret = read_secret(config.daemon.database_password, credentials)
        location = _with_password(location, uncovered({"password": secret})["password"])
    return await open_store(
        location, clock, random, crash, read_only=read_only, sqlite_connect=sqlite_connect
    )


class _KeptTokens:
    """A TokenStore in our own store, which is opened after the connections are put together."""

    def __init__(self, merchant: str) -> None:
        self.store: Store | None = None
        self._merchant = merchant

    async def load(self, credential: str) -> str | None:
        name = f"{self._merchant}/{credential}"
        return await self._opened().read(lambda unit: tokens.load(unit, name))

    async def save(self, credential: str, token: str) -> None:
        name = f"{self._merchant}/{credential}"
        await self._opened().write(lambda unit: tokens.save(unit, name, token))

    def _opened(self) -> Store:
        if self.store is None:
            raise StoreError("the store is not open yet")
        return self.store


def connect(config: Config, surroundings: Surroundings, kept: TokenStore | None = None) -> Wired:
    """The connections alone: nothing is called, nothing is changed. `kept` keeps tokens beyond the life of the process."""
    specs = installed_adapters() if surroundings.adapters is None else surroundings.adapters
    shared = _Shared(surroundings, kept or MemoryTokens())
    marketplaces: dict[ConnectionId, MarketplaceLink] = {}
    back_offices: dict[ConnectionId, BackOfficeLink] = {}
    for name, chosen in config.connections.items():
        spec = _spec(specs, name, chosen)
        planned = _plan(spec, name, chosen.settings, surroundings)
        http = shared.client(name, planned.plan)
        merchant, connection = MerchantId(config.daemon.merchant), ConnectionId(name)
        adapter: Any = spec.build(
            BuildContext(merchant, connection, http, surroundings.clock), planned.settings
        )
        gate = Gate(name, surroundings.clock, surroundings.random, surroundings.observer)
        if isinstance(chosen, MarketplaceConfig):
            settled = marketplace_settings(_with_defaults(chosen, spec))
            pushes = _pushes(config, name, planned, adapter)
            marketplaces[connection] = MarketplaceLink(
                connection,
                adapter,
                http,
                gate,
                settled,
                Wake(),
                Wake(),
                Wake(),
                Wake(),
                planned.hints,
                pushes,
            )
        else:
            back_offices[connection] = BackOfficeLink(
                connection, adapter, http, gate, back_office_settings(chosen), Wake(), Wake(), Wake(), Wake()
            )
    sources = [link.hints for link in marketplaces.values() if link.hints is not None]
    return Wired(Network(marketplaces, back_offices), (*shared.transports, *sources))


def _with_defaults(chosen: MarketplaceConfig, spec: AdapterSpec) -> MarketplaceConfig:
    """What the file leaves out is as the adapter's vendor needs it, if that is said, else as everywhere."""
    left = {name: value for name, value in spec.defaults.items() if name not in chosen.model_fields_set}
    return chosen.model_copy(update=left)


def marketplace_settings(chosen: MarketplaceConfig) -> MarketplaceSettings:
    return MarketplaceSettings(
        back_office=ConnectionId(chosen.back_office),
        import_from=chosen.import_from,
        poll_seconds=chosen.poll_seconds,
        deep_span_seconds=chosen.deep_span_seconds,
        deep_period_seconds=chosen.deep_period_seconds,
        open_read_seconds=chosen.open_read_seconds,
        publish_seconds=chosen.publish_seconds,
        in_flight_max=chosen.in_flight_max,
        switches=Switches(chosen.import_fulfilled, chosen.fulfilled_touch_stock, chosen.fulfilled_ship),
        accept=AcceptPolicy(chosen.accept_automatic, chosen.accept_price_tolerance_percent),
        stock=Policy(chosen.stock_threshold, chosen.stock_buffer, chosen.stock_cap),
        writes_per_day=chosen.stock_writes_per_day,
        day_zone=chosen.stock_day_zone,
    )


def back_office_settings(chosen: BackOfficeConfig) -> BackOfficeSettings:
    return BackOfficeSettings(
        shipments_seconds=chosen.shipments_seconds,
        stock_sweep_seconds=chosen.stock_sweep_seconds,
        stock_by_name_seconds=chosen.stock_by_name_seconds,
        in_flight_max=chosen.in_flight_max,
        skew_seconds=chosen.skew_seconds,
    )


def _spec(
    specs: Mapping[str, AdapterSpec], name: str, chosen: MarketplaceConfig | BackOfficeConfig
) -> AdapterSpec:
    place = f"connections.{name}.adapter"
    try:
        spec = specs.get(chosen.adapter)
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from None
    if spec is None:
        known = ", ".join(sorted(specs)) or "none"
        meant = did_you_mean(chosen.adapter, tuple(specs))
        raise ConfigError(f"{place}: no adapter {chosen.adapter!r} is installed; there are: {known}{meant}")
    role = Role.MARKETPLACE if isinstance(chosen, MarketplaceConfig) else Role.BACK_OFFICE
    if spec.role is not role:
        word = "needs a back_office" if spec.role is Role.MARKETPLACE else "has no back_office, it is one"
        raise ConfigError(f"connections.{name}: {chosen.adapter} {word}")
    return spec


class _Planned(msgspec.Struct, frozen=True):
    plan: ConnectionPlan
    settings: msgspec.Struct
    hints: HintSource | None
    pushes: Callable[[Any], Pushes | None]


def _plan(spec: AdapterSpec, name: str, stated: Mapping[str, Any], surroundings: Surroundings) -> _Planned:
    place = f"connections.{name}.settings"
    above = (MarketplaceConfig if spec.role is Role.MARKETPLACE else BackOfficeConfig).model_fields
    settings = settings_of(spec.settings, stated, place, above)
    secrets = _secrets(spec, settings, place, surroundings.credentials)
    try:
        hints = surroundings.hints.get(name) or (spec.hints(settings, secrets) if spec.hints else None)
        pushes = partial(spec.pushes, settings, secrets) if spec.pushes else lambda _: None
        return _Planned(spec.plan(settings, secrets), settings, hints, pushes)
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from None


def _secrets(
    spec: AdapterSpec, settings: msgspec.Struct, place: str, credentials: Path | None
) -> dict[str, str]:
    found = {}
    for key in spec.secrets:
        if named := str(getattr(settings, key)):
            try:
                found[key] = read_secret(named, credentials)
            except ConfigError as error:
                raise ConfigError(f"{place}.{key}: {error}") from None
    return uncovered(found)


def _pushes(config: Config, name: str, planned: _Planned, adapter: Any) -> Pushes | None:
    try:
        pushes = planned.pushes(adapter)
    except ConfigError as error:
        raise ConfigError(f"connections.{name}.settings: {error}") from None
    if pushes is not None and not config.daemon.hints_listen:
        raise ConfigError(
            f"connections.{name}: it is to push its messages, and daemon.hints_listen names no address for them: "
            'give one, such as "127.0.0.1:9465"'
        )
    return pushes


class _Shared:
    """What connections of one credential have in common: the far side meters the account, and gives it one token."""

    def __init__(self, surroundings: Surroundings, kept: TokenStore) -> None:
        self.transports: list[Transport] = []
        self._surroundings = surroundings
        self._kept = kept
        self._budgets: dict[str, Budgets] = {}
        self._tokens: dict[str, Tokens] = {}

    def client(self, name: str, plan: ConnectionPlan) -> Http:
        around = self._surroundings
        budgets = self._budgets.setdefault(plan.credential, Budgets(around.clock))
        try:
            budgets.add(plan.budgets)
            return client_of(
                plan, name, transport=around.transport or self._transport(plan), clock=around.clock, random=around.random,
                observer=around.observer, budgets=budgets, tokens=self._token(plan),
            )  # fmt: skip
        except ConfigError as error:
            raise ConfigError(f"connections.{name}: {error}") from None

    def _token(self, plan: ConnectionPlan) -> Tokens | None:
        if not isinstance(plan.auth, OAuth2):
            return None
        fresh = Tokens(plan.auth, self._surroundings.clock, self._kept)
        return self._tokens.setdefault(plan.auth.account, fresh)

    def _transport(self, plan: ConnectionPlan) -> Transport:
        from marketsync.http.transport import AiohttpTransport

        transport = AiohttpTransport(self._surroundings.clock, allow_private=plan.allow_private)
        self.transports.append(transport)
        return transport


async def _remember(core: Core, network: Network, config: Config) -> None:
    """What is configured is known to the store, so that a person can name it; what is paused stays paused."""

    async def work(unit: Unit) -> None:
        await refuse_other_merchant(unit, config)
        for role, names in (("marketplace", network.marketplaces), ("back_office", network.back_offices)):
            for name in names:
                row = ConnectionRow(core.merchant, name, role, paused="", paused_by="", traits="")
                await connections.put(unit, row)
        await _show_left(unit, core, network)

    await core.store.write(work)


async def _show_left(unit: Unit, core: Core, network: Network) -> None:
    """Failure 70: work of a connection that left the configuration is untouched, and a person sees it until it is back."""
    work = await connections.open_work(unit, core.merchant)
    for row in await connections.all(unit, core.merchant):
        name, (writes, orders) = row.connection, work.get(row.connection, (0, 0))
        if network.link(name) is not None or not (writes or orders):
            await parked.release(unit, core.merchant, "connection", name)
            continue
        reason = f"it is not in the configuration: {writes} open writes and {orders} open orders wait for it"
        causes = (f"connection:{name}",)
        await parked.park(
            unit, Parked(core.merchant, "connection", name, name, reason, causes, core.clock.now())
        )


def _with_password(location: str, password: str) -> str:
    parts = urlsplit(location)
    user, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}").geturl()
