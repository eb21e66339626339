"""Kills jobrelay at a given call, starts it again, and accounts for a small scene. Does not choose the call."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from adapters.base import BrokerUnavailable
from handler.local import stack as local
from handler.local.processes import Process
from k8s.base import KubernetesError
from tests.chaos import impatient
from tests.chaos.calls import Call, Ledger, When
from tests.chaos.gateway import gateway
from tests.chaos.load import INLINE, TRIED_TWICE, Load, Stage, account, problems, publish, stored
from tests.chaos.tunnel import tunnel
from tests.long import LONG
from tests.processes import Installation

SCENE = (16, 12, 4)
"""A plain request, a request whose event goes into a Secret, and a request that is rejected; see `Load`."""
TRIES = (TRIED_TWICE,)
"""A request that is retried after a delay, and then fails over."""
LAYOUTS = {"one process": ("both",), "two processes": ("handler", "controller")}
MAX_BYTES = 16 << 20
STEP_SECONDS = 180.0 if LONG else 120.0
LISTEN_SECONDS = 0.3
LOOK_SECONDS = 0.2
"""Each look reads the whole lifecycle stream: with many lanes, more looks would cost more than the work itself."""
Look = Callable[[], Awaitable[str]]
"""Returns what is still missing; empty if nothing is."""


class Begin(StrEnum):
    """How a step begins."""

    FIRST = "first"
    """The broker has nothing of ours: jobrelay is started and declares everything, and requests come."""
    COLD = "cold"
    """Requests are in the broker, and jobrelay is started."""
    WARM = "warm"
    """jobrelay runs and leads, and requests come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Kill the process that makes call `number`, at moment `when` of it. Number 0: kill no process."""

    begin: Begin
    number: int = 0
    when: When = When.BEFORE

    @property
    def tag(self) -> str:
        """A part of names."""
        return f"{self.begin}-{self.when.name.lower()}-{self.number}"


class Lane:
    """The processes of an installation, each behind its own proxies. Use `lane()`."""

    def __init__(
        self, stage: Stage, environs: dict[str, dict[str, str]], calls: Ledger, scene: Sequence[int] = SCENE
    ) -> None:
        self.calls = calls
        self._scene = scene
        self._stage = stage
        self._environs = environs
        self._processes: dict[str, Process] = {}

    async def play(self, step: Step) -> Call | None:
        """Play a step, and check every claim about it. Returns the call at which a process was killed, if it came."""
        load = Load(self._stage.here.directory, kinds=self._scene, prefix=f"{self._stage.instance}-{step.tag}")
        if step.begin is Begin.COLD:
            await self.stop()
        elif step.begin is Begin.WARM:
            await self.declared()
        self.calls.begin(number=step.number, when=step.when, act=lambda call: self._processes[call.by].kill())
        if step.begin is Begin.FIRST:
            await self.declared()
        for request in load.requests:
            await publish(self._stage.broker, request)
        if step.begin is Begin.COLD:
            await self.start()
        await self._wait(partial(self._over, load), "not over")
        await self._wait(partial(self._accounted, load), "no account")
        return self.calls.struck

    async def declared(self) -> None:
        """Start what does not run, and wait until everything is declared and a process leads."""
        await self.start()
        await self._wait(self._leads, "not leading")

    async def start(self) -> None:
        """Start the processes that do not run."""
        for name, environ in self._environs.items():
            process = self._processes.get(name)
            if process is None or process.exit_code is not None:
                label = f"{self._stage.instance}-{name}"
                self._processes[name] = await self._stage.here.start_relay(
                    environ, name=label, wait=False, command=impatient.COMMAND
                )

    async def stop(self) -> None:
        """Stop all processes cleanly, so that the Lease is given back."""
        for process in self._processes.values():
            await process.stop()
            await self._reap(process)

    async def halt(self) -> None:
        """Kill all processes."""
        for process in self._processes.values():
            process.kill()
            await self._reap(process)

    async def left(self) -> dict[str, int]:
        """Kill all processes, and return what the broker still has then."""
        await self.halt()
        return {name: count for name, count in (await self._stage.waiting()).items() if count}

    async def _wait(self, over: Look, what: str) -> None:
        """Wait until `over` returns that nothing is missing; meanwhile, a process that was killed is started again."""
        state = ""
        try:
            async with asyncio.timeout(STEP_SECONDS):
                while state := await _missing(over):
                    await self._revive()
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            tails = "\n".join(process.tail() for process in self._processes.values())
            raise AssertionError(f"{what}: {state}; struck: {self.calls.struck}\n{tails}") from None

    async def _revive(self) -> None:
        for name, process in self._processes.items():
            if process.exit_code is None:
                continue
            struck = self.calls.struck
            assert struck is not None, f"it ended by itself: {process.tail()}"
            assert struck.by == name, f"it ended by itself: {process.tail()}"
            await self._reap(process)
        await self.start()

    async def _reap(self, process: Process) -> None:
        await process.wait()
        # Hundreds are started: none may be signalled later, when another process may have its id.
        if process in self._stage.here.relays:
            self._stage.here.relays.remove(process)

    async def _leads(self) -> str:
        for environ in self._environs.values():
            http = environ["JOBRELAY_HTTP_ADDRESS"]
            follows = environ["JOBRELAY_ROLE"] != "handler"
            if not await (local._leads(http) if follows else local.is_ready(http)):
                return f"{environ['JOBRELAY_ROLE']} is not ready"
        return ""

    async def _accounted(self, load: Load) -> str:
        """Assert every claim about the load."""
        await account(self._stage, load, [await stored(self._stage.broker)])
        return ""

    async def _over(self, load: Load) -> str:
        """What is missing until all is done and all processes run."""
        jobs = await self._stage.jobs(load)
        unfinished = [job["metadata"]["name"] for job in jobs if job["metadata"].get("finalizers")]
        if len(jobs) != load.expected_jobs.total() or unfinished:
            return f"{len(jobs)} Jobs, with a finalizer: {unfinished}"
        waiting = await self._stage.waiting()
        if any(waiting.values()):
            return f"in queues: {waiting}"
        published = [event for event in await stored(self._stage.broker) if load.owns(event.subject)]
        if wrong := problems(load, published):
            return f"published so far: {wrong}"
        if self.calls.struck is None:
            # The answer to the last call may still be on its way, and may spring the trap.
            await asyncio.sleep(LISTEN_SECONDS)
        return "" if all(process.exit_code is None for process in self._processes.values()) else "a process is dead"


async def _missing(over: Look) -> str:
    """What `over` returns. Servers that do not answer in time under this load are just another reason to wait."""
    try:
        return await over()
    except (KubernetesError, BrokerUnavailable) as error:
        return str(error)


@asynccontextmanager
async def lane(
    here: Installation, *, broker: str, layout: Sequence[str], instance: str, scene: Sequence[int] = SCENE
) -> AsyncIterator[Lane]:
    """Proxies and connections for another installation on the same servers. Nothing of it runs or is declared yet."""
    calls = Ledger()
    async with AsyncExitStack() as stack:
        environs = {}
        for role in layout:
            name = f"{instance}-{role}"
            url = here.servers[broker].url
            _, source = await stack.enter_async_context(tunnel(role, url, calls))
            _, kubeconfig = await stack.enter_async_context(gateway(role, here.kubeconfig, [], calls=calls, copy=name))
            settings = {
                **INLINE,
                "JOBRELAY_ROLE": role,
                "JOBRELAY_INSTANCE": instance,
                "JOBRELAY_SOURCES": source,
                "JOBRELAY_KUBECONFIG": str(kubeconfig),
                # NATS reserves this for every installation that was ever on the server.
                "JOBRELAY_NATS_MAX_BYTES": str(MAX_BYTES),
            }
            environs[role] = here.environ(settings)
        connected = await stack.enter_async_context(impatient.connect(here.servers[broker].url, instance=instance))
        cluster = await stack.enter_async_context(here.cluster())
        on = Stage(here=here, broker=connected, cluster=cluster, instance=instance, exact=False)
        made = Lane(on, environs, calls, scene)
        try:
            yield made
        finally:
            await made.halt()
