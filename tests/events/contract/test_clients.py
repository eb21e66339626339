"""The client examples, each started as a reader would start it: they publish a request and print how it ended."""

import ast
import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from adapters.base import Broker
from adapters.connect import connect
from adapters.servers import nats as natsserver, rabbitmq as rabbitmqserver
from k8s.api.cluster import Cluster
from tests.adapters.conftest import need_rabbit
from tests.events.contract.node import PACKAGE, node_modules
from tests.handler.relay import relaying
from tests.paths import EXAMPLES
from tests.patience import PATIENCE

CLIENTS = EXAMPLES / "clients"
PRINTED = ["created null", "started null", 'succeeded {"sum": 42}']


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rabbit_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """A node for this module alone: the clients use the names of installation `jobrelay`."""
    need_rabbit()
    async with rabbitmqserver.run(tmp_path_factory.mktemp("rabbitmq")) as server:
        yield server.url


@pytest.fixture
async def nats_url(tmp_path: Path) -> AsyncIterator[str]:
    async with natsserver.run(tmp_path / "nats") as server:
        yield server.url


@asynccontextmanager
async def relay(name: str, url: str, cluster: Cluster) -> AsyncIterator[None]:
    """A running jobrelay on this broker, its streams or queues declared."""
    connecting: Callable[[], AbstractAsyncContextManager[Broker]] = partial(connect, url)
    async with connecting() as broker:
        await broker.declare()
    async with relaying({name: connecting}, cluster):
        yield


async def run(*command: str | Path, directory: Path) -> tuple[int | None, str]:
    """Exit code and output of a client, in an environment without this project's variables."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("JOBRELAY_", "PYTHON"))}
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        cwd=directory,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, output.decode()


def node_client(name: str, directory: Path) -> Path:
    """A copy of the client file in `directory`, with its packages beside it."""
    (directory / "node_modules").symlink_to(node_modules())
    for file in PACKAGE.glob("*.mjs"):
        shutil.copy(file, directory)
    return directory / name


def assert_printed(result: tuple[int | None, str]) -> None:
    code, output = result
    assert (code, output.replace(":", ": ").replace("  ", " ").splitlines()) == (0, PRINTED)


@pytest.mark.broker
async def test_python_client_on_nats(cluster: Cluster, nats_url: str, tmp_path: Path) -> None:
    async with relay("nats", nats_url, cluster):
        assert_printed(await run(sys.executable, CLIENTS / "python_nats.py", nats_url, directory=tmp_path))


@pytest.mark.broker
async def test_node_client_on_nats(cluster: Cluster, nats_url: str, tmp_path: Path) -> None:
    client = node_client("nats.mjs", tmp_path)
    async with relay("nats", nats_url, cluster):
        assert_printed(await run("node", client, nats_url, directory=tmp_path))


@pytest.mark.broker
async def test_python_client_on_rabbitmq(cluster: Cluster, rabbit_url: str, tmp_path: Path) -> None:
    async with relay("rabbitmq", rabbit_url, cluster):
        assert_printed(await run(sys.executable, CLIENTS / "python_rabbitmq.py", rabbit_url, directory=tmp_path))


@pytest.mark.broker
async def test_node_client_on_rabbitmq(cluster: Cluster, rabbit_url: str, tmp_path: Path) -> None:
    client = node_client("rabbitmq.mjs", tmp_path)
    async with relay("rabbitmq", rabbit_url, cluster):
        assert_printed(await run("node", client, rabbit_url, directory=tmp_path))


@pytest.mark.parametrize("file", sorted(CLIENTS.glob("*.py")), ids=lambda file: file.stem)
def test_clients_need_a_broker_library_and_no_package_of_ours(file: Path) -> None:
    nodes = list(ast.walk(ast.parse(file.read_text())))
    imported = {name.name.partition(".")[0] for node in nodes if isinstance(node, ast.Import) for name in node.names}
    assert imported - sys.stdlib_module_names in ({"nats"}, {"aio_pika"})
    assert not any(isinstance(node, ast.ImportFrom) for node in nodes)
