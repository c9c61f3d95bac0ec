"""The configuration file: every key with its default, and where secrets are read.

`Config` is the schema; `load` reads a file into it. A secret is only ever named here, `cred:NAME` or `file:/path`.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    SecretStr,
    Tag,
    ValidationError,
)
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from marketsync.errors import ConfigError

SYSTEM_PATH = Path("/etc/marketsync/config.toml")
LOCAL_PATH = Path("config.toml")
SECRET_BYTES_MAX = 64 * 1024
NAME = r"^[a-z0-9][a-z0-9_-]{0,31}$"
CREDENTIAL = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")
ADDRESS = r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}"
LOOPBACK = ("127.", "[::1]:", "localhost:")
EXAMPLES = {"daemon.listen": "127.0.0.1:9464", "daemon.hints_listen": "127.0.0.1:9465"}
_TAGS = ("marketplace", "back_office")
NEEDS_ZONE = "give the time with its zone, such as 2026-01-01T00:00:00Z"

Seconds = Annotated[float, Field(gt=0, le=366 * 86400)]
Units = Annotated[int, Field(ge=0, le=10_000_000)]
Name = Annotated[str, Field(pattern=NAME)]


def _aware(value: object) -> object:
    """TOML also has dates and local times: which instant they mean would be a guess."""
    if isinstance(value, datetime) and value.tzinfo is None:
        raise ValueError(NEEDS_ZONE)
    return value


def _secret_name(value: str) -> str:
    try:
        secret_kind(value)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise ValueError("no such time zone; they are named as America/Los_Angeles is") from None
    return value


Zone = Annotated[str, AfterValidator(_zone)]
Moment = Annotated[AwareDatetime, BeforeValidator(_aware)]
SecretName = Annotated[str, AfterValidator(_secret_name)]


class _Section(BaseModel):
    # Built once, with the whole file's schema, and not once more for each section.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)


class DaemonConfig(_Section):
    """`[daemon]`: one process and its store."""

    state_dir: Path = Path("/var/lib/marketsync")
    database: str = ""
    database_password: SecretName | None = None
    merchant: Name = "main"
    listen: Annotated[str, Field(pattern=rf"^{ADDRESS}$")] = "127.0.0.1:9464"
    hints_listen: Annotated[str, Field(pattern=rf"^({ADDRESS})?$")] = ""
    listen_elsewhere: bool = False
    log_format: Literal["auto", "json", "console"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    drain_seconds: Annotated[float, Field(gt=0, le=45)] = 43.0
    keep_days: Annotated[int, Field(ge=7, le=3650)] = 90


class MarketplaceConfig(_Section):
    """`[connections.NAME]` of a marketplace: a connection that names its `back_office`."""

    adapter: Name
    back_office: Name
    import_from: Moment
    poll_seconds: Seconds = 60.0
    deep_span_seconds: Seconds = 3 * 86400.0
    deep_period_seconds: Seconds = 6 * 3600.0
    open_read_seconds: Seconds = 12 * 3600.0
    publish_seconds: Seconds = 60.0
    in_flight_max: Annotated[int, Field(ge=1, le=64)] = 8
    import_fulfilled: bool = False
    fulfilled_touch_stock: bool = False
    fulfilled_ship: bool = False
    accept_automatic: bool = True
    accept_price_tolerance_percent: Annotated[Decimal, Field(ge=0, le=100)] | None = None
    stock_threshold: Units = 0
    stock_buffer: Units = 0
    stock_cap: Units | None = None
    stock_writes_per_day: Annotated[int, Field(ge=5, le=1_000_000)] | None = None
    stock_day_zone: Zone = "UTC"
    settings: dict[str, Any] = {}


class BackOfficeConfig(_Section):
    """`[connections.NAME]` of a shop: a connection without a `back_office`."""

    adapter: Name
    shipments_seconds: Seconds = 60.0
    stock_sweep_seconds: Seconds = 900.0
    stock_by_name_seconds: Seconds = 5.0
    in_flight_max: Annotated[int, Field(ge=1, le=64)] = 8
    skew_seconds: Seconds = 300.0
    settings: dict[str, Any] = {}


def _role(value: object) -> str:
    names = value if isinstance(value, Mapping) else vars(value)
    return "marketplace" if "back_office" in names else "back_office"


Connection = Annotated[
    Annotated[MarketplaceConfig, Tag("marketplace")] | Annotated[BackOfficeConfig, Tag("back_office")],
    Discriminator(_role),
]


class Config(BaseSettings):
    """The whole file. Nothing is taken from the environment."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True
    )

    daemon: DaemonConfig = DaemonConfig()
    connections: dict[Name, Connection] = {}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        if settings_cls.model_config.get("toml_file") is None:
            return (init_settings,)
        return (TomlConfigSettingsSource(settings_cls),)

    @property
    def marketplaces(self) -> dict[str, MarketplaceConfig]:
        return {name: c for name, c in self.connections.items() if isinstance(c, MarketplaceConfig)}

    @property
    def back_offices(self) -> dict[str, BackOfficeConfig]:
        return {name: c for name, c in self.connections.items() if isinstance(c, BackOfficeConfig)}


def load(path: Path | None = None) -> Config:
    """Read and check the file. Without a path: /etc/marketsync/config.toml, else ./config.toml. ConfigError says what is wrong."""
    found = path or next((p for p in (SYSTEM_PATH, LOCAL_PATH) if p.is_file()), None)
    if found is None:
        raise ConfigError(
            f"no configuration: neither {SYSTEM_PATH} nor ./{LOCAL_PATH} exists; name one by --config"
        )
    if not found.is_file():
        raise ConfigError(f"{found}: no such file")

    class FromFile(Config):
        model_config = SettingsConfigDict(toml_file=found)

    try:
        config = FromFile()
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{found}: not TOML: {error}") from None
    except ValidationError as error:
        raise ConfigError(f"{found}: " + "; ".join(_texts(error))) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{found}: cannot be read ({type(error).__name__})") from None
    _check(config, found)
    return config


def parse(data: Mapping[str, Any]) -> Config:
    """The same checks for a configuration that is in memory."""
    try:
        config = Config(**data)
    except ValidationError as error:
        raise ConfigError("; ".join(_texts(error))) from None
    _check(config, None)
    return config


def database_location(config: Config) -> str:
    """What the store opens: the PostgreSQL address without a password, or the state directory."""
    return config.daemon.database or str(config.daemon.state_dir)


def read_secret(named: str, credentials: Path | None = None) -> SecretStr:
    """The value behind `cred:NAME` or `file:/path`. `credentials` stands for $CREDENTIALS_DIRECTORY.

    ConfigError where it is missing, empty, readable by others, or somebody else's.
    """
    kind, rest = secret_kind(named)
    if kind == "file":
        path = Path(rest)
        _check_private(path)
    else:
        folder = credentials or _credentials_directory(rest)
        path = folder / rest
    try:
        value = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"secret {named}: {_missing(path, error)}") from None
    return _secret(named, value)


def uncovered(secrets: Mapping[str, SecretStr]) -> dict[str, str]:
    """The only place where a secret is taken out of its cover: on its way into an adapter's plan or the database's driver."""
    return {name: secret.get_secret_value() for name, secret in secrets.items()}


def secret_kind(named: str) -> tuple[str, str]:
    """(`cred` or `file`, the rest). ConfigError for a secret that is not named but stated: its text is not repeated."""
    kind, _, rest = named.partition(":")
    if kind == "cred" and CREDENTIAL.match(rest):
        return kind, rest
    if kind == "file" and rest.startswith("/"):
        return kind, rest
    raise ConfigError('a secret is only named: "cred:NAME" or "file:/absolute/path"')


def _credentials_directory(name: str) -> Path:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise ConfigError(
            f"secret cred:{name}: no $CREDENTIALS_DIRECTORY here; the service has it by LoadCredential={name}:/path; by hand say"
            " CREDENTIALS_DIRECTORY=/the/directory/of/the/secrets before the command, or use file:/path"
        )
    return Path(folder)


def _check_private(path: Path) -> None:
    try:
        found = path.stat()
    except OSError as error:
        raise ConfigError(f"secret file:{path}: {_missing(path, error)}") from None
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"secret file:{path}: not a file")
    if found.st_uid != os.geteuid():
        raise ConfigError(f"secret file:{path}: not owned by the user who runs this")
    if stat.S_IMODE(found.st_mode) & 0o177:
        raise ConfigError(f"secret file:{path}: others may read it; chmod 600 {path}")


def _missing(path: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"cannot be read: there is no {path}; write the secret there, for this user alone (chmod 600)"
    return f"cannot be read: {error.strerror}"


def _secret(named: str, value: bytes) -> SecretStr:
    if len(value) > SECRET_BYTES_MAX:
        raise ConfigError(f"secret {named}: longer than {SECRET_BYTES_MAX} bytes")
    try:
        text = value.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ConfigError(f"secret {named}: not UTF-8 text") from None
    if not text or not text.isprintable():
        raise ConfigError(f"secret {named}: empty, or more than one line")
    return SecretStr(text)


def _check(config: Config, path: Path | None) -> None:
    place = f"{path}: " if path else ""
    for name, connection in config.marketplaces.items():
        if connection.back_office not in config.back_offices:
            raise ConfigError(
                f"{place}connections.{name}.back_office: no back-office {connection.back_office!r} is configured"
                f"; there are: {', '.join(config.back_offices) or 'none'}"
            )
        if connection.fulfilled_ship and not connection.import_fulfilled:
            raise ConfigError(
                f"{place}connections.{name}.fulfilled_ship: such orders are not in the shop without import_fulfilled"
            )
    _check_addresses(config.daemon, place)
    _check_database(config.daemon, place)


def _check_addresses(daemon: DaemonConfig, place: str) -> None:
    for key, listen in (("listen", daemon.listen), ("hints_listen", daemon.hints_listen)):
        if listen and not listen.startswith(LOOPBACK) and not daemon.listen_elsewhere:
            raise ConfigError(
                f"{place}daemon.{key}: {listen} is not loopback; say daemon.listen_elsewhere = true if it is meant"
            )
    if daemon.hints_listen == daemon.listen:
        raise ConfigError(f"{place}daemon.hints_listen: {daemon.listen} is daemon.listen already")


def _check_database(daemon: DaemonConfig, place: str) -> None:
    if not daemon.database:
        return
    scheme, _, rest = daemon.database.partition("://")
    if scheme not in {"postgresql", "postgres"}:
        raise ConfigError(f"{place}daemon.database: not a postgresql:// address; leave it out for SQLite")
    if ":" in rest.partition("@")[0] and "@" in rest:
        raise ConfigError(f"{place}daemon.database: holds a password; name it in daemon.database_password")


def _texts(error: ValidationError) -> Iterable[str]:
    for detail in error.errors(include_input=False, include_url=False):
        yield _text(detail)


def _text(detail: ErrorDetails) -> str:
    match [str(part) for part in detail["loc"] if part != "[key]"]:
        case ["connections", name, tag, *rest] if tag in _TAGS:
            key = ".".join(("connections", name, *rest))
        case parts:
            key = ".".join(parts)
    if detail["type"] == "extra_forbidden":
        return f"{key}: unknown key{_hint(detail)}"
    if key.endswith(".stock_writes_per_day") and detail["type"] == "greater_than_equal":
        return f"{key}: at least 5 (1000000 is as good as any number); to write no stock see the adapter's settings"
    if detail["type"] == "missing":
        return f"{key}: missing"
    if detail["type"] == "timezone_aware":
        return f"{key}: {NEEDS_ZONE}"
    if key in {"daemon.listen", "daemon.hints_listen"}:
        return f'{key}: give it as "address:port", such as "{EXAMPLES[key]}"'
    return f"{key}: {detail['msg'].removeprefix('Value error, ')}"


def _hint(detail: ErrorDetails) -> str:
    """Where the key may belong, or which one was meant."""
    from marketsync.http.settings import did_you_mean  # only a file at fault needs it

    match detail["loc"]:
        case ("connections", _, "back_office", "import_from"):
            # A connection without a back-office is read as a shop; this key tells that a marketplace was meant.
            return " of a shop; a marketplace names its back_office"
        case ("connections", name, ("marketplace" | "back_office") as role, str(key)):
            section = MarketplaceConfig if role == "marketplace" else BackOfficeConfig
            settings = f"; what only the adapter knows stands in [connections.{name}.settings]"
            return did_you_mean(key, section.model_fields) or settings
        case ("daemon", str(key)):
            return did_you_mean(key, DaemonConfig.model_fields)
        case (str(key),):
            return did_you_mean(key, Config.model_fields)
        case _:
            return ""
