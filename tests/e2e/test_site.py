"""A run leaves nothing behind on a cluster and a broker that it was given."""

from pathlib import Path

import nats
import orjson
import pytest

from adapters.servers import nats as natsserver, rabbitmq as rabbitmqserver
from adapters.servers.nats import NatsServer
from adapters.servers.rabbitmq import RabbitServer
from tests.adapters.conftest import need_rabbit
from tests.e2e.observer import request
from tests.e2e.site import NATS, RABBITMQ, VARIABLES, Site, site


async def names(found: Site, path: str) -> set[str]:
    answer = orjson.loads(await found.cluster.client.request("GET", path))
    return {item["metadata"]["name"] for item in answer["items"]}


async def visit(directory: Path, environ: dict[str, str], broker: str) -> str:
    """Use jobrelay there, and leave a Job running. Returns the namespace."""
    async with site(directory, environ, broker=broker) as guest:
        instance = guest.new_instance()
        async with guest.observer(instance) as observer, guest.relay(instance):
            await observer.publish(request("left", "sleep 600", image=guest.image))
            await observer.reached("left", "started")
        return guest.namespace


@pytest.mark.parametrize("broker", [NATS, pytest.param(RABBITMQ, marks=pytest.mark.long)])
async def test_everything_that_a_run_created_is_deleted_and_nothing_else(tmp_path: Path, broker: str) -> None:
    if broker == RABBITMQ:
        need_rabbit()
    server = natsserver if broker == NATS else rabbitmqserver
    async with server.run(tmp_path / broker) as there, site(tmp_path / "host", {}, broker=None) as host:
        before = await names(host, "/api/v1/namespaces")
        environ = {"KUBECONFIG": str(host.kubeconfig), VARIABLES[broker]: there.url, "E2E_NAMESPACE": host.namespace}
        assert await visit(tmp_path / "given", environ, broker) == host.namespace
        for resource in ("batch/v1/namespaces/{}/jobs", "coordination.k8s.io/v1/namespaces/{}/leases"):
            assert await names(host, f"/apis/{resource.format(host.namespace)}") == set()
        del environ["E2E_NAMESPACE"]
        assert await visit(tmp_path / "own", environ, broker) not in before
        assert await names(host, "/api/v1/namespaces") == before
        assert await left_on(there) == []


async def left_on(server: NatsServer | RabbitServer) -> list[str]:
    """The streams, or the queues and exchanges of runs, that are on the broker."""
    if isinstance(server, RabbitServer):
        listed = await server.ctl("list_queues", "name") + await server.ctl("list_exchanges", "name")
        return [name for name in listed.split() if "e2e" in name]
    client = await nats.connect(server.url)
    streams = await client.jetstream().streams_info()
    await client.close()
    return [str(stream.config.name) for stream in streams]
