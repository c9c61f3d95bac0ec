from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from marketsync import config as configuration
from marketsync.bootstrap import back_office_settings, marketplace_settings
from marketsync.config import (
    BackOfficeConfig,
    Config,
    DaemonConfig,
    MarketplaceConfig,
    load,
    parse,
    read_secret,
    uncovered,
)
from marketsync.engine.context import BackOfficeSettings, MarketplaceSettings
from marketsync.errors import ConfigError
from tools.reference import EXAMPLE, comments, example

MARKET = {"adapter": "mirakl", "back_office": "shop", "import_from": "2026-01-01T00:00:00Z"}
SHOP = {"adapter": "woocommerce"}


def with_market(**keys: Any) -> dict[str, Any]:
    return {"connections": {"market": {**MARKET, **keys}, "shop": SHOP}}


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return path


def test_a_connection_that_names_its_back_office_is_a_marketplace() -> None:
    config = parse(with_market())
    assert list(config.marketplaces) == ["market"]
    assert list(config.back_offices) == ["shop"]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"deamon": {}}, "deamon: unknown key"),
        ({"daemon": {"state_dri": "/x"}}, "daemon.state_dri: unknown key"),
        (
            with_market(pol_seconds=3),
            "connections.market.pol_seconds: unknown key; did you mean `poll_seconds`?",
        ),
        (
            with_market(client_id="x"),
            "client_id: unknown key; what only the adapter knows stands in [connections.market.settings]",
        ),
        (
            with_market(stock_writes_per_day=0),
            "stock_writes_per_day: at least 5 (1000000 is as good as any number)",
        ),
        (
            {"connections": {"shop": {**SHOP, "poll_seconds": 3}}},
            "connections.shop.poll_seconds: unknown key",
        ),
        (
            {"connections": {"market": {"adapter": "m", "back_office": "shop"}}},
            "connections.market.import_from: missing",
        ),
        (
            with_market(fulfilled_ship=True),
            "connections.market.fulfilled_ship: such orders are not in the shop without import_fulfilled",
        ),
        (with_market(back_office="elsewhere"), "connections.market.back_office: no back-office 'elsewhere'"),
        (with_market(poll_seconds=0), "connections.market.poll_seconds: "),
        (with_market(import_from="2026-01-01T00:00:00"), "connections.market.import_from: "),
        (with_market(stock_buffer=-1), "connections.market.stock_buffer: "),
        ({"daemon": {"listen": "0.0.0.0:9464"}}, "daemon.listen: 0.0.0.0:9464 is not loopback"),
        ({"daemon": {"hints_listen": "0.0.0.0:9465"}}, "daemon.hints_listen: 0.0.0.0:9465 is not loopback"),
        ({"daemon": {"hints_listen": "9465"}}, "daemon.hints_listen: give it as"),
        (
            {"daemon": {"hints_listen": "127.0.0.1:9464"}},
            "daemon.hints_listen: 127.0.0.1:9464 is daemon.listen",
        ),
        ({"daemon": {"database": "mysql://h/x"}}, "daemon.database: not a postgresql:// address"),
        ({"daemon": {"drain_seconds": 90}}, "daemon.drain_seconds: "),
        ({"connections": {"A shop": SHOP}}, "connections.A shop: "),
    ],
)
@pytest.mark.failure(69)
def test_what_is_wrong_is_named(data: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(data)
    assert text in str(raised.value)


def test_elsewhere_is_listened_on_only_by_the_operators_word() -> None:
    assert (
        parse({"daemon": {"listen": "0.0.0.0:9464", "listen_elsewhere": True}}).daemon.listen
        == "0.0.0.0:9464"
    )
    assert parse({"daemon": {"listen": "[::1]:9464"}}).daemon.listen == "[::1]:9464"


@pytest.mark.parametrize(
    "data",
    [
        {"daemon": {"database_password": "hunter-canary"}},
        {"daemon": {"database": "postgresql://user:hunter-canary@host/name"}},
        with_market(poll_seconds="hunter-canary"),
        with_market(hunter={"api_key": "hunter-canary"}),
    ],
)
def test_a_value_never_shows_in_an_error(data: dict[str, Any]) -> None:
    """Somebody may have put a secret where it does not belong."""
    with pytest.raises(ConfigError) as raised:
        parse(data)
    assert "hunter-canary" not in str(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.failure(69)
def test_a_file_is_read_whole_or_refused_with_its_line(tmp_path: Path) -> None:
    assert load(written(tmp_path, "[daemon]\nmerchant = 'acme'\n")).daemon.merchant == "acme"
    with pytest.raises(ConfigError, match=r"config\.toml: not TOML: .*line 2"):
        load(written(tmp_path, "[daemon]\nmerchant = \n"))
    with pytest.raises(ConfigError, match="no such file"):
        load(tmp_path / "missing.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "bad.toml")


def test_without_a_path_the_two_places_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(configuration, "SYSTEM_PATH", tmp_path / "system.toml")
    with pytest.raises(ConfigError, match="--config"):
        load()
    written(tmp_path, "[daemon]\nmerchant = 'local'\n")
    assert load().daemon.merchant == "local"
    (tmp_path / "system.toml").write_text("[daemon]\nmerchant = 'system'\n")
    assert load().daemon.merchant == "system"


def test_the_environment_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAEMON", '{"merchant": "other"}')
    monkeypatch.setenv("daemon__merchant", "other")
    assert parse({}).daemon.merchant == "main"


# The example and the defaults


def test_the_example_parses_and_has_every_key() -> None:
    config = load(EXAMPLE)
    assert list(config.marketplaces) == ["market"]
    said = comments()
    for section, model in (
        ("daemon", DaemonConfig),
        ("market", MarketplaceConfig),
        ("shop", BackOfficeConfig),
    ):
        for key in set(model.model_fields) - {"settings"}:
            assert said.get((section, key)), f"{section}.{key} is not in the example, or has no comment"


def test_the_example_says_the_defaults() -> None:
    stated = example()
    for chosen, model in (
        (stated["daemon"], DaemonConfig),
        (stated["connections"]["market"], MarketplaceConfig),
        (stated["connections"]["shop"], BackOfficeConfig),
    ):
        for key, value in chosen.items():
            field = model.model_fields[key]
            if not field.is_required() and key != "settings":
                default = str(field.default) if isinstance(field.default, Path) else field.default
                assert (key, value) == (key, default)


def test_the_defaults_are_the_engines() -> None:
    config = parse(with_market())
    plain = MarketplaceSettings(back_office="shop", import_from=config.marketplaces["market"].import_from)  # type: ignore[arg-type]
    assert marketplace_settings(config.marketplaces["market"]) == plain
    assert back_office_settings(config.back_offices["shop"]) == BackOfficeSettings()


def test_every_setting_of_the_engine_can_be_configured() -> None:
    config = parse(
        with_market(
            poll_seconds=1, deep_span_seconds=2, deep_period_seconds=3, open_read_seconds=4, publish_seconds=5,
            in_flight_max=6, import_fulfilled=True, fulfilled_touch_stock=True, fulfilled_ship=True, accept_automatic=False,
            accept_price_tolerance_percent=7, stock_threshold=8, stock_buffer=9, stock_cap=10, stock_writes_per_day=11, stock_day_zone="Europe/Berlin",
        )
    )  # fmt: skip
    built = msgspec.to_builtins(marketplace_settings(config.marketplaces["market"]))
    plain = msgspec.to_builtins(marketplace_settings(parse(with_market()).marketplaces["market"]))
    same = {key for key in built if built[key] == plain[key]}
    assert same == {"back_office", "import_from"}


# Secrets


def test_a_credential_is_read_from_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("s3cret-canary\n")
    secret = read_secret("cred:key", tmp_path)
    assert uncovered({"k": secret}) == {"k": "s3cret-canary"}
    assert "canary" not in repr(secret)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert uncovered({"k": read_secret("cred:key")}) == {"k": "s3cret-canary"}
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    with pytest.raises(ConfigError, match="LoadCredential=key"):
        read_secret("cred:key")


def test_a_secret_file_is_0600_and_ours(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("s3cret-canary")
    path.chmod(0o600)
    assert uncovered({"k": read_secret(f"file:{path}")}) == {"k": "s3cret-canary"}
    for mode in (0o640, 0o604, 0o700):
        path.chmod(mode)
        with pytest.raises(ConfigError, match="chmod 600"):
            read_secret(f"file:{path}")


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file away takes root")
def test_somebody_elses_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("s3cret-canary")
    path.chmod(0o600)
    os.chown(path, 12345, 12345)
    with pytest.raises(ConfigError, match="not owned"):
        read_secret(f"file:{path}")


@pytest.mark.parametrize("named", ["hunter-canary", "cred:", "cred:../x", "file:relative", "env:X", ""])
def test_a_secret_is_named_and_never_stated(named: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        read_secret(named, tmp_path)
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines", b"\xff", b"x" * 70_000])
def test_what_is_no_secret_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(ConfigError, match="cred:key"):
        read_secret("cred:key", tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_secret("cred:other", tmp_path)


def test_the_configuration_itself_is_frozen() -> None:
    config = parse({})
    with pytest.raises(ValueError, match="frozen"):
        config.daemon = DaemonConfig()
    assert isinstance(config, Config)
