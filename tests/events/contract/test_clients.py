"""The client examples, each started as a reader would start it: they publish a request and print how it ended."""

import ast
import asyncio
import json
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
from tests.handler.samples import until, waits_for
from tests.paths import EXAMPLES
from tests.processes import output_of

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
    output = await output_of(process)
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


def altered(client: str, directory: Path, *, source: str, request_id: str, script: str) -> list[str | Path]:
    """The command of a copy of this client with another source, id and script."""
    directory.mkdir()
    node = client.endswith(".mjs")
    path = node_client(client, directory) if node else Path(shutil.copy(CLIENTS / client, directory))
    file, name = (directory / "request.mjs", "") if node else (path, path.stem.replace("_", "-"))
    made = {
        "`${source}-${randomUUID()}`" if node else f'f"{name}-{{uuid.uuid4()}}"': request_id,
        "`/examples/${source}`" if node else f'"/examples/{name}"': source,
        "'" + r'''echo "{\\"sum\\": $((17 + 25))}" >"$JOBRELAY_RESULT_PATH"''' + "'": script,
    }
    text = file.read_text()
    for old, new in made.items():
        assert text.count(old) == 1, old
        text = text.replace(old, json.dumps(new))
    file.write_text(text)
    return ["node" if node else sys.executable, path]


async def assert_told_apart(waiting: str, brief: str, url: str, directory: Path) -> None:
    """One client waits for its request while others of the same id fail, and are rejected."""
    begun, go = directory / "begun", directory / "go"
    script = f"touch {begun}; {waits_for(go)}; echo '{{\"sum\": 42}}' >$JOBRELAY_RESULT_PATH"
    fixed = {"request_id": f"shared-{Path(waiting).stem}"}

    def command(client: str, name: str, source: str, script: str) -> list[str | Path]:
        return altered(client, directory / name, source=source, script=script, **fixed)

    async def started() -> bool:
        return await asyncio.to_thread(begun.exists)

    mine = command(waiting, "mine", "/one", script)
    async with asyncio.TaskGroup() as group:
        success = group.create_task(run(*mine, url, directory=directory))
        await until(started)
        failure = await run(*command(brief, "theirs", "/two", "exit 3"), url, directory=directory)
        refusal = await run(*command(brief, "reused", "/one", "exit 4"), url, directory=directory)
        assert not success.done()
        await asyncio.to_thread(go.touch)
    assert_printed(await success)
    assert (failure[0], failure[1].splitlines()) == (1, ["created null", "started null", "failed null"])
    assert (refusal[0], refusal[1].splitlines()) == (1, ["rejected null"])


@pytest.mark.broker
@pytest.mark.parametrize(("waiting", "brief"), [("python_nats.py", "nats.mjs"), ("nats.mjs", "python_nats.py")])
async def test_clients_with_one_id_see_their_own_outcome_on_nats(
    cluster: Cluster, nats_url: str, tmp_path: Path, waiting: str, brief: str
) -> None:
    async with relay("nats", nats_url, cluster):
        await assert_told_apart(waiting, brief, nats_url, tmp_path)


@pytest.mark.broker
@pytest.mark.parametrize(
    ("waiting", "brief"), [("python_rabbitmq.py", "rabbitmq.mjs"), ("rabbitmq.mjs", "python_rabbitmq.py")]
)
async def test_clients_with_one_id_see_their_own_outcome_on_rabbitmq(
    cluster: Cluster, rabbit_url: str, tmp_path: Path, waiting: str, brief: str
) -> None:
    async with relay("rabbitmq", rabbit_url, cluster):
        await assert_told_apart(waiting, brief, rabbit_url, tmp_path)


@pytest.mark.parametrize("file", sorted(CLIENTS.glob("*.py")), ids=lambda file: file.stem)
def test_clients_need_a_broker_library_and_no_package_of_ours(file: Path) -> None:
    nodes = list(ast.walk(ast.parse(file.read_text())))
    imported = {name.name.partition(".")[0] for node in nodes if isinstance(node, ast.Import) for name in node.names}
    assert imported - sys.stdlib_module_names in ({"nats"}, {"aio_pika"})
    assert not any(isinstance(node, ast.ImportFrom) for node in nodes)
