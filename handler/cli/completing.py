"""Answers a shell, or kubectl, that asks what a word may become: within a second, and with nothing if it takes longer.

What comes from a cluster or a history is found by handler.commands.completing.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from handler.commands.completing.asked import What

VARIABLE = "_JOBRELAY_COMPLETE"
"""By it a script tells this program what to print: `bash_complete` and the like, as click has it."""
PATIENCE_VARIABLE = "_JOBRELAY_COMPLETE_SECONDS"
"""How long a shell should wait at most, where a second is too short: 1 to 60."""
_END = 0.9
"""Part of that time at which the process ends, whatever it does: it had to be started, and has to be read."""
_ENOUGH = 0.8
"""Part of that time at which what is known by then is printed."""
_ONLY_FILES, _NO_FILES = 0, 4
"""Directives of cobra: what kubectl's scripts offer beside the values."""
Completer = Callable[[click.Context, click.Parameter, str], "list[CompletionItem[str]]"]


def offered(what: "What") -> Completer:
    """Completes the values of a parameter from the installation that the line means.

    Where the command has `--history`, from the history, if one is named.
    """

    def complete(context: click.Context, _: click.Parameter, incomplete: str) -> "list[CompletionItem[str]]":
        from click.shell_completion import CompletionItem

        from handler.commands.completing.asked import Asked
        from handler.commands.completing.values import offers

        recorded = any(parameter.name == "history" for parameter in context.command.params)
        asked = Asked.of(what, incomplete, _given(context), recorded=recorded, environ=os.environ)
        found = offers(asked, seconds=max(0.0, _ENOUGH * _patience() - _age()))
        return [CompletionItem(offer.value, help=offer.help or None) for offer in found]

    return complete


def _given(context: click.Context) -> dict[str, object]:
    """The parameters on the line. Where the last one is an option without its value, click leaves arguments aside."""
    given: dict[str, object] = {**context.params}
    names = [one.name for one in context.command.params if isinstance(one, click.Argument) and one.nargs == 1]
    for name, word in zip(names, context.args, strict=False):
        if name is not None and given.get(name) is None:
            given[name] = word
    return given


def files(_: click.Context, __: click.Parameter, incomplete: str) -> "list[CompletionItem[str]]":
    """Completes the name of a file, which shells do themselves."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def answer(cli: click.Command, program: str, instruction: str) -> NoReturn:
    """Print what a script asks for, or the script itself, and end the process."""
    from handler.cli.shells import SHELLS

    shell, _, act = instruction.partition("_")
    if shell not in SHELLS or act not in ("source", "complete"):
        sys.exit(1)
    script = SHELLS[shell](cli, {}, program, VARIABLE)
    if act == "source":
        click.echo(script.source(), nl=False)
        sys.exit(0)
    _print_in_time(script.complete)


def answer_kubectl(cli: click.Command, program: str, words: Sequence[str]) -> NoReturn:
    """Print what the last of these words may become, as cobra's `__complete` does, and end the process."""

    def lines() -> str:
        from click.shell_completion import ShellComplete

        *before, incomplete = words or ("",)
        found = ShellComplete(cli, {}, program, VARIABLE).get_completions([*before], incomplete)
        values = [f"{item.value}\t{item.help}" if item.help else item.value for item in found if item.type == "plain"]
        directive = _ONLY_FILES if any(item.type != "plain" for item in found) else _NO_FILES
        return "\n".join([*values, f":{directive}"])

    _print_in_time(lines)


def _print_in_time(text: Callable[[], str]) -> NoReturn:
    """Print it as a whole, or nothing: neither an error nor what libraries say belongs into somebody's prompt.

    The process ends without waiting for threads, which may ask a name server that does not answer.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 2)
    signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
    signal.setitimer(signal.ITIMER_REAL, max(0.001, _END * _patience() - _age()))
    try:
        from k8s.library import stand_in

        # Of what a kubeconfig needs, it alone imports aiohttp, which takes as long as all the rest.
        stand_in("kubernetes_asyncio.config.openid", OpenIDRequestor=None)
        found = text().encode(errors="replace")
        signal.setitimer(signal.ITIMER_REAL, 0)
        if found:
            os.write(1, found + b"\n")
    finally:
        os._exit(0)


def _patience() -> float:
    try:
        return min(max(1.0, float(os.environ.get(PATIENCE_VARIABLE, ""))), 60.0)
    except ValueError:
        return 1.0


def _age() -> float:
    """Seconds since this process began. Where no kernel tells, those that it has worked: less than that."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError, IndexError):
        return time.process_time()
    return max(age, time.process_time())
