"""Every field that a request can have reaches the manifest: a field without a sample here fails with its name.

To add a field, give it its place in k8s/manifests/mapping.py and a sample below.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, get_args

import pytest

from events.cloudevent.event import build
from events.identity import Identity
from events.names import REQUESTED_TYPE
from events.request.batch import FailurePolicy, SuccessPolicy
from events.request.container import (
    Capabilities,
    ClaimVolume,
    EmptyDir,
    EnvRef,
    EnvVar,
    Ephemeral,
    PullSecret,
    Resources,
    SeccompProfile,
    SecurityContext,
    Volume,
)
from events.request.fields import Model
from events.request.job import JobSpec
from events.request.placement import Affinity, Spread, Toleration
from events.request.queue import Concurrency
from events.request.request import Backoff, Failover, JobRequest, Request
from k8s.base import Manifest
from k8s.manifests.job import render
from k8s.manifests.schedule import render_schedule
from tests.k8s.requests import options

Data = dict[str, Any]
LEAST: Data = {"image": "busybox:1"}
EVENT = build({"specversion": "1.0", "id": "e1", "source": "/shop", "type": REQUESTED_TYPE}, None)
"""The event of every request here, so that no difference between two manifests comes from it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A value that shows in the manifest.

    `beside` is there with and without the value: other fields that it needs, or a former value. `instead_of` names a
    field of `Place.least` that does not go with it.
    """

    value: Any
    beside: Data = field(default_factory=dict)
    instead_of: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model's fields stand in a request: the least valid object, and the request around it."""

    least: Data
    around: Callable[[Data], Data]


def of_job(put: Callable[[Data], Data]) -> Callable[[Data], Data]:
    return lambda data: {"job": {**LEAST, **put(data)}}


def of_volume(name: str) -> Callable[[Data], Data]:
    return of_job(lambda data: {"volumes": [{"mountPath": "/a", name: data}]})


PLACES: dict[type[Model], Place] = {
    JobRequest: Place({"job": LEAST}, lambda data: data),
    JobSpec: Place(LEAST, lambda data: {"job": data}),
    Backoff: Place({"initial": 5}, lambda data: {"job": LEAST, "retries": 2, "retryDelay": data}),
    Failover: Place({"job": LEAST}, lambda data: {"job": LEAST, "failover": data}),
    Concurrency: Place({"key": "k"}, lambda data: {"job": LEAST, "concurrency": data}),
    ClaimVolume: Place({"mountPath": "/a", "pvc": "a"}, of_job(lambda data: {"volume": data})),
    Volume: Place({"mountPath": "/a", "pvc": "a"}, of_job(lambda data: {"volumes": [data]})),
    Ephemeral: Place({"storage": "1Gi"}, of_volume("ephemeral")),
    EnvVar: Place({"name": "A"}, of_job(lambda data: {"env": [data]})),
    EnvRef: Place({"name": "a", "type": "secret"}, of_job(lambda data: {"envRef": [data]})),
    Resources: Place({}, of_job(lambda data: {"resources": data})),
    SecurityContext: Place({}, of_job(lambda data: {"securityContext": data})),
}

WHOLE: frozenset[type[Model]] = frozenset(
    {
        *(Affinity, Capabilities, EmptyDir, FailurePolicy, PullSecret, SeccompProfile, Spread, SuccessPolicy),
        Toleration,
    }
)
"""They go to the manifest as they are, and so does each field that they will ever have."""

TOLERATION = {"key": "gpu", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 9}
TERMS = {"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]}
SPREAD = {
    "maxSkew": 2,
    "topologyKey": "zone",
    "whenUnsatisfiable": "DoNotSchedule",
    "labelSelector": {"matchLabels": {"team": "a"}},
    "minDomains": 2,
}
INDEXED = {"completionMode": "Indexed", "completions": 4, "parallelism": 2}
HOURLY = {"schedule": "@hourly"}

SAMPLES: dict[type[Model], dict[str, Sample]] = {
    JobRequest: {
        "id": Sample("another"),
        "service": Sample("shop"),
        "job": Sample({"image": "another:1"}),
        "retries": Sample(3),
        "startTimeout": Sample(7),
        "timeout": Sample(70),
        "payload": Sample("secret"),
        "tags": Sample(["a"]),
        "metadata": Sample({"k": 1}),
        "runAt": Sample("2030-01-31T12:00:00Z"),
        "retryDelay": Sample({"initial": 5}, beside={"retries": 2}),
        "failover": Sample({"job": {"image": "cleanup:1"}}),
        "priority": Sample(5),
        "exclusive": Sample(True, beside={"concurrency": {"key": "k", "limit": 1}}),
        "concurrency": Sample({"key": "k"}),
        "dependencies": Sample(["before"]),
        "onDependencyFailure": Sample("run", beside={"dependencies": ["before"]}),
        "dependencyTimeout": Sample(60, beside={"dependencies": ["before"]}),
        "schedule": Sample("@daily", beside=HOURLY),
        "timeZone": Sample("Europe/Berlin", beside=HOURLY),
        "maxRuns": Sample(3, beside=HOURLY),
        "concurrencyPolicy": Sample("Forbid", beside=HOURLY),
    },
    JobSpec: {
        "prefixName": Sample("thumbs"),
        "namespace": Sample("another"),
        "labels": Sample({"team": "a"}),
        "annotations": Sample({"note": "n"}),
        "image": Sample("another:1"),
        "imagePullPolicy": Sample("Always"),
        "imagePullSecrets": Sample([{"name": "registry"}]),
        "command": Sample(["sh"]),
        "args": Sample(["-c"]),
        "workingDir": Sample("/work"),
        "env": Sample([{"name": "A", "value": "a"}]),
        "envRef": Sample([{"name": "a", "type": "secret"}]),
        "resources": Sample({"limits": {"cpu": "1"}}),
        "gpuEnable": Sample(True),
        "gpuNumber": Sample(3, beside={"gpuEnable": True}),
        "volume": Sample({"mountPath": "/a", "pvc": "a"}),
        "volumes": Sample([{"mountPath": "/a", "pvc": "a"}]),
        "serviceAccount": Sample("worker"),
        "securityContext": Sample({"runAsUser": 7}),
        "terminationGracePeriodSeconds": Sample(0),
        "nodeSelector": Sample({"disk": "ssd"}),
        "toleration": Sample(TOLERATION),
        "tolerations": Sample([TOLERATION]),
        "affinity": Sample({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": TERMS}}),
        "topologySpreadConstraints": Sample([SPREAD]),
        "priorityClassName": Sample("high"),
        "ttlSecondsAfterFinished": Sample(7200),
        "backoffLimit": Sample(3),
        "activeDeadlineSeconds": Sample(60),
        # With a single pod more changes: its event could be on the Job itself.
        "parallelism": Sample(3, beside={"parallelism": 2}),
        "completions": Sample(4),
        "completionMode": Sample("Indexed", beside={"completions": 4}),
        "backoffLimitPerIndex": Sample(1, beside=INDEXED),
        "maxFailedIndexes": Sample(1, beside={**INDEXED, "backoffLimitPerIndex": 1}),
        "successPolicy": Sample({"rules": [{"succeededIndexes": "0,2", "succeededCount": 1}]}, beside=INDEXED),
        "podFailurePolicy": Sample(
            {
                "rules": [
                    {"action": "FailJob", "onExitCodes": {"containerName": "main", "operator": "In", "values": [7]}},
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                ]
            }
        ),
        "podReplacementPolicy": Sample("Failed"),
    },
    Backoff: {"initial": Sample(7), "factor": Sample(2.0), "max": Sample(60)},
    Failover: {"job": Sample({"image": "another:1"})},
    Concurrency: {"key": Sample("another"), "limit": Sample(2)},
    ClaimVolume: {"mountPath": Sample("/b"), "pvc": Sample("b")},
    Volume: {
        "mountPath": Sample("/b"),
        "subPath": Sample("part"),
        "readOnly": Sample(True),
        "pvc": Sample("b"),
        "emptyDir": Sample({"medium": "Memory", "sizeLimit": "1Gi"}, instead_of="pvc"),
        "configMap": Sample("a", instead_of="pvc"),
        "secret": Sample("a", instead_of="pvc"),
        "ephemeral": Sample({"storage": "1Gi"}, instead_of="pvc"),
    },
    Ephemeral: {
        "storage": Sample("2Gi"),
        "storageClassName": Sample("fast"),
        "accessModes": Sample(["ReadWriteMany"]),
    },
    EnvVar: {"name": Sample("B"), "value": Sample("b")},
    EnvRef: {"name": Sample("b"), "type": Sample("configmap")},
    Resources: {"limits": Sample({"cpu": "1"}), "requests": Sample({"cpu": "1"})},
    SecurityContext: {
        "runAsUser": Sample(7),
        "runAsGroup": Sample(7),
        "runAsNonRoot": Sample(True),
        "fsGroup": Sample(7),
        "fsGroupChangePolicy": Sample("Always"),
        "supplementalGroups": Sample([7]),
        "seccompProfile": Sample({"type": "RuntimeDefault"}),
        "allowPrivilegeEscalation": Sample(False),
        "readOnlyRootFilesystem": Sample(True),
        "capabilities": Sample({"drop": ["NET_RAW"]}),
    },
}


def models_in(annotation: Any) -> Iterator[type[Model]]:
    """The models that a field of this type holds, however deep in lists and unions."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield annotation
    for inner in get_args(annotation):
        yield from models_in(inner)


def fields_of(model: type[Model]) -> dict[str, list[type[Model]]]:
    """By the name that a request has for it, with the models in it."""
    return {field.alias or name: list(models_in(field.annotation)) for name, field in model.model_fields.items()}


def reachable(model: type[Model]) -> dict[type[Model], None]:
    """This model and all that a request can hold in it, but for those that go to the manifest whole."""
    found = {model: None}
    for inner in (kind for models in fields_of(model).values() for kind in models if kind not in WHOLE):
        if inner not in found:
            found |= reachable(inner)
    return found


FIELDS = [(model, name) for model in reachable(JobRequest) for name in fields_of(model)]
HOLDERS = [(model, name) for model, name in FIELDS if WHOLE.intersection(fields_of(model)[name])]


def manifest_of(data: Data) -> Manifest:
    """What is made of this request, where the installation leaves users and privileges to it."""
    request = JobRequest.model_validate(data)
    asked = Request(Identity("/shop", request.id or "r1"), request, EVENT)
    make = render if request.schedule is None else render_schedule
    return make(asked, options=options(run_as_user=None)).job


def sample_of(model: type[Model], name: str) -> Sample:
    assert name in SAMPLES.get(model, {}), f"{model.__name__}.{name} has no sample: does it reach the manifest?"
    return SAMPLES[model][name]


def with_and_without(model: type[Model], name: str) -> tuple[Manifest, Manifest]:
    place, sample = PLACES[model], sample_of(model, name)
    without = {**place.least, **sample.beside}
    given = {key: value for key, value in without.items() if key != sample.instead_of} | {name: sample.value}
    return manifest_of(place.around(given)), manifest_of(place.around(without))


def named(case: object) -> str:
    return case.__name__ if isinstance(case, type) else str(case)


@pytest.mark.parametrize(("model", "name"), FIELDS, ids=named)
def test_every_field_of_a_request_reaches_the_manifest(model: type[Model], name: str) -> None:
    given, without = with_and_without(model, name)
    assert given != without, f"{model.__name__}.{name} is nowhere in the manifest"


@pytest.mark.parametrize(("model", "name"), HOLDERS, ids=named)
def test_what_goes_to_the_manifest_whole_keeps_every_field(model: type[Model], name: str) -> None:
    given, _ = with_and_without(model, name)
    value = sample_of(model, name).value
    for whole in value if isinstance(value, list) else [value]:
        assert whole in parts(given)


def parts(value: Any) -> list[Any]:
    """Every object of a manifest."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [value, *(part for item in inner for part in parts(item))]


def test_there_are_no_samples_of_fields_that_no_request_has() -> None:
    assert {(model, name) for model, samples in SAMPLES.items() for name in samples} == set(FIELDS)
    assert set(PLACES) == set(reachable(JobRequest))
