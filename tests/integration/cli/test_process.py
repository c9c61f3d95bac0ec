"""The program as a person and as systemd meet it: real processes, real signals, a real socket."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError, URLError

import pytest

ROOT = Path(__file__).parents[3]
PATIENCE_SECONDS = 30


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Place:
    """A configuration without connections, and the commands that use it."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.state.mkdir(mode=0o700)
        self.config = folder / "config.toml"
        self.port = free_port()
        self.write("")

    def write(self, more: str) -> None:
        text = f'[daemon]\nstate_dir = "{self.state}"\nlisten = "127.0.0.1:{self.port}"\n'
        self.config.write_text(text + more)

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "marketsync", "--config", str(self.config), *words]

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words),
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    def json(self, *words: str) -> object:
        done = self.call(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def get(self, path: str) -> tuple[int, str]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(PATIENCE_SECONDS)
        yield sock


@pytest.fixture
def daemon(place: Place, manager: socket.socket) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "4000000"}
    process = subprocess.Popen(place.command("run"), stderr=subprocess.PIPE, cwd=ROOT, env=environment)
    try:
        told = manager.recv(4096).decode()
        assert told.startswith("READY=1\nSTATUS=0 connections"), told
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.failure(52)
def test_sigterm_drains_and_ends_well(
    place: Place, daemon: subprocess.Popen[bytes], manager: socket.socket
) -> None:
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(PATIENCE_SECONDS) == 0
    told = ""
    while "STOPPING=1" not in told:
        told = manager.recv(4096).decode()
    assert "EXTEND_TIMEOUT_USEC=48000000" in told
    assert daemon.stderr is not None
    events = [json.loads(line)["event"] for line in daemon.stderr.read().splitlines()]
    assert events == ["daemon.was_started", "daemon.drain_began", "daemon.is_draining", "daemon.was_stopped"]
    assert not (place.state / "control.sock").exists()


def test_the_watchdog_is_fed_while_all_is_well(
    daemon: subprocess.Popen[bytes], manager: socket.socket
) -> None:
    assert daemon.poll() is None
    assert manager.recv(4096) == b"WATCHDOG=1"
    assert manager.recv(4096) == b"WATCHDOG=1"


@pytest.mark.failure(59)
@pytest.mark.usefixtures("daemon")
def test_a_second_daemon_is_75_and_names_the_first(place: Place, daemon: subprocess.Popen[bytes]) -> None:
    done = place.call("run")
    assert done.returncode == 75
    assert f"pid {daemon.pid}" in done.stderr


@pytest.mark.usefixtures("daemon")
def test_commands_go_through_the_socket_which_is_the_operators_alone(place: Place) -> None:
    path = place.state / "control.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = place.json("status")
    assert isinstance(found, dict)
    assert found["running"] is True
    assert found["merchant"] == "main"
    assert "the daemon runs" in place.call("status").stdout
    missing = place.call("explain", "nothing")
    assert missing.returncode == 2
    assert "no order 'nothing' is held" in missing.stderr


@pytest.mark.usefixtures("daemon")
def test_a_backup_is_made_beside_the_daemon_and_can_be_read(place: Place, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    assert place.call("backup", str(copy / "marketsync.sqlite3")).returncode == 0
    assert place.call("backup", str(copy / "marketsync.sqlite3")).returncode == 2
    other = tmp_path / "other.toml"
    other.write_text(f'[daemon]\nstate_dir = "{copy}"\n')
    done = subprocess.run(
        [sys.executable, "-m", "marketsync", "--config", str(other), "status", "--json"],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["installation"] == place.json("status")["installation"]  # type: ignore[index]


@pytest.mark.usefixtures("daemon")
def test_health_and_metrics_are_served(place: Place) -> None:
    assert place.get("/healthz") == (200, "ok\n")
    assert place.get("/readyz") == (200, "ok\n")
    status, text = place.get("/metrics")
    assert status == 200
    assert 'marketsync_build_info{version="' in text
    with pytest.raises(URLError):
        place.get("/else")


@pytest.mark.failure(73)
@pytest.mark.usefixtures("daemon")
def test_a_scraper_that_hangs_keeps_nobody_from_the_metrics(place: Place) -> None:
    hanging = [socket.create_connection(("127.0.0.1", place.port)) for _ in range(20)]
    try:
        for sock in hanging:
            sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")
        assert place.get("/healthz")[0] == 200
        assert place.json("status")
    finally:
        for sock in hanging:
            sock.close()


@pytest.mark.usefixtures("daemon")
def test_a_client_that_says_nonsense_is_told_so_and_harms_nobody(place: Place) -> None:
    for said in (
        b"hello\n",
        b'{"command": 3}\n',
        b'{"command": "nope", "args": {}}\n',
        b"x" * 200_000 + b"\n",
    ):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(place.state / "control.sock"))
            sock.sendall(said)
            assert select.select([sock], [], [], PATIENCE_SECONDS)[0]
            assert json.loads(sock.makefile().readline())["kind"] == "usage"
    assert place.json("status")


def test_pushes_are_listened_for_only_where_an_address_is_configured(
    place: Place, manager: socket.socket
) -> None:
    """There is no connection that pushes: every path is nobody's."""
    port = free_port()
    place.write(f'hints_listen = "127.0.0.1:{port}"\n')
    environment = {**os.environ, "NOTIFY_SOCKET": manager.getsockname()}
    process = subprocess.Popen(place.command("run"), stderr=subprocess.PIPE, cwd=ROOT, env=environment)
    try:
        assert manager.recv(4096).startswith(b"READY=1")
        with pytest.raises(HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/hints/market", b"{}", timeout=10)
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.failure(52)
def test_a_second_signal_ends_it_at_once(place: Place, daemon: subprocess.Popen[bytes]) -> None:
    """Stopped by SIGSTOP meanwhile, so that both signals are there when it goes on."""
    assert place.state.is_dir()
    daemon.send_signal(signal.SIGSTOP)
    daemon.send_signal(signal.SIGTERM)
    daemon.send_signal(signal.SIGINT)
    daemon.send_signal(signal.SIGCONT)
    assert daemon.wait(PATIENCE_SECONDS) in {0, 1}


# Without a daemon


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ("orders", "refund", "M-1", "--line", "1", "--amount", "1,50"),
            "is no sum such as 12.50, with a point",
        ),
        (("parked", "list", "--kind", "orders"), "is not one of 'raw', 'order', 'delivery'"),
    ],
)
def test_what_an_option_takes_is_said(place: Place, words: tuple[str, ...], text: str) -> None:
    done = place.call(*words)
    assert done.returncode == 2
    assert text in done.stderr


def test_without_a_store_and_a_daemon_nothing_can_be_read(place: Place) -> None:
    done = place.call("status")
    assert done.returncode == 1
    assert done.stderr.startswith("marketsync: ")
    assert "Traceback" not in done.stderr


def test_without_a_database_no_command_makes_one(place: Place) -> None:
    for words in (("map", "list"), ("pause", "market"), ("restored", "--since", "2026-01-01T00:00:00Z")):
        done = place.call(*words)
        assert done.returncode == 1
        assert f"there is no database in {place.state}" in done.stderr
    assert not list(place.state.iterdir())


def test_what_needs_the_daemon_says_so(place: Place, daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    daemon.wait(PATIENCE_SECONDS)
    done = place.call("resync", "--order", "market/1")
    assert done.returncode == 2
    assert "no marketplace 'market'" in done.stderr
    assert place.json("status")["running"] is False  # type: ignore[index]


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ("[deamon]\n", "deamon: unknown key"),
        ("x = \n", "not TOML"),
        ('[connections.shop]\nadapter = "nope"\n', "no adapter 'nope' is installed"),
    ],
)
@pytest.mark.failure(69)
def test_a_configuration_at_fault_is_78(place: Place, more: str, text: str) -> None:
    place.write(more)
    for words in (("check",), ("run",)):
        done = place.call(*words)
        assert done.returncode == 78
        assert text in done.stderr
