from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import check_units, lint, lint_determinism, lint_secrets, lint_sql

ROOT = Path(__file__).resolve().parents[2]
ENGINE = "marketsync/engine/planted.py"


def source(text: str, path: str = ENGINE) -> lint.Source:
    return lint.Source(path=path, tree=ast.parse(text))


@pytest.mark.parametrize(
    "planted",
    [
        "import time\ntime.time()",
        "import time as t\nt.monotonic()",
        "from time import sleep\nsleep(1)",
        "import time\ndef wait(now=time.monotonic): ...",
        "from datetime import datetime\ndatetime.now()",
        "import datetime\ndatetime.datetime.utcnow()",
        "import datetime as dt\ndt.date.today()",
        "import uuid\nuuid.uuid4()",
        "from uuid import uuid1\nuuid1()",
        "import random\nrandom.random()",
        "from random import choice",
        "import secrets\nsecrets.token_hex()",
        "import os\nos.urandom(8)",
        "import asyncio\nasync def wait(): await asyncio.sleep(0)",
        "import asyncio\nasync def read(): await asyncio.to_thread(open)",
        "import asyncio\nasync def read(): await asyncio.get_running_loop().run_in_executor(None, open)",
        "import asyncio\nasyncio.get_event_loop().time()",
        "def now(loop): return loop.time()",
        "import threading\nthreading.Thread()",
        "from concurrent.futures import ThreadPoolExecutor",
    ],
)
def test_a_hidden_clock_or_thread_is_found(planted: str) -> None:
    assert lint_determinism.check([source(planted)])


@pytest.mark.parametrize(
    "planted",
    [
        "for x in {1, 2}: print(x)",
        "for x in set([1]): print(x)",
        "y = [x for x in {1, 2}]",
        "y = {x: 1 for x in frozenset(z)}",
        "y = list({1, 2})",
        "y = ', '.join({'a'})",
        "def f(skus: set[str]):\n    for sku in skus: print(sku)",
        "def f(a, b):\n    gone = set(a) - set(b)\n    return [x for x in gone]",
        "def f(skus: frozenset[str]): return next(iter(skus))",
        "def f():\n    waiting = {1, 2}\n    return waiting.pop()",
        "import asyncio\nasync def f(ts):\n    done, left = await asyncio.wait(ts)\n    for t in done: print(t)",
    ],
)
def test_the_order_of_a_set_is_found(planted: str) -> None:
    assert [f.message for f in lint_determinism.check([source(planted)])] == [
        "the order of a set decides: sort it first"
    ]


@pytest.mark.parametrize(
    "innocent",
    [
        "for x in sorted({1, 2}): print(x)",
        "def f(skus: set[str]): return any(sku == 'A' for sku in skus)",
        "y = {x + 1 for x in {1, 2}}",
        "y = sorted(x for x in {1, 2})",
        "def f(clock): return clock.time()",
        "def f(random): return random.choice()",
        "from datetime import datetime\ndatetime.fromisoformat('2026-01-01')",
        "import asyncio\nasync def f():\n    async with asyncio.timeout(1): ...",
        "def f(queue): return queue.pop()",
        "def f(a: set[int]): ...\ndef g(a: list[int]):\n    for x in a: print(x)",
    ],
)
def test_what_is_determined_passes(innocent: str) -> None:
    assert lint_determinism.check([source(innocent)]) == []


def test_an_owner_module_may_read_its_clock_but_not_iterate_a_set() -> None:
    clock = source("import time\ntime.monotonic()\nfor x in {1}: ...", "marketsync/ops/clock.py")
    assert [f.line for f in lint_determinism.check([clock])] == [3]


def test_every_owner_module_has_a_reason() -> None:
    assert all(len(reason.split()) > 3 for reason in lint_determinism.OWNERS.values())


@pytest.mark.parametrize(
    "planted",
    [
        "db.execute(f'SELECT * FROM {t}')",
        "db.execute('SELECT 1 WHERE a = ' + a)",
        "db.execute('SELECT 1 WHERE a = %s' % a)",
        "db.execute('SELECT {}'.format(a))",
        "db.executemany('{} t'.format(a), rows)",
        "db.fetchrow(f'{head} FROM t')",
        "db.execute(' '.join(parts))",
        "def f(db, a):\n    sql = f'{a} FROM t'\n    db.execute(sql)",
        "def f(db, sql, a):\n    sql += a\n    db.execute(sql)",
        "QUERY = f'INSERT INTO {t} VALUES (1)'",
        "QUERY = 'DELETE FROM ' + t",
    ],
)
def test_built_sql_is_found(planted: str) -> None:
    assert lint_sql.check([source(planted, "marketsync/store/planted.py")])


def test_sql_outside_the_store_is_found() -> None:
    planted = source("COUNT = 'SELECT count(*) FROM orders'")
    assert [f.message for f in lint_sql.check([planted])] == ["SQL outside marketsync/store/"]


@pytest.mark.parametrize(
    "innocent",
    [
        "db.execute('SELECT a FROM t ' 'WHERE b = ?', (b,))",
        "QUERY = 'SELECT 1'\ndb.execute(QUERY)",
        "def run(db, sql): return db.execute(sql)",
        "log(f'Select a {thing} first')",
    ],
)
def test_literal_sql_in_the_store_passes(innocent: str) -> None:
    assert lint_sql.check([source(innocent, "marketsync/store/planted.py")]) == []


def test_prose_about_sql_outside_the_store_passes() -> None:
    assert lint_sql.check([source('"""SELECT is a word."""\nMESSAGE = "Update the map, then wake it"')]) == []


UNCOVERS = "def read(secret):\n    return secret.get_secret_value()"


def test_one_function_may_uncover_secrets() -> None:
    assert lint_secrets.check([source(UNCOVERS)]) == []


@pytest.mark.parametrize(
    "second",
    [
        "def other(secret):\n    return secret.get_secret_value()",
        "class Box:\n    def read(self): return self.secret.get_secret_value()",
        "VALUE = secret.get_secret_value()",
        "def other(secret):\n    return getattr(secret, 'get_secret_value')()",
        "import operator\nuncover = operator.methodcaller('get_secret_value')",
    ],
)
def test_a_second_place_that_uncovers_secrets_is_found(second: str) -> None:
    assert len(lint_secrets.check([source(UNCOVERS), source(second, "marketsync/cli/planted.py")])) == 2


def test_uncovering_in_the_body_of_a_module_is_found() -> None:
    assert lint_secrets.check([source("VALUE = secret.get_secret_value()")])


def test_the_product_is_read_and_passes() -> None:
    sources = lint.read(ROOT)
    assert {s.path for s in sources} >= {"marketsync/__init__.py", "adapters/__init__.py"}
    for check in (lint_determinism.check, lint_sql.check, lint_secrets.check):
        assert check(sources) == []


LEGAL_TREE = {
    "marketsync/__init__.py": "",
    "marketsync/cli/__init__.py": "import marketsync.bootstrap",
    "marketsync/bootstrap.py": "import marketsync.server\nimport marketsync.store",
    "marketsync/server/__init__.py": "import marketsync.ops",
    "marketsync/ops/__init__.py": "import marketsync.domain",
    "marketsync/sandbox/__init__.py": "import marketsync.ports",
    "marketsync/sandbox/server.py": "import aiohttp.web",
    "marketsync/kit/__init__.py": "import marketsync.sandbox",
    "marketsync/commands/__init__.py": "import marketsync.engine",
    "marketsync/engine/__init__.py": "import marketsync.store\nimport marketsync.http",
    "marketsync/store/__init__.py": "import aiosqlite",
    "marketsync/store/postgres.py": "import asyncpg",
    "marketsync/http/__init__.py": "import marketsync.ports",
    "marketsync/http/transport.py": "import aiohttp",
    "marketsync/ports.py": "import marketsync.errors",
    "marketsync/errors.py": "import marketsync.domain",
    "marketsync/domain/__init__.py": "import decimal",
    "adapters/__init__.py": "",
    "adapters/one/__init__.py": "import marketsync.http\nfrom marketsync.http import transport\nimport marketsync.ports",
    "adapters/one/sandbox.py": "import marketsync.sandbox\nimport marketsync.domain",
    "adapters/two/__init__.py": "import marketsync.errors",
}


def broken_contracts(tree: Path, planted: dict[str, str]) -> list[str]:
    for name, text in (LEGAL_TREE | planted).items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    shutil.copy(ROOT / "pyproject.toml", tree)
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=60, check=False)
    lines = done.stdout.splitlines()
    assert any(line.startswith("Contracts: ") for line in lines), done.stdout + done.stderr
    return [line.partition(" BROKEN")[0] for line in lines if " BROKEN" in line]


def test_the_legal_tree_keeps_every_contract(tmp_path: Path) -> None:
    assert broken_contracts(tmp_path, {}) == []


LAYERS = "Imports run downwards only"
SURFACE = "Adapters keep to the surface made for them"
NETWORK = "One door to the network"
DATABASE = "One door to the database"
NO_SANDBOX = "A running daemon needs no sandbox and no kit"
KIT = "The kit drives the surface and nothing below it"
UNJUDGED = "A sandbox knows nothing of who judges it"


@pytest.mark.parametrize(
    "path, imported, broken",
    [
        ("marketsync/domain/planted.py", "marketsync.errors", [LAYERS]),
        ("marketsync/store/planted.py", "marketsync.http", [LAYERS]),
        ("marketsync/store/planted.py", "marketsync.engine", [LAYERS]),
        ("marketsync/engine/planted.py", "marketsync.sandbox", [LAYERS]),
        ("marketsync/ops/planted.py", "marketsync.kit", [NO_SANDBOX]),
        ("marketsync/kit/planted.py", "marketsync.engine", [KIT]),
        ("marketsync/kit/planted.py", "marketsync.ops", [KIT]),
        ("marketsync/kit/planted.py", "aiohttp", [NETWORK]),
        ("marketsync/planted.py", "decimal", [LAYERS]),
        ("marketsync/cli/planted.py", "adapters.one", ["The core never imports an adapter"]),
        ("adapters/one/planted.py", "marketsync.store", [SURFACE]),
        ("adapters/one/planted.py", "marketsync.kit", [SURFACE]),
        ("adapters/one/planted.py", "adapters.two", ["Adapters do not know each other"]),
        ("adapters/one/planted.py", "aiohttp", [NETWORK]),
        ("marketsync/engine/planted.py", "aiohttp", [NETWORK]),
        ("marketsync/engine/planted.py", "sqlite3", [DATABASE]),
        ("adapters/one/planted.py", "asyncpg", [DATABASE]),
        ("marketsync/domain/planted.py", "asyncio", ["The domain does no I/O and has no clock"]),
    ],
)
def test_an_import_against_the_layers_is_found(
    tmp_path: Path, path: str, imported: str, broken: list[str]
) -> None:
    assert broken_contracts(tmp_path, {path: f"import {imported}"}) == broken


EXPOSED = (
    "[Service]\nExecStart=/opt/marketsync/bin/marketsync run \\\n  --config /etc/marketsync/config.toml\n"
)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="not run: no systemd-analyze here")
def test_an_exposed_unit_and_an_unknown_key_are_found(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze") or ""
    (tmp_path / "planted.service").write_text(EXPOSED)
    assert check_units.verify(analyze, tmp_path) == []
    assert len(check_units.exposures(analyze, tmp_path)) == 1
    (tmp_path / "planted.service").write_text(f"{EXPOSED}MemoryDenyWriteExecutes=yes\n")
    assert "MemoryDenyWriteExecutes" in check_units.verify(analyze, tmp_path)[0]
