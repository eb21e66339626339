"""The memory of processes that have nothing to do."""

import asyncio
from collections.abc import Mapping

from tests.bench.load.processes import CONTROLLER, HANDLER, resident_bytes
from tests.bench.load.relays import leading
from tests.e2e.site import Site


async def idling(site: Site, *, seconds: float) -> Mapping[str, int]:
    """Resident bytes of a handler and of the leader, each a process of its own, after so many seconds."""
    instance = site.new_instance()
    async with (
        leading(site, instance, role="controller") as controller,
        site.relay(instance, role="handler") as handler,
    ):
        await asyncio.sleep(seconds)
        pids = {HANDLER: handler.process.pid, CONTROLLER: controller.process.pid}
        return {name: resident_bytes(pid) for name, pid in pids.items()}
