"""What is offered to a shell: ids come from whoever may publish, and are pasted into a command line."""

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from os.path import commonprefix

from handler.operations.wording import duration

MOST = 500
"""Offers at a time. A shell takes a millisecond for some of them, and nobody reads so many."""
_LONGEST = 256
# What each shell reads as nothing but itself. A comma ends a value in the scripts of click.
_PLAIN = re.compile(r"[\w./+@][\w./%+@:=-]*")
_NOT_SAID = re.compile(r"[^\w ./@+-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A value, and what it is. `time`: those of later times come first, epoch seconds."""

    value: str
    help: str = ""
    time: float = 0.0


def fits(value: str, beginning: str) -> bool:
    """Whether it begins so, and can be typed as it is: what would have to be quoted is left out."""
    return value.startswith(beginning) and len(value) <= _LONGEST and _PLAIN.fullmatch(value) is not None


def dated(value: str, *, about: str, time_: float) -> Offer:
    """One of a request: `about`, and how long ago it was."""
    age = duration(time.time() - time_)
    return Offer(value=value, help=" ".join(_NOT_SAID.sub(" ", f"{about} {age}").split()), time=time_)


def chosen(offers: Iterable[Offer]) -> list[Offer]:
    """Each value once, with what is said of the last one of it; the last ones first.

    Of too many, one that begins otherwise is among those that are left: a shell types what all of them begin with.
    """
    found = [*_chosen(offers)]
    left, others = found[:MOST], found[MOST:]
    if others:
        shared = commonprefix([offer.value for offer in left])  # noqa: RUF071 - as a shell compares them
        left[-1] = next((other for other in others if not other.value.startswith(shared)), left[-1])
    return left


def _chosen(offers: Iterable[Offer]) -> Iterator[Offer]:
    seen: set[str] = set()
    for offer in sorted(offers, key=attrgetter("time"), reverse=True):
        if offer.value not in seen:
            seen.add(offer.value)
            yield offer
