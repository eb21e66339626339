"""What a run was made on and with."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import aiormq
import nats
import orjson

from tests.bench.bench import Size
from tests.bench.report.rows import hardware
from tests.e2e.site import NATS, Site


async def broker_of(site: Site) -> str:
    """Name and version of the broker."""
    if site.broker == NATS:
        client = await nats.connect(site.source)
        version = client.connected_server_version
        await client.close()
        return f"nats-server {version.major}.{version.minor}.{version.patch}"
    connection = await aiormq.connect(site.source)
    found = connection.server_properties["version"]
    await connection.close()
    return f"RabbitMQ {found.decode() if isinstance(found, bytes) else found}"


async def machine(site: Site, brokers: Sequence[str], size: Size, against: Path | None) -> str:
    """A line about the machine, what ran on it, how much that was, and the version that was measured against."""
    kubernetes = orjson.loads(await site.cluster.client.request("GET", "/version"))["gitVersion"]
    server = "without controllers" if site.own_cluster else "kube-apiserver"
    line = f"{hardware(*brokers, f'{server} ({kubernetes})')} {size}."
    return line if against is None else f"{line} *Before*: {_commit(against)}."


def _commit(checkout: Path) -> str:
    """Its commit, short, with the date."""
    command = ["git", "-C", str(checkout), "log", "-1", "--date=short", "--format=%h of %cd"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
