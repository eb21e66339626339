"""Prints documents and text to a terminal or a pipe, and removes control characters from it."""

import json
import sys
from typing import Any

import click
import orjson
import yaml

from handler.operations.wording import clean
from handler.visible import escaped, is_plain, lines


def lines_of(value: object) -> list[str]:
    """The lines of a text, each cleaned."""
    return [clean(line.expandtabs(4)) if line.strip() else "" for line in str(value).splitlines()]


def say_left_out(error: Exception) -> None:
    """Print to standard error why an object cannot be shown."""
    say(f"left out: {clean(error)}")


def write(form: str, document: Any) -> None:
    """Print a document: as JSON on a single line, or as YAML after `---`. Control characters are escaped in both."""
    if form == "json":
        sys.stdout.write(escaped(orjson.dumps(document, default=str).decode()) + "\n")
    else:
        sys.stdout.write(
            "---\n" + lines(yaml.dump(plain(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True))
        )
    sys.stdout.flush()


class _Dumper(yaml.SafeDumper):
    """Puts whatever has to be escaped into quotation marks, where YAML knows escapes."""


def _represented(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = None if is_plain(text.replace("\n", "")) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represented)


def say(text: object, *, err: bool = True) -> None:
    """Print lines of text that may be from outside, to standard error."""
    click.echo(lines(str(text)), err=err)


def plain(document: Any) -> Any:
    """A copy made of JSON's types only: no enums, no tuples. Integers of any size stay what they are."""
    return json.loads(orjson.dumps(document, default=str))
