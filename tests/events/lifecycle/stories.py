"""Stories of Jobs and their Pods, as Kubernetes writes them: what is told of each. Recorded, or played by hand."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from events.cloudevent.timestamp import parse_epoch
from events.jobs.observed import Job
from events.jobs.pods import Pod
from events.lifecycle import sidecars
from events.lifecycle.podless import mystery, stalled
from events.lifecycle.transitions import Transition, transitions
from k8s.reading.job import job_of
from k8s.reading.pod import pod_of
from k8s.reading.podmetrics import parse_notice
from tests.paths import TRACES

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A Job or Pod (`kind`: jobs or pods) changed at `at` (epoch seconds), or is `gone`: then as last seen."""

    at: float
    kind: str
    manifest: Manifest
    gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What happened to one Job. `events`: Kubernetes' Events, read when nothing changes any more.

    `log`: the end of the failed container's log, where somebody may read it.
    """

    changes: Sequence[Change]
    events: Sequence[Manifest] = ()
    log: str | None = None

    def told(self) -> list[Transition]:
        """Every transition once, in the order in which a leader that sees every change publishes them."""
        seen: dict[str, Transition] = {}
        jobs: dict[str, Job] = {}
        pods: dict[str, Pod] = {}
        for change in self.changes:
            self._wait(seen, jobs.values(), pods.values(), until=change.at)
            uid = change.manifest["metadata"]["uid"]
            if change.kind == "jobs":
                jobs[uid] = job_of(change.manifest)
            else:
                pods[uid] = replace(pod_of(change.manifest), gone=change.gone)
            self._note(seen, jobs.values(), pods.values(), now=change.at)
        self._wait(seen, jobs.values(), pods.values(), until=float("inf"))
        for job in jobs.values():
            self._explain(seen, job, list(pods.values()))
        return list(seen.values())

    def _note(self, seen: dict[str, Transition], jobs: Iterable[Job], pods: Iterable[Pod], *, now: float) -> None:
        for job in jobs:
            own = [pod for pod in pods if pod.job_uid == job.uid]
            for one in (*transitions(job, own, log=self.log), *sidecars.kept_running(job, own, now=now)):
                seen.setdefault(one.key, one)

    def _wait(self, seen: dict[str, Transition], jobs: Iterable[Job], pods: Iterable[Pod], *, until: float) -> None:
        """Look again whenever time alone changes something, before anything else does."""
        for job in jobs:
            own = [pod for pod in pods if pod.job_uid == job.uid]
            due = sidecars.next_look(job, own, now=0.0)
            if due is not None and due < until:
                self._note(seen, [job], own, now=due)

    def _explain(self, seen: dict[str, Transition], job: Job, pods: Sequence[Pod]) -> None:
        own = [pod for pod in pods if pod.job_uid == job.uid]
        unknown = mystery(job, own)
        if unknown is not None:
            about = [event for event in self.events if event["involvedObject"]["uid"] == unknown.about]
            notices = [notice for event in about if (notice := parse_notice(event)) is not None]
            for one in stalled(notices, since=unknown.since, attempt=1):
                seen.setdefault(one.key, one)


def recorded(scenario: str, *, job: str | None = None, log: str | None = None) -> Story:
    """A scenario of tests/data/kubernetes-traces; of several Jobs, that of this name."""
    trace = json.loads((TRACES / f"{scenario}.json").read_bytes())
    return Story(changes=list(_changes(trace["watch"], job)), events=list(_events(trace["steps"])), log=log)


def _changes(watch: Iterable[Mapping[str, Any]], name: str | None) -> Iterator[Change]:
    objects = [change for change in watch if change["type"] != "BOOKMARK"]
    begun = parse_epoch(objects[0]["object"]["metadata"]["creationTimestamp"]) - objects[0]["at"]
    for change in objects:
        manifest = change["object"]
        if name is None or manifest["metadata"]["name"].rpartition("-")[0] in ("", name):
            yield Change(
                at=begun + change["at"], kind=change["kind"], manifest=manifest, gone=change["type"] == "DELETED"
            )


def _events(steps: Iterable[Mapping[str, Any]]) -> Iterator[Manifest]:
    for step in steps:
        body = step["response"]["body"]
        if isinstance(body, dict) and body.get("kind") == "EventList":
            yield from (event for event in body["items"] if event.get("type") == "Warning")
