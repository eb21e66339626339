"""`jobrelay demo`: starts an installation, submits requests, shows their events, compares them with the expected."""

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import click
from rich.text import Text

from adapters.base import Broker, Kind
from adapters.registry import BY_NAME
from handler.commands.connection import broker_of
from handler.commands.demo.cases import CANCELLED, CASES, EXAMPLES, TWICE
from handler.commands.errors import FAILED, OK, Failed, Misuse
from handler.commands.showing.output import say, say_left_out
from handler.commands.showing.progress import Board
from handler.commands.showing.reading import EVERYTHING, Heard, lifecycle
from handler.commands.showing.show import View, shown
from handler.commands.showing.tables import console, table
from handler.history import extra
from handler.history.base import Reader, Request, Wanted
from handler.local.processes import StartFailed, running
from handler.local.stack import Stack, clean_environ, jobrelay, missing, start
from handler.operations.jobs import find
from handler.settings.connections import cluster_of
from handler.settings.settings import Settings

SOURCE = "/jobrelay/cli/demo"
"""The source of the demo's requests."""
SECONDS = 50.0
"""After this time the demo compares what it has seen so far. The longest case waits 10 s for Kubernetes' back-off."""
HISTORY_SECONDS = 5.0
"""How long the history is waited for, once all is over."""
_LOOK_SECONDS = 0.05


async def demo(*, broker: str) -> int:
    """Run the demo. Returns 0 if every request went as expected. Leaves nothing behind, however it ends.

    Raises `Misuse` if the extra [local], or the broker's, is missing.
    """
    if (lacking := missing(broker)) is not None:
        raise Misuse(lacking)
    began = time.monotonic()
    console().print(
        Text(f"Starting a {BY_NAME[broker].title} server, a development cluster and jobrelay", style="bold")
    )
    with tempfile.TemporaryDirectory(prefix="jobrelay-demo-") as directory:
        try:
            async with start(Path(directory), broker=broker, console=extra.missing() is None) as stack:
                _print_start(stack, BY_NAME[broker].title, time.monotonic() - began)
                try:
                    good = await _Demo(stack).run()
                except Exception:
                    say(_logs(stack))
                    raise
                if not good:
                    say(_logs(stack))
        except StartFailed as error:
            raise Failed(str(error)) from error
    seconds = time.monotonic() - began
    console().print(
        Text(f"{'All as expected' if good else 'Not as expected'}, {seconds:.0f} s. Nothing is left running.")
    )
    return OK if good else FAILED


class _Demo:
    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._environ = {**clean_environ(), **stack.environ}
        self._settings = Settings.from_env(stack.environ)
        self._board = Board()
        self._ended = asyncio.Event()
        self._running = asyncio.Event()

    async def run(self) -> bool:
        for case in CASES:
            self._board.expect(case.id, source=SOURCE)
        async with broker_of(self._settings) as broker, self._following(broker):
            try:
                async with asyncio.timeout(SECONDS):
                    await self._submit_and_cancel()
                    await self._ended.wait()
                    await _until_drained(broker)
            except TimeoutError:
                click.echo(f"not all requests ended within {SECONDS:g} s", err=True)
        good = await self._compare()
        if self._settings.history is not None:
            await _print_history(self._settings.history)
        return good

    @asynccontextmanager
    async def _following(self, broker: Broker) -> AsyncIterator[None]:
        """Show the lifecycle events during the block, as any subscriber gets them from the broker."""
        async with lifecycle(broker, key=EVERYTHING, follow=True) as events:
            with shown("table", self._board) as view:
                async with asyncio.TaskGroup() as group:
                    background = [
                        group.create_task(self._show(events, view)),
                        group.create_task(self._fail_when_a_process_ends()),
                    ]
                    yield
                    for task in background:
                        task.cancel()

    async def _submit_and_cancel(self) -> None:
        """What a user would do in another shell."""
        files = [str(EXAMPLES / f"{case.id}.yaml") for case in CASES]
        common = ["--source", SOURCE, "--no-check", "--set", f"env.DEMO_DIRECTORY={self._stack.directory}"]
        await self._client("submit", *files, *common)
        await self._client("submit", str(EXAMPLES / f"{TWICE}.yaml"), *common)
        await self._running.wait()
        await self._client("cancel", CANCELLED, "--source", SOURCE)

    async def _client(self, *arguments: str) -> None:
        """Run `jobrelay` as a process of its own. Raises `Failed` if it fails."""
        log = self._stack.directory / "logs" / "client.log"
        async with running("client", jobrelay(*arguments), log=log, environ=self._environ) as process:
            code = await process.wait()
        if code != OK:
            raise Failed(f"jobrelay {' '.join(arguments)} ended with {code}:\n{process.tail()}")

    async def _show(self, events: AsyncIterator[Heard], view: View) -> None:
        async for heard in events:
            progress = self._board.take(heard)
            view(heard, progress)
            if progress is not None and progress.id == CANCELLED and "started" in progress.phases:
                self._running.set()
            if all(request.ended for request in self._board.requests.values()):
                self._ended.set()

    async def _fail_when_a_process_ends(self) -> None:
        ended = await self._stack.first_end()
        raise Failed(f"{ended.name} ended with {ended.exit_code}")

    async def _compare(self) -> bool:
        """Print what was expected beside what was seen. Returns whether they are the same."""
        async with cluster_of(self._settings) as cluster:
            jobs = Counter(found.job.request_id for found in await find(cluster, self._settings, skipped=say_left_out))
        rows: list[Sequence[str | Text]] = []
        good = True
        for case in CASES:
            observed = case.observed(self._board.requests.get((SOURCE, case.id)), jobs=jobs[case.id])
            same = observed == case.expected
            good = good and same
            result = Text("ok", style="green") if same else Text("failed", style="bold red")
            rows.append((result, case.shows, Text(case.expected), Text(observed)))
        console().print()
        console().print(Text("What was expected and what was observed", style="bold"))
        console().print()
        table(("", "REQUEST", "EXPECTED", "OBSERVED"), rows, wide="OBSERVED")
        console().print()
        return good and set(self._board.requests) == {(SOURCE, case.id) for case in CASES}


async def _print_history(url: str) -> None:
    """What is kept of all this once its Jobs have gone."""
    # Only here: the libraries that it needs are an extra.
    from handler.history.sql.store import open_store

    wanted = {case.id for case in CASES}
    async with open_store(url) as store:
        try:
            async with asyncio.timeout(HISTORY_SECONDS):
                while wanted - {request.key.id for request in await _recorded(store) if request.terminal}:
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            say(f"the history has not all of it within {HISTORY_SECONDS:g} s")
        requests, events = await _recorded(store), await store.since(0)
    hint = "beside `jobrelay dev`, `jobrelay history list` shows such a record"
    console().print(Text(f"The history holds {len(requests)} requests and {len(events)} events; {hint}."))
    _print_page(requests)
    console().print()


def _print_page(requests: Sequence[Request]) -> None:
    """What people would look at."""
    phases = Counter(str(request.phase) for request in requests)
    counts = ", ".join(f"{count} {phase}" for phase, count in sorted(phases.items()))
    console().print(Text("The page would show with `jobrelay dev`, at the address that it prints first:"))
    shown = [("/", f"{len(requests)} requests: {counts}")]
    shown += [
        (f"/requests/{request.pk}", f"{request.key.id}: why it failed, its events, its pod and what that printed")
        for request in requests
        if request.exit_code
    ][:1]
    shown.append(("/dead", "the message that was no valid request, and why"))
    for path, text in shown:
        console().print(Text(f"  {path:<14}{text}"), soft_wrap=True)


async def _recorded(reader: Reader) -> Sequence[Request]:
    return (await reader.page(Wanted(), limit=200)).requests


async def _until_drained(broker: Broker) -> None:
    """Return once no message waits or, where the broker knows that, is unsettled: then the repeat was handled, too."""
    while any(
        depth.ready or depth.unsettled for topic, depth in (await broker.depth()).items() if topic.kind is not Kind.DEAD
    ):
        await asyncio.sleep(_LOOK_SECONDS)


def _print_start(stack: Stack, broker: str, seconds: float) -> None:
    out = console()
    names = ", ".join(f"{process.name} {process.pid}" for process in stack.processes)
    out.print(Text(f"Started in {seconds:.1f} s, processes {names}", style="dim"))
    out.print()
    out.print(Text(f"Publishing with `jobrelay submit`, reading what becomes of it from {broker}", style="bold"))
    out.print()


def _logs(stack: Stack) -> str:
    """The end of every log; the directory with the logs is about to be deleted."""
    parts = []
    for file in sorted((stack.directory / "logs").glob("*.log")):
        lines = file.read_text(errors="replace").splitlines()[-20:]
        parts.append("\n".join([f"--- {file.name}", *lines]))
    return "\n".join(parts)
