"""What a person meets who sets it up wrong: one line that names the place and says what to do, and an exit code."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from adapters.mirakl import ADAPTER as MIRAKL
from adapters.woocommerce import ADAPTER as WOOCOMMERCE
from marketsync import bootstrap
from marketsync.cli import calling
from marketsync.cli.main import cli
from marketsync.ops.clock import SystemClock, SystemRandom
from marketsync.ops.crash import NoCrash
from marketsync.store.store import open_store

ROOT = Path(__file__).parents[3]
CANARY = "s3cret-canary"
Answer = tuple[int, str, bytes]

PLATFORM = json.dumps({"platform_name": "Sandbox", "timezone": "Europe/Paris", "features": {}}).encode()
CARRIERS = b'{"carriers": []}'


class Done(NamedTuple):
    exit_code: object
    stdout: str
    stderr: str


class Setup:
    """A configuration with one marketplace at `url` and one shop, and the command line that reads it."""

    def __init__(self, folder: Path, url: str, capfd: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capfd = capfd
        self.url = url
        self.secret = folder / "secret"
        self.secret.touch(mode=0o600)
        self.secret.write_text(CANARY)
        self.state = folder / "state"

    def text(self) -> str:
        return f"""
            [daemon]
            state_dir = "{self.state}"
            [connections.market]
            adapter = "mirakl"
            back_office = "shop"
            import_from = 2026-01-01T00:00:00Z
            [connections.market.settings]
            url = "{self.url}"
            api_key = "file:{self.secret}"
            [connections.shop]
            adapter = "woocommerce"
            [connections.shop.settings]
            url = "https://shop.invalid"
            consumer_key = "file:{self.secret}"
            consumer_secret = "file:{self.secret}"
            """

    def call(self, *words: str, text: str | None = None) -> Done:
        path = self.folder / "config.toml"
        path.write_text(self.text() if text is None else text)
        calling._loaded.cache_clear()
        with pytest.raises(SystemExit) as ended:
            cli.main(args=["--config", str(path), *words], prog_name="marketsync")
        out, err = self._capfd.readouterr()
        assert CANARY not in out + err
        return Done(ended.value.code, out, err)

    def problem(self) -> str:
        """What `check` finds wrong with the marketplace."""
        done = self.call("check", "--json")
        assert done.exit_code == 1, done.stderr
        found = {row["connection"]: row for row in json.loads(done.stdout)}
        assert found["market"]["well"] is False
        return "; ".join(found["market"]["problems"])


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    adapters = {"mirakl": MIRAKL, "woocommerce": WOOCOMMERCE}
    monkeypatch.setattr(bootstrap, "installed_adapters", lambda: adapters)


@pytest.fixture
def setup(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Setup:
    return Setup(tmp_path, "http://127.0.0.1:9", capfd)


class Vendor:
    """A server that answers every GET by `answer(path)`; its clock is `ahead` of ours."""

    def __init__(self) -> None:
        self.answer: Callable[[str], Answer] = lambda path: (
            200, "application/json", CARRIERS if "carriers" in path else PLATFORM,
        )  # fmt: skip
        self.ahead = timedelta()
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, kind, body = vendor.answer(self.path)
                self.send_response_only(status)
                self.send_header("Date", format_datetime(datetime.now(UTC) + vendor.ahead, usegmt=True))
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - the library's name

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def vendor(setup: Setup) -> Iterator[Vendor]:
    made = Vendor()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    setup.url = made.url
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


# The file


FILES: list[tuple[str, Callable[[str], str], str]] = [
    ("not TOML", lambda text: text + "\nx =", "config.toml: not TOML: "),
    ("a section misspelt", lambda text: text.replace("[daemon]", "[deamon]"), "deamon: unknown key"),
    (
        "a key misspelt",
        lambda text: text.replace("back_office =", "poll_secnods = 3\nback_office ="),
        "connections.market.poll_secnods: unknown key; did you mean `poll_seconds`?",
    ),
    (
        "a setting misspelt",
        lambda text: text.replace("api_key =", "shop_ed = 3\napi_key ="),
        "connections.market.settings: unknown key `shop_ed`; did you mean `shop_id`?",
    ),
    (
        "a setting missing",
        lambda text: "\n".join(line for line in text.splitlines() if "api_key" not in line),
        "connections.market.settings: missing `api_key`",
    ),
    (
        "a shop misspelt",
        lambda text: text.replace('back_office = "shop"', 'back_office = "shoop"'),
        "connections.market.back_office: no back-office 'shoop' is configured; there are: shop",
    ),
    (
        "an adapter misspelt",
        lambda text: text.replace('"mirakl"', '"mirakle"'),
        "no adapter 'mirakle' is installed; there are: mirakl, woocommerce",
    ),
    (
        "a time without its zone",
        lambda text: text.replace("00:00:00Z", "00:00:00"),
        "give the time with its zone, such as 2026-01-01T00:00:00Z",
    ),
    (
        "a secret in the file",
        lambda text: text.replace('api_key = "file:', f'api_key = "{CANARY}'),
        'connections.market.settings.api_key: a secret is only named: "cred:NAME" or "file:/absolute/path"',
    ),
    (
        "no such secret",
        lambda text: text.replace('/secret"', '/nothing"'),
        "write the secret there, for this user alone (chmod 600)",
    ),
    (
        "a url without its scheme",
        lambda text: text.replace("http://127.0.0.1:9", "market.example"),
        "connections.market: the url must be http(s)://host[:port][/path]",
    ),
    (
        "a secret over plain http",
        lambda text: text.replace("127.0.0.1:9", "market.example"),
        "connections.market: the url is plain http and the secret would travel bare: say https",
    ),
]


@pytest.mark.failure(69)
@pytest.mark.parametrize("word", ["check", "run"])
@pytest.mark.parametrize(("change", "said"), [row[1:] for row in FILES], ids=[row[0] for row in FILES])
def test_a_file_at_fault_is_78_with_one_line(
    setup: Setup, word: str, change: Callable[[str], str], said: str
) -> None:
    changed = change(setup.text())
    assert changed != setup.text()
    done = setup.call(word, text=changed)
    assert done.exit_code == 78
    lines = [line for line in done.stderr.splitlines() if line.startswith("marketsync: ")]
    assert len(lines) == 1
    assert said in lines[0]
    assert not setup.state.exists()


@pytest.mark.failure(69)
def test_a_secret_that_others_may_read_is_named_with_its_remedy(setup: Setup) -> None:
    setup.secret.chmod(0o644)
    done = setup.call("check")
    assert done.exit_code == 78
    assert f"others may read it; chmod 600 {setup.secret}" in done.stderr


# The far side


@pytest.mark.failure(43)
def test_a_marketplace_that_is_not_there(setup: Setup) -> None:
    assert setup.problem() == "no connection to 127.0.0.1: check the url, and whether this machine reaches it"


@pytest.mark.failure(38)
def test_a_wrong_credential(setup: Setup, vendor: Vendor) -> None:
    vendor.answer = lambda path: (401, "application/json", b'{"message": "no"}')
    assert setup.problem() == (
        "PC01: the credentials were refused (HTTP 401): correct them, then resume the connection"
    )


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (404, "PC01 was refused with HTTP 404: check the url, the API is not there"),
        (301, "PC01 was refused with HTTP 301: check the url, the API is not there"),
        (410, "PC01 was refused with HTTP 410: check what the credentials may do"),
        (403, "PC01: the API key may not do this (HTTP 403)"),
    ],
)
def test_a_wrong_url_or_a_weak_credential(setup: Setup, vendor: Vendor, status: int, said: str) -> None:
    vendor.answer = lambda path: (status, "text/html", b"<html>")
    assert setup.problem() == said


@pytest.mark.failure(13)
def test_a_web_page_instead_of_an_api(setup: Setup, vendor: Vendor) -> None:
    vendor.answer = lambda path: (200, "text/html", b"<!doctype html><title>Sign in</title>")
    said = setup.problem()
    assert said.startswith("unusable answer (HTTP 200, 37 bytes, sha256 ")
    assert said.endswith("it is not JSON in UTF-8: check the url, and whether this machine reaches it")


@pytest.mark.failure(4)
@pytest.mark.parametrize("minutes", [-20, 20])
def test_a_clock_that_is_wrong_is_said_with_what_to_set(setup: Setup, vendor: Vendor, minutes: int) -> None:
    vendor.ahead = timedelta(minutes=minutes)
    said = setup.problem()
    assert said.startswith(f"its clock differs from ours by {'-' if minutes < 0 else ''}1")
    assert said.endswith(" s: set this machine's clock")


def test_one_that_is_well_is_well_beside_one_that_is_not(setup: Setup, vendor: Vendor) -> None:
    done = setup.call("check")
    assert done.exit_code == 1
    market, shop = (line for line in done.stdout.splitlines() if line.startswith(("market ", "shop ")))
    assert " well " in market
    assert "not well" in shop
    assert "the name shop.invalid was not found" in shop


# The store


@pytest.mark.failure(57)
def test_a_store_that_is_no_database(setup: Setup) -> None:
    setup.state.mkdir(mode=0o700)
    (setup.state / "marketsync.sqlite3").write_bytes(b"not a database, but long enough" * 100)
    for words in (("run",), ("status",), ("parked", "list")):
        done = setup.call(*words)
        assert done.exit_code == 1
        assert "restore the newest verified backup" in done.stderr
        assert "Traceback" not in done.stderr


async def _new_store(state: Path) -> None:
    store = await open_store(str(state), SystemClock(), SystemRandom(), NoCrash())
    await store.close()


@pytest.mark.failure(57)
def test_a_store_with_flipped_bytes_is_found_and_refused(setup: Setup) -> None:
    """In its first page the file is no database any more; deeper down the daily check finds it."""
    setup.state.mkdir(mode=0o700)
    asyncio.run(_new_store(setup.state))
    path = setup.state / "marketsync.sqlite3"
    whole = bytearray(path.read_bytes())
    whole[100:3000] = bytes(byte ^ 0xFF for byte in whole[100:3000])
    path.write_bytes(whole)
    done = setup.call("status")
    assert done.exit_code == 1
    assert done.stderr.startswith("marketsync: ")
    assert "backup" in done.stderr


@pytest.mark.failure(55)
def test_a_state_directory_that_cannot_be(setup: Setup) -> None:
    setup.state.write_text("a file where a directory should be")
    done = setup.call("run")
    assert done.exit_code == 1
    assert f"the state directory {setup.state} can't be used: " in done.stderr


@pytest.mark.failure(65)
@pytest.mark.parametrize("point", ["store.before_commit:1", "store.before_commit:2", "store.after_commit:2"])
def test_a_migration_that_was_killed_is_gone_on_with(setup: Setup, point: str) -> None:
    """A real process, killed by SIGKILL half-way: a reader says what to do, and the next start does it."""
    bare = f'[daemon]\nstate_dir = "{setup.state}"\nlisten = "127.0.0.1:0"\n'
    (setup.folder / "config.toml").write_text(bare)
    command = [sys.executable, "-m", "marketsync", "--config", str(setup.folder / "config.toml"), "run"]
    environment = {**os.environ, "MARKETSYNC_CRASH_AT": point}
    killed = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    told = setup.call("status", text=bare)
    assert told.exit_code == 1
    assert "start the daemon" in told.stderr
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) as again:
        assert again.stderr is not None
        assert b"daemon.was_started" in again.stderr.readline()
        again.send_signal(signal.SIGTERM)
        assert again.wait(60) == 0
    assert setup.call("status", text=bare).exit_code == 0
