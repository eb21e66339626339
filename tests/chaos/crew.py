"""The processes of one installation on a site, by name: started, killed, started again. Judges nothing."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from tests.e2e.site import Relay, Site

FAST = {"lease_seconds": 2, "lease_renew_seconds": 1.5, "lease_retry_seconds": 0.3, "lease_call_seconds": 1}
"""On our own cluster a leader that was killed is followed after three seconds: many leaders in little time."""


class Crew:
    """Use `crew()`. A name is a role, or begins with it and a dash."""

    def __init__(self, site: Site, instance: str, settings: dict[str, object]) -> None:
        self.members: dict[str, Relay] = {}
        self._site = site
        self._instance = instance
        self._settings = settings
        self._stacks: dict[str, AsyncExitStack] = {}

    async def start(self, *names: str, wait: bool = True) -> None:
        """One after the other: a handler waits for a controller."""
        for name in names:
            stack = self._stacks[name] = AsyncExitStack()
            begin = self._site.relay if wait else self._site.starting
            relay = begin(self._instance, role=name.partition("-")[0], **self._settings)
            self.members[name] = await stack.enter_async_context(relay)

    async def kill(self, name: str) -> None:
        """As a crash would end it."""
        relay = self.members.pop(name)
        relay.process.kill()
        await relay.process.wait()
        await self._stacks.pop(name).aclose()

    async def leader(self) -> str | None:
        """Who leads, by its own word."""
        for name, relay in self.members.items():
            if await relay.leads():
                return name
        return None

    async def stop(self) -> None:
        """SIGTERM to all of them."""
        while self._stacks:
            await self._stacks.popitem()[1].aclose()


@asynccontextmanager
async def crew(site: Site, instance: str, *names: str, **settings: object) -> AsyncIterator[Crew]:
    """These are ready, and one of them leads or soon will. `settings` as in `Settings`."""
    made = Crew(site, instance, (FAST if site.own_cluster else {}) | settings)
    try:
        await made.start(*names)
        yield made
    finally:
        await made.stop()
