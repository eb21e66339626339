"""Runs `jobrelay` as a user does."""

import asyncio
import io
import os
import signal
import subprocess
import time
from asyncio.subprocess import PIPE
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

from handler.cli.main import main
from handler.local.processes import Process
from handler.local.stack import LOOPBACK, Stack, clean_environ, jobrelay
from handler.settings.connections import cluster_of
from handler.settings.settings import Settings
from k8s.api.cluster import Cluster
from tests.patience import PATIENCE
from tests.processes import is_alive

T = TypeVar("T")


def make_environ(directory: Path, *, api_server: int = 1, **settings: str) -> dict[str, str]:
    """The environment of a process that reaches no broker and, unless a port is given, no API server."""
    kubeconfig = directory / "kubeconfig"
    user, context = "{name: me, user: {token: none}}", "{name: here, context: {cluster: here, user: me}}"
    cluster = f"{{name: here, cluster: {{server: 'http://{LOOPBACK}:{api_server}'}}}}"
    kubeconfig.write_text(
        f"apiVersion: v1\nkind: Config\ncurrent-context: here\n"
        f"contexts: [{context}]\nclusters: [{cluster}]\nusers: [{user}]\n"
    )
    return {
        "JOBRELAY_SOURCES": f"nats://{LOOPBACK}:1",
        "JOBRELAY_KUBECONFIG": str(kubeconfig),
        "JOBRELAY_HTTP_ADDRESS": f"{LOOPBACK}:0",
        "JOBRELAY_UI_ADDRESS": f"{LOOPBACK}:0",
    } | settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The exit code and the output of a command."""

    returncode: int
    stdout: str
    stderr: str


def shell(script: str) -> list[str]:
    """Options of `submit` for a Job that runs `script` in a shell."""
    return ["--image", "busybox", "--", "sh", "-c", script]


def run(stack: Stack, *arguments: str, text: str = "") -> Done:
    """Run a command with this installation."""
    return call(*arguments, environ=stack.environ, text=text)


def call(*arguments: str, environ: Mapping[str, str], text: str = "") -> Done:
    """Run it to its end in this process, which saves the time for imports. Not for use within an event loop."""
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


def asked(environ: Mapping[str, str], work: Callable[[Cluster], Coroutine[Any, Any, T]]) -> T:
    """Call `work` with the cluster of these settings. Not for use within an event loop."""

    async def connected() -> T:
        async with cluster_of(Settings.from_env(environ)) as cluster:
            return await work(cluster)

    return asyncio.run(connected())


def terminated(process: Process) -> None:
    """End a process that another test started, and wait for that. Not for use within an event loop."""
    os.kill(process.pid, signal.SIGTERM)
    wait_for(lambda: not is_alive(process.pid))


async def call_beside(*arguments: str, environ: Mapping[str, str], cwd: Path | None = None, text: str = "") -> Done:
    """Run it to its end as a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *jobrelay(*arguments), env={**clean_environ(), **environ}, cwd=cwd, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    out, err = await process.communicate(text.encode())
    return Done(returncode=process.returncode or 0, stdout=out.decode(), stderr=err.decode())


@contextmanager
def started(
    *arguments: str, environ: Mapping[str, str], output: Path, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run it during the block, with all output in a file. It is killed at the end if it still runs."""
    with output.open("wb") as file:
        process = subprocess.Popen(
            jobrelay(*arguments), env={**clean_environ(), **environ}, cwd=cwd, stdout=file, stderr=file
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def end(process: subprocess.Popen[bytes], number: signal.Signals, *, seconds: float = PATIENCE) -> int:
    """Send a signal and wait for the exit code."""
    process.send_signal(number)
    return process.wait(seconds)


def wait_for(look: Callable[[], T | None], *, seconds: float = PATIENCE, what: Callable[[], str] = str) -> T:
    """Return what `look` returns as soon as that is true; fails with the message of `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, what()
        time.sleep(0.02)
    return found
