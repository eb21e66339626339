"""Reads from a pod template what one of its pods is and requests, all its containers together."""

import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Raw

from events.jobs.asked import PodRequests
from k8s.reading.metadata import Wire, shared
from k8s.reading.pod import MAIN
from k8s.reading.quantity import LARGEST, parse
from k8s.reading.template import Template

MAX_IMAGE = 512
"""Characters of a reference to an image; longer ones are cut."""
_ALWAYS = "Always"
Amounts = Mapping[str, Decimal]


class _Container(Wire):
    name: str = ""
    image: str = ""
    resources: Raw = Raw()
    restart_policy: str = ""


class _PodSpec(Wire):
    containers: list[_Container] | None = None
    init_containers: list[_Container] | None = None
    resources: Raw = Raw()
    overhead: Raw = Raw()


class _Resources(Wire):
    requests: dict[str, Any] | None = None
    limits: dict[str, Any] | None = None


_POD_SPEC = msgspec.json.Decoder(_PodSpec)
_RESOURCES = msgspec.json.Decoder(_Resources | None)
_AMOUNTS = msgspec.json.Decoder(dict[str, Any] | None)


def asked_of(template: Template) -> str:
    """See `PodRequests.to_text`. Empty for a template that cannot be read."""
    if not template.spec:
        return ""
    try:
        pod = _POD_SPEC.decode(template.spec)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    containers = pod.containers or ()
    main = template.annotations.default_container or MAIN
    image = next((one.image for one in containers if one.name == main), containers[0].image if containers else "")
    return _text(
        image[:MAX_IMAGE],
        tuple(bytes(one.resources) for one in containers),
        tuple((bytes(one.resources), one.restart_policy == _ALWAYS) for one in pod.init_containers or ()),
        bytes(pod.resources),
        bytes(pod.overhead),
    )


# Nearly all Jobs of an installation ask for what others asked for before.
@lru_cache(maxsize=1024)
def _text(
    image: str, containers: tuple[bytes, ...], inits: tuple[tuple[bytes, bool], ...], whole: bytes, overhead: bytes
) -> str:
    of_pod = _decoded(_RESOURCES, whole) or _Resources()
    total = {**_amounts(of_pod.limits), **_pod_total(containers, inits), **_amounts(of_pod.requests)}
    _add(total, _amounts(_decoded(_AMOUNTS, overhead)))
    cpu, memory = total.get("cpu"), total.get("memory")
    asked = PodRequests(
        image=image or None,
        cpu=None if cpu is None else float(cpu),
        memory=None if memory is None else math.ceil(memory),
    )
    return shared(asked.to_text()) or ""


def _pod_total(containers: Iterable[bytes], inits: Iterable[tuple[bytes, bool]]) -> dict[str, Decimal]:
    """Init containers need their part before the others only, one after another; sidecars need it always."""
    running: dict[str, Decimal] = {}
    for resources in containers:
        _add(running, _requests(resources))
    sidecars: dict[str, Decimal] = {}
    starting: dict[str, Decimal] = {}
    for resources, is_sidecar in inits:
        needed = dict(sidecars)
        _add(needed, _requests(resources))
        starting = {
            name: max(needed.get(name, Decimal(0)), starting.get(name, Decimal(0))) for name in needed | starting
        }
        if is_sidecar:
            sidecars = needed
    _add(running, sidecars)
    return {name: max(running.get(name, Decimal(0)), starting.get(name, Decimal(0))) for name in running | starting}


def _requests(resources: bytes) -> Amounts:
    """What it requests: of what it only limits, as much as that."""
    found = _decoded(_RESOURCES, resources)
    return {} if found is None else {**_amounts(found.limits), **_amounts(found.requests)}


def _amounts(given: Mapping[str, Any] | None) -> Amounts:
    found = {}
    for name in ("cpu", "memory"):
        try:
            amount = parse((given or {})[name])
        except (KeyError, ValueError):
            continue
        if 0 <= amount <= LARGEST:
            found[name] = amount
    return found


def _add(total: dict[str, Decimal], more: Amounts) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, Decimal(0)) + amount


def _decoded(decoder: msgspec.json.Decoder[Any], raw: bytes) -> Any:
    try:
        return decoder.decode(raw) if raw else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
