"""How many values there are in data, whatever they are. Knows no model."""

from typing import Any

MAX_VALUES = 10_000
"""Lists, objects and what is in them, in the data of a request."""


def holds_more(data: Any, most: int) -> bool:
    """Whether there are more than `most` values in it, at all depths together. Takes no longer for many more."""
    count, level = 0, [data]
    while level:
        holder = level.pop()
        inner = holder.values() if isinstance(holder, dict) else holder
        count += len(inner)
        if count > most:
            return True
        level += [one for one in inner if type(one) is dict or type(one) is list]
    return False
