"""Runs the programs of a broker server as child processes, with one log. It does not know what they serve."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

_POLL_SECONDS = 0.02
_TAIL_LINES = 20


class ServerFailed(Exception):
    """A server did not come up, or a program of it failed. The message carries the end of its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One program of a server. Without `environ` it gets the environment of this process."""

    name: str
    command: tuple[str, ...]
    environ: Mapping[str, str] | None = None


class Processes:
    """The programs of one server, running or not. The last one is the server itself, the others serve it."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._log_start = 0
        self._running: list[asyncio.subprocess.Process] = []

    @property
    def pid(self) -> int | None:
        """Of the server itself; None while it does not run."""
        return self._running[-1].pid if self._running else None

    async def start(
        self, programs: Sequence[Program], *, answers: Callable[[int], Awaitable[bool]], within: float
    ) -> None:
        """Return once `answers`, given the pid of the server, says yes. Raises `ServerFailed` after `within` seconds.

        They run in the directory of the log.
        """
        self._log_start = self._log.stat().st_size if self._log.exists() else 0
        name = programs[-1].name
        try:
            async with asyncio.timeout(within):
                for program in programs:
                    await self._spawn(program)
                server = self._running[-1]
                while server.returncode is None:
                    if await answers(server.pid):
                        return
                    await asyncio.sleep(_POLL_SECONDS)
                raise ServerFailed(f"{name} did not start:\n{self._tail()}")
        except TimeoutError as error:
            await self.kill()
            raise ServerFailed(f"{name} did not start within {within:g} s:\n{self._tail()}") from error
        except BaseException:
            await self.kill()
            raise

    async def stop(self, *, grace: float) -> None:
        """Ask the server to end, and wait up to `grace` seconds. Then kill whatever is left."""
        if self._running:
            _signal(self._running[-1], signal.SIGTERM)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._running[-1].wait(), grace)
        await self.kill()

    async def kill(self) -> None:
        """End them as a crash would."""
        processes, self._running = self._running, []
        for process in reversed(processes):
            _signal(process, signal.SIGKILL)
            await process.wait()

    async def _spawn(self, program: Program) -> None:
        with self._log.open("ab") as log:
            # A session of its own: Ctrl-C in the terminal is for our process, which stops its servers last.
            process = await asyncio.create_subprocess_exec(
                *program.command,
                env=program.environ,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self._log.parent,
            )
        self._running.append(process)

    def _tail(self) -> str:
        lines = self._log.read_bytes()[self._log_start :].decode(errors="replace").splitlines()
        # RabbitMQ says first what is wrong, and then at length how it ended.
        return "\n".join([line for line in lines if "[error]" in line][:_TAIL_LINES] or lines[-_TAIL_LINES:])


class Server(Protocol):
    """A server that can be started and stopped any number of times."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


S = TypeVar("S", bound=Server)


@asynccontextmanager
async def running(server: S) -> AsyncIterator[S]:
    """Start it, and stop it after the block."""
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def greeting(port: int, hello: bytes = b"") -> bytes:
    """The first bytes that a server on this machine says, after `hello`. Empty when there are none within a second."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return b""
    said = b""
    with suppress(TimeoutError, OSError):
        async with asyncio.timeout(1):
            writer.write(hello)
            said = await reader.read(100)
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return said


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        # The whole group: RabbitMQ is a script, a virtual machine and its helpers.
        os.killpg(process.pid, number)
