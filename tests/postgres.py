"""A PostgreSQL server for the tests: that of `POSTGRES_URL`, else one of our own, started once in a process if needed.

PostgreSQL is no Python package: without it, tests that need it are skipped, except where `CI` is set. It refuses to run
as root: there it runs as another user, with its data in a directory of that user.
"""

import asyncio
import atexit
import os
import pwd
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from adapters.servers.free_port import free_port
from tests.patience import PATIENCE

_PLACES = "/usr/lib/postgresql"
_USER = "jobrelay"
_USERS = ("postgres", "nobody")
# Nothing here need survive a power cut.
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "listen_addresses": "127.0.0.1",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
}


class PostgresServer:
    """Can be stopped and started any number of times, on the same data and port. Only for tests: anybody may log in."""

    def __init__(self, *, settings: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        self._settings = {**_SETTINGS, **(settings or {}), "port": str(self.port)}
        self._directory: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Of the database of the server's own."""
        return f"postgresql://{_USER}@127.0.0.1:{self.port}/postgres"

    @property
    def directory(self) -> Path:
        """Its data are below; only its user may read it."""
        if self._directory is None:
            self._directory = Path(mkdtemp(prefix="jobrelay-postgres-"))
            if (user := _user()) is not None:
                os.chown(self._directory, user.pw_uid, user.pw_gid)
        return self._directory

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def prepare(self) -> None:
        """Make its data, if there are none."""
        if not self.data.exists():
            self._run(
                "initdb", "-D", str(self.data), "-U", _USER, "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"
            )

    def start(self) -> None:
        """Return once it answers; at once if it runs."""
        if self._process is not None:
            return
        self.prepare()
        self.go()
        deadline = time.monotonic() + PATIENCE
        while self._ready() != 0:
            assert self._process is not None
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)

    def go(self) -> None:
        """Start it, and do not wait until it answers."""
        settings = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        command = [_program("postgres"), "-D", str(self.data), "-k", str(self.directory), *settings]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, **self._as_user())

    def stop(self, *, by: signal.Signals = signal.SIGINT) -> None:
        """End it, by default cutting all connections; SIGQUIT as a crash would, SIGKILL leaves its children behind."""
        if self._process is not None:
            self._process.send_signal(by)
            self._process.wait(PATIENCE)
            self._process = None

    @asynccontextmanager
    async def hanging(self) -> AsyncIterator[None]:
        """Within the block it keeps its connections, and answers nothing."""
        assert self._process is not None
        rows = await run(self.url, "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        pids = [self._process.pid, *(int(row["pid"]) for row in rows)]
        try:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def remove(self) -> None:
        """Stop it, and delete its data."""
        self.stop(by=signal.SIGQUIT)
        shutil.rmtree(self.directory, ignore_errors=True)

    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")[-4000:]

    def _as_user(self) -> dict[str, Any]:
        user = _user()
        ids = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": ()}
        return {"cwd": self.directory, **ids}

    def _ready(self) -> int:
        command = [_program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, check=False).returncode

    def _run(self, name: str, *arguments: str) -> None:
        done = subprocess.run([_program(name), *arguments], capture_output=True, check=False, **self._as_user())
        assert done.returncode == 0, done.stderr.decode(errors="replace")


_shared: PostgresServer | None = None


def shared_url() -> str:
    """Of a server for all tests of this process that break nothing."""
    global _shared
    if url := os.environ.get("POSTGRES_URL"):
        return url
    if _shared is None:
        need_postgres()
        server = PostgresServer()
        atexit.register(server.remove)
        server.start()
        _shared = server
    return _shared.url


@asynccontextmanager
async def database(options: str = "") -> AsyncIterator[str]:
    """The URL of an empty database on the shared server, made with these options and dropped afterwards."""
    url = await asyncio.to_thread(shared_url)
    name = f"test_{uuid.uuid4().hex[:12]}"
    await run(url, f"CREATE DATABASE {name} {options}")
    try:
        yield urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
    finally:
        await run(url, f"DROP DATABASE {name} WITH (FORCE)")


async def run(url: str, *statements: str) -> Sequence[asyncpg.Record]:
    """Run them one by one, each in a transaction of its own. Returns the rows of the last."""
    connection = await asyncpg.connect(url)  # type: ignore[no-untyped-call]
    try:
        rows: Sequence[asyncpg.Record] = ()
        for statement in statements:
            rows = await connection.fetch(statement)
        return rows
    finally:
        await connection.close()


def is_installed() -> bool:
    return bool(_program("postgres", required=False))


def need_postgres() -> None:
    """Skip the test without PostgreSQL."""
    if not _program("postgres", required=bool(os.environ.get("CI"))):
        pytest.skip("postgres was not found: install the package postgresql")


def _program(name: str, *, required: bool = True) -> str:
    versions = sorted(Path(_PLACES).glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    found = str(versions[-1]) if versions else shutil.which(name)
    if found is None and required:
        raise FileNotFoundError(f"{name} was not found: install the package postgresql (`make postgresql`)")
    return found or ""


def _user() -> pwd.struct_passwd | None:
    """As whom it runs; None: as we do."""
    if os.getuid() != 0:
        return None
    known = {user.pw_name: user for user in pwd.getpwall()}
    return next(known[name] for name in _USERS if name in known)
