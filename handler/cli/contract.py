"""`jobrelay schema`, `asyncapi` and `reference`: their options. What they print is made in events and adapters."""

import click

from events.names import DEFAULT_INSTANCE
from handler.cli.options import DOCUMENTS
from handler.commands.errors import Misuse


@click.command()
@click.argument("name", type=click.Choice(["request", "lifecycle", "control", "functions"]))
@click.option("--data", is_flag=True, help="Only of the event's data.")
@click.option("-o", "--output", "form", type=DOCUMENTS, default="json", help="Format of what is printed.")
def schema(name: str, data: bool, form: str) -> int:
    """Print the JSON Schema (2020-12) of events, or of the file of functions.

    Of the whole event in the structured JSON format, or of its data alone.
    """
    from events.contract.schema import schema_of
    from handler.commands.contract import show

    try:
        document = schema_of(name, data=data)
    except ValueError as error:
        raise Misuse(str(error)) from error
    return show(document, form)


@click.command()
@click.option("--instance", metavar="NAME", default=DEFAULT_INSTANCE, help="Installation.", show_default=True)
@click.option("-o", "--output", "form", type=DOCUMENTS, default="yaml", help="Format of what is printed.")
def asyncapi(instance: str, form: str) -> int:
    """Print an AsyncAPI 3.0 document: topics and events on both brokers."""
    from adapters.asyncapi import asyncapi as describe
    from handler import version
    from handler.commands.contract import show

    try:
        document = describe(instance, version=version())
    except ValueError as error:
        raise Misuse(str(error)) from error
    return show(document, form)


@click.command()
def reference() -> int:
    """Print every field, event, error code and topic as Markdown."""
    from handler.commands.contract import reference_page

    click.echo(reference_page(), nl=False)
    return 0
