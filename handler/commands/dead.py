"""`jobrelay dead`: list, show, replay and drop what jobrelay refused."""

from collections import Counter
from datetime import UTC, datetime

import click

from adapters.base import DeadLetter, Kind, Record, TopicRefused
from handler.commands.connection import broker_of
from handler.commands.errors import FAILED, OK, Failed
from handler.commands.showing.output import write
from handler.commands.showing.tables import table
from handler.operations.letters import STAMP, Choice, body_of, summary
from handler.operations.wording import clean, duration
from handler.settings.settings import Settings

_DONE = {"replay": "replayed", "drop": "dropped"}


async def dead_list(settings: Settings, choice: Choice, *, form: str) -> int:
    """List the dead letters that are chosen, oldest first."""
    now = datetime.now(UTC)
    letters = [record for record in await _read(settings) if choice.fits(record, now)]
    if form != "table":
        for record in letters:
            write(form, summary(record))
        return OK
    rows = [_row(record, now) for record in letters]
    table(("NUMBER", "AGE", "TOPIC", "CODE", "ID", "TYPE", "REASON"), rows, wide="REASON")
    if not rows:
        click.echo(f"no {'such ' if choice.chooses else ''}dead letters", err=True)
    return OK


async def dead_show(settings: Settings, *, number: int, form: str) -> int:
    """Print a dead letter in full. Raises `Failed` if none has this number."""
    found = next((record for record in await _read(settings) if record.sequence == number), None)
    if found is None:
        raise Failed(f"no dead letter {number}")
    if form != "table":
        write(form, summary(found) | {"headers": dict(found.headers)} | body_of(found.body))
        return OK
    for name, value in summary(found).items():
        click.echo(f"{name + ':':<10}{clean(value if value is not None else '')}")
    click.echo("headers:")
    for name, value in sorted(found.headers.items()):
        if not name.lower().startswith(STAMP):
            click.echo(f"  {clean(name)}: {clean(value)}")
    ((kind, text),) = body_of(found.body).items()
    click.echo(f"{kind} ({len(found.body)} bytes):")
    click.echo("\n".join(clean(line) if kind == "body" else line for line in str(text).splitlines()))
    return OK


async def dead_act(settings: Settings, choice: Choice, *, verb: str, dry_run: bool, form: str) -> int:
    """Replay or drop the dead letters that are chosen, and report each once it is done.

    Returns 1 if some could not be replayed. Raises `Failed` if no dead letter has a number that was chosen.
    """
    now = datetime.now(UTC)
    word = f"would be {_DONE[verb]}" if dry_run else _DONE[verb]
    counts: Counter[bool] = Counter()
    missing = set(choice.numbers)
    async with broker_of(settings) as broker, broker.dead_letters() as letters:
        async for letter in letters:
            missing.discard(letter.record.sequence)
            if choice.fits(letter.record, now):
                done = dry_run or await _act(letter, verb)
                counts[done] += 1
                if done:
                    _report(letter.record, word, form)
    click.echo(f"{counts[True]} dead letter{'' if counts[True] == 1 else 's'} {word}", err=True)
    if missing:
        raise Failed(f"no dead letter {', '.join(map(str, sorted(missing)))}")
    return FAILED if counts[False] else OK


async def _act(letter: DeadLetter, verb: str) -> bool:
    """Replay or drop a dead letter. False if the broker refuses: it stays a dead letter."""
    try:
        await (letter.replay() if verb == "replay" else letter.drop())
    except TopicRefused as error:
        click.echo(f"{letter.record.sequence} stays a dead letter: {clean(error)}", err=True)
        return False
    return True


def _report(record: Record, word: str, form: str) -> None:
    found = summary(record)
    if form != "table":
        write(form, found | {"done": word})
        return
    named = (str(found[name] or "-") for name in ("number", "topic", "code", "id"))
    click.echo(clean("  ".join([word, *named])))


async def _read(settings: Settings) -> list[Record]:
    async with broker_of(settings) as broker, broker.history(Kind.DEAD) as records:
        found = [record async for record in records]
    # On RabbitMQ, dead letters that were read go back into the queue behind those that have arrived meanwhile.
    return sorted(found, key=lambda record: record.time)


def _row(record: Record, now: datetime) -> list[str]:
    found = summary(record)
    age = duration((now - record.time).total_seconds())
    named = [str(found[name] or "-") for name in ("topic", "code", "id", "type", "reason")]
    return [str(record.sequence), age, *named]
