"""Controllers and handlers as processes, as Deployments run them: killed, replaced, rolled over. Judges nothing."""

import asyncio
import os
import signal
from collections.abc import Mapping

from handler.local.processes import Process
from tests.processes import Installation

CONTROLLERS = ("controller-1", "controller-2")
HANDLERS = ("handler-1", "handler-2", "handler-3")
EXIT_SECONDS = 25.0
"""Longer than a drain may last."""


class Fleet:
    """The processes of one installation by name. A name begins with its role."""

    def __init__(self, here: Installation, settings: Mapping[str, str]) -> None:
        self._here = here
        self._settings = settings
        self.members: dict[str, Process] = {}
        self.retired: list[Process] = []

    async def start(self, *names: str, wait: bool = True) -> None:
        """All at once; ready, unless told not to `wait` for that."""
        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(self._start(name, wait=wait))

    async def _start(self, name: str, *, wait: bool) -> None:
        settings = {**self._settings, "JOBRELAY_ROLE": name.partition("-")[0]}
        self.members[name] = await self._here.start_relay(settings, name=name, wait=wait)

    async def kill(self, name: str) -> None:
        """As a crash would end it."""
        process = self.members.pop(name)
        process.kill()
        await process.wait()
        # Its process id may soon be somebody else's: nobody shall end it once more.
        self._here.relays.remove(process)

    async def end(self, name: str) -> int:
        """SIGTERM. Returns its exit code."""
        process = self.members.pop(name)
        self.retired.append(process)
        os.kill(process.pid, signal.SIGTERM)
        return await asyncio.wait_for(process.wait(), EXIT_SECONDS)

    async def roll(self, name: str) -> int:
        """As a rolling update does with a pod: its successor is ready before it goes. Returns its exit code."""
        old = self.members.pop(name)
        await self.start(name)
        new, self.members[name] = self.members[name], old
        code = await self.end(name)
        self.members[name] = new
        return code
