from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from marketsync.store import Store, open_store

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class FixedClock:
    boot_id = "boot-1"

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 1000.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("the store never sleeps")


class FixedRandom:
    def uniform(self, low: float, high: float) -> float:
        return low

    def token(self, length: int) -> str:
        return "abcdefghij"[:length]


class Crash(BaseException):
    """As a kill: nothing catches it."""


class CrashAt:
    """Counts the boundaries that were passed; ends everything at the `number`-th of that name."""

    def __init__(self, name: str = "", number: int = 1) -> None:
        self.name = name
        self.number = number
        self.passed: dict[str, int] = {}

    def reach(self, name: str) -> None:
        self.passed[name] = self.passed.get(name, 0) + 1
        if name == self.name and self.passed[name] == self.number:
            raise Crash(name)


class Engine:
    """Opens stores of one test, all on one place."""

    def __init__(self, name: str, location: str) -> None:
        self.name = name
        self.location = location
        self.opened: list[Store] = []

    async def open(self, crash: CrashAt | None = None, **options: Any) -> Store:
        store = await open_store(self.location, FixedClock(), FixedRandom(), crash or CrashAt(), **options)
        self.opened.append(store)
        return store

    async def close(self, store: Store) -> None:
        self.opened.remove(store)
        await store.close()

    def kill(self, store: Store) -> None:
        self.opened.remove(store)
        store.abandon()


class Server:
    """A PostgreSQL of our own, on a socket in a directory of its own."""

    def __init__(self, binaries: Path, directory: Path) -> None:
        self.binaries = binaries
        self.directory = directory
        self.names = count(1)

    def run(self, program: str, *arguments: str) -> None:
        command = [str(self.binaries / program), *arguments]
        if os.geteuid() == 0:
            command = ["setpriv", f"--reuid={_user()}", f"--regid={_user()}", "--clear-groups", *command]
        log = self.directory / "commands.log"
        with log.open("ab") as out:
            done = subprocess.run(
                command, stdout=out, stderr=out, cwd=self.directory, env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
                check=False,
            )  # fmt: skip
        assert done.returncode == 0, log.read_text()

    def start(self) -> None:
        data = str(self.directory / "data")
        self.run("initdb", "-D", data, "-U", "market", "-A", "trust", "-E", "UTF8", "--no-locale", "-N")
        options = (
            f"-c listen_addresses='' -c unix_socket_directories='{self.directory}' -c max_connections=40"
        )
        self.run("pg_ctl", "-D", data, "-w", "-l", str(self.directory / "server.log"), "-o", options, "start")

    def stop(self) -> None:
        self.run("pg_ctl", "-D", str(self.directory / "data"), "-w", "-m", "immediate", "stop")

    def new_database(self) -> str:
        name = f"test{next(self.names)}"
        self.run(
            "psql",
            "-h",
            str(self.directory),
            "-U",
            "market",
            "-d",
            "postgres",
            "-c",
            f"CREATE DATABASE {name}",
        )
        return f"postgresql://market@/{name}?host={self.directory}"


def _user() -> int:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    pytest.skip("not run: no unprivileged user for a PostgreSQL server here")


def _binaries() -> Path | None:
    places = [
        *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True),
        Path("/usr/local/bin"),
        Path("/usr/bin"),
    ]
    for place in places:
        if all((place / name).exists() for name in ("initdb", "pg_ctl", "postgres", "psql")):
            return place
    return None


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    binaries = _binaries()
    if binaries is None:
        pytest.skip("not run: no PostgreSQL server here")
    directory = Path(tempfile.mkdtemp(prefix="market-pg-"))
    try:
        if os.geteuid() == 0:
            os.chown(directory, _user(), _user())
        server = Server(binaries, directory)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Engine]:
    """Each test that takes it runs on both engines."""
    if request.param == "sqlite":
        made = Engine("sqlite", str(tmp_path / "state"))
    else:
        made = Engine("postgresql", request.getfixturevalue("postgres_server").new_database())
    yield made
    for store in made.opened:
        await store.close()


@pytest.fixture
async def sqlite_engine(tmp_path: Path) -> AsyncIterator[Engine]:
    made = Engine("sqlite", str(tmp_path / "state"))
    yield made
    for store in made.opened:
        await store.close()


@pytest.fixture
async def postgres_engine(postgres_server: Server) -> AsyncIterator[Engine]:
    made = Engine("postgresql", postgres_server.new_database())
    yield made
    for store in made.opened:
        await store.close()


@pytest.fixture
async def store(engine: Engine) -> Store:
    return await engine.open()


Write = Callable[..., Awaitable[Any]]


@pytest.fixture
def write(store: Store) -> Write:
    """`await write(deliveries.insert, rows)`: one function in a unit of its own."""

    async def run(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        async def unit(work: Any) -> Any:
            made = function(work, *args, **options)
            return await made if hasattr(made, "__await__") else made

        return await store.write(unit)

    return run


@pytest.fixture
def read(store: Store) -> Write:
    async def run(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return await store.read(lambda unit: function(unit, *args, **options))

    return run


@pytest.fixture(params=["sqlite", "postgresql"])
def engine_runner(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Runs a coroutine function on a store that lives through a whole test by hypothesis, on both engines."""
    location = str(tmp_path / "state")
    if request.param == "postgresql":
        location = request.getfixturevalue("postgres_server").new_database()
    with asyncio.Runner() as runner:
        store = runner.run(open_store(location, FixedClock(), FixedRandom(), CrashAt()))
        yield lambda work: runner.run(work(store))
        runner.run(store.close())
