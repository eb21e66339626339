"""Decodes what we use of a Pod's JSON and skips the rest. What it means is decided elsewhere."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw

from events.jobs import pods
from events.jobs.observed import Condition
from events.jobs.pods import Role
from events.problems import brief
from k8s.base import Malformed
from k8s.reading.metadata import Metadata, Wire, WireCondition, condition, epoch, integer, said, shared, word

CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
"""Label of every Pod of a Job: the Job's uid."""
COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index"
MAIN = "main"
"""Our only container. A function's Pods may have others: then that of `DEFAULT_CONTAINER` counts, else the first."""
DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
"""Annotation of Pods: name of a container. kubectl reads it too."""

MAX_MESSAGE = 4096
"""Bytes of a termination message that Kubernetes keeps: the last ones of what the container wrote."""
MAX_POD_MESSAGES = 12_288
"""Bytes of all termination messages of a Pod together: each container has an equal part."""
MAX_CONTAINERS = 8
"""How many containers of a Pod are looked at; of more, those that tell most."""


class PodMetadata(Metadata):
    deletion_grace_period_seconds: int | None = None


class ContainerSpec(Wire):
    name: str
    restart_policy: str | None = None
    termination_message_policy: str = "File"


class PodSpec(Wire):
    node_name: str | None = None
    containers: list[ContainerSpec] | None = None
    init_containers: list[ContainerSpec] | None = None


class Waiting(Wire):
    reason: str | None = None
    message: str | None = None


class Running(Wire):
    started_at: datetime | None = None


class Terminated(Wire):
    exit_code: int
    reason: str | None = None
    message: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


class ContainerState(Wire):
    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(Wire):
    name: str
    restart_count: int = 0
    state: ContainerState = msgspec.field(default_factory=ContainerState)
    last_state: ContainerState = msgspec.field(default_factory=ContainerState)


class PodStatus(Wire):
    phase: str = "Pending"
    reason: str | None = None
    message: str | None = None
    conditions: list[WireCondition] | None = None
    container_statuses: list[ContainerStatus] | None = None
    init_container_statuses: list[ContainerStatus] | None = None


class WirePod(Wire):
    metadata: PodMetadata
    spec: PodSpec = msgspec.field(default_factory=PodSpec)
    status: PodStatus = msgspec.field(default_factory=PodStatus)


_POD = msgspec.json.Decoder(WirePod)


def parse_pod(raw: bytes | Raw) -> pods.Pod:
    """Read a Pod's JSON (v1). Raises `Malformed`."""
    try:
        return _pod(_POD.decode(raw))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(brief(f"no Pod: {error}")) from error


def pod_of(manifest: dict[str, Any]) -> pods.Pod:
    """Read a Pod from a dict instead of JSON. Raises `Malformed`."""
    return parse_pod(msgspec.json.encode(manifest))


def _pod(wire: WirePod) -> pods.Pod:
    meta, status = wire.metadata, wire.status
    notes, deleted = meta.annotations or {}, epoch(meta.deletion_timestamp)
    unscheduled = _condition(status, "PodScheduled", "False")
    return pods.Pod(
        namespace=shared(meta.namespace) or "",
        name=meta.name,
        uid=meta.uid,
        job_uid=(meta.labels or {}).get(CONTROLLER_UID, ""),
        node=shared(wire.spec.node_name),
        created=epoch(meta.creation_timestamp) or 0.0,
        deleted=deleted,
        killed=None if deleted is None else deleted - (meta.deletion_grace_period_seconds or 0),
        phase=shared(status.phase) or "",
        index=integer(notes.get(COMPLETION_INDEX)),
        scheduled_reason=word(unscheduled.reason) if unscheduled else None,
        scheduled_message=said(unscheduled.message) if unscheduled else None,
        reason=word(status.reason),
        message=said(status.message),
        disruption=_condition(status, "DisruptionTarget", "True"),
        containers=_telling(tuple(_containers(wire, main=notes.get(DEFAULT_CONTAINER, MAIN)))),
    )


def _condition(status: PodStatus, type_: str, value: str) -> Condition | None:
    found = next((one for one in status.conditions or () if (one.type, one.status) == (type_, value)), None)
    return None if found is None else condition(found)


def _containers(wire: WirePod, *, main: str) -> Iterator[pods.Container]:
    """The main one first, then the others as in the manifest. The kubelet writes statuses in the order of names."""
    status, specs = wire.status, {one.name: one for one in wire.spec.containers or ()}
    found = {one.name: one for one in status.container_statuses or ()}
    places = {name: place for place, name in enumerate(specs)}
    ordered = sorted(found, key=lambda name: places.get(name, len(places)))
    first = main if main in found else next(iter(ordered), None)
    over, statuses = status.phase == "Failed", [*found.values(), *(status.init_container_statuses or ())]
    most = min(MAX_MESSAGE, MAX_POD_MESSAGES // max(1, len(statuses)))
    if first is not None:
        yield _container(found[first], specs.get(first), Role.MAIN, over=over, most=most)
    for name in ordered:
        if name != first:
            yield _container(found[name], specs.get(name), Role.OTHER, over=over, most=most)
    before = {one.name: one for one in wire.spec.init_containers or ()}
    for one in status.init_container_statuses or ():
        spec = before.get(one.name)
        role = Role.SIDECAR if spec and spec.restart_policy == "Always" else Role.INIT
        yield _container(one, spec, role, over=over, most=most)


def _container(
    wire: ContainerStatus, spec: ContainerSpec | None, role: Role, *, over: bool, most: int
) -> pods.Container:
    state, former = wire.state, wire.last_state.terminated
    # A pod may be ended while its container waits for a restart: then its last run says how it ended.
    ended = state.terminated or (former if over else None)
    waiting = state.waiting or Waiting()
    message = (ended.message or "")[-MAX_MESSAGE:] or None if ended else None
    runs = [run for run in (former, ended, state.running) if run is not None]
    return pods.Container(
        name=shared(wire.name) or "",
        role=role,
        # Where the program could not be run, Kubernetes writes 1970: it has never started.
        started=min((since for run in runs if (since := epoch(run.started_at))), default=None),
        finished=epoch(ended.finished_at) if ended else None,
        restarts=wire.restart_count,
        exit_code=ended.exit_code if ended else None,
        reason=word(ended.reason) if ended else None,
        message=message,
        cut=message is not None and len(message.encode(errors="replace")) >= most,
        may_be_log=spec is None or spec.termination_message_policy == "FallbackToLogsOnError",
        waiting_reason=None if ended else word(waiting.reason),
        waiting_message=None if ended else said(waiting.message),
    )


def _telling(containers: tuple[pods.Container, ...]) -> tuple[pods.Container, ...]:
    """At most `MAX_CONTAINERS`: the main one, then those that failed, that have not ended, that ended last."""
    if len(containers) <= MAX_CONTAINERS:
        return containers
    main, *others = containers
    ranked = sorted(others, key=lambda one: (not one.failed, one.finished is not None, -(one.finished or 0.0)))
    kept = {one.name for one in ranked[: MAX_CONTAINERS - 1]}
    return main, *(one for one in others if one.name in kept)
