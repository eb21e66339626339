"""The processes of an installation on a site, by name: started, killed, started again."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from tests.e2e.site import Relay, Site

FAST = {"lease_seconds": 2, "lease_renew_seconds": 1.5, "lease_retry_seconds": 0.3, "lease_call_seconds": 1}
"""On our own cluster, a killed leader is replaced after three seconds: many leaders in a short time."""


class Crew:
    """Use `crew()`. A name is a role, or begins with a role and a dash."""

    def __init__(self, site: Site, instance: str, settings: dict[str, object]) -> None:
        self.members: dict[str, Relay] = {}
        self._site = site
        self._instance = instance
        self._settings = settings
        self._stacks: dict[str, AsyncExitStack] = {}

    async def start(self, *names: str, wait: bool = True) -> None:
        """Start processes one after the other: a handler waits for a controller."""
        for name in names:
            stack = self._stacks[name] = AsyncExitStack()
            begin = self._site.relay if wait else self._site.starting
            relay = begin(self._instance, role=name.partition("-")[0], **self._settings)
            self.members[name] = await stack.enter_async_context(relay)

    async def kill(self, name: str) -> None:
        """End a process as a crash would."""
        relay = self.members.pop(name)
        relay.process.kill()
        await relay.process.wait()
        await self._stacks.pop(name).aclose()

    async def leader(self) -> str | None:
        """The name of the process that says that it leads."""
        for name, relay in self.members.items():
            if await relay.leads():
                return name
        return None

    async def stop(self) -> None:
        """Send SIGTERM to all, and wait until they have ended."""
        while self._stacks:
            await self._stacks.popitem()[1].aclose()


@asynccontextmanager
async def crew(site: Site, instance: str, *names: str, **settings: object) -> AsyncIterator[Crew]:
    """Run processes of these names, all ready; a leader is or will soon be among them. `settings`: of `Settings`."""
    made = Crew(site, instance, (FAST if site.own_cluster else {}) | settings)
    try:
        await made.start(*names)
        yield made
    finally:
        await made.stop()
