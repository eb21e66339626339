"""What many ask for at the same time is asked once, and its answer kept for a moment."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

T = TypeVar("T")


@dataclass(slots=True)
class _Asked:
    task: "asyncio.Future[Any]"
    ended: float | None = None


class Answers:
    """Answers by name: there are as many as names. A failure is an answer, too.

    What was begun goes on when nobody waits for it any more: some brokers do not like half a question.
    """

    def __init__(self) -> None:
        self._asked: dict[str, _Asked] = {}

    async def get(self, name: str, make: Callable[[], Awaitable[T]], *, fresh: float) -> T:
        """What `make` returned at most `fresh` seconds ago, or what it returns now. Raises what `make` does."""
        loop = asyncio.get_running_loop()
        asked = self._asked.get(name)
        if asked is None or asked.task.cancelled() or (asked.ended is not None and loop.time() - asked.ended >= fresh):
            asked = self._asked[name] = _begun(make)
        return cast(T, await asyncio.shield(asked.task))

    def forget(self, name: str) -> None:
        """Have it asked anew: something has changed it."""
        asked = self._asked.get(name)
        if asked is not None and asked.task.done():
            del self._asked[name]


def _begun(make: Callable[[], Awaitable[Any]]) -> _Asked:
    async def made() -> Any:
        return await make()

    asked = _Asked(asyncio.ensure_future(made()))

    def ended(task: "asyncio.Future[Any]") -> None:
        asked.ended = asyncio.get_running_loop().time()
        if not task.cancelled():
            # Whoever waits is told; if nobody does, it is nobody's failure.
            task.exception()

    asked.task.add_done_callback(ended)
    return asked
