"""`jobrelay dev`: runs an installation on this machine until Ctrl-C, and keeps its state for the next time."""

import asyncio
import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from adapters.registry import BY_NAME
from handler.commands.environment import DEV_DIRECTORY, Local
from handler.commands.errors import FAILED, Failed, Misuse
from handler.commands.showing.output import say
from handler.commands.showing.tables import console
from handler.history import extra
from handler.local.processes import StartFailed
from handler.local.stack import Stack, missing, start, usual_ports
from handler.visible import lines

_FOLLOW_SECONDS = 0.1


async def dev(*, broker: str, clean: bool, functions: Path | None = None, directory: Path = DEV_DIRECTORY) -> int:
    """Run until cancelled, or until one of the processes ends: then the exit code is 1.

    Raises `Misuse` if the extra [local], or the broker's, is missing, `Failed` if `dev` runs in the directory already
    or cannot start.
    """
    if (lacking := missing(broker)) is not None:
        raise Misuse(lacking)
    with _locked(directory):
        if clean:
            _clear(directory)
        try:
            console().print(
                f"Starting a {BY_NAME[broker].title} server, a development cluster and jobrelay", style="bold"
            )
            settings = {"JOBRELAY_FUNCTIONS": str(functions)} if functions else None
            if (lacking := extra.missing()) is not None:
                say(f"no history is kept, and there is no page: {lacking}")
            async with start(
                directory,
                broker=broker,
                ports=usual_ports(broker),
                settings=settings,
                console=lacking is None,
            ) as stack:
                await stack.records()
                local = Local(
                    source=stack.source,
                    kubeconfig=str(stack.kubeconfig),
                    instance=stack.instance,
                    http=stack.http,
                    pid=os.getpid(),
                    functions=str(functions) if functions else None,
                    history=stack.history,
                    page=stack.page.url if stack.page else None,
                    token=stack.page.token if stack.page else None,
                )
                local.save(directory)
                try:
                    _print_guide(stack, BY_NAME[broker].title)
                    return await _until_a_process_ends(stack)
                finally:
                    Local.forget(directory)
                    click.echo(f"stopping jobrelay, the cluster and {BY_NAME[broker].title}", err=True)
        except StartFailed as error:
            raise Failed(str(error)) from error


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Lock the directory: two runs on the same state would destroy it. The lock ends with the process, in any case."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Failed(f"jobrelay dev runs already in {directory}") from error
        yield


def _clear(directory: Path) -> None:
    for entry in directory.iterdir():
        if entry.name != "lock":
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _print_guide(stack: Stack, broker: str) -> None:
    """How to reach each part. Commands have a line of their own, so that they are easy to copy."""
    out = console()
    out.print()
    out.print(f"[bold green]jobrelay runs[/] on a {broker} server and a development cluster of its own.")
    out.print("Containers are local processes: images are not pulled, a command is needed.", style="dim")
    out.print()
    for name, value in (
        ("page", stack.page.url if stack.page else "none"),
        ("token", stack.page.token if stack.page else "none"),
        (broker, stack.source),
        ("Kubernetes", f"KUBECONFIG={stack.kubeconfig}"),
        ("metrics", f"{stack.http}/metrics"),
        ("history", stack.history or "none"),
        ("logs", str(stack.directory / "logs")),
    ):
        out.print(f"  [bold]{name:<11}[/]{value}", soft_wrap=True)
    out.print()
    out.print("In another shell, in this directory:", style="dim")
    out.print()
    if (programs := programs_to_add()) is not None:
        out.print(f"  export PATH={programs}:$PATH", style="cyan", soft_wrap=True)
    out.print("  jobrelay submit --image busybox --watch -- sh -c 'echo hi; exit 3'", style="cyan")
    out.print("  jobrelay watch", style="cyan")
    if stack.history is not None:
        out.print("  jobrelay history list", style="cyan")
    out.print()
    out.print("Anywhere else, and for kubectl:", style="dim")
    out.print()
    for name, value in (*stack.environ.items(), ("KUBECONFIG", str(stack.kubeconfig))):
        out.print(f"  export {name}={value}", style="cyan", soft_wrap=True)
    out.print("  kubectl get jobs --watch", style="cyan")
    out.print()
    out.print("Ctrl-C stops everything; the state stays for the next time (--clean starts anew).", style="dim")
    out.print()


def programs_to_add() -> Path | None:
    """The directory of this `jobrelay`, where another shell would not find it; None where it would.

    uvx puts it on our PATH alone, and says so by UV.
    """
    ours = Path(sys.executable).with_name("jobrelay")
    found = shutil.which("jobrelay")
    if found is not None and Path(found).resolve() == ours.resolve() and "UV" not in os.environ:
        return None
    return ours.parent


async def _until_a_process_ends(stack: Stack) -> int:
    """Show jobrelay's log until then. Returns the exit code."""
    async with asyncio.TaskGroup() as group:
        log = group.create_task(_show_log(stack.process("jobrelay").log))
        ended = await stack.first_end()
        log.cancel()
    say(f"{ended.name} ended with {ended.exit_code}:\n{ended.tail()}")
    return FAILED


async def _show_log(path: Path) -> None:
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        while True:
            piece = await asyncio.to_thread(file.read)
            if piece:
                # Its lines are escaped already, but not what a library of its own, or Python, may print there.
                sys.stderr.write(lines(piece.decode(errors="replace")))
                sys.stderr.flush()
            else:
                await asyncio.sleep(_FOLLOW_SECONDS)
