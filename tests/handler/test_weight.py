"""What an idle handler and an idle controller keep in memory: no library that only other processes need."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.k8s.conftest import write_kubeconfig
from tests.paths import ROOT

CODE = """
import asyncio, os, sys
from pathlib import Path
import handler.cli.main, handler.commands.environment, handler.commands.run, handler.app
role, adapter, kubeconfig = sys.argv[1:]
if role == "controller":
    import handler.candidate
if adapter == "nats":
    import adapters.jetstream.broker
else:
    import adapters.rabbitmq.broker
from k8s.api.cluster import connect

async def main():
    async with connect(kubeconfig=Path(kubeconfig)):
        print(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
        print(*sys.modules)

asyncio.run(main())
"""
MEGABYTES = 72 if sys.version_info < (3, 14) else 80
"""Of the machine's memory that it has a page in: 65 to 68 here, 73 to 76 with Python 3.14, some more with another C
library."""
OF_OTHERS = {
    "alembic", "asyncpg", "jinja2", "jsonschema", "kubernetes_asyncio", "multiprocessing", "obstore", "requests",
    "rich", "sqlalchemy", "trustme", "urllib3", "opentelemetry.sdk", "handler.console.console", "handler.history.sql",
    "handler.local", "k8s.devcluster",
}  # fmt: skip


@pytest.mark.parametrize(("role", "adapter"), [("handler", "nats"), ("controller", "rabbitmq")])
def test_an_idle_process_has_loaded_only_what_its_role_needs(tmp_path: Path, role: str, adapter: str) -> None:
    kubeconfig = write_kubeconfig(tmp_path, {"server": "http://127.0.0.1:9"}, {"token": "t"})
    command = [sys.executable, "-c", CODE, role, adapter, str(kubeconfig)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    size, loaded = done.stdout.splitlines()
    modules = set(loaded.split())
    absent = OF_OTHERS | ({"aio_pika", "handler.controller.controller"} if role == "handler" else {"nats"})
    assert not modules & absent
    assert int(size) < MEGABYTES * 1_000_000
