"""Asks the API server which Jobs requests have: many requests with one list, and each group in its turn."""

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from events.identity import request_label
from events.jobs.observed import Job
from events.names import Label
from handler.effects.services import Services
from k8s.api.clock import backoff
from k8s.base import Unavailable

logger = logging.getLogger(__name__)

IDS_AT_ONCE = 100
"""Requests in one list: their labels make an address of 6 kB, and proxies take 8."""
SHARE = 20
"""Requests that a group may ask about before the next group's turn."""
TURNS_AT_ONCE = 50
"""Turns until the next list, at most."""
PAUSE = 0.05
"""Seconds between two lists: what is asked meanwhile is in the next."""

Answer = Mapping[str, Sequence[Job]]
"""Jobs by the id of their request; nothing for a request that has none."""


class Question:
    """Which Jobs these requests have. `done` gets the answer, once."""

    __slots__ = ("_done", "_found", "_open", "ids")

    def __init__(self, ids: Iterable[str], done: Callable[[Answer], None]) -> None:
        self.ids = deque(ids)
        self._open = len(self.ids)
        self._done: Callable[[Answer], None] | None = done
        self._found: dict[str, Sequence[Job]] = {}

    def withdraw(self) -> None:
        """Nobody wants the answer any more."""
        self.ids.clear()
        self._done = None

    def learn(self, request_id: str, jobs: Sequence[Job]) -> None:
        """One of the requests has these Jobs."""
        self._open -= 1
        if jobs:
            self._found[request_id] = jobs
        if not self._open and self._done is not None:
            self._done(self._found)


class Searches:
    """Questions that wait. One list is under way at a time, whoever asks and however much."""

    def __init__(self, services: Services) -> None:
        self._cluster = services.cluster
        self._namespaces = services.namespaces
        self._instance = services.settings.instance
        self._groups: dict[str, deque[Question]] = {}
        self._news = asyncio.Event()

    def ask(self, ids: Sequence[str], *, group: str, done: Callable[[Answer], None]) -> Question:
        """Ask about at least one request. Groups take turns, so that none waits for all that another asks."""
        question = Question(ids, done)
        self._groups.setdefault(group, deque()).append(question)
        self._news.set()
        return question

    @contextmanager
    def asking(self, ids: Sequence[str], *, group: str, done: Callable[[Answer], None]) -> Iterator[None]:
        """Ask, and withdraw the question at the end of the block."""
        question = self.ask(ids, group=group, done=done)
        try:
            yield
        finally:
            question.withdraw()

    async def run(self) -> None:
        """Answer, until cancelled. While the API server gives no answer, the questions wait."""
        while True:
            await self._news.wait()
            self._news.clear()
            while batch := self._next():
                found: defaultdict[str, list[Job]] = defaultdict(list)
                for job in await self._list(batch):
                    found[job.request_id].append(job)
                for request_id, questions in batch.items():
                    for question in questions:
                        question.learn(request_id, found.get(request_id, ()))
                await asyncio.sleep(PAUSE)

    def _next(self) -> dict[str, list[Question]]:
        """What to ask now: who asks, by the id of the request."""
        batch: dict[str, list[Question]] = {}
        turns = 0
        # Many may ask about one request: that makes no list longer, but it takes time.
        while self._groups and len(batch) < IDS_AT_ONCE and turns < TURNS_AT_ONCE:
            turns += 1
            group = next(iter(self._groups))
            questions = self._groups.pop(group)
            self._take(questions, batch)
            if questions:
                self._groups[group] = questions  # behind all others
        return batch

    def _take(self, questions: deque[Question], batch: dict[str, list[Question]]) -> None:
        """A group's turn."""
        taken = 0
        while questions and taken < SHARE and len(batch) < IDS_AT_ONCE:
            ids = questions[0].ids
            if ids:
                batch.setdefault(ids.popleft(), []).append(questions[0])
                taken += 1
            if not ids:
                questions.popleft()

    async def _list(self, ids: Iterable[str]) -> list[Job]:
        values = ",".join(map(request_label, ids))
        selector = f"{Label.INSTANCE}={self._instance},{Label.REQUEST} in ({values})"
        attempt = 0
        while True:
            attempt += 1
            pause = backoff(attempt)
            try:
                return await self._cluster.find_jobs(self._namespaces, selector)
            except Unavailable as error:
                pause = backoff(attempt, retry_after=error.retry_after)
                logger.warning("cannot look up which Jobs there are, trying again: %s", error)
            except Exception:
                # Whatever is wrong with a list must end neither the term nor the questions.
                logger.exception("looking up which Jobs there are failed, trying again")
            await asyncio.sleep(pause)
