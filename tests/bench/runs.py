"""Each run in processes of its own: one for the far sides, one for what is measured."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from tests.bench.floor import Result
from tests.bench.product import Asked, Idle, Life, rss_mb
from tests.bench.rig import Scene, connections, told
from tests.bench.server import Plan

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
RUN_SECONDS_MAX = 600.0
IDLE_CONNECTIONS = 100
IDLE_FACTOR = 30.0
DEMO_SECONDS = 20.0
START_SECONDS_MAX = 30.0
SAID_BYTES_MAX = 4_000
START = "from marketsync.cli.main import main; main()"

__all__ = ["Result", "demo_rss", "first_poll", "floor", "idle", "life", "product"]


def product(orders: int) -> Result:
    with _far_sides(Plan(orders=orders, hold=True)) as url, _directory() as directory:
        return _child("tests.bench.product", Result, "push", url, str(directory), str(orders))


def floor(orders: int) -> Result:
    with _far_sides(Plan(orders=orders)) as url, _directory() as directory:
        return _child("tests.bench.floor", Result, url, str(directory))


def life(orders: int) -> Life:
    """At most what one page takes, so that every phase is read in one answer."""
    plan = Plan(orders=orders, state="to_accept", hold=True, ships=True)
    with _far_sides(plan) as url, _directory() as directory:
        return _child("tests.bench.product", Life, "life", url, str(directory), str(orders))


def idle(minutes: float) -> Idle:
    asked = Asked(IDLE_CONNECTIONS, minutes, IDLE_FACTOR, time.monotonic(), datetime.now(UTC))
    plan = Plan(factor=asked.factor, since=asked.since, at=asked.at)
    with _far_sides(plan) as url, _directory() as directory:
        return _child(
            "tests.bench.product", Idle, "idle", url, str(directory), msgspec.json.encode(asked).decode()
        )


def first_poll() -> float:
    """Seconds from exec of the command to its first request for orders, with an empty database."""
    with _far_sides(Plan()) as url, _directory() as directory:
        config = directory / "config.toml"
        config.write_text(_toml(url, directory))
        began = time.monotonic()
        with _process("--config", str(config), "run") as running:
            while (at := told(url).first_list_at) is None:
                if running.poll() is not None:
                    raise RuntimeError(f"the daemon ended by itself:\n{_said(running)}")
                if time.monotonic() - began > START_SECONDS_MAX:
                    running.kill()
                    raise RuntimeError(f"the daemon did not ask for orders:\n{_said(running)}")
                time.sleep(0.2)
            return round(at - began, 3)


def demo_rss() -> float:
    """Peak megabytes of `marketsync demo`, its simulated far sides included, after 20 seconds of it."""
    with _process("demo", "--json") as running:
        time.sleep(DEMO_SECONDS)
        if running.poll() is not None:
            raise RuntimeError(f"the demo ended by itself:\n{_said(running)}")
        return rss_mb(running.pid, peak=True)


def _said(ended: subprocess.Popen[bytes]) -> str:
    """The end of what it wrote to stderr."""
    ended.wait()
    assert ended.stderr is not None
    ended.stderr.seek(0)
    return ended.stderr.read()[-SAID_BYTES_MAX:].decode(errors="replace")


def _toml(url: str, directory: Path) -> str:
    """As an operator writes it: the adapters' own limits, the default periods."""
    written = connections(Scene(paced=True), url, directory, datetime.now(UTC))
    lines = ["[daemon]", f'state_dir = "{directory}/state"', 'listen = "127.0.0.1:0"']
    for name, chosen in written.items():
        lines.append(f"[connections.{name}]")
        for key, value in chosen.items():
            if key != "settings":
                lines.append(f"{key} = {_value(value)}")
        lines.append(f"[connections.{name}.settings]")
        lines += [f"{key} = {_value(value)}" for key, value in chosen["settings"].items()]
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case datetime():
            return value.isoformat()
        case str():
            return f'"{value}"'
        case _:
            return str(value)


def _child(module: str, kind: type[T], *args: str) -> T:
    command = [sys.executable, "-m", module, *args]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, timeout=RUN_SECONDS_MAX, check=True)
    return msgspec.json.decode(done.stdout, type=kind)


@contextlib.contextmanager
def _far_sides(plan: Plan) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.bench.server", msgspec.json.encode(plan).decode()]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.terminate()


@contextlib.contextmanager
def _process(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    """The command, with its stderr in a file: a pipe that nobody empties would stop it."""
    command = [sys.executable, "-c", START, *words]
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=said) as running,
    ):
        running.stderr = said
        try:
            yield running
        finally:
            running.kill()


@contextlib.contextmanager
def _directory() -> Iterator[Path]:
    """On the real disk: an fsync that goes to memory costs nothing."""
    with tempfile.TemporaryDirectory(prefix="marketsync-bench-") as name:
        yield Path(name)
