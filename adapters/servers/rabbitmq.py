"""A RabbitMQ node of our own as a child process: for local use and for tests, not for production.

Only the programs have to be installed (package rabbitmq-server); the system-wide service is neither needed nor touched.
The data of the node are in its directory, and it and its port mapper listen on 127.0.0.1 only.
"""

import asyncio
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from adapters.servers.free_port import free_port
from adapters.servers.login import Login, write_private
from adapters.servers.process import Processes, Program, ServerFailed, greeting, running

STOP_SECONDS = 20.0
_NODE = "jobrelay@localhost"
"""All nodes have this name, which is part of the path of their data: each has its own port mapper, so none clash."""
# Where packages have the programs themselves: the wrappers on PATH want another user and other directories.
_PLACES = ("/usr/lib/rabbitmq/bin",)
# When a message expires in a delay queue while a node starts, RabbitMQ may move it before the target queue is up. It
# then tries again only after this time, by default 3 minutes.
_ADVANCED = "[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 5000}]}].\n"
_ERLANG = "+sbwt none +sbwtdcpu none +sbwtdio none"


def executable(name: str = "rabbitmq-server") -> str:
    """Path of a program of RabbitMQ. Raises `ServerFailed` if it is not installed."""
    found = next((path for place in _PLACES if (path := shutil.which(name, path=place))), None) or shutil.which(name)
    if found is None:
        raise ServerFailed(f"{name} was not found: install the package rabbitmq-server, or put it on PATH")
    return found


class RabbitServer:
    """Can be started and stopped any number of times, on the same data in `directory` and the same ports.

    `port`: without TLS; 0 picks a free port. `extra`: further lines of rabbitmq.conf. `login`: the only user, whatever
    users there were before; None: `guest`, as RabbitMQ has it.
    """

    start_seconds = 60.0

    def __init__(self, directory: Path, *, port: int = 0, login: Login | None = None, extra: str = "") -> None:
        self.directory = directory
        self._login = login
        self.port = port
        self._extra = extra
        self._ports: tuple[int, int] = (0, 0)
        self._processes = Processes(self.log)

    @property
    def url(self) -> str:
        """How to reach it, once it was started."""
        return f"amqp://{self._login.in_url if self._login else 'guest:guest@'}127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """The file with its output."""
        return self.directory / "rabbitmq-server.log"

    @property
    def pid(self) -> int | None:
        """The id of the running process; None while it is stopped."""
        return self._processes.pid

    def prepare(self) -> tuple[Program, ...]:
        """Choose its ports and write its files. Returns what to run. Raises `ServerFailed` if a program is missing."""
        program, mapper = executable(), port_mapper()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port()
        if not self._ports[0]:
            self._ports = (free_port(), free_port())
        self._write_files()
        environ = self._environment()
        return (
            Program(name="epmd", command=(mapper,), environ=environ),
            Program(name="rabbitmq-server", command=(program,), environ=environ),
        )

    async def answers(self, pid: int) -> bool:
        """Whether it answers on a connection. A node that is still starting accepts connections, but says nothing."""
        return (await greeting(self.port, b"AMQP\x00\x00\x09\x01")).startswith(b"\x01")

    async def start(self) -> None:
        """Return once it answers. Raises `ServerFailed`."""
        await self._processes.start(self.prepare(), answers=self.answers, within=self.start_seconds)

    async def stop(self) -> None:
        """Ask it to end, and wait. Kills it if it does not."""
        await self._processes.stop(grace=STOP_SECONDS)

    async def kill(self) -> None:
        """End it as a crash would."""
        await self._processes.kill()

    async def ctl(self, *arguments: str) -> str:
        """The output of `rabbitmqctl`. Raises `ServerFailed`."""
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
            raise ServerFailed(f"rabbitmqctl {arguments[0]}: {output.decode(errors='replace')[-2000:]}")
        return output.decode(errors="replace")

    def _write_files(self) -> None:
        lines = [
            f"listeners.tcp.1 = 127.0.0.1:{self.port}",
            "disk_free_limit.absolute = 50MB",
            "log.console = true",
            "log.console.level = info",
            "log.file = false",
        ]
        if self._login:
            # Loaded at each start, before it takes connections. The password of guest is changed, too.
            write_private(self.directory / "definitions.json", _definitions(self._login))
            lines.append(f"load_definitions = {self.directory.resolve() / 'definitions.json'}")
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
            # Without the first, idle schedulers of Erlang spin. The rest keeps distribution on this machine.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{_ERLANG} -kernel inet_dist_use_interface {{127,0,0,1}}",
        }


def _definitions(login: Login) -> str:
    users = [
        {"name": login.user, "password": login.password, "tags": ["administrator"]},
        {"name": "guest", "password": login.password, "tags": []},
    ]
    allowed = {"user": login.user, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
    return json.dumps({"users": users, "vhosts": [{"name": "/"}], "permissions": [allowed]})


def run(directory: Path, *, port: int = 0, extra: str = "") -> AbstractAsyncContextManager[RabbitServer]:
    """A running node for the length of the block."""
    return running(RabbitServer(directory, port=port, extra=extra))


def port_mapper() -> str:
    """Path of epmd. We run our own: a node would start an epmd that outlives it. Raises `ServerFailed`."""
    found = shutil.which("epmd")
    if found is None:
        raise ServerFailed("epmd was not found: it comes with Erlang")
    return found
