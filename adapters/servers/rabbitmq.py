"""A RabbitMQ node of our own as a child process: for local use and for tests. Not for production, which has its own.

Installed are only the programs (package rabbitmq-server); their system-wide service is neither needed nor touched. The
node, its port mapper and its data belong to a directory, and listen on 127.0.0.1 only.
"""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from adapters.servers.free_port import free_port

START_SECONDS = 60.0
STOP_SECONDS = 20.0
_NODE = "jobrelay@localhost"
"""Part of the path of its data. Nodes do not meet: each has a port mapper of its own."""
# Where packages keep the programs themselves; what they put on PATH insists on another user and other directories.
_PLACES = ("/usr/lib/rabbitmq/bin",)
# What falls due in a delay queue while a node starts is moved before its target is there, and only tried again after
# this long: three minutes by default.
_ADVANCED = "[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 5000}]}].\n"
_ERLANG = "+sbwt none +sbwtdcpu none +sbwtdio none"


class RabbitServerFailed(Exception):
    """It did not come up, or a command failed. The message carries the end of its log."""


def executable(name: str = "rabbitmq-server") -> str:
    """Where a program of RabbitMQ is. Raises `RabbitServerFailed` when it is nowhere."""
    found = next((path for place in _PLACES if (path := shutil.which(name, path=place))), None) or shutil.which(name)
    if found is None:
        raise RabbitServerFailed(f"{name} was not found: install the package rabbitmq-server, or put it on PATH")
    return found


class RabbitServer:
    """Started and stopped any number of times, on the same data in `directory` and the same ports.

    `extra` are lines of rabbitmq.conf. `port` listens in clear; 0 chooses one.
    """

    def __init__(self, directory: Path, *, port: int = 0, extra: str = "") -> None:
        self.directory = directory
        self.port = port
        self._extra = extra
        self._ports: tuple[int, int] = (0, 0)
        self._process: asyncio.subprocess.Process | None = None
        self._mapper: asyncio.subprocess.Process | None = None
        self._log_start = 0

    @property
    def url(self) -> str:
        """How to reach it, once it was started."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What it wrote."""
        return self.directory / "rabbitmq-server.log"

    @property
    def pid(self) -> int | None:
        """Of the running process."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Return once it takes connections. Raises `RabbitServerFailed`."""
        program, mapper = executable(), port_mapper()
        environment = self.prepare()
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            # Sessions of their own: Ctrl-C in the terminal is for our process, which stops these last.
            self._mapper = await asyncio.create_subprocess_exec(
                mapper, env=environment, stdout=log, stderr=log, start_new_session=True, cwd=self.directory
            )
            self._process = await asyncio.create_subprocess_exec(
                program, env=environment, stdout=log, stderr=log, start_new_session=True, cwd=self.directory
            )
        try:
            async with asyncio.timeout(START_SECONDS):
                while not await self._answers():
                    await asyncio.sleep(0.05)
        except TimeoutError as error:
            await self.kill()
            raise RabbitServerFailed(f"RabbitMQ did not start in time:\n{self._tail()}") from error
        except BaseException:
            await self.kill()
            raise

    def prepare(self) -> Mapping[str, str]:
        """Choose its ports and write its files: the environment that makes the programs those of this node."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port()
        if not self._ports[0]:
            self._ports = (free_port(), free_port())
        self._write_files()
        return self._environment()

    async def stop(self) -> None:
        """Ask it to end, and wait. Kills it when it does not."""
        process = self._process
        if process is not None:
            _signal(process, signal.SIGTERM)
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
        await self.kill()

    async def kill(self) -> None:
        """End it as a crash would."""
        processes = [self._process, self._mapper]
        self._process = self._mapper = None
        for process in processes:
            if process is not None:
                _signal(process, signal.SIGKILL)
                await process.wait()

    async def ctl(self, *arguments: str) -> str:
        """What `rabbitmqctl` answers. Raises `RabbitServerFailed`."""
        process = await asyncio.create_subprocess_exec(
            executable("rabbitmqctl"),
            "--quiet",
            *arguments,
            env=self._environment(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        if process.returncode:
            raise RabbitServerFailed(f"rabbitmqctl {arguments[0]}: {output.decode(errors='replace')[-2000:]}")
        return output.decode(errors="replace")

    def _write_files(self) -> None:
        lines = [
            f"listeners.tcp.1 = 127.0.0.1:{self.port}",
            "disk_free_limit.absolute = 50MB",
            "log.console = true",
            "log.console.level = info",
            "log.file = false",
        ]
        (self.directory / "rabbitmq.conf").write_text("\n".join([*lines, self._extra, ""]))
        (self.directory / "advanced.config").write_text(_ADVANCED)
        (self.directory / "enabled_plugins").write_text("[].\n")
        (self.directory / "empty.conf").write_text("")

    def _environment(self) -> Mapping[str, str]:
        here = str(self.directory.resolve())
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_"))}
        return inherited | {
            "HOME": here,
            "ERL_CRASH_DUMP_SECONDS": "0",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._ports[0]),
            "RABBITMQ_NODENAME": _NODE,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._ports[1]),
            "RABBITMQ_CONF_ENV_FILE": f"{here}/empty.conf",
            "RABBITMQ_CONFIG_FILE": f"{here}/rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{here}/advanced.config",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{here}/generated",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{here}/enabled_plugins",
            "RABBITMQ_MNESIA_BASE": f"{here}/data",
            "RABBITMQ_LOG_BASE": f"{here}/logs",
            "RABBITMQ_PID_FILE": f"{here}/pid",
            # Idle schedulers of Erlang spin otherwise; and distribution stays on this machine.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{_ERLANG} -kernel inet_dist_use_interface {{127,0,0,1}}",
        }

    async def _answers(self) -> bool:
        process = self._process
        if process is None or process.returncode is not None:
            raise RabbitServerFailed(f"RabbitMQ did not start:\n{self._tail()}")
        return await greets(self.port)

    def _tail(self) -> str:
        lines = self.log.read_bytes()[self._log_start :].decode(errors="replace").splitlines()
        # It says first what is wrong, and then at length how it ended.
        return "\n".join([line for line in lines if "[error]" in line][:20] or lines[-20:])


@asynccontextmanager
async def run(directory: Path, *, port: int = 0, extra: str = "") -> AsyncIterator[RabbitServer]:
    """A running node, stopped afterwards."""
    server = RabbitServer(directory, port=port, extra=extra)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def greets(port: int) -> bool:
    """A server on this port takes connections. One that is still booting takes them too, and says nothing."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.write(b"AMQP\x00\x00\x09\x01")
    greeting = b""
    with suppress(TimeoutError, OSError):
        async with asyncio.timeout(1):
            greeting = await reader.read(1)
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return greeting == b"\x01"


def port_mapper() -> str:
    """Erlang's. One of our own, or the node would start one that stays for ever. Raises `RabbitServerFailed`."""
    found = shutil.which("epmd")
    if found is None:
        raise RabbitServerFailed("epmd was not found: it comes with Erlang")
    return found


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        # The script, the virtual machine and its helpers.
        os.killpg(process.pid, number)
