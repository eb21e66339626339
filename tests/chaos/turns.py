"""Requests that have to wait for their turn: keys, priorities, dependencies. Does not publish them."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.e2e.observer import request

SERVICES = tuple(f"service-{number}" for number in range(5))
KEYS = ("", "", "narrow", "busy", "busy", "busy", "quiet", "", "", "")
"""The key by the last digit of a request's number. `narrow` has a lower limit; on `busy` there is always a queue."""
LEDGERS = tuple(f"ledger-{number}" for number in range(4))
"""Keys on which some requests are exclusive, and others are not."""
PADDING = "x" * 2000
INLINE_BYTES = 1500
"""Padded requests need a Secret: admission does not consider their Jobs until it exists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a request asks of the queue, what its container does, and its terminal phase.

    `limit`: of its key while it runs, besides the limit of the installation. `run_on_failure`: what it depends on only
    has to end. `attempts`: how many Jobs it gets, of which all but the last fail. `padded`: its event is large.
    """

    service: str = SERVICES[0]
    priority: int = 0
    key: str | None = None
    limit: int | None = None
    exclusive: bool = False
    dependencies: tuple[str, ...] = ()
    run_on_failure: bool = False
    script: str = "true"
    attempts: int = 1
    padded: bool = False
    end: str = "succeeded"

    @property
    def most(self) -> float:
        """How many Jobs this request allows on its key while it runs."""
        return 1 if self.exclusive else self.limit or float("inf")

    @property
    def runs(self) -> int:
        """How often its container runs, unless it is cancelled."""
        return 0 if self.dependencies and self.end == "failed" else self.attempts

    def request(self, name: str, *, image: str) -> dict[str, Any]:
        """The event."""
        fields: dict[str, Any] = {"service": self.service, "priority": self.priority}
        if self.key is not None:
            fields["concurrency"] = {"key": self.key} | ({"limit": self.limit} if self.limit else {})
        if self.exclusive:
            fields["exclusive"] = True
        if self.dependencies:
            fields["dependencies"] = list(self.dependencies)
        if self.run_on_failure:
            fields["onDependencyFailure"] = "run"
        if self.attempts > 1:
            fields |= {"retries": self.attempts - 1, "retryDelay": 1}
        if self.padded:
            fields["metadata"] = {"padding": PADDING}
        return request(name, self.script, image=image, **fields)


def mixed(count: int, *, chain: int) -> dict[str, Turn]:
    """`count` requests by name, in random order.

    Among them are a chain of `chain`, a diamond, and two that fail, the second after several attempts, each with two
    that wait for it. Of the rest, a tenth is exclusive on a key, some share these keys, half share other keys, and some
    are tried twice.
    """
    made = dict(_chain(chain)) | _diamond() | _failing("broken", attempts=1) | _failing("tried", attempts=3)
    rest = count - len(made)
    made |= {f"free-{number}": _any(number) for number in range(rest)}
    names = random.sample(list(made), len(made))
    return {name: made[name] for name in names}


def _chain(length: int) -> Iterator[tuple[str, Turn]]:
    for number in range(length):
        before = (f"chain-{number - 1}",) if number else ()
        yield f"chain-{number}", Turn(service=SERVICES[number % 5], priority=500, dependencies=before)


def _diamond() -> dict[str, Turn]:
    return {
        "diamond-top": Turn(script="sleep 0.2"),
        "diamond-left": Turn(dependencies=("diamond-top",), script="sleep 0.3"),
        "diamond-right": Turn(dependencies=("diamond-top",)),
        "diamond-bottom": Turn(dependencies=("diamond-left", "diamond-right")),
    }


def _failing(name: str, *, attempts: int) -> dict[str, Turn]:
    return {
        name: Turn(script="exit 3", attempts=attempts, end="failed"),
        f"{name}-needed": Turn(dependencies=(name,), end="failed"),
        f"{name}-minded-not": Turn(dependencies=(name,), run_on_failure=True),
    }


def _any(number: int) -> Turn:
    kind = number % 10
    key = random.choice(LEDGERS) if kind < 2 else KEYS[kind] or None
    tried = number % 20 in (0, 9, 13)
    return Turn(
        service=SERVICES[number % len(SERVICES)],
        priority=random.randint(0, 1000),
        key=key,
        limit=3 if kind == 2 else None,
        exclusive=kind == 0,
        script="exit 3" if tried else ("true", "sleep 0.1", "sleep 0.3")[number % 3],
        attempts=2 if tried else 1,
        padded=kind == 9,
        end="failed" if tried else "succeeded",
    )
