"""`jobrelay submit`: its options. What it does is in handler.commands.submit."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click

from handler.cli.completing import files, offered
from handler.cli.options import connects, prints, settings_from
from handler.commands.errors import Misuse, run as run_work


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitOptions:
    """The options of `submit`, without those that name an installation; each field is a parameter of the command."""

    words: tuple[str, ...]
    image: str | None
    env: tuple[str, ...]
    sets: tuple[str, ...]
    id_: str | None
    service: str | None
    retries: int | None
    timeout: int | None
    start_timeout: int | None
    source: str | None
    lane: str | None
    reply_to: str | None
    watch: bool
    functions: tuple[str, ...]
    functions_file: Path | None
    no_check: bool
    form: str

    @classmethod
    def take(cls, keywords: dict[str, Any]) -> "SubmitOptions":
        """Remove them from the command's keywords. Raises `Misuse` for options that contradict each other."""
        options = cls(**{field.name: keywords.pop(field.name) for field in fields(cls)})
        if options.watch and options.reply_to:
            raise Misuse("--watch reads the default topic, --reply-to names another one: use one of them")
        if (options.functions or options.functions_file) and not options.watch:
            raise Misuse("--function and --functions say what --watch waits for: use them with it")
        if options.functions and options.functions_file:
            raise Misuse("--function names functions, --functions the file of all of them: use one of them")
        if options.image is None and not options.words:
            raise Misuse("a FILE is needed (- for standard input), or --image")
        if options.image is None and options.env:
            raise Misuse("--env goes with --image; --set env.NAME=value changes the requests of a file")
        return options

    def changes(self) -> Any:
        """What they change in every request."""
        from handler.operations.documents import Changes

        given = {
            "service": self.service,
            "retries": self.retries,
            "timeout": self.timeout,
            "startTimeout": self.start_timeout,
        }
        return Changes(
            sets=self.sets,
            fields={name: value for name, value in given.items() if value is not None},
            id=self.id_,
            source=self.source,
            reply_to=self.reply_to,
        )

    def made(self, events: Sequence[Any], settings: Any) -> Any:
        """What `--watch` waits for of events for functions. Raises `Misuse` if that is not known."""
        from handler.commands.expected import Known

        known = Known(names=self.functions, file=self.functions_file or settings.functions)
        return known.requests(events, judge=not self.no_check) if self.watch else {}

    def documents(self) -> Sequence[Any]:
        """The requests before these changes: those of the files, or the request made from options. Raises `Misuse`."""
        from handler.commands.submit import load
        from handler.operations.documents import from_options

        if self.image is None:
            return load(self.words)
        try:
            return [from_options(self.image, self.words, self.env)]
        except ValueError as error:
            raise Misuse(str(error)) from error


@click.command()
@click.argument("words", nargs=-1, metavar="FILE...|--image IMAGE -- COMMAND...", shell_complete=files)
@click.option("--image", help="Make a request from options: run COMMAND in this image.")
@click.option("--env", multiple=True, metavar="NAME=VALUE", help="With --image: a variable of the container.")
@click.option("--set", "sets", multiple=True, metavar="PATH=VALUE", help="Set a field of job: image=…, env.NAME=…")
@click.option("--id", "id_", help="Id of the request. By default a new UUID, or the one in the document.")
@click.option("--service", help="Service that the request belongs to.", shell_complete=offered("services"))
@click.option("--retries", type=click.IntRange(0), help="How often a failed pod is replaced.")
@click.option("--timeout", type=click.IntRange(1), metavar="SECONDS", help="From acceptance to the end.")
@click.option("--start-timeout", type=click.IntRange(1), metavar="SECONDS", help="From the start to a running pod.")
@click.option("--source", help="CloudEvent source.  [/jobrelay/cli/USER@HOST]")
@click.option("--lane", type=click.Choice(["high", "low"]), help="Lane of the queue.")
@click.option("--reply-to", metavar="TOPIC", help="Topic for the request's lifecycle events.")
@click.option("--watch", is_flag=True, help="Wait for the end; exit as the Job did.")
@click.option(
    "--function",
    "functions",
    multiple=True,
    metavar="NAME",
    help="With --watch: a function that takes the event. Repeat it for more.",
)
@click.option(
    "--functions",
    "functions_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="With --watch: the file of functions, which tells those that take the event.  [JOBRELAY_FUNCTIONS]",
)
@click.option("--no-check", is_flag=True, help="Publish also what jobrelay will reject.")
@prints
@connects
def submit(**keywords: Any) -> int:
    """Publish requests.

    The documents of YAML or JSON files, or one made from options.

    \b
      jobrelay submit request.yaml --set image=busybox:1.36 --watch
      jobrelay submit --image busybox -- sh -c 'echo hi'

    A document is a CloudEvent, or the data of one: {service: …, job: {image: …, command: […]}}.

    An event for functions makes a request for each that takes it. With --watch, --function or --functions says which
    those are.
    """
    options = SubmitOptions.take(keywords)
    settings = settings_from(keywords)
    from handler.commands import submit as work

    events = work.prepare(options.documents(), options.changes(), judge=not options.no_check)
    submission = work.Submission(
        events=events,
        lane=options.lane or "",
        watch=options.watch,
        form=options.form,
        made=options.made(events, settings),
    )
    return run_work(work.submit(settings, submission))
