"""Adapters that are installed and can't be used: only who names one hears of it, and what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from marketsync.bootstrap import Surroundings, connect
from marketsync.config import Config, parse
from marketsync.errors import ConfigError
from marketsync.installed import installed_adapters
from marketsync.ops.clock import SystemClock, SystemRandom
from marketsync.ops.observe import Silence

ROOT = Path(__file__).parents[3]
SOUND = "from adapters.rest import SHOP as ADAPTER\n"


class Site:
    """A directory of packages, as an installer leaves it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, name: str, text: str, *, package: str = "") -> None:
        package = package or f"marketsync-{name}"
        module = package.replace("-", "_")
        (self.folder / f"{module}.py").write_text(text)
        info = self.folder / f"{module}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[marketsync.adapters]\n{name} = {module}:ADAPTER\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return Site(folder)


def shop(tmp_path: Path, adapter: str) -> Config:
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    secret.write_text("letters")
    settings = {"url": "https://shop.invalid", "token": f"file:{secret}"}
    return parse({"connections": {"shop": {"adapter": adapter, "settings": settings}}})


async def wire(config: Config) -> None:
    await connect(config, Surroundings(SystemClock(), SystemRandom(), Silence())).close()


async def refusal(config: Config) -> str:
    with pytest.raises(ConfigError) as refused:
        await wire(config)
    return str(refused.value)


async def test_one_that_nobody_names_is_not_even_imported(site: Site, tmp_path: Path) -> None:
    site.install("acme", "raise RuntimeError\n")
    site.install("other", SOUND)
    assert {"acme", "other", "rest-shop"} <= set(installed_adapters())
    await wire(shop(tmp_path, "other"))
    assert "marketsync_other" in sys.modules
    assert "marketsync_acme" not in sys.modules


async def test_a_missing_module_is_named_and_who_wants_it(site: Site, tmp_path: Path) -> None:
    site.install("acme", "import acme_sdk_of_theirs\n")
    said = await refusal(shop(tmp_path, "acme"))
    assert said.startswith(
        "connections.shop.adapter: the adapter 'acme' of marketsync-acme 1.2 can't be loaded: "
        "ModuleNotFoundError, there is no module 'acme_sdk_of_theirs'; install what brings it"
    )
    assert "-c 'import marketsync_acme'" in said


async def test_what_else_it_raises_is_told_by_its_class_alone(site: Site, tmp_path: Path) -> None:
    site.install("acme", "raise LookupError('canary')\n")
    said = await refusal(shop(tmp_path, "acme"))
    assert (
        "'acme' of marketsync-acme 1.2 can't be loaded: LookupError when it was imported; another version"
        in said
    )
    assert "canary" not in said


async def test_what_is_no_adapter_is_refused(site: Site, tmp_path: Path) -> None:
    site.install("acme", "ADAPTER = 'acme'\n")
    assert "marketsync_acme:ADAPTER is no AdapterSpec" in await refusal(shop(tmp_path, "acme"))


async def test_two_packages_of_one_name_are_not_guessed_between(site: Site, tmp_path: Path) -> None:
    site.install("acme", SOUND)
    site.install("acme", SOUND, package="acme-of-another")
    said = await refusal(shop(tmp_path, "acme"))
    assert "bring an adapter 'acme': acme-of-another 1.2, marketsync-acme 1.2; uninstall all but one" in said


async def test_an_unknown_name_is_met_by_those_that_there_are(site: Site, tmp_path: Path) -> None:
    site.install("acme", "raise RuntimeError\n")
    said = await refusal(shop(tmp_path, "acmee"))
    assert "connections.shop.adapter: no adapter 'acmee' is installed; there are: acme, amazon, " in said
    assert said.endswith("; did you mean `acme`?")


@pytest.mark.parametrize("adapter, code", [("acme", 78), ("rest-shop", 1)])
def test_the_program_goes_on_without_it(site: Site, tmp_path: Path, adapter: str, code: int) -> None:
    """`check` gets as far as the shop that does not answer."""
    site.install("acme", "import acme_sdk_of_theirs\n")
    secret = tmp_path / "key"
    secret.touch(mode=0o600)
    secret.write_text("letters")
    file = tmp_path / "config.toml"
    file.write_text(
        f'[connections.shop]\nadapter = "{adapter}"\n[connections.shop.settings]\n'
        f'url = "http://127.0.0.1:9"\ntoken = "file:{secret}"\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "marketsync", "--config", str(file), "check"], cwd=ROOT, capture_output=True,
        text=True, timeout=60, check=False, env={**os.environ, "PYTHONPATH": str(site.folder)},
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
