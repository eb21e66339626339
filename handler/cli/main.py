"""The entry point of `jobrelay`, and most of its commands with their options.

handler.commands is imported only when a command runs: `--help` loads no client library, and answers at once.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from adapters.urls import hidden
from handler.cli.completing import VARIABLE, answer, offered
from handler.cli.completion import completion
from handler.cli.contract import asyncapi, reference, schema
from handler.cli.dead import dead
from handler.cli.history import history
from handler.cli.imports import import_command
from handler.cli.options import connects, from_source, in_container, prints, settings_from, starts
from handler.cli.program import NAME, program, shown
from handler.cli.submit import submit
from handler.cli.version import refuse, versioned
from handler.commands.errors import FAILED, INTERRUPTED, Misuse, run as run_work
from handler.visible import lines


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@versioned
def cli(form: str | None) -> None:
    """CloudEvents in, Kubernetes Jobs out, lifecycle CloudEvents back.

    Settings come from JOBRELAY_* variables; `jobrelay check` shows them. While `jobrelay dev` runs in this directory,
    commands use what it runs, unless an option or variable names another broker or cluster.
    """
    refuse(form)
    # Commands report their errors themselves; only `run` and `--verbose` turn logging on.
    logging.getLogger().addHandler(logging.NullHandler())


@cli.command()
@click.option(
    "--role",
    type=click.Choice(["both", "handler", "controller", "console"]),
    help="What this process does: requests to Jobs, Jobs to lifecycle events, or both; or keep the history."
    "  [JOBRELAY_ROLE, both]",
)
def run(role: str | None) -> int:
    """Consume requests, create Jobs, report their lives."""
    settings = settings_from({"role": role})
    from handler.commands.run import serve

    return run_work(serve(settings))


@cli.command()
@starts
def demo(broker: str) -> int:
    """Show on this machine what jobrelay does.

    Nine requests in under a minute; needs no cluster and no broker.
    """
    from handler.commands.demo.demo import demo as work

    return run_work(work(broker=broker))


@cli.command()
@starts
@click.option("--clean", is_flag=True, help="Forget what earlier runs left in .jobrelay/dev.")
@click.option(
    "--functions",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="YAML file of functions, taken up again when it changes.",
)
def dev(broker: str, clean: bool, functions: Path | None) -> int:
    """Run everything here until Ctrl-C.

    A broker, a development cluster and jobrelay; their state stays in .jobrelay/dev.
    """
    from handler.commands.dev import dev as work

    return run_work(work(broker=broker, clean=clean, functions=functions and functions.absolute()))


@cli.command()
@click.argument("request_id", metavar="[ID]", required=False, shell_complete=offered("requests"))
@from_source
@click.option("--service", help="Only requests of this service.", shell_complete=offered("services"))
@click.option("--new", "new_only", is_flag=True, help="Only what comes from now on.")
@click.option("--follow/--no-follow", default=True, help="Go on with what comes, or end with what is stored.")
@prints
@connects
def watch(request_id: str | None, new_only: bool, follow: bool, **keywords: Any) -> int:
    """Show lifecycle events: what was before, then what comes.

    Those of a request until it has ended; then it exits as the Job did. Where several sources use the id, until the
    requests of all have ended, unless --source names one.
    """
    if new_only and not follow:
        raise Misuse("--new and --no-follow together leave nothing to show")
    chosen = {name: keywords.pop(name) for name in ("source", "service", "form")}
    settings = settings_from(keywords)
    from handler.commands.watch import watch as work

    return run_work(work(settings, request_id=request_id, follow=follow, new_only=new_only, **chosen))


@cli.command()
@click.argument("request_id", metavar="[ID]", required=False, shell_complete=offered("requests"))
@from_source
@prints
@connects
def get(request_id: str | None, source: str | None, form: str, **connection: Any) -> int:
    """List the Jobs of this installation, or show one request's.

    Once they have gone, what the history has of the request.
    """
    settings = settings_from(connection)
    from handler.commands.jobs import get as work

    return run_work(work(settings, request_id=request_id, source=source, form=form))


@cli.command()
@click.argument("request_id", metavar="ID", shell_complete=offered("logged"))
@from_source
@click.option("-f", "--follow", is_flag=True, help="Go on until the Job is over.")
@in_container
@click.option("--tail", type=click.IntRange(0), metavar="LINES", help="Only the last lines of each container.")
@connects
def logs(request_id: str, follow: bool, tail: int | None, **keywords: Any) -> int:
    """Print the logs of a request's pods.

    Where a pod has several containers, init containers come first, and each line begins with
    [pod/<pod>/<container>]. What containers wrote is printed as it is, as kubectl does. Once the pods have gone, what
    the history has of their logs.
    """
    chosen = {name: keywords.pop(name) for name in ("source", "container")}
    settings = settings_from(keywords)
    from handler.commands.logs import logs as work

    return run_work(work(settings, request_id=request_id, follow=follow, tail=tail, **chosen))


_JOB = click.option(
    "--job",
    metavar="[NAMESPACE/]NAME",
    help="The Job, where this source and id has several.",
    shell_complete=offered("jobs"),
)


def _add_control(verb: str, text: str, *, name: str | None = None) -> None:
    """`name`: of the command, by default the verb."""

    @cli.command(name or verb, help=text)
    @click.argument("request_id", metavar="ID", shell_complete=offered("schedules" if verb == "run" else "controlled"))
    @from_source
    @_JOB
    @click.option("--wait/--no-wait", default=True, help="Wait for jobrelay's answer.")
    @click.option("--timeout", type=click.FloatRange(0.1), default=75.0, metavar="SECONDS", help="How long, at most.")
    @prints
    @connects
    def control(request_id: str, wait: bool, timeout: float, form: str, **keywords: Any) -> int:
        chosen = {"request_source": keywords.pop("source"), "job": keywords.pop("job")}
        settings = settings_from(keywords)
        from handler.commands.control import control as work

        seconds = timeout if wait else 0.0
        return run_work(work(settings, verb=verb, request_id=request_id, **chosen, wait=seconds, form=form))


_add_control("cancel", "Cancel a request.\n\nIts pods end; the outcome is `cancelled`.")
_add_control("suspend", "Suspend a request.\n\nIts pods end, and none start until it is resumed.")
_add_control("resume", "Resume a suspended request.")
_add_control("run", "Run a schedule now.\n\nOne run more, beside those of its times.", name="trigger")


cli.add_command(submit)
cli.add_command(import_command)
cli.add_command(dead)
cli.add_command(history)
cli.add_command(schema)
cli.add_command(asyncapi)
cli.add_command(reference)
cli.add_command(completion)


@cli.command()
@click.option("--connect", is_flag=True, help="Also try the broker and the cluster.")
@prints
@connects
def check(connect: bool, form: str, **connection: Any) -> int:
    """Show all settings in force, and what is wrong with them."""
    settings = settings_from(connection)
    from handler.commands.check import check as work

    return run_work(work(settings, connect=connect, form=form))


@cli.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@connects
def uninstall(yes: bool, **connection: Any) -> int:
    """Let go of all Jobs and the Lease.

    Then they, and their namespace, can be deleted without jobrelay.
    """
    settings = settings_from(connection)
    from handler.commands.uninstall import uninstall as work

    return run_work(work(settings, confirmed=yes))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line, by default that of this process, and return its exit code."""
    name = program() if arguments is None else NAME
    if arguments is None and (instruction := os.environ.get(VARIABLE)):
        answer(cli, name, instruction)
    try:
        result = cli.main(args=arguments, prog_name=shown(name), standalone_mode=False)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return error.exit_code
    except click.UsageError as error:
        # It quotes what was typed, and that may be the URL of a broker in the wrong place.
        click.echo(lines(f"jobrelay: {hidden(error.format_message())}"), err=True)
        if error.ctx is not None:
            click.echo(f"See `{error.ctx.command_path} --help`.", err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:
        # The reader has closed the pipe (`| head`). Without this, the interpreter complains when it flushes its output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return FAILED
    return result if isinstance(result, int) else 0
