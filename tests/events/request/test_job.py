"""The fields of `job`: each is accepted in its Kubernetes shape, and nothing else gets in with it."""

from typing import Any

import pytest

from events.problems import FieldError, InvalidRequest
from events.request.batch import MAX_RETRIES
from events.request.container import MAX_GPUS, MAX_GRACE, MAX_VOLUMES
from events.request.job import JobSpec
from events.request.request import JobRequest, Request, parse_request
from events.request.rules import MAX_ANNOTATIONS
from tests.events.samples import make_request_event

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
NODE_TERM = {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a", "b"]}]}
POD_TERM = {"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": "kubernetes.io/hostname"}
INDEXED: dict[str, Any] = {"completionMode": "Indexed", "completions": 4, "parallelism": 2}


def parsed(**job: Any) -> JobSpec:
    return parse_request(make_request_event({"job": {"image": "busybox"} | job})).job


def errors(**job: Any) -> dict[str, FieldError]:
    with pytest.raises(InvalidRequest) as caught:
        Request.of(make_request_event({"job": {"image": "busybox"} | job}))
    return {error.path: error for error in caught.value.errors}


GOOD: list[tuple[str, Any]] = [
    ("labels", {"team": "a", "example.com/tier": ""}),
    ("annotations", {"example.com/note": "any text\n" * 3}),
    ("imagePullPolicy", "IfNotPresent"),
    ("imagePullSecrets", [{"name": "registry"}]),
    ("gpuEnable", True),
    ("volume", {"mountPath": "/data", "pvc": "claim-a"}),
    ("volumes", [{"mountPath": "/c", "configMap": "settings", "subPath": "a/b.yaml", "readOnly": True}]),
    ("volumes", [{"mountPath": "/s", "secret": "keys"}]),
    ("volumes", [{"mountPath": "/t", "emptyDir": {}}, {"mountPath": "/m", "emptyDir": {"medium": "Memory"}}]),
    ("volumes", [{"mountPath": "/e", "ephemeral": {"storage": "1Gi", "accessModes": ["ReadWriteOnce"]}}]),
    ("securityContext", {"runAsUser": 1000, "runAsGroup": 0, "fsGroup": 2000, "supplementalGroups": [1, 2]}),
    ("securityContext", {"runAsNonRoot": True, "readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False}),
    ("securityContext", {"capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}),
    ("terminationGracePeriodSeconds", 0),
    ("nodeSelector", {"kubernetes.io/arch": "amd64", "disk": "ssd"}),
    ("toleration", {"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}),
    (
        "tolerations",
        [{"key": "a", "value": "b"}, {"operator": "Exists", "effect": "NoExecute"}],
    ),
    ("toleration", {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}),
    ("affinity", {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [NODE_TERM]}}}),
    ("affinity", {"nodeAffinity": {PREFERRED: [{"weight": 1, "preference": NODE_TERM}]}}),
    ("affinity", {"podAffinity": {REQUIRED: [POD_TERM]}}),
    ("affinity", {"podAntiAffinity": {PREFERRED: [{"weight": 100, "podAffinityTerm": POD_TERM}]}}),
    ("topologySpreadConstraints", []),
    ("topologySpreadConstraints", [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]),
    ("priorityClassName", "batch-low"),
    ("podReplacementPolicy", "Failed"),
]


@pytest.mark.parametrize(("field", "value"), GOOD, ids=lambda value: value if isinstance(value, str) else "")
def test_field_is_accepted_as_it_is(field: str, value: Any) -> None:
    dumped = parsed(**{field: value}).model_dump(by_alias=True, exclude_unset=True)
    assert dumped[field] == value


@pytest.mark.parametrize(
    ("field", "value", "path", "message"),
    [
        ("labels", {"a b": "x"}, "job.labels.'a b'", "is no key"),
        ("labels", {"a": "b c"}, "job.labels.a", "is no value for a label"),
        ("labels", {"n" * 64: "x"}, f"job.labels.{'n' * 64}", "at most 63"),
        ("labels", {"Example.com/x": "x"}, "job.labels.'Example.com/x'", "is no key"),
        ("labels", {str(number): "x" for number in range(51)}, "job.labels", "must have at most 50"),
        ("annotations", {"a": 5}, "job.annotations.a", "must be text"),
        ("annotations", {"a": "x" * MAX_ANNOTATIONS}, "job.annotations", f"{MAX_ANNOTATIONS} bytes"),
        ("imagePullPolicy", "always", "job.imagePullPolicy", "'IfNotPresent'"),
        ("imagePullSecrets", ["registry"], "job.imagePullSecrets[0]", "must be an object"),
        ("gpuEnable", "true", "job.gpuEnable", "must be true or false"),
        ("gpuNumber", 2, "job.gpuNumber", "needs gpuEnable"),
        ("volume", {"mountPath": "/data"}, "job.volume.pvc", "is missing"),
        ("volume", {"mountPath": "data", "pvc": "a"}, "job.volume.mountPath", "an absolute path"),
        ("volume", {"mountPath": "/", "pvc": "a"}, "job.volume.mountPath", "is no place"),
        ("volume", {"mountPath": "/a/../etc", "pvc": "a"}, "job.volume.mountPath", "is no place"),
        ("volume", {"mountPath": "/a:b", "pvc": "a"}, "job.volume.mountPath", "no colon"),
        ("volume", {"mountPath": "/dev/termination-log", "pvc": "a"}, "job.volume.mountPath", "is taken"),
        ("volume", {"mountPath": "/proc", "pvc": "a"}, "job.volume.mountPath", "is taken"),
        ("volumes", [{"mountPath": "/a"}], "job.volumes[0]", "exactly one source"),
        ("volumes", [{"mountPath": "/a", "pvc": "a", "emptyDir": {}}], "job.volumes[0]", "exactly one source"),
        ("volumes", [{"mountPath": "/a", "emptyDir": {"size": 1}}], "job.volumes[0].emptyDir.size", "sizeLimit"),
        ("volumes", [{"mountPath": "/a", "ephemeral": {}}], "job.volumes[0].ephemeral.storage", "is missing"),
        ("volumes", [{"mountPath": "/a", "nfs": {"server": "x"}}], "job.volumes[0].nfs", "is unknown"),
        (
            "volumes",
            [{"mountPath": f"/{number}", "emptyDir": {}} for number in range(MAX_VOLUMES + 1)],
            "job.volumes",
            f"must have at most {MAX_VOLUMES}",
        ),
        ("securityContext", {"runAsNonRoot": False}, "job.securityContext.runAsNonRoot", "must be true"),
        ("securityContext", {"runAsUser": -1}, "job.securityContext.runAsUser", "at least 0"),
        (
            "securityContext",
            {"seccompProfile": {"type": "Unconfined"}},
            "job.securityContext.seccompProfile.type",
            "Run",
        ),
        ("securityContext", {"sysctls": []}, "job.securityContext.sysctls", "cannot be set by a request"),
        ("terminationGracePeriodSeconds", MAX_GRACE + 1, "job.terminationGracePeriodSeconds", f"at most {MAX_GRACE}"),
        ("nodeSelector", {"matchKey": "a"}, None, None),
        ("toleration", {"value": "x"}, "job.toleration", "needs a key"),
        ("toleration", {"key": "a", "operator": "Exists", "value": "x"}, "job.toleration", "does not compare"),
        ("tolerations", [{"key": "a", "tolerationSeconds": 1}], "job.tolerations[0]", "NoExecute only"),
        ("affinity", {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": []}}}, None, "must have at least 1"),
        ("affinity", {"podAffinity": {REQUIRED: [{**POD_TERM, "namespaceSelector": {}}]}}, None, "is unknown"),
        ("affinity", {"nodeAfinity": {}}, "job.affinity.nodeAfinity", "did you mean nodeAffinity?"),
        (
            "topologySpreadConstraints",
            [{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "ScheduleAnyway", "minDomains": 2}],
            "job.topologySpreadConstraints[0]",
            "DoNotSchedule only",
        ),
        ("priorityClassName", "Low", "job.priorityClassName", "is no name"),
        ("completionMode", "indexed", "job.completionMode", "must be 'NonIndexed' or 'Indexed'"),
    ],
)
def test_what_kubernetes_or_safety_would_refuse_is_refused(
    field: str, value: Any, path: str | None, message: str | None
) -> None:
    if message is None:
        assert parsed(**{field: value}).node_selector == value, "a label of that name"
        return
    found = errors(**{field: value})
    assert path is None or path in found
    assert any(message in str(error) for error in found.values())


def test_match_key_and_match_value_are_a_node_selector_of_one_label() -> None:
    assert parsed(nodeSelector={"matchKey": "disk", "matchValue": "ssd"}).node_selector == {"disk": "ssd"}


def test_volume_and_volumes_are_one_list_without_duplicate_mount_paths() -> None:
    first, second = {"mountPath": "/a", "pvc": "x"}, {"mountPath": "/b", "emptyDir": {}}
    assert [mount.mount_path for mount in parsed(volume=first, volumes=[second]).mounts] == ["/a", "/b"]
    found = errors(volume=first, volumes=[second, {**second, "mountPath": "/a"}])
    assert set(found) == {"job.volume.mountPath", "job.volumes[1].mountPath"}


@pytest.mark.parametrize(
    ("job", "gpus"),
    [
        ({}, 0),
        ({"gpuEnable": True}, 1),
        ({"gpuEnable": True, "gpuNumber": 3}, 3),
        ({"gpuEnable": False, "gpuNumber": 3}, 0),
    ],
)
def test_gpus_count_only_if_enabled(job: dict[str, Any], gpus: int) -> None:
    assert parsed(**job).gpus == gpus


@pytest.mark.parametrize(
    "job",
    [
        INDEXED,
        INDEXED | {"backoffLimitPerIndex": 0},
        INDEXED | {"backoffLimitPerIndex": 1, "maxFailedIndexes": 4},
        INDEXED | {"successPolicy": {"rules": [{"succeededIndexes": "0,2-3", "succeededCount": 1}]}},
        {"podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1, 42]}}]}},
        {"podFailurePolicy": {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}},
        {"parallelism": 3},
    ],
)
def test_policies_of_batch_v1_are_accepted(job: dict[str, Any]) -> None:
    assert parsed(**job).model_dump(by_alias=True, exclude_unset=True, exclude={"image", "prefix_name"}) == job


RULE: dict[str, Any] = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1]}}


@pytest.mark.parametrize(
    ("job", "path", "message"),
    [
        ({"completionMode": "Indexed"}, "job.completions", "is missing"),
        ({"backoffLimitPerIndex": 1}, "job.backoffLimitPerIndex", "needs completionMode Indexed"),
        ({"maxFailedIndexes": 1}, "job.maxFailedIndexes", "needs backoffLimitPerIndex"),
        (INDEXED | {"backoffLimitPerIndex": MAX_RETRIES + 1}, "job.backoffLimitPerIndex", f"{MAX_RETRIES}"),
        (INDEXED | {"backoffLimitPerIndex": 1, "maxFailedIndexes": 5}, "job.maxFailedIndexes", "completions"),
        ({"gpuEnable": True, "gpuNumber": MAX_GPUS + 1}, "job.gpuNumber", f"at most {MAX_GPUS}"),
        (INDEXED | {"successPolicy": {"rules": []}}, "job.successPolicy.rules", "at least 1"),
        (INDEXED | {"successPolicy": {"rules": [{}]}}, "job.successPolicy.rules[0]", "needs succeededIndexes"),
        (
            INDEXED | {"successPolicy": {"rules": [{"succeededCount": 5}]}},
            "job.successPolicy.rules[0].succeededCount",
            "more than there are",
        ),
        *(
            (
                INDEXED | {"successPolicy": {"rules": [{"succeededIndexes": indexes}]}},
                "job.successPolicy.rules[0].succeededIndexes",
                "is no list of indexes",
            )
            for indexes in ("", "a", "1,1", "3-2", "1-2-3", "2,1", "01", "1,")
        ),
        ({"podFailurePolicy": {"rules": [{"action": "FailJob"}]}}, "job.podFailurePolicy.rules[0]", "exactly one"),
        (
            {"podFailurePolicy": {"rules": [RULE | {"onExitCodes": {"operator": "In", "values": [0]}}]}},
            "job.podFailurePolicy.rules[0].onExitCodes",
            "has not failed",
        ),
        (
            {"podFailurePolicy": {"rules": [RULE | {"onExitCodes": {"operator": "In", "values": [2, 1]}}]}},
            "job.podFailurePolicy.rules[0].onExitCodes.values",
            "must rise",
        ),
        (
            {"podFailurePolicy": {"rules": [RULE | {"action": "FailIndex"}]}},
            "job.podFailurePolicy.rules[0].action",
            "needs backoffLimitPerIndex",
        ),
        (
            {"podFailurePolicy": {"rules": [RULE]}, "podReplacementPolicy": "TerminatingOrFailed"},
            "job.podReplacementPolicy",
            "does not go with",
        ),
        (
            {"podFailurePolicy": {"rules": [RULE | {"action": "Retry"}]}},
            "job.podFailurePolicy.rules[0].action",
            "must be 'FailJob'",
        ),
    ],
)
def test_policies_that_make_no_sense_are_refused(job: dict[str, Any], path: str, message: str) -> None:
    assert message in str(errors(**job)[path])


def test_rules_over_several_fields_ignore_fields_of_a_wrong_type() -> None:
    job = {"volumes": "x", "podFailurePolicy": [1], "successPolicy": {"rules": 5}, "completions": "4", "annotations": 7}
    found = errors(**job, completionMode="Indexed", maxFailedIndexes="2")
    assert {"job.volumes", "job.podFailurePolicy", "job.successPolicy.rules", "job.completions"} <= set(found)


def test_a_limit_per_index_leaves_the_limit_of_the_job_to_kubernetes() -> None:
    def limit(retries: int | None = None, **job: Any) -> int | None:
        request: JobRequest = parse_request(make_request_event({"job": {"image": "x"} | job, "retries": retries}))
        return request.backoff_limit

    assert limit() == 0
    assert limit(**INDEXED, backoffLimitPerIndex=2) is None
    assert limit(5, **INDEXED, backoffLimitPerIndex=2) == 5
