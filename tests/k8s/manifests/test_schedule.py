"""CronJobs of requests with a schedule: their Jobs are like the request's Job, but wait to be adopted."""

import json
import secrets
from typing import Any

import pytest

from events.cloudevent.timestamp import format_epoch
from events.identity import request_label
from events.names import FINALIZER, Annotation, Label
from k8s.api.cluster import Cluster
from k8s.base import Conflict, Manifest
from k8s.manifests.job import render
from k8s.manifests.schedule import adoption, render_schedule, run_now
from k8s.reading.cronjob import schedule_of
from k8s.reading.job import SCHEDULED_TIMESTAMP, job_of
from tests.k8s.requests import make_request, options

THEIRS = {Label.SCHEDULE: request_label("r1")}


def cron_job(**data: Any) -> Manifest:
    return render_schedule(make_request(schedule="0 3 * * *", **data), options=options()).job


def container(job: Manifest) -> Manifest:
    (found,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def test_a_cron_job_has_the_metadata_of_the_requests_job() -> None:
    request = make_request(schedule="0 3 * * *", maxRuns=5, service="s", timeout=60, tags=["t"])
    made = render_schedule(request, options=options()).job["metadata"]
    assert made["annotations"].pop(Annotation.MAX_RUNS) == "5"
    assert made == render(request, options=options()).job["metadata"]
    assert made["finalizers"] == [FINALIZER]
    schedule = schedule_of({"metadata": {**made, "uid": "u"}, "spec": {"schedule": "0 3 * * *"}})
    assert (schedule.request_id, schedule.source, schedule.service, schedule.has_finalizer) == (
        "r1",
        "/shop",
        "s",
        True,
    )


def test_the_spec_has_only_what_is_asked_for() -> None:
    spec = cron_job()["spec"]
    assert {name: value for name, value in spec.items() if name != "jobTemplate"} == {
        "schedule": "0 3 * * *",
        "concurrencyPolicy": "Allow",
        "successfulJobsHistoryLimit": 1000,
        "failedJobsHistoryLimit": 1000,
    }
    assert cron_job(timeZone="Etc/UTC")["spec"]["timeZone"] == "Etc/UTC"


def test_a_run_that_is_asked_for_is_as_those_that_kubernetes_makes() -> None:
    schedule = cron_job()
    schedule["metadata"] |= {"uid": "u1"}
    made = run_now(schedule, name="r1-abc", time="2026-11-21T12:00:05Z", command="hash")
    template = schedule["spec"]["jobTemplate"]
    assert made["spec"] == template["spec"]
    assert made["metadata"]["labels"] == template["metadata"]["labels"]
    notes = made["metadata"]["annotations"]
    assert notes == template["metadata"]["annotations"] | {
        Annotation.COMMAND: "hash",
        SCHEDULED_TIMESTAMP: "2026-11-21T12:00:05Z",
        "cronjob.kubernetes.io/instantiate": "manual",
    }
    run = job_of({**made, "metadata": {**made["metadata"], "uid": "j1"}})
    assert (run.new_run, run.commanded, run.schedule_uid, run.stray) == (True, True, "u1", None)
    assert format_epoch(run.scheduled_at or 0) == "2026-11-21T12:00:05Z"


def test_its_jobs_are_created_suspended_and_belong_to_no_request_yet() -> None:
    template = cron_job(maxRuns=5)["spec"]["jobTemplate"]
    assert template["spec"]["suspend"] is True
    assert set(template["metadata"]) == {"labels", "annotations"}
    assert template["metadata"]["annotations"][Annotation.RUN] == "new"
    assert Annotation.MAX_RUNS not in template["metadata"]["annotations"]
    pods = template["spec"]["template"]
    for labels in (template["metadata"]["labels"], pods["metadata"]["labels"]):
        assert Label.REQUEST not in labels
        assert THEIRS.items() <= labels.items()


def test_the_cron_job_leaves_asking_for_admission_to_the_adoption() -> None:
    request = make_request(schedule="0 3 * * *", priority=5)
    made = render_schedule(request, options=options(governs=lambda *_: True)).job
    for metadata in (made["metadata"], made["spec"]["jobTemplate"]["metadata"]):
        assert Annotation.QUEUED not in metadata["annotations"]
        assert json.loads(metadata["annotations"][Annotation.QUEUEING]) == {"priority": 5}


@pytest.mark.parametrize("job", [{"image": "a"}, {"image": "a", "parallelism": 3, "completions": 3}])
def test_the_event_is_on_every_pod(job: Manifest) -> None:
    made = cron_job(job=job, metadata={"padding": "x" * 8000})
    pods = made["spec"]["jobTemplate"]["spec"]["template"]
    assert json.loads(pods["metadata"]["annotations"][Annotation.EVENT])["id"] == "e1"
    assert Annotation.PAYLOAD not in made["metadata"]["annotations"]


def test_a_run_learns_its_id_and_its_time_from_its_annotations() -> None:
    env = {variable["name"]: variable for variable in container(cron_job())["env"]}
    assert len(env) == len(container(cron_job())["env"])
    for name, note in (("JOBRELAY_JOB_ID", "id"), ("JOBRELAY_SCHEDULED_FOR", "run")):
        path = f"metadata.annotations['jobrelay.dev/{note}']"
        assert env[name] == {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
    assert env["CE_ID"]["value"] == "e1"


def test_all_runs_together_are_spread_over_the_nodes_unless_the_request_selects_pods() -> None:
    def spread(made: Manifest) -> list[Manifest]:
        pods = made["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        return [constraint["labelSelector"] for constraint in pods["topologySpreadConstraints"]]

    assert spread(cron_job()) == [{"matchLabels": THEIRS}]
    mine = {"matchLabels": {"app": "a"}}
    asked = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    job = {"image": "a", "topologySpreadConstraints": [{**asked, "labelSelector": mine}, asked]}
    assert spread(cron_job(job=job)) == [mine, {"matchLabels": THEIRS}]


async def test_server_accepts_the_cron_job_and_the_adoption_of_its_job(real: Cluster) -> None:
    """The Job is created as the CronJob controller would create it."""
    request = make_request(id=secrets.token_hex(8), schedule="0 3 * * *", service="s", job={"image": "busybox:1"})
    made = render_schedule(request, options=options()).job
    await real.create_cron_job(made)
    with pytest.raises(Conflict):
        await real.create_cron_job(made)
    template = made["spec"]["jobTemplate"]
    metadata = {**template["metadata"], "name": f"{request.job_name}-29921658", "namespace": "default"}
    name = metadata["name"]
    await real.create_job({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template["spec"]})
    run = job_of(await real.read_job("default", name))
    assert run.new_run
    patch = adoption(run, request_id=f"{request.id}@t", time="t", released="now")
    adopted = await real.patch_job("default", name, patch)
    assert (adopted.has_finalizer, adopted.suspend, adopted.run, adopted.released) == (True, False, "t", "now")
    assert adopted.request_id == f"{request.id}@t"
    stored = await real.read_job("default", name)
    for labels in (stored["metadata"]["labels"], stored["spec"]["template"]["metadata"]["labels"]):
        assert labels[Label.REQUEST] == request_label(f"{request.id}@t")
        assert labels[Label.SCHEDULE] == request_label(request.id)
    with pytest.raises(Conflict):
        await real.patch_job("default", name, patch)
    await real.delete_cron_job("default", request.job_name)
    finalizer = {"metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}}
    await real.patch_cron_job("default", request.job_name, finalizer)
    await real.patch_job("default", name, finalizer)
    await real.delete_job("default", name)


def test_adoption_of_a_job_that_was_already_resumed_leaves_its_pods_unchanged() -> None:
    """Kubernetes would refuse a change of its pod template."""
    started = {"startTime": "2026-11-21T22:17:11Z"}
    for spec, status in (({"suspend": False}, {}), ({"suspend": True}, started)):
        run = job_of({"metadata": {"name": "a"}, "spec": spec, "status": status})
        assert adoption(run, request_id="r1", time="t", released="now")["spec"] == {"suspend": False}


def test_a_run_that_waits_for_admission_stays_suspended() -> None:
    run = job_of({"metadata": {"name": "a", "resourceVersion": "7"}, "spec": {"suspend": True}})
    patch = adoption(run, request_id="r1", time="t", released=None)
    assert "suspend" not in patch["spec"]
    assert patch["metadata"]["annotations"][Annotation.QUEUED] == "created"
    assert Annotation.RELEASED not in patch["metadata"]["annotations"]
    assert patch["metadata"]["resourceVersion"] == "7"
