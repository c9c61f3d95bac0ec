"""A real Odoo 19 on loopback, in a folder of its own: nothing of the system's sources or packages is touched.

Set up once and kept: Debian's package unpacked from a private view of apt, its dependencies in a virtual environment of
their own, a database in a PostgreSQL of its own. Each run starts from a copy of that database.
"""

from __future__ import annotations

import argparse
import configparser
import contextlib
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "build" / "odoo"
MODULES = "sale_management,stock,delivery"
DATABASE, TEMPLATE = "shop", "template_shop"
LOOPBACK = "127.0.0.1"
PATIENCE_SECONDS = 120.0
WORKERS = 2
DEPENDENCIES = (
    "asn1crypto", "babel", "cbor2", "chardet", "cryptography", "decorator", "docutils", "freezegun", "geoip2", "gevent",
    "greenlet", "idna", "Jinja2", "libsass", "lxml", "lxml-html-clean", "MarkupSafe<3", "num2words", "ofxparse", "openpyxl",
    "passlib", "Pillow", "polib", "psutil", "psycopg2-binary", "pyopenssl", "PyPDF2", "pyserial", "python-dateutil",
    "python-magic", "python-stdnum", "pytz", "qrcode", "reportlab", "requests", "rjsmin", "setuptools<81", "urllib3",
    "vobject", "werkzeug<3.1", "xlrd", "XlsxWriter", "xlwt", "zeep",
)  # fmt: skip
# What the company is to be, and the key that a program gets: said to Odoo's own shell once.
PREPARE = """
import json
company = env.company
eur = env.ref("base.EUR")
eur.active = True
company.write({"currency_id": eur.id, "country_id": env.ref("base.fr").id})
env["product.pricelist"].search([]).write({"currency_id": eur.id})
bot = env.ref("base.user_admin")
key = env["res.users.apikeys"].with_user(bot)._generate("rpc", "marketsync", None)
env.cr.commit()
print("PREPARED " + json.dumps({"key": key, "login": bot.login}))
"""


class OdooServer:
    """`url`, `database`, `login` and `key` are what a connection to it needs."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder
        self.database = DATABASE
        self.login = self.key = ""
        self.port = 0
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    # Set-up, each part once

    def set_up(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, part in (
            ("unpacked", self._unpack),
            ("dependencies", self._install),
            ("cluster", self._make_cluster),
            ("database", self._make_database),
        ):
            done = self.folder / f"{name}.done"
            if not done.exists():
                began = time.monotonic()
                print(f"{name} ...", flush=True)
                part()
                done.touch()
                print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)

    def _unpack(self) -> None:
        """Debian unstable's package by a view of apt whose sources, lists and archives all lie in the folder."""
        apt = self.folder / "apt"
        for name in ("lists/partial", "archives/partial", "etc"):
            (apt / name).mkdir(parents=True, exist_ok=True)
        (apt / "status").touch()
        targets = _said(
            "apt-get",
            "indextargets",
            "--format",
            "$(ORIGIN)|$(COMPONENT)|$(REPO_URI)",
            "Created-By: Packages",
        )
        mirror = next(x.split("|")[2] for x in targets.splitlines() if x.startswith("Debian|main|"))
        keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
        (apt / "etc" / "sources.list").write_text(f"deb [signed-by={keyring}] {mirror} unstable main\n")
        options = [
            f"Dir::Etc::sourcelist={apt}/etc/sources.list", "Dir::Etc::sourceparts=-", f"Dir::State={apt}",
            f"Dir::State::lists={apt}/lists", f"Dir::State::status={apt}/status", f"Dir::Cache={apt}",
            f"Dir::Cache::archives={apt}/archives", "Acquire::Languages=none", "APT::Sandbox::User=root",
            "APT::Update::Post-Invoke-Success::=",
        ]  # fmt: skip
        view = [word for option in options for word in ("-o", option)]
        _run("apt-get", *view, "-qq", "update", cwd=apt)
        _run("apt-get", *view, "-qq", "download", "odoo-19", cwd=apt)
        (package,) = apt.glob("odoo-19_*.deb")
        _run("dpkg-deb", "-x", str(package), str(self.folder / "tree"))
        package.unlink()
        shutil.rmtree(apt / "lists")

    def _install(self) -> None:
        _run(sys.executable, "-m", "venv", str(self.folder / "venv"))
        pip = [
            str(self._python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--prefer-binary",
        ]
        _run(*pip, *DEPENDENCIES)

    @property
    def _python(self) -> Path:
        return self.folder / "venv" / "bin" / "python"

    def _make_cluster(self) -> None:
        data = self.folder / "data"
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir()
        if os.geteuid() == 0:
            os.chown(data, _user(), _user())
        _run(
            *_as_user(
                str(_postgres() / "initdb"),
                "-D",
                str(data),
                "-U",
                "odoo",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-locale",
                "-N",
            )
        )

    def _make_database(self) -> None:
        with self._postgres_running():
            _run(str(_postgres() / "dropdb"), *self._place(), "--if-exists", TEMPLATE)
            _run(str(_postgres() / "createdb"), *self._place(), TEMPLATE)
            self._odoo(TEMPLATE, "-i", MODULES, "--without-demo=all", "--stop-after-init")
            said = self._odoo(TEMPLATE, shell=PREPARE)
            line = next(x for x in said.splitlines() if x.startswith("PREPARED "))
            (self.folder / "key.json").write_text(line.removeprefix("PREPARED "))
            (self.folder / "key.json").chmod(0o600)

    # Running

    @contextlib.contextmanager
    def running(self) -> Iterator[OdooServer]:
        """On a fresh copy of the database."""
        self.set_up()
        known = json.loads((self.folder / "key.json").read_text())
        self.key, self.login = known["key"], known["login"]
        with self._postgres_running():
            place = self._place()
            _run(str(_postgres() / "dropdb"), *place, "--if-exists", "--force", DATABASE)
            _run(str(_postgres() / "createdb"), *place, "--template", TEMPLATE, DATABASE)
            try:
                self.start()
                yield self
            finally:
                self.stop()

    def start(self) -> None:
        self.port = self.port or _free_port()
        log = (self.folder / "odoo.log").open("ab")
        command = self._command(
            DATABASE, "--http-port", str(self.port), "--workers", str(WORKERS), "--max-cron-threads", "0"
        )
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, env=self._environment())
        self._processes.append(process)
        _until(lambda: process.poll() is None and _answers(self.port), "Odoo does not answer: see odoo.log")

    def stop(self) -> None:
        """Odoo as a whole, with its workers."""
        while self._processes:
            process = self._processes.pop()
            process.terminate()
            try:
                process.wait(20.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    @contextlib.contextmanager
    def _postgres_running(self) -> Iterator[None]:
        self._pg_port = _free_port()
        data = str(self.folder / "data")
        options = f"-c listen_addresses={LOOPBACK} -c port={self._pg_port} -c unix_socket_directories={data} -c max_connections=60"
        control = _as_user(str(_postgres() / "pg_ctl"), "-D", data, "-w")
        if subprocess.run((*control, "status"), capture_output=True, check=False).returncode == 0:
            # A run that was killed left it.
            _run(*control, "-m", "fast", "stop")
        _run(*control, "-l", f"{data}/server.log", "-o", options, "start")
        try:
            yield
        finally:
            _run(*control, "-m", "fast", "stop")

    def _place(self) -> list[str]:
        return ["-h", LOOPBACK, "-p", str(self._pg_port), "-U", "odoo"]

    def _odoo(self, database: str, *arguments: str, shell: str = "") -> str:
        command = self._command(database, "--no-http", *arguments, program="shell" if shell else "")
        with (self.folder / "setup.log").open("ab") as log:
            done = subprocess.run(
                command, input=shell.encode(), stdout=subprocess.PIPE if shell else log, stderr=log, cwd=self.folder,
                env=self._environment(), check=True,
            )  # fmt: skip
        return done.stdout.decode() if shell else ""

    def _command(self, database: str, *arguments: str, program: str = "") -> list[str]:
        config = self.folder / "odoo.conf"
        written = configparser.ConfigParser()
        written["options"] = {
            "db_host": LOOPBACK, "db_port": str(self._pg_port), "db_user": "odoo", "db_name": database,
            "data_dir": str(self.folder / "files"), "http_interface": LOOPBACK, "list_db": "False", "proxy_mode": "False",
            "limit_time_real": "120", "log_level": "warn", "gevent_port": str(_free_port()),
        }  # fmt: skip
        with config.open("w") as out:
            written.write(out)
        first = [program] if program else []
        return [
            str(self._python),
            str(self.folder / "tree" / "usr" / "bin" / "odoo"),
            *first,
            "-c",
            str(config),
            *arguments,
        ]

    def _environment(self) -> dict[str, str]:
        """No proxy, no way out: it speaks to its database and is spoken to, on loopback."""
        packages = self.folder / "tree" / "usr" / "lib" / "python3" / "dist-packages"
        path = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
        return {**path, "PYTHONPATH": str(packages), "PYTHONDONTWRITEBYTECODE": ""}


def _run(*command: str, cwd: Path | None = None) -> None:
    subprocess.run(command, check=True, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def _said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _as_user(*command: str) -> Sequence[str]:
    """PostgreSQL does not run as root."""
    if os.geteuid() != 0:
        return command
    return ("setpriv", f"--reuid={_user()}", f"--regid={_user()}", "--clear-groups", *command)


def _user() -> int:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_uid
    raise SystemExit("no unprivileged user for a PostgreSQL server here")


def _postgres() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    if not found and on_path is None:
        raise SystemExit("no PostgreSQL server here: on Debian, install postgresql")
    return found[-1].parent if found else Path(str(on_path)).parent


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), 1.0) as line:
        line.sendall(b"GET /web/health HTTP/1.0\r\nHost: localhost\r\n\r\n")
        return line.recv(64).startswith(b"HTTP/1.")
    return False


def _until(condition: object, reason: str) -> None:
    ends = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < ends:
        if condition():  # type: ignore[operator]
            return
        time.sleep(0.5)
    raise SystemExit(reason)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", action="store_true", help="serve until the input ends, and say where")
    chosen = parser.parse_args()
    server = OdooServer()
    server.set_up()
    if chosen.serve:
        with server.running():
            print(
                json.dumps({"url": server.url, "database": server.database, "login": server.login}),
                flush=True,
            )
            sys.stdin.read()


if __name__ == "__main__":
    main()
