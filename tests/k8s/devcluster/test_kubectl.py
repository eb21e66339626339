"""What people type: kubectl against the development cluster."""

import asyncio
import shutil
from pathlib import Path

import pytest
import yaml

from tests.k8s.devcluster.served import CONFIGMAPS, JOBS, Client, make_config, make_job
from tests.paths import DATA
from tests.patience import PATIENCE

KUBECTL = shutil.which("kubectl")
EVERYTHING = DATA / "job-spec.yaml"
pytestmark = [
    pytest.mark.kubectl,
    pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed: its use of the cluster is not tested"),
]


async def start(client: Client, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        str(KUBECTL),
        f"--kubeconfig={client.cluster.kubeconfig}",
        f"--cache-dir={client.cluster.kubeconfig.parent / 'kubectl'}",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def kubectl(client: Client, *arguments: str, code: int = 0) -> str:
    running = await start(client, *arguments)
    async with asyncio.timeout(PATIENCE):
        output, _ = await running.communicate()
    assert running.returncode == code, output.decode()
    return output.decode()


async def test_a_job_is_created_waited_for_shown_and_deleted(client: Client) -> None:
    await kubectl(client, "create", "job", "hello", "--image=busybox:1", "--", "sh", "-c", "echo one; echo two")
    await kubectl(client, "wait", "--for=condition=complete", "job/hello", "--timeout=20s")
    assert await kubectl(client, "logs", "job/hello") == "one\ntwo\n"
    assert await kubectl(client, "logs", "job/hello", "--tail=1") == "two\n"
    shown = (await kubectl(client, "get", "jobs,pods")).splitlines()
    assert shown[0].split() == ["NAME", "STATUS", "COMPLETIONS", "DURATION", "AGE"]
    assert shown[1].split()[:3] == ["job.batch/hello", "Complete", "1/1"]
    assert shown[3].split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert shown[4].split()[1:4] == ["0/1", "Completed", "0"]
    assert 'job.batch "hello" deleted' in await kubectl(client, "delete", "job", "hello")
    assert "not found" in await kubectl(client, "get", "job", "hello", code=1)


async def test_a_log_is_followed_to_its_end(client: Client) -> None:
    command = "echo begin; sleep 0.5; echo end"
    await kubectl(client, "create", "job", "slow", "--image=busybox:1", "--", "sh", "-c", command)
    async with client.watching("/api/v1/namespaces/default/pods") as events:
        async for _, pod in events:
            if pod["status"].get("phase") in ("Running", "Succeeded"):
                break
    assert await kubectl(client, "logs", "-f", "job/slow") == "begin\nend\n"


async def test_get_w_prints_changes_as_they_come(client: Client) -> None:
    await client.made(JOBS, make_job("held"))
    watching = await start(client, "get", "jobs", "-w", "--no-headers")
    assert watching.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE):
            first = (await watching.stdout.readline()).decode()
            await client("DELETE", f"{JOBS}/held?propagationPolicy=Background")
            await client.made(JOBS, make_job("second"))
            while "second" not in (line := (await watching.stdout.readline()).decode()):
                assert line.startswith("held")
    finally:
        watching.terminate()
        await watching.communicate()
    assert first.split()[0] == "held"


async def test_files_are_created_applied_and_changed(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump_all([make_job("a"), {"apiVersion": "v1", "kind": "ConfigMap"} | make_config("c")]))
    assert "job.batch/a created" in await kubectl(client, "create", "-f", str(file))
    assert "AlreadyExists" in await kubectl(client, "create", "-f", str(file), code=1)
    await kubectl(client, "delete", "-f", str(file))
    assert "configmap/c created" in await kubectl(client, "apply", "-f", str(file))
    file.write_text(
        yaml.safe_dump({"apiVersion": "v1", "kind": "ConfigMap"} | make_config("c") | {"data": {"x": "other"}})
    )
    assert "configmap/c configured" in await kubectl(client, "apply", "-f", str(file))
    assert (await client("GET", f"{CONFIGMAPS}/c")).body["data"] == {"x": "other"}
    wrong = make_job("b") | {"spek": {}}
    file.write_text(yaml.safe_dump(wrong))
    assert 'unknown field "spek"' in await kubectl(client, "create", "-f", str(file), code=1)


async def test_other_kinds_are_created_described_and_shown(client: Client) -> None:
    await kubectl(client, "create", "secret", "generic", "s", "--from-literal=k=v")
    await kubectl(client, "create", "configmap", "c", "--from-literal=k=v")
    await kubectl(client, "create", "quota", "q", "--hard=count/jobs.batch=1,pods=2")
    await kubectl(client, "create", "serviceaccount", "sa")
    await kubectl(client, "create", "namespace", "second")
    assert await kubectl(client, "get", "secret", "s", "-o", "jsonpath={.data.k}") == "dg=="
    shown = await kubectl(client, "get", "secret,cm,quota,sa,ns,events,leases", "-A")
    for name in ("secret/s", "configmap/c", "resourcequota/q", "serviceaccount/sa", "namespace/second"):
        assert name in shown
    await kubectl(client, "create", "job", "first", "--image=missing/x", "--", "true")
    assert "exceeded quota: q" in await kubectl(client, "create", "job", "more", "--image=x", "--", "true", code=1)
    assert "Backoff Limit" in await kubectl(client, "describe", "job", "first")
    await kubectl(client, "label", "job", "first", "a=b")
    await kubectl(client, "annotate", "job", "first", "c=d")
    assert "first" in await kubectl(client, "get", "jobs", "-l", "a=b", "-o", "wide")
    await kubectl(client, "patch", "job", "first", "-p", '{"spec":{"suspend":true}}')
    await kubectl(client, "delete", "namespace", "second", "--timeout=20s")
    assert "Server Version: v1.36" in await kubectl(client, "version")


async def test_top_shows_what_pods_use(client: Client) -> None:
    await kubectl(client, "create", "job", "busy", "--image=busybox:1", "--", "sh", "-c", "while true; do :; done")

    async def rows() -> list[str]:
        top = await start(client, "top", "pods", "--no-headers")
        output, _ = await top.communicate()
        return output.decode().splitlines() if top.returncode == 0 else []

    async with asyncio.timeout(PATIENCE):
        while not (lines := [line for line in await rows() if line.startswith("busy-")]):
            await asyncio.sleep(0.2)
    name, cpu, memory = lines[0].split()
    assert cpu.endswith("m")
    assert memory.endswith("Mi")
    assert "CPU(cores)" in await kubectl(client, "top", "pod", name)


JOB = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: disk}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: work, labels: {state: "%s"}}
spec:
  completions: 2
  completionMode: Indexed
  backoffLimitPerIndex: 1
  successPolicy: {rules: [{succeededCount: 2}]}
  podFailurePolicy: {rules: [{action: FailJob, onExitCodes: {operator: In, values: [42]}}]}
  template:
    spec:
      restartPolicy: Never
      containers: [{name: main, image: "missing/x:1", volumeMounts: [{name: v, mountPath: /data}]}]
      volumes: [{name: v, persistentVolumeClaim: {claimName: disk}}]
"""


async def test_a_job_with_policies_and_a_claim_is_applied_again_and_described(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(JOB % "first")
    assert "job.batch/work created" in await kubectl(client, "apply", "-f", str(file))
    file.write_text(JOB % "second")
    applied = await kubectl(client, "apply", "-f", str(file))
    assert "persistentvolumeclaim/disk unchanged" in applied
    assert "job.batch/work configured" in applied
    async with client.watching("/api/v1/namespaces/default/events") as events:
        async for _, event in events:
            if event["reason"] == "BackOff":
                break
    assert "Completion Mode:    Indexed" in await kubectl(client, "describe", "job", "work")
    pod = await kubectl(client, "describe", "pod", "-l", "job-name=work")
    assert 'Back-off pulling image "missing/x:1"' in pod
    assert "ClaimName:   disk" in pod
    claim = await kubectl(client, "describe", "pvc", "disk")
    assert "Bound" in claim
    assert "work-0-" in claim
    node = await kubectl(client, "describe", "node")
    assert "work-0-" in node
    assert "KubeletReady" in node
    shown = (await kubectl(client, "get", "pvc,node")).splitlines()
    assert shown[1].split()[1] == "Bound"
    assert shown[4].split()[:2] == ["node/devcluster", "Ready"]


async def test_describe_says_why_a_job_has_no_pod(client: Client) -> None:
    await kubectl(client, "label", "namespace", "default", "pod-security.kubernetes.io/enforce=restricted")
    created = await kubectl(client, "create", "job", "unsafe", "--image=busybox:1", "--", "true")
    assert "Warning: would violate PodSecurity" in created
    async with client.watching("/api/v1/namespaces/default/events") as events:
        async for _, event in events:
            if event["reason"] == "FailedCreate":
                break
    described = await kubectl(client, "describe", "job", "unsafe")
    assert 'violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false' in described


async def test_a_cron_job_is_created_shown_run_by_hand_and_deleted(client: Client) -> None:
    command = ("--image=busybox:1", "--", "sh", "-c", "echo hello")
    created = await kubectl(client, "create", "cronjob", "leap", "--schedule=0 0 29 2 *", "--restart=Never", *command)
    assert created == "cronjob.batch/leap created\n"
    shown = (await kubectl(client, "get", "cj")).splitlines()
    assert shown[0].split() == ["NAME", "SCHEDULE", "TIMEZONE", "SUSPEND", "ACTIVE", "LAST", "SCHEDULE", "AGE"]
    assert shown[1].split()[:9] == ["leap", "0", "0", "29", "2", "*", "<none>", "False", "0"]
    assert "job.batch/now created" in await kubectl(client, "create", "job", "now", "--from=cronjob/leap")
    await kubectl(client, "wait", "--for=condition=complete", "job/now", "--timeout=20s")
    assert await kubectl(client, "logs", "job/now") == "hello\n"
    described = await kubectl(client, "describe", "cronjob", "leap")
    assert "Last Schedule Time:  <unset>" in described
    assert "Saw a job that the controller did not create or forgot: now" in described
    assert "cronjob.batch/leap patched" in await kubectl(
        client, "patch", "cj", "leap", "-p", '{"spec":{"suspend":true}}'
    )
    assert "cronjob.batch/leap" in await kubectl(client, "get", "all")
    assert 'cronjob.batch "leap" deleted' in await kubectl(client, "delete", "cronjob", "leap", "--cascade=foreground")
    assert "not found" in await kubectl(client, "get", "job", "now", code=1)
    wrong = await kubectl(client, "create", "cronjob", "bad", "--schedule=every day", *command, code=1)
    assert 'Invalid value: "every day": expected exactly 5 fields, found 2: [every day]' in wrong


async def test_a_job_made_by_hand_from_a_cron_job_is_as_its_template_describes(client: Client) -> None:
    """kubectl sends it in protobuf: no field may be lost or taken for another."""
    jobs = {"spec": yaml.safe_load(EVERYTHING.read_text())}
    cron_job = {"metadata": {"name": "full"}, "spec": {"schedule": "0 0 29 2 *", "jobTemplate": jobs}}
    await client.made(JOBS.removesuffix("jobs") + "cronjobs", cron_job)
    plain = await client.made(JOBS, {"metadata": {"name": "plain"}, **jobs})
    await kubectl(client, "create", "job", "made", "--from=cronjob/full")
    made = (await client("GET", f"{JOBS}/made")).body
    assert made["metadata"]["annotations"] == {"cronjob.kubernetes.io/instantiate": "manual"}
    assert [(owner["kind"], owner["name"]) for owner in made["metadata"]["ownerReferences"]] == [("CronJob", "full")]
    for job in (plain, made):
        labels = job["spec"]["template"]["metadata"]["labels"]
        assert labels.pop("batch.kubernetes.io/job-name") == job["metadata"]["name"]
        assert labels.keys() == {"a", "batch.kubernetes.io/controller-uid", "controller-uid", "job-name"}
        job["spec"]["template"]["metadata"]["labels"] = {"a": labels["a"]}
        del job["spec"]["selector"]
    assert made["spec"] == plain["spec"]


CONFIG = """
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
data: {%s}
"""


async def test_server_side_apply_tells_conflicts_and_drops_what_is_gone(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    apply = ("apply", "--server-side", "-f", str(file))
    file.write_text(CONFIG % "a: '1', b: '1'")
    assert await kubectl(client, *apply, "--dry-run=server") == ("configmap/c serverside-applied (server dry run)\n")
    assert await kubectl(client, *apply) == "configmap/c serverside-applied\n"
    file.write_text(CONFIG % "a: '2'")
    refused = await kubectl(client, *apply, "--field-manager=other", code=1)
    assert 'Apply failed with 1 conflict: conflict with "kubectl": .data.a' in refused
    await kubectl(client, *apply, "--field-manager=other", "--force-conflicts")
    assert await kubectl(client, "get", "cm", "c", "-o", "jsonpath={.data}") == '{"a":"2","b":"1"}'
    await kubectl(client, *apply)
    assert await kubectl(client, "get", "cm", "c", "-o", "jsonpath={.data}") == '{"a":"2"}'
    assert "managedFields" not in await kubectl(client, "get", "cm", "c", "-o", "yaml")
    managed = yaml.safe_load(await kubectl(client, "get", "cm", "c", "-o", "yaml", "--show-managed-fields"))
    assert [entry["manager"] for entry in managed["metadata"]["managedFields"]] == ["kubectl", "other"]
    file.write_text(CONFIG % "a: '2'" + "dta: {}\n")
    assert "field not declared in schema" in await kubectl(client, *apply, code=1)


async def test_a_job_applied_by_a_client_can_be_applied_by_the_server(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(JOB % "first")
    await kubectl(client, "apply", "-f", str(file))
    file.write_text(JOB % "second")
    refused = await kubectl(client, "apply", "--server-side", "-f", str(file), code=1)
    assert 'conflict with "kubectl-client-side-apply" using batch/v1: .metadata.labels.state' in refused
    applied = await kubectl(client, "apply", "--server-side", "--force-conflicts", "-f", str(file))
    assert "job.batch/work serverside-applied" in applied
    labels = ("get", "job", "work", "-o", "jsonpath={.metadata.labels}")
    assert await kubectl(client, *labels) == '{"state":"second"}'
    # kubectl hands over what it owned before, so that what is gone from the file is gone from the Job.
    file.write_text((JOB % "third").replace("labels", "annotations"))
    await kubectl(client, "apply", "--server-side", "-f", str(file))
    assert await kubectl(client, *labels) == ""


LIMITS = """
apiVersion: v1
kind: LimitRange
metadata: {name: limits}
spec: {limits: [{type: Container, default: {cpu: 500m}, defaultRequest: {cpu: 100m}, max: {cpu: "1"}}]}
"""


async def test_quotas_and_limit_ranges_are_made_shown_and_kept_true(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text(LIMITS)
    assert "limitrange/limits created" in await kubectl(client, "apply", "-f", str(file))
    assert "limitrange/limits unchanged" in await kubectl(client, "apply", "-f", str(file))
    await kubectl(client, "create", "quota", "q", "--hard=requests.cpu=1,limits.cpu=2,pods=2")
    await kubectl(client, "create", "job", "a", "--image=busybox:1", "--", "sleep", "60")
    async with client.watching("/api/v1/namespaces/default/resourcequotas") as events:
        async for _, quota in events:
            if quota["status"]["used"]["pods"] == "1":
                break
    header, row = (await kubectl(client, "get", "quota")).splitlines()
    assert header.split() == ["NAME", "REQUEST", "LIMIT", "AGE"]
    assert "pods: 1/2, requests.cpu: 100m/1" in row
    assert "limits.cpu: 500m/2" in row
    described = (await kubectl(client, "describe", "quota", "q")).split()
    assert described[-9:] == ["limits.cpu", "500m", "2", "pods", "1", "2", "requests.cpu", "100m", "1"]
    assert (await kubectl(client, "get", "limits")).split()[:4] == ["NAME", "CREATED", "AT", "limits"]
    assert "500m" in await kubectl(client, "describe", "limitrange", "limits")
    await kubectl(client, "delete", "limits", "limits")
    await kubectl(client, "create", "job", "b", "--image=busybox:1", "--", "true")
    async with client.watching("/api/v1/namespaces/default/events") as events:
        async for _, event in events:
            if event["reason"] == "FailedCreate":
                break
    why = "failed quota: q: must specify limits.cpu for: b; requests.cpu for: b"
    assert why in await kubectl(client, "describe", "job", "b")
