"""A RabbitMQ node of our own as a child process: for local use and for tests, not for production.

Only the programs have to be installed (package rabbitmq-server); the system-wide service is neither needed nor touched.
The data of the node are in its directory, and it and its port mapper listen on 127.0.0.1 only.
"""

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from adapters.servers.free_port import free_port
from adapters.servers.login import Login, write_private
from adapters.servers.process import Processes, Program, ServerFailed, greeting, listens, running
from adapters.servers.release import Release, chosen

STOP_SECONDS = 20.0
_NODE = "jobrelay@localhost"
"""All that stand alone have this name, which is part of the path of their data: each has its own port mapper, so none
clash.
"""
# When a message expires in a delay queue while a node starts, RabbitMQ may move it before the target queue is up. It
# then tries again only after this time, by default 3 minutes.
_ADVANCED = "[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 5000}]}].\n"
_ERLANG = "+sbwt none +sbwtdcpu none +sbwtdio none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """What makes a node one of a cluster. `mapper`: the port of the port mapper that they share, which runs already.

    `peers`: names of the nodes that it looks for at its first start, its own among them.
    """

    node: str
    peers: Sequence[str]
    mapper: int
    cookie: str


class RabbitServer:
    """Can be started and stopped any number of times, on the same data in `directory` and the same ports.

    `port`: without TLS; 0 picks a free port. `extra`: further lines of rabbitmq.conf; `listeners`: hosts and ports that
    they name. `login`: the only user, whatever users there were before; None: `guest`, as RabbitMQ has it. `member`: of
    a cluster; None: it stands alone.
    """

    start_seconds = 60.0

    def __init__(
        self,
        directory: Path,
        *,
        port: int = 0,
        login: Login | None = None,
        extra: str = "",
        listeners: Sequence[tuple[str, int]] = (),
        release: Release | None = None,
        plugins: Sequence[str] = (),
        member: Member | None = None,
    ) -> None:
        self.directory = directory
        self.release = release or chosen()
        self._login = login
        self.port = port
        self._extra = extra
        self._listeners = listeners
        self._plugins = plugins
        self._member = member
        self._ports: tuple[int, int] = (member.mapper if member else 0, 0)
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
        program, mapper = self.release.program(), self.release.port_mapper()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port()
        if not self._ports[1]:
            self._ports = (self._ports[0] or free_port(), free_port())
        self._write_files()
        environ = self._environment()
        server = Program(name="rabbitmq-server", command=(program,), environ=environ)
        return (server,) if self._member else (Program(name="epmd", command=(mapper,), environ=environ), server)

    async def answers(self, pid: int) -> bool:
        """Whether it answers on a connection, and listens wherever it is to listen.

        A node that is still starting accepts connections, but says nothing. RabbitMQ 4 then answers some time before it
        listens for TLS.
        """
        if not (await greeting(self.port, b"AMQP\x00\x00\x09\x01")).startswith(b"\x01"):
            return False
        return all([await listens(port, host=host) for host, port in self._listeners])

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

    async def ctl(self, *arguments: str, program: str = "rabbitmqctl") -> str:
        """The output of `rabbitmqctl`, or of another of its tools. Raises `ServerFailed`."""
        process = await asyncio.create_subprocess_exec(
            self.release.program(program),
            "--quiet",
            *arguments,
            env=self._environment(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        if process.returncode:
            raise ServerFailed(f"{program} {arguments[0]}: {output.decode(errors='replace')[-2000:]}")
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
        if self._member:
            lines += _formation(self._member)
            write_private(self.directory / ".erlang.cookie", self._member.cookie)
        (self.directory / "rabbitmq.conf").write_text("\n".join([*lines, self._extra, ""]))
        (self.directory / "advanced.config").write_text(_ADVANCED)
        (self.directory / "enabled_plugins").write_text(f"[{','.join(self._plugins)}].\n")
        (self.directory / "empty.conf").write_text("")

    def _environment(self) -> Mapping[str, str]:
        here = str(self.directory.resolve())
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_"))}
        return inherited | {
            "PATH": self.release.path,
            "HOME": here,
            "ERL_CRASH_DUMP_SECONDS": "0",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._ports[0]),
            "RABBITMQ_NODENAME": self._member.node if self._member else _NODE,
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


def _formation(member: Member) -> list[str]:
    """Lines of rabbitmq.conf by which it finds the others of its cluster."""
    peers = [f"cluster_formation.classic_config.nodes.{number} = {peer}" for number, peer in enumerate(member.peers, 1)]
    return ["cluster_formation.peer_discovery_backend = classic_config", *peers]


def _definitions(login: Login) -> str:
    users = [
        {"name": login.user, "password": login.password, "tags": ["administrator"]},
        {"name": "guest", "password": login.password, "tags": []},
    ]
    allowed = {"user": login.user, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
    return json.dumps({"users": users, "vhosts": [{"name": "/"}], "permissions": [allowed]})


def run(
    directory: Path, *, port: int = 0, extra: str = "", listeners: Sequence[tuple[str, int]] = ()
) -> AbstractAsyncContextManager[RabbitServer]:
    """A running node for the length of the block."""
    return running(RabbitServer(directory, port=port, extra=extra, listeners=listeners))
