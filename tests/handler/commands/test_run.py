"""`jobrelay run` as a process: signals and exit codes."""

import asyncio
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from adapters.servers import nats
from adapters.servers.free_port import free_port
from handler.local.stack import LOOPBACK
from tests.handler.commandline import call_beside, end, make_environ, started, wait_for
from tests.patience import PATIENCE


def test_sigterm_ends_the_process_cleanly_even_if_nothing_can_be_reached(tmp_path: Path) -> None:
    output = tmp_path / "output"
    with started("run", environ=make_environ(tmp_path), output=output) as process:
        wait_for(lambda: "serving" in output.read_text(), what=output.read_text)
        assert end(process, signal.SIGTERM) == 0
    assert "Traceback" not in output.read_text()


def test_an_address_in_use_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    output = tmp_path / "output"
    port = free_port()
    with socket.create_server((LOOPBACK, port)):
        environ = make_environ(tmp_path, JOBRELAY_HTTP_ADDRESS=f"{LOOPBACK}:{port}")
        with started("run", environ=environ, output=output) as process:
            assert process.wait(PATIENCE) == 1
    assert output.read_text().startswith(f"jobrelay: cannot serve {LOOPBACK}:{port}: ")
    assert len(output.read_text().splitlines()) == 1


async def test_a_kubeconfig_that_makes_no_sense_is_misuse(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "broken"
    kubeconfig.write_text("{")
    environ = make_environ(tmp_path, JOBRELAY_KUBECONFIG=str(kubeconfig))
    done = await call_beside("run", environ=environ)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "kubeconfig" in done.stderr.splitlines()[-1]


@asynccontextmanager
async def silent_api_server() -> AsyncIterator[tuple[int, asyncio.Event]]:
    """Reads requests but answers none. Yields its port, and an event that is set once a Job should be created."""
    asked = asyncio.Event()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while heard := await reader.read(1 << 16):
            if heard.startswith(b"POST /apis/batch/v1"):
                asked.set()
        writer.close()

    async with await asyncio.start_server(hear, LOOPBACK, 0) as server:
        yield server.sockets[0].getsockname()[1], asked


async def test_a_first_signal_starts_draining_and_a_second_ends_the_process_at_once(tmp_path: Path) -> None:
    output = tmp_path / "output"
    async with nats.run(tmp_path / "nats") as server, silent_api_server() as (port, asked):
        environ = make_environ(tmp_path, api_server=port, JOBRELAY_SOURCES=server.url, JOBRELAY_DRAIN_SECONDS="600")
        with started("run", environ=environ, output=output) as process:
            wait_for(lambda: "JOBRELAY_DEAD" in output.read_text(), what=output.read_text)
            await call_beside("submit", "--image", "a", environ=environ)
            async with asyncio.timeout(PATIENCE):
                await asked.wait()
            process.send_signal(signal.SIGTERM)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(1)
            assert end(process, signal.SIGINT) == -signal.SIGINT


@pytest.mark.parametrize("command", [["submit", "--image", "a"], ["watch"], ["cancel", "x"], ["dead", "list"]])
async def test_a_broker_on_which_jobrelay_never_ran_is_reported_in_one_line(tmp_path: Path, command: list[str]) -> None:
    async with nats.run(tmp_path / "nats") as server:
        done = await call_beside(*command, environ={"JOBRELAY_SOURCES": server.url})
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "jobrelay check --connect" in done.stderr
