"""Runs the programs of a broker server as child processes, with a log that they share."""

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
    """A server did not start, or one of its programs failed. The message has the end of the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program of a server. Without `environ` it gets the environment of this process."""

    name: str
    command: tuple[str, ...]
    environ: Mapping[str, str] | None = None


class Processes:
    """The programs of a server, running or not: the server itself last, after those that it needs."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._log_start = 0
        self._running: list[asyncio.subprocess.Process] = []

    @property
    def pid(self) -> int | None:
        """The id of the server's process; None while it is stopped."""
        return self._running[-1].pid if self._running else None

    async def start(
        self, programs: Sequence[Program], *, answers: Callable[[int], Awaitable[bool]], within: float
    ) -> None:
        """Return once `answers`, called with the pid of the server, says so. Raises `ServerFailed`.

        The programs run in the directory of the log. `within`: after so many seconds the start has failed.
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

    def freeze(self) -> None:
        """Let the server stand still with its connections open, until `thaw`."""
        _signal(self._running[-1], signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the server go on."""
        _signal(self._running[-1], signal.SIGCONT)

    async def _spawn(self, program: Program) -> None:
        with self._log.open("ab") as log:
            # In a session of its own: Ctrl-C in the terminal is for this process only, which stops its servers last.
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
        # RabbitMQ logs the error first, and then at length how it ended.
        return "\n".join([line for line in lines if "[error]" in line][:_TAIL_LINES] or lines[-_TAIL_LINES:])


class Server(Protocol):
    """A server that can be started and stopped any number of times."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


S = TypeVar("S", bound=Server)


@asynccontextmanager
async def running(server: S) -> AsyncIterator[S]:
    """Start the server, and stop it after the block."""
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def greeting(port: int, hello: bytes = b"", *, host: str = "127.0.0.1") -> bytes:
    """The first bytes that a server on this machine sends, after `hello`. Empty if none come within a second."""
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        return b""
    received = b""
    with suppress(TimeoutError, OSError):
        async with asyncio.timeout(1):
            writer.write(hello)
            received = await reader.read(100)
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return received


async def listens(port: int, *, host: str = "127.0.0.1") -> bool:
    """Whether something on this machine takes connections there."""
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        # To the whole group: RabbitMQ is a script, a virtual machine and its helpers.
        os.killpg(process.pid, number)
