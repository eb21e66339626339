"""Pod Security admission: what the levels forbid, in the words of Kubernetes, and who is warned when."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from k8s.devcluster.rules.podsecurity import level, violations
from tests.k8s.devcluster.in_process import NAMESPACE, cluster, make_job
from tests.k8s.devcluster.served import JOBS, PODS, make_job as make_served_job, served
from tests.patience import PATIENCE

Obj = dict[str, Any]
SAFE: Obj = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
SAFE_POD: Obj = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
# As a real cluster words the refusal of a pod that says nothing about its security.
SILENT = (
    'allowPrivilegeEscalation != false (container "main" must set securityContext.allowPrivilegeEscalation=false), '
    'unrestricted capabilities (container "main" must set securityContext.capabilities.drop=["ALL"]), '
    'runAsNonRoot != true (pod or container "main" must set securityContext.runAsNonRoot=true), '
    'seccompProfile (pod or container "main" must set securityContext.seccompProfile.type to "RuntimeDefault" '
    'or "Localhost")'
)


def pod(*, context: Obj | None = None, pod_context: Obj | None = None, **spec: Any) -> Obj:
    container = {"name": "main", "securityContext": SAFE | (context or {})}
    return {"securityContext": SAFE_POD | (pod_context or {}), "containers": [container]} | spec


def test_restricted_names_everything_that_a_bare_pod_lacks() -> None:
    assert violations({"containers": [{"name": "main"}]}, "restricted") == SILENT
    assert violations(pod(), "restricted") == ""


def test_several_containers_are_named_together_init_containers_first() -> None:
    spec = pod(initContainers=[{"name": "first", "securityContext": {}}], containers=[{"name": "main"}])
    assert 'containers "first", "main" must set securityContext.allowPrivilegeEscalation=false' in violations(
        spec, "restricted"
    )


@pytest.mark.parametrize(
    ("spec", "restricted", "baseline"),
    [
        (pod(hostNetwork=True, hostPID=True), "host namespaces (hostNetwork=true, hostPID=true)", True),
        (
            pod(volumes=[{"name": "etc", "hostPath": {"path": "/etc"}}]),
            'restricted volume types (volume "etc" uses restricted volume type "hostPath")',
            True,
        ),
        (pod(volumes=[{"name": "n", "nfs": {}}]), 'volume "n" uses restricted volume type "nfs"', False),
        (pod(volumes=[{"name": "c", "persistentVolumeClaim": {"claimName": "x"}}]), "", False),
        (
            pod(context={"privileged": True}),
            'privileged (container "main" must not set securityContext.privileged=true)',
            True,
        ),
        (
            pod(context={"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}}),
            'unrestricted capabilities (container "main" must not include "NET_ADMIN" in securityContext.capabilities'
            ".add)",
            True,
        ),
        (pod(context={"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}), "", False),
        (
            pod(pod_context={"runAsNonRoot": False}),
            "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)",
            False,
        ),
        (pod(context={"runAsUser": 0}), 'runAsUser=0 (container "main" must not set runAsUser=0)', False),
        (
            pod(pod_context={"seccompProfile": {"type": "Unconfined"}}),
            'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
            True,
        ),
        (pod(context={"procMount": "Unmasked"}), "procMount", True),
        (pod(pod_context={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}), "kernel.msgmax", True),
    ],
)
def test_a_level_forbids_what_the_standard_names(spec: Obj, restricted: str, baseline: bool) -> None:
    assert restricted in violations(spec, "restricted")
    assert bool(violations(spec, "restricted")) is bool(restricted)
    assert bool(violations(spec, "baseline")) is baseline
    assert violations(spec, "privileged") == ""


def test_a_host_port_is_named() -> None:
    port = {"containerPort": 80, "hostPort": 8080}
    spec = pod(containers=[{"name": "main", "securityContext": SAFE, "ports": [port]}])
    assert violations(spec, "baseline") == 'hostPort (container "main" uses hostPort 8080)'


def test_warnings_follow_what_is_enforced_unless_the_namespace_says_otherwise() -> None:
    prefix = "pod-security.kubernetes.io/"
    labels = {f"{prefix}enforce": "restricted", f"{prefix}enforce-version": "v1.30"}
    assert level({"metadata": {"labels": labels}}, "warn") == ("restricted", "v1.30")
    labels[f"{prefix}warn"] = "privileged"
    assert level({"metadata": {"labels": labels}}, "warn") == ("privileged", "latest")
    assert level({"metadata": {}}, "enforce") == ("privileged", "latest")


async def test_job_of_a_restricted_namespace_is_accepted_with_a_warning_and_its_pods_are_refused(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as client:
        labels = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
        kind = "application/merge-patch+json"
        assert (await client("PATCH", "/api/v1/namespaces/default", labels, kind=kind)).status == 200
        answer = await client("POST", JOBS, make_served_job("unsafe", suspend=False))
        assert answer.status == 201
        warning = 'would violate PodSecurity "restricted:latest": ' + SILENT
        assert answer.headers["Warning"] == '299 - "{}"'.format(warning.replace('"', '\\"'))
        refused = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "main", "image": "x"}]}}
        direct = await client("POST", PODS, refused)
        assert (direct.status, direct.body["reason"]) == (403, "Forbidden")
        assert direct.body["message"] == f'pods "p" is forbidden: violates PodSecurity "restricted:latest": {SILENT}'
        selector = "involvedObject.name=unsafe,reason=FailedCreate"
        async with asyncio.timeout(PATIENCE):
            while not (found := await events(client, selector)):
                await asyncio.sleep(0.05)
        assert found[0]["message"].startswith('Error creating: pods "unsafe-')
        assert found[0]["message"].endswith(f'is forbidden: violates PodSecurity "restricted:latest": {SILENT}')

        safe = make_served_job("safe", suspend=False)
        template = safe["spec"]["template"]["spec"]
        template |= {"securityContext": SAFE_POD}
        template["containers"][0]["securityContext"] = SAFE
        answer = await client("POST", JOBS, safe)
        assert "Warning" not in answer.headers
        async with client.watching(f"{JOBS}?fieldSelector=metadata.name%3Dsafe") as changes:
            async for _, job in changes:
                if job["status"].get("succeeded"):
                    break


async def events(client: Any, selector: str) -> list[Obj]:
    path = f"/api/v1/namespaces/default/events?fieldSelector={selector.replace('=', '%3D').replace(',', '%2C')}"
    found: list[Obj] = (await client("GET", path)).body["items"]
    return found


async def test_pods_need_the_service_account_and_the_priority_class_they_name(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        running.store.create("jobs", make_job("account", template={"serviceAccountName": "robot"}))
        running.store.create("jobs", make_job("class", template={"priorityClassName": "urgent"}))
        await running.until(lambda: len(running.store.list("events")) >= 2)
        messages = {event["involvedObject"]["name"]: event["message"] for event in running.store.list("events")}
        assert messages["account"].endswith(
            'is forbidden: error looking up service account default/robot: serviceaccount "robot" not found'
        )
        assert messages["class"].endswith("is forbidden: no PriorityClass with name urgent was found")
        running.store.create("serviceaccounts", {"metadata": {"name": "robot", "namespace": NAMESPACE}})
        running.store.create("priorityclasses", {"metadata": {"name": "urgent"}, "value": 7})
        await running.finished("account")
        await running.finished("class")
        assert running.pods("class")[0]["spec"]["priority"] == 7


async def test_every_namespace_has_its_default_service_account(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        running.store.create("namespaces", {"metadata": {"name": "second"}})
        places = {account["metadata"]["namespace"] for account in running.store.list("serviceaccounts")}
        assert {"default", "second"} <= places
