"""`jobrelay import`: its options. What it does is in handler.commands.imports.importing."""

from typing import Any

import click

from handler.cli.completing import files
from handler.cli.options import connects, prints, settings_from
from handler.commands.errors import run as run_work


@click.command("import")
@click.argument("file", metavar="FILE", shell_complete=files)
@click.option("--source", help="Names the set, if the file does not.  [/jobrelay/import/FILE]")
@click.option("--prune", is_flag=True, help="Remove definitions of the set that are not in the file.")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@click.option("--lane", type=click.Choice(["high", "low"]), help="Lane of the queue.")
@click.option("--no-check", is_flag=True, help="Publish also what jobrelay will reject.")
@click.option("--timeout", type=click.FloatRange(0.1), default=60.0, metavar="SECONDS", help="How long, at most.")
@prints
@connects
def import_command(
    file: str,
    source: str | None,
    prune: bool,
    dry_run: bool,
    lane: str | None,
    no_check: bool,
    timeout: float,
    form: str,
    **connection: Any,
) -> int:
    """Create, update and remove scheduled requests.

    So that those of a set are as in a YAML or JSON file (- for standard input):

    \b
      source: /jobs/reports
      jobs:
      - {id: nightly, schedule: "0 2 * * *", job: {image: …, command: […]}}

    What will change is shown first. Importing the same file again changes nothing, or does what an interrupted import
    left undone.
    """
    settings = settings_from(connection)
    from handler.commands.imports.importing import Import, import_definitions, load

    wanted = load(file, source=source, prune=prune, judge=not no_check)
    asked = Import(wanted=wanted, prune=prune, dry_run=dry_run, lane=lane or "", seconds=timeout, form=form)
    return run_work(import_definitions(settings, asked))
