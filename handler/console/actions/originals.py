"""What a recorded request was asked with: the event that its Job or CronJob carries, or that the record keeps.

Where neither has it, as much as is left of it. It may hold commands and variables: it is for those alone who may act.
"""

from dataclasses import dataclass
from typing import Any

import orjson
from cloudevents.core.v1.event import CloudEvent

from adapters.base import BrokerError, Kind
from events.cloudevent.event import InvalidEvent, decode_structured, encode_structured
from events.cloudevent.numbers import AS_WRITTEN
from events.names import JOB_TYPE, REQUESTED_TYPE, Annotation
from events.phases import Phase
from handler.console.actions.rebuilding import rebuilt, summarised
from handler.console.backend import Backend
from handler.history.base import Request
from handler.operations.documents import Document
from k8s.base import KubernetesError, Manifest, NotFound

_GONE = "Its Job has gone from the cluster, and with it"
MAX_LETTERS = 10_000
"""Dead letters of a broker that are looked through for a request that was rejected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """`document`: the structured event. `notes`: what of it is not known, and why; empty: it is whole."""

    document: Document
    notes: tuple[str, ...] = ()


async def original_of(backend: Backend, request: Request) -> Original:
    """What it was asked with. Raises `StoreUnavailable`; a cluster or broker that does not answer is a note."""
    if request.phase is Phase.REJECTED:
        return await _of_letter(backend, request)
    try:
        manifest = await _manifest(backend, request)
    except NotFound:
        return await _kept(backend, request, _GONE)
    except KubernetesError:
        return await _kept(backend, request, "The cluster did not answer, and without its Job")
    if manifest is None or not _is_of(manifest, request):
        return await _kept(backend, request, _GONE)
    template = _template(manifest)
    event = _event(template)
    if event is not None:
        return Original(document=_document(event))
    document, missing = rebuilt(manifest, template, request)
    why = "Its event is not readable here: this is what its Job says."
    return Original(document=document, notes=(why, *missing))


async def _kept(backend: Backend, request: Request, why: str) -> Original:
    """What the record has: the whole event, unless that was in a Secret, or was not to be kept."""
    body = await backend.reader.asked(request.pk)
    event = None if body is None else _read(body)
    return _rest(request, why) if event is None else Original(document=_document(event))


def _rest(request: Request, why: str) -> Original:
    document = summarised(request)
    note = f"{why} its command, arguments, variables and volumes: only what the record says is filled in."
    return Original(document=document, notes=(note,))


async def _manifest(backend: Backend, request: Request) -> Manifest | None:
    if request.namespace is None or request.job is None:
        return None
    if request.phase in (Phase.SCHEDULED, Phase.UNSCHEDULED):
        return await backend.cluster.read_cron_job(request.namespace, request.job)
    return await backend.cluster.read_job(request.namespace, request.job)


def _is_of(manifest: Manifest, request: Request) -> bool:
    """Whether it is this request's Job, and not that of another that has its name."""
    found = manifest["metadata"].get("annotations") or {}
    return (found.get(Annotation.ID), found.get(Annotation.SOURCE)) == (request.key.id, request.key.source)


def _template(manifest: Manifest) -> Manifest:
    spec = manifest["spec"]
    template: Manifest = spec["template"] if "template" in spec else spec["jobTemplate"]["spec"]["template"]
    return template


def _event(template: Manifest) -> CloudEvent | None:
    """The event that its pods are given; None where that is in a Secret, which this process does not read."""
    text = (template["metadata"].get("annotations") or {}).get(Annotation.EVENT)
    try:
        return None if text is None else _read(text.encode())
    except UnicodeEncodeError:
        return None


def _read(body: bytes) -> CloudEvent | None:
    """An event that can be published again; None for anything else, also for events about requests."""
    try:
        event = decode_structured(body)
    except InvalidEvent:
        return None
    of_ours = event.get_type().startswith(f"{JOB_TYPE}.")
    return None if of_ours and event.get_type() != REQUESTED_TYPE else event


def _document(event: CloudEvent) -> Document:
    found: Any = AS_WRITTEN.read(encode_structured(event))
    if event.get_type() == REQUESTED_TYPE and not isinstance(found.get("data"), dict):
        # Data may be bytes that are JSON.
        found.pop("data_base64", None)
        found["data"] = _data(event)
    document: Document = found
    return document


def _data(event: CloudEvent) -> Any:
    data: object = event.get_data()
    try:
        return orjson.loads(data) if isinstance(data, bytes) else {}
    except orjson.JSONDecodeError:
        return {}


async def _of_letter(backend: Backend, request: Request) -> Original:
    """A request that was rejected has no Job: its event is a dead letter, until somebody drops that."""
    for broker in backend.brokers.values():
        try:
            async with broker.history(Kind.DEAD) as records:
                looked = 0
                async for record in records:
                    looked += 1
                    if looked > MAX_LETTERS:
                        break
                    try:
                        event = record.event()
                    except InvalidEvent:
                        continue
                    if (event.get_id(), event.get_source()) == (request.key.cause, request.key.source):
                        return Original(document=_document(event))
        except BrokerError:
            continue
    return _rest(request, "It was rejected, its dead letter was not found, and with that are missing")
