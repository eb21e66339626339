"""The table of real producers' events, and what becomes of them on each broker: what tests/interop publishes."""

from collections.abc import Iterator

from tests.interop.corpus import INVALID_EVENT, Event, rows


def table() -> str:
    """A Markdown table; a producer's name stands in its first row."""
    return "\n".join(["| producer | what it sends | on NATS | on RabbitMQ |", "|---|---|---|---|", *_lines()])


def _lines() -> Iterator[str]:
    before = ""
    for row in rows():
        name = "" if row.producer == before else row.producer
        yield f"| {name} | {row.shape} | {_cell(row.nats)} | {_cell(row.rabbitmq)} |"
        before = row.producer


def _cell(event: Event | None) -> str:
    if event is None:
        return ""
    wanted = event.outcome
    if wanted.runs is not None:
        return "runs"
    code = "" if wanted.code == INVALID_EVENT else f"`{wanted.code}`, "
    return f"refused: {code}{' … '.join(wanted.says)}"
