"""Child processes that end when this process ends, each in a session of its own, with its output in a file."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from handler.local import leash

STOP_SECONDS = 25.0
"""How long a process may take to end after SIGTERM; jobrelay drains for 20 s."""
_LOOK_SECONDS = 0.05


class StartFailed(Exception):
    """A process did not become ready. The message carries the end of its output."""


class Process:
    """A child process. `log`: the file with the output of this start and of earlier starts."""

    def __init__(self, name: str, child: asyncio.subprocess.Process, *, log: Path, start: int) -> None:
        self.name = name
        self.log = log
        self._child = child
        self._start = start

    @property
    def pid(self) -> int:
        """The id of the process, and of its process group."""
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative if a signal ended it."""
        return self._child.returncode

    async def wait(self) -> int:
        """Wait until it ends. Returns its exit code."""
        return await self._child.wait()

    def output(self) -> str:
        """Its output since this start."""
        with self.log.open("rb") as file:
            file.seek(self._start)
            return file.read().decode(errors="replace")

    def tail(self, lines: int = 20) -> str:
        """The last lines of its output since this start."""
        return "\n".join(self.output().splitlines()[-lines:])

    async def ready(self, is_ready: Callable[[], Awaitable[bool]], *, within: float) -> None:
        """Return once `is_ready` says so. Raises `StartFailed` if the process ends first, or after `within` seconds."""
        deadline = time.monotonic() + within
        while not await is_ready():
            if self.exit_code is not None:
                raise StartFailed(f"{self.name} ended with {self.exit_code} at its start:\n{self.tail()}")
            if time.monotonic() >= deadline:
                raise StartFailed(f"{self.name} is not ready after {within:g} s:\n{self.tail()}")
            await asyncio.sleep(_LOOK_SECONDS)

    async def stop(self, *, grace: float = STOP_SECONDS) -> None:
        """Send it SIGTERM and, after `grace` seconds or when it has ended, SIGKILL to what is left of its group."""
        if self.exit_code is None:
            with suppress(ProcessLookupError):
                self._child.terminate()
            try:
                async with asyncio.timeout(grace):
                    await self._child.wait()
            except TimeoutError:
                pass
            finally:
                self._kill_group()
        else:
            self._kill_group()
        await self._child.wait()

    def kill(self) -> None:
        """End it as a crash would."""
        with suppress(ProcessLookupError):
            self._child.kill()

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


async def spawn(name: str, command: Sequence[str], *, log: Path, environ: Mapping[str, str] | None = None) -> Process:
    """Start a command. The caller has to stop it; if this process dies first, the child gets SIGTERM."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        start = output.tell()
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(os.environ if environ is None else environ),
            # Ctrl-C in the terminal is for this process only, which then stops its children in order.
            start_new_session=True,
        )
    return Process(name, child, log=log, start=start)


@asynccontextmanager
async def running(
    name: str, command: Sequence[str], *, log: Path, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Process]:
    """A child process for the length of the block."""
    process = await spawn(name, command, log=log, environ=environ)
    try:
        yield process
    finally:
        await process.stop()
