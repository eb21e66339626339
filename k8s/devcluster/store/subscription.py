"""Changes of the store for code in the same process (controllers, kubelet). HTTP watches: api/watch.py."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Self

from k8s.devcluster.resources import Obj
from k8s.devcluster.store.history import Change


class Subscription:
    """`async for resource, type, obj in subscription`: all changes since its creation, in order.

    `resource` is the plural ("jobs"), `type` ADDED, MODIFIED or DELETED, `obj` READ-ONLY.
    """

    def __init__(self, start: int, leave: Callable[["Subscription"], None]) -> None:
        self._start = start
        self._leave = leave
        self._waiting: deque[tuple[str, Change]] = deque()
        self._filled = asyncio.Event()

    def push(self, resource: str, change: Change) -> None:
        if change.number > self._start:
            self._waiting.append((resource, change))
            self._filled.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._leave(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[str, str, Obj]:
        while not self._waiting:
            self._filled.clear()
            await self._filled.wait()
        resource, change = self._waiting.popleft()
        return resource, change.type, change.new.obj
