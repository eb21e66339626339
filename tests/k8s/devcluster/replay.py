"""Sends a trace's requests to a server, each when the cluster has got as far as the recorded cluster had."""

import asyncio
import json
import ssl
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from k8s.devcluster.server import DevCluster
from tests.k8s.devcluster.answers import differences
from tests.k8s.devcluster.states import Story
from tests.k8s.devcluster.traces import (
    AHEAD,
    ANSWERS_NOT_COMPARED,
    EVENTS_NOT_WRITTEN,
    MAY_BE_GONE,
    USERS,
    Trace,
)
from tests.patience import PATIENCE


@dataclass
class Result:
    """What differed, by step; `story` is about the watches of the whole scenario."""

    steps: list[str] = field(default_factory=list)
    story: list[str] = field(default_factory=list)


class Replay:
    def __init__(self, cluster: DevCluster, session: aiohttp.ClientSession, trace: Trace) -> None:
        self._cluster = cluster
        self._session = session
        self._trace = trace
        self._story = Story(in_full=trace.by_kubelet)
        self._recorded = self._told(trace.watch)
        self._changed = asyncio.Event()
        self._ours: dict[str, str] = {}  # recorded uids, versions, names and page tokens to ours

    async def run(self) -> Result:
        result = Result()
        await self._prepare()
        async with AsyncExitStack() as stack:
            group = await stack.enter_async_context(asyncio.TaskGroup())
            ready = [asyncio.Event(), asyncio.Event()]
            watches = [
                group.create_task(self._follow("jobs", "/apis/batch/v1", ready[0])),
                group.create_task(self._follow("pods", "/api/v1", ready[1])),
            ]
            for event in ready:
                await event.wait()
            try:
                await self._steps(result)
                result.story = await self._until(self._trace.watch)
            finally:
                for watch in watches:
                    watch.cancel()
        return result

    async def _prepare(self) -> None:
        name = self._trace.namespace
        await self._must("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        if self._trace.scenario == "namespace-terminating":
            # A real namespace takes seconds to go; ours is kept by an object with a finalizer.
            held = {"metadata": {"name": "held", "finalizers": ["example.com/held"]}}
            await self._must("POST", f"/api/v1/namespaces/{name}/configmaps", held)

    async def _steps(self, result: Result) -> None:
        for number, step in enumerate(self._trace.steps):
            if step["request"]["method"] != "GET":
                late = await self._until(self._trace.seen_before(number))
                if late:
                    result.steps.append(f"step {number}: never got as far as the recorded cluster: {late}")
                    return
            self._learn_names()
            wrong = await self._step(number, step)
            result.steps += [f"step {number}: {line}" for line in wrong]

    async def _step(self, number: int, step: dict[str, Any]) -> list[str]:
        """Repeat a GET until it is answered as recorded: it may be ahead of the cluster's loops."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while True:
            wrong, body = await self._ask(number, step)
            if not wrong or step["request"]["method"] != "GET" or asyncio.get_running_loop().time() > deadline:
                self._learn(step["response"]["body"], body)
                return wrong
            await asyncio.sleep(0.05)

    async def _ask(self, number: int, step: dict[str, Any]) -> tuple[list[str], Any]:
        request, real = step["request"], step["response"]
        path = self._translated(request["path"].replace("{ns}", self._trace.namespace))
        user = USERS.get((self._trace.scenario, number), "admin")
        token = {"admin": self._cluster.token}.get(user or "", user)
        headers = {"Content-Type": request.get("contentType") or "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        sent = self._body(request["body"])
        async with self._session.request(
            request["method"], self._cluster.url + path, data=sent, headers=headers
        ) as answer:
            text = await answer.text()
            kind = answer.content_type
        if answer.status == 404 and (self._trace.scenario, number) in MAY_BE_GONE:
            return [], None
        wrong = [] if answer.status == real["status"] else [f"status {answer.status}, real {real['status']}: {text}"]
        if kind != real["contentType"]:
            wrong.append(f"content type {kind}, real {real['contentType']}")
        body = _parsed(text, kind, watched="watch=1" in path)
        if (self._trace.scenario, number) in ANSWERS_NOT_COMPARED or wrong:
            return wrong, body
        recorded = real["body"] or [] if "watch=1" in path else real["body"]
        recorded = self._renamed(recorded)
        if (self._trace.scenario, number) in AHEAD:
            return differences(_without_status(recorded), _without_status(body), path=path), body
        return differences(recorded, body, path=path), body

    def _renamed(self, recorded: Any) -> Any:
        """A recorded list of Events, or an error, about our pods."""
        if not isinstance(recorded, dict) or recorded.get("kind") not in ("EventList", "Status"):
            return recorded
        if recorded["kind"] == "EventList":
            recorded = recorded | {"items": [e for e in recorded["items"] if e["reason"] not in EVENTS_NOT_WRITTEN]}
        text = json.dumps(recorded)
        for theirs in self._recorded.names.values():
            text = text.replace(theirs, self._ours.get(theirs, theirs))
        return json.loads(text)

    def _body(self, recorded: Any) -> bytes | None:
        if recorded is None:
            return None
        text = json.dumps(recorded).replace('"x * 262145"', json.dumps("x" * 262145))
        for theirs, ours in self._ours.items():
            text = text.replace(json.dumps(theirs), json.dumps(ours))
        return text.encode()

    def _translated(self, path: str) -> str:
        for theirs, ours in self._ours.items():
            for form in ("resourceVersion={}", "continue={}", "/pods/{}"):
                path = path.replace(form.format(theirs), form.format(ours))
        return path

    def _learn(self, real: Any, ours: Any) -> None:
        """Note which of our uids, versions and names stand for the recorded ones."""
        if not (isinstance(real, dict) and isinstance(ours, dict)):
            return
        there, here = real.get("metadata") or {}, ours.get("metadata") or {}
        for name in ("uid", "resourceVersion", "continue", "name"):
            if there.get(name) and here.get(name):
                self._ours[there[name]] = here[name]
        for theirs, our in zip(real.get("items") or [], ours.get("items") or [], strict=False):
            self._learn(theirs, our)

    def _learn_names(self) -> None:
        """Note what the recorded pods are called here: their names are random."""
        for subject, theirs in self._recorded.names.items():
            if subject in self._story.names:
                self._ours[theirs] = self._story.names[subject]

    def _told(self, events: list[dict[str, Any]]) -> Story:
        return Story.of(events, in_full=self._trace.by_kubelet)

    async def _until(self, events: list[dict[str, Any]]) -> list[str]:
        """Wait until our watches have shown the states in `events`; what they have not shown when patience ends."""
        real = self._told(events)
        try:
            async with asyncio.timeout(PATIENCE):
                while self._story.missing(real):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return self._story.missing(real)
        return []

    async def _follow(self, resource: str, root: str, ready: asyncio.Event) -> None:
        url = f"{self._cluster.url}{root}/namespaces/{self._trace.namespace}/{resource}"
        headers = {"Authorization": f"Bearer {self._cluster.token}"}
        async with self._session.get(url, params={"watch": "1"}, headers=headers) as response:
            response.raise_for_status()
            ready.set()
            async for line in response.content:
                event = json.loads(line)
                self._story.add(resource, event["type"], event["object"])
                self._changed.set()

    async def _must(self, method: str, path: str, body: Any) -> None:
        headers = {"Authorization": f"Bearer {self._cluster.token}"}
        async with self._session.request(method, self._cluster.url + path, json=body, headers=headers) as response:
            response.raise_for_status()


def _without_status(body: Any) -> Any:
    if "items" in body:
        return body | {"items": [_without_status(item) for item in body["items"]]}
    return body | {"status": {}}


def _parsed(text: str, kind: str, *, watched: bool) -> Any:
    if watched:
        return [json.loads(line) for line in text.splitlines()]
    return json.loads(text) if kind == "application/json" else text


async def replay_all(cluster: DevCluster, traces: list[Trace]) -> dict[str, Result]:
    """Every scenario in a namespace of its own, all at once."""
    context = ssl.create_default_context(cafile=str(cluster.ca))
    connector = aiohttp.TCPConnector(ssl=context, limit=0)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=2**22) as session:
        results = await asyncio.gather(*(Replay(cluster, session, trace).run() for trace in traces))
    return {trace.scenario: result for trace, result in zip(traces, results, strict=True)}
