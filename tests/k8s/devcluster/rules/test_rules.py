"""Which objects the store accepts, and with which defaults; the recorded traces cover the common cases."""

from typing import Any

import pytest

from k8s.devcluster.api.patch import strategic_patch
from k8s.devcluster.errors import ApiError
from k8s.devcluster.store.store import Store
from tests.k8s.devcluster.served import make_job

Obj = dict[str, Any]
NODE_AFFINITY = {
    "requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]
    }
}


def make_pod(**spec: Any) -> Obj:
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x:1"}], **spec}}


def causes(error: ApiError) -> set[str]:
    assert error.details is not None
    return {cause["field"] for cause in error.details["causes"]}


def job_with(**spec: Any) -> Obj:
    job = make_job("a")
    job["spec"] |= spec
    return job


def container_with(**fields: Any) -> Obj:
    job = make_job("a")
    job["spec"]["template"]["spec"]["containers"][0] |= fields
    return job


@pytest.mark.parametrize(
    ("job", "field"),
    [
        (job_with(completionMode="Indexed", parallelism=2), "spec.completions"),
        (job_with(completionMode="Sorted"), "spec.completionMode"),
        (job_with(completionMode="Indexed", completions=1, parallelism=100_001), "spec.parallelism"),
        (job_with(completionMode="Indexed", completions=1, maxFailedIndexes=1), "spec.backoffLimitPerIndex"),
        (job_with(backoffLimitPerIndex=1), "spec.backoffLimitPerIndex"),
        (job_with(podReplacementPolicy="Never"), "spec.podReplacementPolicy"),
        (job_with(ttlSecondsAfterFinished=-1), "spec.ttlSecondsAfterFinished"),
        (container_with(name=""), "spec.template.spec.containers[0].name"),
        (container_with(name="Bad_Name"), "spec.template.spec.containers[0].name"),
        (container_with(imagePullPolicy="Maybe"), "spec.template.spec.containers[0].imagePullPolicy"),
        (container_with(env=[{"value": "x"}]), "spec.template.spec.containers[0].env[0].name"),
        (container_with(env=[{"name": "a=b"}]), "spec.template.spec.containers[0].env[0].name"),
        (
            container_with(
                env=[{"name": "a", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
            ),
            "spec.template.spec.containers[0].env[0].valueFrom",
        ),
        (
            container_with(volumeMounts=[{"name": "absent", "mountPath": "/x"}]),
            "spec.template.spec.containers[0].volumeMounts[0].name",
        ),
        (
            container_with(resources={"limits": {"cpu": "-1"}}),
            "spec.template.spec.containers[0].resources.limits.cpu",
        ),
        (
            container_with(resources={"limits": {"nvidia.com/gpu": "2"}, "requests": {"nvidia.com/gpu": "1"}}),
            "spec.template.spec.containers[0].resources.requests",
        ),
        (
            container_with(resources={"requests": {"nvidia.com/gpu": "1"}}),
            "spec.template.spec.containers[0].resources.limits",
        ),
        (
            container_with(resources={"limits": {"nvidia.com/gpu": "500m"}}),
            "spec.template.spec.containers[0].resources.limits.nvidia.com/gpu",
        ),
        (
            container_with(resources={"limits": {"gpu": "1"}}),
            "spec.template.spec.containers[0].resources.limits",
        ),
        (make_job("a", annotations={"bad key!": "x"}), "metadata.annotations"),
        (make_job("a", labels={"/x": "y"}), "metadata.labels"),
        (make_job("a", labels={"x" * 64: "y"}), "metadata.labels"),
        (make_job("a", labels={"a/b/c": "y"}), "metadata.labels"),
        (make_job("a", finalizers=["unqualified"]), "metadata.finalizers[0]"),
        (
            make_job("a", ownerReferences=[{"kind": "Job", "name": "x", "uid": "y"}]),
            "metadata.ownerReferences[0].apiVersion",
        ),
        (make_job("x" * 254), "metadata.name"),
    ],
)
def test_jobs_that_are_not_valid_are_refused_by_field(store: Store, job: Obj, field: str) -> None:
    with pytest.raises(ApiError) as caught:
        store.create("jobs", job)
    assert caught.value.code == 422
    assert field in causes(caught.value)


@pytest.mark.parametrize(
    ("pod", "field"),
    [
        (make_pod(containers=[]), "spec.containers"),
        (make_pod(containers=[{"name": "c", "image": "x"}, {"name": "c", "image": "y"}]), "spec.containers[1].name"),
        (make_pod(restartPolicy="Sometimes"), "spec.restartPolicy"),
        (make_pod(activeDeadlineSeconds=0), "spec.activeDeadlineSeconds"),
        (make_pod(terminationGracePeriodSeconds=-1), "spec.terminationGracePeriodSeconds"),
        (make_pod(dnsPolicy="Never"), "spec.dnsPolicy"),
        (make_pod(nodeSelector={"a": "not valid"}), "spec.nodeSelector"),
        (make_pod(tolerations=[{"operator": "Roughly"}]), "spec.tolerations[0].operator"),
        (make_pod(tolerations=[{"operator": "Equal", "value": "x"}]), "spec.tolerations[0].operator"),
        (make_pod(tolerations=[{"key": "a", "operator": "Exists", "value": "x"}]), "spec.tolerations[0].operator"),
        (make_pod(tolerations=[{"key": "a", "effect": "Often"}]), "spec.tolerations[0].effect"),
        (make_pod(volumes=[{"name": "v"}, {"name": "v"}]), "spec.volumes[1].name"),
        (
            make_pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": ""}}]),
            "spec.volumes[0].persistentVolumeClaim.claimName",
        ),
        (make_pod(volumes=[{"name": "v", "secret": {}}]), "spec.volumes[0].secret.secretName"),
        (make_pod(volumes=[{"name": "v", "emptyDir": {}, "secret": {"secretName": "s"}}]), "spec.volumes[0].secret"),
        (make_pod(volumes=[{"name": "v", "ephemeral": {}}]), "spec.volumes[0].ephemeral.volumeClaimTemplate"),
        (
            make_pod(
                volumes=[{"name": "v"}],
                containers=[{"name": "c", "image": "x", "volumeMounts": [{"name": "v"}, {"mountPath": "/a"}]}],
            ),
            "spec.containers[0].volumeMounts[0].mountPath",
        ),
    ],
)
def test_pods_that_are_not_valid_are_refused_by_field(store: Store, pod: Obj, field: str) -> None:
    with pytest.raises(ApiError) as caught:
        store.create("pods", pod)
    assert field in causes(caught.value)


def test_all_mistakes_are_reported_at_once(store: Store) -> None:
    with pytest.raises(ApiError) as caught:
        store.create("jobs", job_with(backoffLimit=-1, parallelism=-1, template={}))
    assert causes(caught.value) == {
        "spec.backoffLimit",
        "spec.parallelism",
        "spec.template.spec.containers",
        "spec.template.spec.restartPolicy",
    }


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"selector": {"matchLabels": {"a": "b"}}}, "spec.selector"),
        ({"completionMode": "Indexed"}, "spec.completionMode"),
        ({"backoffLimit": -1}, "spec.backoffLimit"),
    ],
)
def test_invalid_changes_of_a_job_are_refused_by_field(store: Store, change: Obj, field: str) -> None:
    store.create("jobs", make_job("a"))
    with pytest.raises(ApiError) as caught:
        store.mutate("jobs", "default", "a", lambda job: job["spec"].update(change))
    assert field in causes(caught.value)


def test_the_pod_template_of_a_job_cannot_change_once_it_started(store: Store) -> None:
    def place(job: Obj) -> None:
        job["spec"]["template"]["spec"]["nodeSelector"] = {"zone": "a"}

    store.create("jobs", make_job("a"))
    store.mutate(
        "jobs", "default", "a", lambda job: job["status"].update(startTime="2026-01-01T00:00:00Z"), subresource="status"
    )
    with pytest.raises(ApiError) as caught:
        store.mutate("jobs", "default", "a", place)
    assert causes(caught.value) == {"spec.template"}


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": {"labels": {"tier": "gpu"}, "annotations": {"example.com/from": "queue"}}},
        {"spec": {"nodeSelector": {"zone": "a"}}},
        {"spec": {"tolerations": [{"key": "spot", "operator": "Exists"}]}},
        {"spec": {"schedulingGates": [{"name": "example.com/gate"}]}},
        {"spec": {"affinity": {"nodeAffinity": NODE_AFFINITY}}},
    ],
)
def test_placement_of_the_pods_of_a_job_that_never_started_can_change(store: Store, change: Obj) -> None:
    made = store.create("jobs", make_job("a"))
    wanted = strategic_patch(made["spec"]["template"], change)
    changed = store.mutate("jobs", "default", "a", lambda job: job["spec"].update(template=wanted))
    assert changed is not None
    assert changed["spec"]["template"] == wanted
    assert changed["metadata"]["generation"] == 2


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": {"finalizers": ["example.com/held"]}},
        {"spec": {"containers": [{"name": "main", "image": "other:1"}]}},
        {"spec": {"containers": [{"name": "main", "env": [{"name": "A", "value": "b"}]}]}},
        {"spec": {"serviceAccountName": "other"}},
        {"spec": {"affinity": {"podAffinity": {}}}},
    ],
)
def test_other_fields_of_a_pod_template_cannot_change_even_before_the_start(store: Store, change: Obj) -> None:
    made = store.create("jobs", make_job("a"))
    wanted = strategic_patch(made["spec"]["template"], change)
    with pytest.raises(ApiError) as caught:
        store.mutate("jobs", "default", "a", lambda job: job["spec"].update(template=wanted))
    assert causes(caught.value) == {"spec.template"}
    assert caught.value.message.endswith(": field is immutable")


def test_the_pod_template_of_a_job_that_still_runs_cannot_change_while_it_is_being_suspended(store: Store) -> None:
    store.create("jobs", make_job("a"))
    store.mutate("jobs", "default", "a", lambda job: job["status"].update(active=1), subresource="status")
    with pytest.raises(ApiError) as caught:
        store.mutate(
            "jobs", "default", "a", lambda job: job["spec"]["template"]["spec"].update(nodeSelector={"a": "b"})
        )
    assert causes(caught.value) == {"spec.template"}


def test_the_pod_template_of_a_job_keeps_the_labels_of_its_selector(store: Store) -> None:
    store.create("jobs", make_job("a"))
    with pytest.raises(ApiError) as caught:
        store.mutate("jobs", "default", "a", lambda job: job["spec"]["template"]["metadata"].update(labels={"a": "b"}))
    assert causes(caught.value) == {"spec.template.metadata.labels"}
    manual = job_with(manualSelector=True)
    manual["metadata"]["name"] = "b"
    with pytest.raises(ApiError) as caught:
        store.create("jobs", manual)
    assert causes(caught.value) == {"spec.selector"}


def test_an_indexed_job_can_grow_with_its_parallelism(store: Store) -> None:
    store.create("jobs", job_with(completionMode="Indexed", completions=2, parallelism=2))
    grown = store.mutate("jobs", "default", "a", lambda job: job["spec"].update(completions=3, parallelism=3))
    assert grown is not None
    assert grown["spec"]["completions"] == 3
    with pytest.raises(ApiError):
        store.mutate("jobs", "default", "a", lambda job: job["spec"].update(completions=4))


def test_only_node_images_and_tolerations_of_a_pod_can_change(store: Store) -> None:
    store.create("pods", make_pod())

    def rename(pod: Obj) -> None:
        pod["spec"]["containers"][0]["name"] = "other"

    def bind(pod: Obj) -> None:
        pod["spec"]["nodeName"] = "node"
        pod["spec"]["containers"][0]["image"] = "y:2"
        pod["spec"]["tolerations"].append({"key": "a", "operator": "Exists"})

    with pytest.raises(ApiError) as caught:
        store.mutate("pods", "default", "p", rename)
    assert causes(caught.value) == {"spec"}
    assert store.mutate("pods", "default", "p", bind) is not None
    with pytest.raises(ApiError):
        store.mutate("pods", "default", "p", lambda pod: pod["spec"].update(nodeName="another"))
    with pytest.raises(ApiError) as caught:
        store.mutate("pods", "default", "p", lambda pod: pod["spec"].update(tolerations=[]))
    assert causes(caught.value) == {"spec.tolerations"}


def test_only_some_jobs_get_all_defaults(store: Store) -> None:
    parallel = store.create("jobs", job_with(parallelism=3))
    assert "completions" not in parallel["spec"]
    manual = job_with(manualSelector=True, selector={"matchLabels": {"mine": "yes"}}, podFailurePolicy={"rules": []})
    manual["metadata"]["name"] = "b"
    manual["spec"]["template"]["metadata"] = {"labels": {"mine": "yes"}}
    made = store.create("jobs", manual)
    assert made["spec"]["selector"] == {"matchLabels": {"mine": "yes"}}
    assert made["metadata"]["labels"] == {"mine": "yes"}


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("a", "Always"),
        ("a:latest", "Always"),
        ("a:1", "IfNotPresent"),
        ("host:5000/a", "Always"),
        ("a@sha256:b", "IfNotPresent"),
    ],
)
def test_images_are_pulled_always_unless_they_have_a_tag(store: Store, image: str, policy: str) -> None:
    made = store.create("pods", make_pod(containers=[{"name": "c", "image": image}]))
    assert made["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_volumes_ports_and_probes_get_their_defaults(store: Store) -> None:
    container = {
        "name": "c",
        "image": "x",
        "ports": [{"containerPort": 80}],
        "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "livenessProbe": {"httpGet": {"port": 80}},
    }
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    downward = {"items": [{"path": "x", "fieldRef": {"fieldPath": "metadata.name"}}]}
    volumes = [
        {"name": "a"},
        {"name": "b", "secret": {"secretName": "s"}},
        {"name": "c", "downwardAPI": downward},
        {"name": "d", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
        {"name": "e", "ephemeral": {"volumeClaimTemplate": {"spec": claim}}},
    ]
    spec = store.create("pods", make_pod(containers=[container], volumes=volumes))["spec"]
    made = spec["containers"][0]
    assert made["ports"][0]["protocol"] == "TCP"
    assert made["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"
    assert made["livenessProbe"]["failureThreshold"] == 3
    empty, secret, downward_volume, projected, claim = spec["volumes"]
    assert empty["emptyDir"] == {}
    assert secret["secret"]["defaultMode"] == 0o644
    assert downward_volume["downwardAPI"]["items"][0]["fieldRef"]["apiVersion"] == "v1"
    assert projected["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"] == 3600
    assert claim["ephemeral"]["volumeClaimTemplate"]["spec"]["volumeMode"] == "Filesystem"


@pytest.mark.parametrize(
    ("resources", "quality"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
    ],
)
def test_limits_become_requests_and_decide_the_quality_of_service(store: Store, resources: Obj, quality: str) -> None:
    made = store.create("pods", make_pod(containers=[{"name": "c", "image": "x", "resources": resources}]))
    assert made["status"]["qosClass"] == quality
    if "limits" in resources:
        assert made["spec"]["containers"][0]["resources"]["requests"] == resources["limits"]


def test_ended_pods_do_not_count_against_a_quota_of_pods(store: Store) -> None:
    store.create("resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}})
    store.create("pods", make_pod())
    second = make_pod()
    second["metadata"]["name"] = "second"
    with pytest.raises(ApiError, match="exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"):
        store.create("pods", second)
    store.mutate("pods", "default", "p", lambda pod: pod["status"].update(phase="Succeeded"), subresource="status")
    assert store.create("pods", second)["metadata"]["name"] == "second"
