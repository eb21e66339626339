"""Compares exchanges and queues with what `topology` lists: declaring one that exists says in what it differs."""

import re
from collections.abc import Mapping
from typing import Any

from adapters.rabbitmq.calls import Calls
from adapters.rabbitmq.client import Channel, ServerRefused
from adapters.rabbitmq.topology import Exchange, Queue

_DIFFERENT = 406
_INEQUIVALENT = re.compile(
    r"inequivalent arg '(?P<name>[^']+)'"
    r"(?:.* but current is (?:none|(?:the value )?'(?P<value>[^']*)'(?: of type '\w+')?)$)?",
    re.DOTALL,
)
"""The end is missing where names are long: a reply has room for 255 bytes."""

Item = Exchange | Queue


class Comparer:
    """Remembers which soft arguments existing queues have: the server logs each refusal as an error."""

    def __init__(self) -> None:
        self._found: dict[str, Mapping[str, object]] = {}

    async def differs(self, calls: Calls, item: Item) -> list[str]:
        """Create it if it is missing. The result says how an existing item differs, in the server's words."""
        if isinstance(item, Exchange):
            return await _compared(calls, item, item.arguments)
        soft = dict(self._found.get(item.name, item.soft))
        for _ in range(len(item.soft) + 1):
            differs = await _compared(calls, item, {**item.arguments, **soft})
            if not _adopted(soft, item, differs):
                self._found[item.name] = soft
                return differs
        return []

    def forget(self, item: Item) -> None:
        """It is missing, and will be made as it should be."""
        self._found.pop(item.name, None)


def called(item: Item) -> str:
    """`queue jobrelay.dead`."""
    return f"{'queue' if isinstance(item, Queue) else 'exchange'} {item.name}"


def _adopted(soft: dict[str, object], queue: Queue, differs: list[str]) -> bool:
    """Whether the server named a soft argument: then it has the queue's own value now. It names one at a time."""
    named = _INEQUIVALENT.search(differs[0]) if differs else None
    if named is None or named["name"] not in queue.soft:
        return False
    name, value = named["name"], named["value"]
    soft[name] = int(value) if value and value.isdecimal() else value
    return True


async def _compared(calls: Calls, item: Item, wanted: Mapping[str, object]) -> list[str]:
    arguments: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}

    async def declared(channel: Channel) -> None:
        if isinstance(item, Queue):
            await channel.queue_declare(item.name, durable=True, arguments=arguments)
        else:
            await channel.exchange_declare(
                item.name, exchange_type=item.kind, durable=True, arguments=arguments or None
            )

    try:
        await calls.change(called(item), declared)
    except ServerRefused as error:
        if error.code != _DIFFERENT:
            raise
        return [f"{called(item)}: {error.text}"]
    return []
