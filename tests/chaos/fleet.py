"""Controllers and handlers as processes: killed, replaced, and rolled over as Deployments do."""

import asyncio
import os
import signal
from collections.abc import Mapping

from handler.local.processes import Process
from tests.processes import Installation

CONTROLLERS = ("controller-1", "controller-2")
HANDLERS = ("handler-1", "handler-2", "handler-3")
EXIT_SECONDS = 25.0
"""Longer than a drain may take."""


class Fleet:
    """The processes of an installation, by name. A name begins with its role. `own`: settings of some, by name."""

    def __init__(
        self, here: Installation, settings: Mapping[str, str], *, own: Mapping[str, Mapping[str, str]] | None = None
    ) -> None:
        self._here = here
        self._settings = settings
        self._own = own or {}
        self.members: dict[str, Process] = {}
        self.retired: list[Process] = []

    async def start(self, *names: str, wait: bool = True) -> None:
        """Start processes at the same time. With `wait`, return once they are ready."""
        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(self._start(name, wait=wait))

    async def _start(self, name: str, *, wait: bool) -> None:
        settings = {**self._settings, **self._own.get(name, {}), "JOBRELAY_ROLE": name.partition("-")[0]}
        self.members[name] = await self._here.start_relay(settings, name=name, wait=wait)

    async def kill(self, name: str) -> None:
        """End a process as a crash would."""
        process = self.members.pop(name)
        process.kill()
        await process.wait()
        # Another process may soon have its id, which must not be signalled again.
        self._here.relays.remove(process)

    async def end(self, name: str) -> int:
        """Send SIGTERM, and return the exit code."""
        process = self.members.pop(name)
        self.retired.append(process)
        os.kill(process.pid, signal.SIGTERM)
        return await asyncio.wait_for(process.wait(), EXIT_SECONDS)

    async def roll(self, name: str) -> int:
        """Replace a process as a rolling update does: its successor is ready first. Returns the exit code."""
        old = self.members.pop(name)
        await self.start(name)
        new, self.members[name] = self.members[name], old
        code = await self.end(name)
        self.members[name] = new
        return code
