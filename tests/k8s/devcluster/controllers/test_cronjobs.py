"""The CronJob controller, with a real Job controller and kubelet; in some tests a minute takes a second."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from k8s.devcluster.controllers.cronpass import SCHEDULED
from k8s.devcluster.loops import Options
from k8s.devcluster.resources import Obj
from tests.k8s.devcluster.in_process import NAMESPACE, QUICK, Cluster, cluster, in_a_row, make_cron_job, make_job

FAST = Options(backoff=0.05, ready_lag=0.05, cron_minute=1.0)
EACH_MINUTE = "* * * * *"
UNTIL_GO = "while ! test -e go; do sleep 0.05; done"


def jobs(running: Cluster, owner: str) -> list[Obj]:
    """The Jobs of a CronJob, in the order of their minutes."""
    return [job for job in running.store.list("jobs", NAMESPACE) if job["metadata"]["name"].startswith(f"{owner}-")]


def names(running: Cluster, owner: str) -> list[str]:
    return [job["metadata"]["name"] for job in jobs(running, owner)]


def minute(job: Obj) -> int:
    return int(job["metadata"]["name"].rpartition("-")[2])


def events(running: Cluster, reason: str, about: str) -> list[str]:
    """The messages of Events with this reason about this object."""
    return [
        event["message"]
        for event in running.store.list("events", NAMESPACE)
        if event["reason"] == reason and event["involvedObject"]["name"] == about
    ]


def status(running: Cluster, name: str) -> Obj:
    return dict(running.store.get("cronjobs", NAMESPACE, name)["status"])


def active(running: Cluster, name: str) -> list[str]:
    return [reference["name"] for reference in status(running, name).get("active") or []]


def missed(running: Cluster, name: str, *, script: str = "true", **spec: Any) -> str:
    """Create a suspended CronJob that missed its run five minutes ago and is due again tomorrow; the name of the Job
    that it makes up for the run with after `resume`.
    """
    due = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=5)
    made = make_cron_job(name, f"{due.minute} {due.hour} * * *", script, suspend=True, **spec)
    running.store.create("cronjobs", made)
    scheduled(running, name, due - timedelta(hours=1))
    return f"{name}-{int(due.timestamp()) // 60}"


def scheduled(running: Cluster, name: str, last: datetime) -> None:
    def change(cron_job: Obj) -> None:
        cron_job["status"]["lastScheduleTime"] = last.strftime("%Y-%m-%dT%H:%M:%SZ")

    running.store.mutate("cronjobs", NAMESPACE, name, change, subresource="status")


def resume(running: Cluster, name: str) -> None:
    running.store.mutate("cronjobs", NAMESPACE, name, lambda cron_job: cron_job["spec"].update(suspend=False))


async def caught_up(running: Cluster, control: str = "control") -> None:
    """Wait until the controller has handled everything that changed before: it handles changes in order."""
    name = missed(running, control)
    resume(running, control)
    await running.until(lambda: names(running, control) == [name])


async def test_each_minute_gets_a_job_named_after_it(tmp_path: Path) -> None:
    template = {"labels": {"a": "b"}, "annotations": {"c": "d"}, "finalizers": ["example.com/held"], "name": "other"}
    async with cluster(tmp_path, FAST) as running:
        made = make_cron_job("tick", EACH_MINUTE, template=template, timeZone="Asia/Kolkata")
        uid = running.store.create("cronjobs", made)["metadata"]["uid"]
        await running.until(lambda: in_a_row([minute(job) for job in jobs(running, "tick")]))
        job = jobs(running, "tick")[0]
        moment = datetime.fromtimestamp(60 * minute(job), UTC) + timedelta(hours=5, minutes=30)
        written = moment.strftime("%Y-%m-%dT%H:%M:%S+05:30")
        assert job["metadata"]["annotations"] == {"c": "d", SCHEDULED: written}
        assert job["metadata"]["labels"] == {"a": "b"}
        assert "finalizers" not in job["metadata"]
        owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "tick", "uid": uid}
        assert job["metadata"]["ownerReferences"] == [owner | {"controller": True, "blockOwnerDeletion": True}]
        assert job["spec"]["parallelism"] == 1


async def test_status_and_events_follow_a_job(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        name = missed(running, "one", script=UNTIL_GO)
        resume(running, "one")
        pod = await running.running_pod(name)
        job = running.job(name)
        found = status(running, "one")
        about = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "namespace": NAMESPACE}
        assert [reference.items() >= about.items() for reference in found["active"]] == [True]
        assert found["active"][0]["uid"] == job["metadata"]["uid"]
        assert found["lastScheduleTime"] == job["metadata"]["annotations"][SCHEDULED]
        assert "lastSuccessfulTime" not in found
        assert events(running, "SuccessfulCreate", "one") == [f"Created job {name}"]
        (running.files(pod) / "go").touch()
        await running.until(lambda: "lastSuccessfulTime" in status(running, "one"))
        assert status(running, "one") == {
            "lastScheduleTime": found["lastScheduleTime"],
            "lastSuccessfulTime": running.job(name)["status"]["completionTime"],
        }
        assert events(running, "SawCompletedJob", "one") == [f"Saw completed job: {name}, condition: Complete"]


async def test_a_failed_job_is_no_success(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        name = missed(running, "bad", script="exit 1")
        resume(running, "bad")
        await running.until(lambda: events(running, "SawCompletedJob", "bad"))
        assert events(running, "SawCompletedJob", "bad") == [f"Saw completed job: {name}, condition: Failed"]
        assert status(running, "bad").keys() == {"lastScheduleTime"}


async def test_a_suspended_template_makes_suspended_jobs(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        held = make_cron_job("held", "@yearly")["spec"]["jobTemplate"]
        held["spec"]["suspend"] = True
        name = missed(running, "held", jobTemplate=held)
        resume(running, "held")
        await running.until(lambda: running.status(name).get("conditions"))
        assert running.pods(name) == []
        assert active(running, "held") == [name]


async def test_allow_runs_jobs_side_by_side(tmp_path: Path) -> None:
    async with cluster(tmp_path, FAST) as running:
        running.store.create("cronjobs", make_cron_job("many", EACH_MINUTE, "sleep 600"))
        await running.until(lambda: len(active(running, "many")) > 1)
        assert active(running, "many") == names(running, "many")


async def test_forbid_waits_for_the_previous_job_and_then_starts_the_latest(tmp_path: Path) -> None:
    async with cluster(tmp_path, FAST) as running:
        running.store.create("cronjobs", make_cron_job("one", EACH_MINUTE, UNTIL_GO, concurrencyPolicy="Forbid"))
        await running.until(lambda: len(events(running, "JobAlreadyActive", "one")) > 1)
        (first,) = names(running, "one")
        assert events(running, "JobAlreadyActive", "one")[0] == (
            "Not starting job because prior execution is running and concurrency policy is Forbid"
        )
        pod = await running.running_pod(first)
        (running.files(pod) / "go").touch()
        await running.until(lambda: len(jobs(running, "one")) == 2)
        second = jobs(running, "one")[1]
        assert minute(second) > minute(running.job(first)) + 1
        assert active(running, "one") == [second["metadata"]["name"]]


async def test_replace_deletes_the_previous_job(tmp_path: Path) -> None:
    async with cluster(tmp_path, FAST) as running:
        running.store.create("cronjobs", make_cron_job("new", EACH_MINUTE, "sleep 600", concurrencyPolicy="Replace"))
        first = (await running.until(lambda: names(running, "new")))[0]
        await running.until(lambda: running.get("jobs", first) is None)
        assert len(active(running, "new")) == len(jobs(running, "new")) == 1
        assert f"Deleted job {first}" in events(running, "SuccessfulDelete", "new")
        await running.until(lambda: not running.pods(first))


async def test_a_suspended_cron_job_starts_nothing(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        missed(running, "off")
        await caught_up(running)
        assert jobs(running, "off") == []


async def test_of_several_missed_times_the_latest_is_made_up_for(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        now = datetime.now(UTC)
        running.store.create("cronjobs", make_cron_job("late", "*/2 * * * *", "sleep 600", suspend=True))
        scheduled(running, "late", now - timedelta(hours=1))
        resume(running, "late")
        await running.until(lambda: jobs(running, "late"))
        assert 0 <= int(now.timestamp()) // 60 - minute(jobs(running, "late")[0]) < 2
        assert not events(running, "TooManyMissedTimes", "late")


async def test_more_than_a_hundred_missed_times_are_reported(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        running.store.create("cronjobs", make_cron_job("late", EACH_MINUTE, "sleep 600", suspend=True))
        scheduled(running, "late", datetime.now(UTC) - timedelta(hours=3))
        resume(running, "late")
        await running.until(lambda: jobs(running, "late"))
        assert events(running, "TooManyMissedTimes", "late")[0].startswith("too many missed start times.")


async def test_a_run_past_its_deadline_is_not_made_up_for(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        name = missed(running, "soon", startingDeadlineSeconds=3600)
        missed(running, "late", startingDeadlineSeconds=60)
        resume(running, "late")
        resume(running, "soon")
        await running.until(lambda: names(running, "soon") == [name])
        await caught_up(running)
        assert jobs(running, "late") == []


async def test_a_changed_schedule_counts_from_its_change_on(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        missed(running, "moved")
        await caught_up(running, "before")
        schedule = running.store.get("cronjobs", NAMESPACE, "moved")["spec"]["schedule"]
        change = {"schedule": f"{schedule} ", "suspend": False}
        running.store.mutate("cronjobs", NAMESPACE, "moved", lambda cron_job: cron_job["spec"].update(change))
        await caught_up(running)
        assert jobs(running, "moved") == []


async def test_a_schedule_that_is_never_due_is_reported(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        running.store.create("cronjobs", make_cron_job("never", "0 0 31 2 *"))
        running.store.create("cronjobs", make_cron_job("no-more", "0 0 29 2 *"))
        await caught_up(running)
        change = {"schedule": "0 0 31 2 *"}
        running.store.mutate("cronjobs", NAMESPACE, "no-more", lambda cron_job: cron_job["spec"].update(change))
        await running.until(lambda: events(running, "InvalidSchedule", "no-more"))
        why = "time difference between two schedules is less than 1 second"
        for name in ("never", "no-more"):
            assert events(running, "InvalidSchedule", name) == [f"invalid schedule: 0 0 31 2 * : {why}"]


async def test_two_times_of_one_minute_share_a_job(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        running.store.create("cronjobs", make_cron_job("often", "@every 1s"))
        seen: set[str] = set()

        def several() -> bool:
            seen.add(status(running, "often").get("lastScheduleTime", ""))
            return len(seen - {""}) > 2

        await running.until(several)
        minutes = {int(datetime.fromisoformat(text).timestamp()) // 60 for text in seen - {""}}
        assert {minute(job) for job in jobs(running, "often")} == minutes


async def test_a_time_whose_job_still_runs_starts_no_other_job(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        name = missed(running, "once", script="sleep 600")
        resume(running, "once")
        await running.until(lambda: active(running, "once") == [name])
        scheduled(running, "once", datetime.now(UTC) - timedelta(hours=1))
        await caught_up(running)
        assert active(running, "once") == [name]
        assert events(running, "SuccessfulCreate", "once") == [f"Created job {name}"]


async def test_a_job_of_that_name_without_the_owner_is_left_alone(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        name = missed(running, "mine")
        running.store.create("jobs", make_job(name, "sleep 600"))
        resume(running, "mine")
        await caught_up(running)
        assert active(running, "mine") == []
        assert "ownerReferences" not in running.job(name)["metadata"]


async def test_history_is_trimmed_to_its_limits(tmp_path: Path) -> None:
    async with cluster(tmp_path, FAST) as running:
        made = make_cron_job("short", EACH_MINUTE, successfulJobsHistoryLimit=1)
        running.store.create("cronjobs", made)
        bad = make_cron_job("none", EACH_MINUTE, "exit 1", failedJobsHistoryLimit=0)
        running.store.create("cronjobs", bad)
        await running.until(lambda: len(events(running, "SuccessfulDelete", "short")) > 1)
        await running.until(lambda: len(events(running, "SuccessfulDelete", "none")) > 1)
        deleted = events(running, "SuccessfulDelete", "short")
        assert sorted(deleted) == deleted
        assert not {message.removeprefix("Deleted job ") for message in deleted} & {*names(running, "short")}
        # The next Job fails as well, and exists until the controller deletes it.
        await running.until(lambda: not any(job["status"].get("failed") for job in jobs(running, "none")))


async def test_a_finished_job_with_a_finalizer_is_deleted_only_once(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        name = missed(running, "held", script=UNTIL_GO, successfulJobsHistoryLimit=0)
        resume(running, "held")
        pod = await running.running_pod(name)
        running.store.mutate(
            "jobs", NAMESPACE, name, lambda job: job["metadata"].update(finalizers=["example.com/held"])
        )
        (running.files(pod) / "go").touch()
        await running.until(lambda: events(running, "SuccessfulDelete", "held"))
        running.store.mutate("jobs", NAMESPACE, name, lambda job: job["metadata"].update(labels={"looked": "at"}))
        await caught_up(running)
        assert events(running, "SuccessfulDelete", "held") == [f"Deleted job {name}"]
        assert status(running, "held").keys() == {"lastScheduleTime", "lastSuccessfulTime"}


async def test_an_active_job_that_is_gone_is_reported(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        name = missed(running, "lost", script="sleep 600")
        resume(running, "lost")
        await running.until(lambda: active(running, "lost") == [name])
        running.store.delete("jobs", NAMESPACE, name, propagation="Background")
        await running.until(lambda: active(running, "lost") == [])
        assert events(running, "MissingJob", "lost") == [f"Active job went missing: {name}"]


async def test_a_job_made_by_hand_that_names_a_cron_job_as_owner_is_reported(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        owner = running.store.create("cronjobs", make_cron_job("c", "@yearly"))
        job = make_job("by-hand", "sleep 600")
        reference = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "c", "uid": owner["metadata"]["uid"]}
        job["metadata"]["ownerReferences"] = [reference | {"controller": True}]
        running.store.create("jobs", job)
        messages = await running.until(lambda: events(running, "UnexpectedJob", "c"))
        assert messages[0] == "Saw a job that the controller did not create or forgot: by-hand"


async def test_a_job_that_may_not_be_created_is_tried_again(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        quota = {"metadata": {"name": "q", "namespace": NAMESPACE}, "spec": {"hard": {"count/jobs.batch": "0"}}}
        running.store.create("resourcequotas", quota)
        name = missed(running, "more")
        resume(running, "more")
        messages = await running.until(lambda: events(running, "FailedCreate", "more"))
        assert messages[0].startswith(f'Error creating job: jobs.batch "{name}" is forbidden: exceeded quota: q')
        running.store.delete("resourcequotas", NAMESPACE, "q")
        await running.until(lambda: names(running, "more") == [name])


async def test_a_cluster_that_is_started_again_continues(tmp_path: Path) -> None:
    async with cluster(tmp_path, FAST) as running:
        running.store.create("cronjobs", make_cron_job("tick", EACH_MINUTE, "sleep 600", concurrencyPolicy="Replace"))
        last = (await running.until(lambda: jobs(running, "tick")))[-1]
    async with cluster(tmp_path, FAST) as running:
        assert active(running, "tick") == names(running, "tick")
        await running.until(lambda: [job for job in jobs(running, "tick") if minute(job) > minute(last)])
        assert not events(running, "UnexpectedJob", "tick")


async def test_background_deletion_deletes_the_jobs_and_their_pods(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        name = missed(running, "gone", script="sleep 600")
        resume(running, "gone")
        await running.running_pod(name)
        running.store.delete("cronjobs", NAMESPACE, "gone")
        assert running.get("cronjobs", "gone") is None
        await running.until(lambda: not running.get("jobs", name) and not running.pods(name))


async def test_foreground_deletion_waits_for_the_jobs_and_their_pods(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        name = missed(running, "gone", script="trap 'sleep 0.3; exit' TERM; sleep 60 & wait")
        resume(running, "gone")
        await running.running_pod(name)
        running.store.delete("cronjobs", NAMESPACE, "gone", propagation="Foreground")
        await running.until(lambda: not running.get("cronjobs", "gone"))
        assert running.get("jobs", name) is None
        assert running.pods(name) == []
        gone = [resource for resource, change, _ in running.history if change == "DELETED"]
        assert gone == ["pods", "jobs", "cronjobs"]


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
async def test_a_cron_job_being_deleted_starts_nothing(tmp_path: Path, policy: str) -> None:
    async with cluster(tmp_path) as running:
        missed(running, "held")
        change = {"finalizers": ["example.com/held"]}
        running.store.mutate("cronjobs", NAMESPACE, "held", lambda cron_job: cron_job["metadata"].update(change))
        running.store.delete("cronjobs", NAMESPACE, "held", propagation=policy)
        resume(running, "held")
        await caught_up(running)
        assert jobs(running, "held") == []
        assert running.get("cronjobs", "held") is not None


async def test_orphaning_leaves_the_jobs_without_an_owner(tmp_path: Path) -> None:
    async with cluster(tmp_path, QUICK) as running:
        name = missed(running, "gone", script="sleep 600")
        resume(running, "gone")
        await running.running_pod(name)
        running.store.delete("cronjobs", NAMESPACE, "gone", propagation="Orphan")
        await running.until(lambda: running.get("cronjobs", "gone") is None)
        assert "ownerReferences" not in running.job(name)["metadata"]
        assert len(running.pods(name)) == 1
