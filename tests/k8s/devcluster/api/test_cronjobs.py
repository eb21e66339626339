"""CronJobs over HTTP: every verb and every kind of patch works, as for other kinds."""

from typing import Any

from tests.k8s.devcluster.in_process import make_cron_job
from tests.k8s.devcluster.served import JSON_PATCH, MERGE, STRATEGIC, Client

CRONJOBS = "/apis/batch/v1/namespaces/default/cronjobs"
FAR = "0 0 29 2 *"


def container(cron_job: Any) -> Any:
    return cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]


async def test_cron_jobs_are_created_read_listed_and_watched(client: Client) -> None:
    made = await client.made(CRONJOBS, make_cron_job("c", FAR))
    assert (await client("GET", f"{CRONJOBS}/c")).body == made
    listed = (await client("GET", "/apis/batch/v1/cronjobs")).body
    assert listed["kind"] == "CronJobList"
    assert [item["metadata"]["uid"] for item in listed["items"]] == [made["metadata"]["uid"]]
    async with client.watching(f"{CRONJOBS}?fieldSelector=metadata.name%3Dc") as events:
        assert await anext(events) == ("ADDED", made)
        assert (await client("DELETE", f"{CRONJOBS}/c")).body["details"]["kind"] == "cronjobs"
        kind, gone = await anext(events)
        assert (kind, gone["metadata"]["uid"]) == ("DELETED", made["metadata"]["uid"])


async def test_cron_jobs_are_changed_by_every_kind_of_patch_and_by_put(client: Client) -> None:
    await client.made(CRONJOBS, make_cron_job("c", FAR))
    merged = await client("PATCH", f"{CRONJOBS}/c", {"spec": {"suspend": True}}, kind=MERGE)
    assert (merged.body["spec"]["suspend"], merged.body["metadata"]["generation"]) == (True, 2)
    side = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "side:1"}]}}}}
    strategic = await client("PATCH", f"{CRONJOBS}/c", {"spec": {"jobTemplate": side}}, kind=STRATEGIC)
    pod = strategic.body["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert sorted(container["name"] for container in pod["containers"]) == ["main", "side"]
    step = {"op": "replace", "path": "/spec/schedule", "value": "@daily"}
    patched = await client("PATCH", f"{CRONJOBS}/c", [step], kind=JSON_PATCH)
    assert patched.body["spec"]["schedule"] == "@daily"
    container(patched.body)["image"] = "other:1"
    replaced = await client("PUT", f"{CRONJOBS}/c", patched.body)
    assert container(replaced.body)["image"] == "other:1"
    status = {"status": {"lastScheduleTime": "2026-01-01T00:00:00Z"}, "spec": {"schedule": "@hourly"}}
    noted = await client("PATCH", f"{CRONJOBS}/c/status", status, kind=MERGE)
    assert noted.body["status"] == {"lastScheduleTime": "2026-01-01T00:00:00Z"}
    assert noted.body["spec"]["schedule"] == "@daily"
    wrong = await client("PATCH", f"{CRONJOBS}/c", {"spec": {"schedule": "never"}}, kind=MERGE)
    assert (wrong.status, wrong.body["reason"]) == (422, "Invalid")


async def test_the_table_of_cron_jobs_has_kubectls_columns(client: Client) -> None:
    await client.made(CRONJOBS, make_cron_job("c", FAR, timeZone="Europe/Berlin", suspend=True))
    headers = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    shown = (await client("GET", CRONJOBS, **headers)).body
    columns = [column["name"] for column in shown["columnDefinitions"] if not column["priority"]]
    assert columns == ["Name", "Schedule", "Timezone", "Suspend", "Active", "Last Schedule", "Age"]
    row = shown["rows"][0]["cells"]
    assert row[:6] == ["c", FAR, "Europe/Berlin", "True", 0, "<none>"]
    assert row[7:] == ["main", "busybox", "<none>"]
    status = {"status": {"lastScheduleTime": "2026-01-01T00:00:00Z"}}
    await client("PATCH", f"{CRONJOBS}/c/status", status, kind=MERGE)
    assert (await client("GET", CRONJOBS, **headers)).body["rows"][0]["cells"][5].endswith("d")


async def test_creating_a_cron_job_warns_of_pods_that_will_be_refused(client: Client) -> None:
    labels = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}}
    await client("PATCH", "/api/v1/namespaces/default", labels, kind=MERGE)
    unsafe = make_cron_job("unsafe", FAR)
    unsafe["spec"]["jobTemplate"]["spec"]["template"]["spec"]["hostNetwork"] = True
    answer = await client("POST", CRONJOBS, unsafe)
    assert answer.status == 201
    assert "would violate PodSecurity" in answer.headers["Warning"]
    assert "Warning" not in (await client("POST", CRONJOBS, make_cron_job("safe", FAR))).headers


async def test_a_quota_counts_cron_jobs(client: Client) -> None:
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"count/cronjobs.batch": "1"}}}
    await client.made("/api/v1/namespaces/default/resourcequotas", quota)
    await client.made(CRONJOBS, make_cron_job("first", FAR))
    assert (await client("POST", CRONJOBS, make_cron_job("second", FAR))).status == 403
