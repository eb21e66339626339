"""`jobrelay` as a user runs it."""

import asyncio
import io
import os
import signal
import subprocess
import time
from asyncio.subprocess import PIPE
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from handler.cli.main import main
from handler.local.stack import clean_environ, jobrelay

SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a command line ended, and what it said."""

    returncode: int
    stdout: str
    stderr: str


def call(*arguments: str, environ: Mapping[str, str], text: str = "") -> Done:
    """Run it to its end in this process, which saves the time that imports take. Not from within an event loop."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    with (
        mock.patch.dict(os.environ, {**clean_environ(), **environ}, clear=True),
        mock.patch("sys.stdin", io.StringIO(text)),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        code = main(arguments)
    return Done(returncode=code, stdout=_written(out), stderr=_written(err))


def _written(file: io.TextIOWrapper) -> str:
    file.seek(0)
    return file.read()


async def call_beside(*arguments: str, environ: Mapping[str, str], cwd: Path | None = None, text: str = "") -> Done:
    """The same as a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *jobrelay(*arguments), env={**clean_environ(), **environ}, cwd=cwd, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    out, err = await process.communicate(text.encode())
    return Done(returncode=process.returncode or 0, stdout=out.decode(), stderr=err.decode())


@contextmanager
def started(
    *arguments: str, environ: Mapping[str, str], output: Path, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run it meanwhile, everything it says in a file; killed at the end if it runs still."""
    with output.open("wb") as file:
        process = subprocess.Popen(
            jobrelay(*arguments), env={**clean_environ(), **environ}, cwd=cwd, stdout=file, stderr=file
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def end(process: subprocess.Popen[bytes], number: signal.Signals, *, seconds: float = SECONDS) -> int:
    """Send a signal and wait for the exit code."""
    process.send_signal(number)
    return process.wait(seconds)


def wait_for(look: Callable[[], object], *, seconds: float = SECONDS, what: Callable[[], str] = str) -> None:
    """Return once `look` says something true; fails with what `what` says."""
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, what()
        time.sleep(0.02)
