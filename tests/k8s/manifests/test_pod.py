"""What a request asks for is in its Job where Kubernetes expects it, and can only restrict safe defaults further."""

import secrets
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, strategies as st

from events.identity import request_label
from events.names import FINALIZER
from events.problems import InvalidRequest
from events.words import NEVER
from k8s.api.cluster import Cluster
from k8s.base import Manifest
from k8s.manifests.job import render, secret_for
from tests.k8s.requests import created, make_request, options

INDEXED = {"completionMode": "Indexed", "completions": 4, "parallelism": 2, "backoffLimitPerIndex": 1}


def job(asked: dict[str, Any], **changes: Any) -> Manifest:
    return render(make_request(job={"image": "i", **asked}), options=options(**changes)).job


def pod(asked: dict[str, Any], **changes: Any) -> Manifest:
    spec: Manifest = job(asked, **changes)["spec"]["template"]["spec"]
    return spec


def container(asked: dict[str, Any], **changes: Any) -> Manifest:
    (found,) = pod(asked, **changes)["containers"]
    assert isinstance(found, dict)
    return found


def test_labels_and_annotations_are_on_the_job_and_on_its_pods_and_ours_win() -> None:
    made = job({"labels": {"team": "a", "jobrelay.dev/instance": "x"}, "annotations": {"note": "n"}})
    template = made["spec"]["template"]["metadata"]
    assert made["metadata"]["labels"]["team"] == template["labels"]["team"] == "a"
    assert made["metadata"]["labels"]["jobrelay.dev/instance"] == "jobrelay"
    assert made["metadata"]["annotations"]["note"] == template["annotations"]["note"] == "n"
    assert "jobrelay.dev/event" in template["annotations"]


def test_gpus_are_a_limit_on_the_resource_of_the_installation() -> None:
    assert container({"gpuEnable": True})["resources"] == {"limits": {"nvidia.com/gpu": "1"}}
    asked = {"gpuEnable": True, "gpuNumber": 2, "resources": {"limits": {"cpu": "1"}}}
    assert container(asked, gpu_resource="amd.com/gpu")["resources"] == {"limits": {"cpu": "1", "amd.com/gpu": "2"}}
    assert "resources" not in container({"gpuEnable": False, "gpuNumber": 2})


def test_the_default_limits_hold_for_requests_without_limits_and_reserve_nothing() -> None:
    limits = {"cpu": "2", "memory": "4Gi"}
    assert container({}, limits=limits)["resources"] == {"limits": limits, "requests": {"cpu": "0", "memory": "0"}}
    asked = {"resources": {"limits": {"cpu": "1"}, "requests": {"memory": "1Gi"}}}
    assert container(asked, limits=limits)["resources"] == {
        "limits": {"cpu": "1", "memory": "4Gi"},
        "requests": {"memory": "1Gi"},
    }


def test_volumes_are_mounted_in_order_beside_the_event() -> None:
    asked = {
        "volume": {"mountPath": "/claim", "pvc": "data"},
        "volumes": [
            {"mountPath": "/config", "configMap": "settings", "subPath": "a.yaml", "readOnly": True},
            {"mountPath": "/keys", "secret": "keys"},
            {"mountPath": "/tmp/x", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
            {"mountPath": "/scratch", "ephemeral": {"storage": "1Gi", "storageClassName": "fast"}},
        ],
    }
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": "fast",
    }
    assert pod(asked)["volumes"][1:] == [
        {"name": "volume-0", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "volume-1", "configMap": {"name": "settings"}},
        {"name": "volume-2", "secret": {"secretName": "keys"}},
        {"name": "volume-3", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
        {"name": "jobrelay-ephemeral-4", "ephemeral": {"volumeClaimTemplate": {"spec": claim}}},
    ]
    assert container(asked)["volumeMounts"][1:] == [
        {"name": "volume-0", "mountPath": "/claim"},
        {"name": "volume-1", "mountPath": "/config", "subPath": "a.yaml", "readOnly": True},
        {"name": "volume-2", "mountPath": "/keys"},
        {"name": "volume-3", "mountPath": "/tmp/x"},
        {"name": "jobrelay-ephemeral-4", "mountPath": "/scratch"},
    ]


def test_a_new_claim_can_be_written_by_the_containers_user() -> None:
    asked: dict[str, Any] = {"volumes": [{"mountPath": "/s", "ephemeral": {"storage": "1Gi"}}]}
    assert pod(asked)["securityContext"]["fsGroup"] == 65532
    assert pod({**asked, "securityContext": {"runAsUser": 7}})["securityContext"]["fsGroup"] == 7
    assert pod({**asked, "securityContext": {"fsGroup": 5}})["securityContext"]["fsGroup"] == 5
    assert "fsGroup" not in pod({"volume": {"mountPath": "/s", "pvc": "old"}})["securityContext"]


def test_a_security_context_chooses_ids_and_restricts_further() -> None:
    asked = {
        "securityContext": {
            "runAsUser": 1000,
            "runAsGroup": 1001,
            "supplementalGroups": [5],
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["NET_RAW"]},
        }
    }
    assert pod(asked)["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "runAsGroup": 1001,
        "supplementalGroups": [5],
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container(asked)["securityContext"] == {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    relaxed = container(asked, run_as_user=None)["securityContext"]
    assert relaxed == {"readOnlyRootFilesystem": True, "capabilities": {"drop": ["NET_RAW"]}}


def test_placement_is_passed_on() -> None:
    term = {"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": "zone"}
    asked = {
        "nodeSelector": {"matchKey": "disk", "matchValue": "ssd"},
        "toleration": {"key": "a", "operator": "Exists"},
        "tolerations": [{"key": "b", "value": "c", "effect": "NoSchedule"}],
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}},
        "priorityClassName": "low",
        "terminationGracePeriodSeconds": 5,
        "imagePullSecrets": [{"name": "r"}],
        "imagePullPolicy": "Always",
    }
    made = pod(asked)
    assert made["nodeSelector"] == {"disk": "ssd"}
    assert made["tolerations"] == [asked["toleration"], {"key": "b", "value": "c", "effect": "NoSchedule"}]
    for name in ("affinity", "priorityClassName", "terminationGracePeriodSeconds", "imagePullSecrets"):
        assert made[name] == asked[name]
    assert container(asked)["imagePullPolicy"] == "Always"


def test_constraints_of_a_request_replace_the_even_spread_and_select_its_own_pods() -> None:
    constraint = {"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
    own = {"matchLabels": {"jobrelay.dev/request": request_label("r1")}}
    assert pod({"topologySpreadConstraints": [constraint]})["topologySpreadConstraints"] == [
        {"labelSelector": own, **constraint}
    ]
    assert pod({"topologySpreadConstraints": []})["topologySpreadConstraints"] == []


def test_policies_of_batch_v1_are_on_the_job() -> None:
    policies = {
        "maxFailedIndexes": 1,
        "successPolicy": {"rules": [{"succeededIndexes": "0", "succeededCount": 1}]},
        "podFailurePolicy": {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]},
        "podReplacementPolicy": "Failed",
    }
    spec = job({**INDEXED, **policies})["spec"]
    assert {name: spec[name] for name in INDEXED} == INDEXED
    conditions = [{"type": "DisruptionTarget", "status": "True"}]
    assert spec["podFailurePolicy"] == {"rules": [{"action": "Ignore", "onPodConditions": conditions}]}
    assert [spec[name] for name in policies if name != "podFailurePolicy"] == [
        policies[name] for name in policies if name != "podFailurePolicy"
    ]
    assert "backoffLimit" not in spec, "Kubernetes' default: each index has a limit of its own"
    assert set(job({})["spec"]) == {"backoffLimit", "parallelism", "completions", "template"}


def test_the_default_deadline_holds_for_requests_without_a_deadline() -> None:
    assert job({}, default_deadline=60)["spec"]["activeDeadlineSeconds"] == 60
    assert job({"activeDeadlineSeconds": 5}, default_deadline=60)["spec"]["activeDeadlineSeconds"] == 5


WHOLE: dict[str, Any] = {
    **INDEXED,
    "maxFailedIndexes": 1,
    "successPolicy": {"rules": [{"succeededCount": 2}]},
    "podFailurePolicy": {"rules": [{"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [3]}}]},
    "podReplacementPolicy": "Failed",
    "labels": {"team": "a"},
    "annotations": {"note": "n"},
    "gpuEnable": True,
    "volume": {"mountPath": "/claim", "pvc": "data"},
    "volumes": [
        {"mountPath": "/config", "configMap": "settings", "readOnly": True},
        {"mountPath": "/scratch", "ephemeral": {"storage": "1Gi"}},
        {"mountPath": "/tmp/x", "emptyDir": {}},
    ],
    "securityContext": {"runAsUser": 1000, "fsGroup": 5, "readOnlyRootFilesystem": True},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {
        "nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 1, "preference": {"matchExpressions": [{"key": "z", "operator": "Exists"}]}}
            ]
        }
    },
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
    "imagePullSecrets": [{"name": "r"}],
    "imagePullPolicy": "IfNotPresent",
    "terminationGracePeriodSeconds": 1,
}


FREE = {"labels", "annotations", "nodeSelector"}
"""Maps whose keys the request chooses."""


def objects(value: Any, *, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths of all objects in `value` whose fields are fixed."""
    if isinstance(value, dict) and not FREE.intersection(at[-1:]):
        yield at
        for name, inner in value.items():
            yield from objects(inner, at=(*at, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from objects(inner, at=(*at, number))


@given(
    st.sampled_from(list(objects(WHOLE))),
    st.sampled_from(sorted(" ".join(NEVER).split())),
    st.sampled_from([True, {}, [], "/", None]),
)
def test_fields_that_reach_beyond_the_pod_are_refused_everywhere(
    at: tuple[str | int, ...], name: str, value: Any
) -> None:
    asked: Any = deepcopy({"image": "i", **WHOLE})
    place = asked
    for step in at:
        place = place[step]
    place[name] = value
    with pytest.raises(InvalidRequest, match=f"{name} cannot be set by a request"):
        make_request(job=asked)


async def test_server_accepts_the_full_job_with_every_field_checked(real: Cluster) -> None:
    request = make_request(id=secrets.token_hex(8), job={"image": "busybox:1", "command": ["true"], **WHOLE})
    rendered = render(request, options=options())
    uid = (await real.create_job(rendered.job)).uid
    await real.create_secret(secret_for(rendered, created(rendered, uid)))
    stored = await real.read_job("default", request.job_name)
    for name in ("completionMode", "backoffLimitPerIndex", "maxFailedIndexes", "podReplacementPolicy", "successPolicy"):
        assert stored["spec"][name] == WHOLE[name]
    asked, kept = rendered.job["spec"]["template"]["spec"], stored["spec"]["template"]["spec"]
    for name in ("nodeSelector", "tolerations", "affinity", "topologySpreadConstraints", "securityContext"):
        assert kept[name] == asked[name]
    await real.patch_job(
        "default", request.job_name, {"metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}}
    )
    await real.delete_job("default", request.job_name)
