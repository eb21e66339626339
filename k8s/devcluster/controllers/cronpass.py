"""Reconciles a CronJob once: notes how its Jobs ended, deletes old Jobs, and creates the Job that is due."""

import copy
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from events.cloudevent.timestamp import format_time
from events.cron import parse_schedule, zone
from k8s.devcluster.conditions import holds, job_is_finished
from k8s.devcluster.controllers.crontimes import MANY, Clock, NeverDue, Timetable
from k8s.devcluster.controllers.owners import Owners, controller_of, current
from k8s.devcluster.controllers.recorder import record
from k8s.devcluster.errors import ApiError
from k8s.devcluster.resources import Obj
from k8s.devcluster.store.store import Store
from k8s.devcluster.times import parse_time, rfc3339

SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
ALREADY_ACTIVE = "Not starting job because prior execution is running and concurrency policy is Forbid"
TOO_MANY = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
_HISTORY = {"Complete": "successfulJobsHistoryLimit", "Failed": "failedJobsHistoryLimit"}


def timetable(cron_job: Obj, clock: Clock) -> Timetable:
    last = (cron_job.get("status") or {}).get("lastScheduleTime")
    created = parse_time(cron_job["metadata"]["creationTimestamp"])
    return Timetable(
        schedule=parse_schedule(cron_job["spec"]["schedule"]),
        zone=_zone(cron_job),
        since=datetime.fromtimestamp(parse_time(last), UTC) if last else clock.read(created),
    )


def new_job(cron_job: Obj, scheduled: datetime) -> Obj:
    """The Job of a scheduled time. Of the template's metadata, only labels and annotations are copied."""
    owner, template = cron_job["metadata"], cron_job["spec"]["jobTemplate"]
    given = template["metadata"]
    reference = {"apiVersion": "batch/v1", "kind": "CronJob", "name": owner["name"], "uid": owner["uid"]}
    metadata: Obj = {
        "name": f"{owner['name']}-{int(scheduled.timestamp()) // 60}",
        "namespace": owner["namespace"],
        "labels": dict(given.get("labels") or {}),
        "annotations": {
            **(given.get("annotations") or {}),
            SCHEDULED: format_time(scheduled.astimezone(_zone(cron_job))),
        },
        "ownerReferences": [reference | {"controller": True, "blockOwnerDeletion": True}],
    }
    return {"metadata": metadata, "spec": template["spec"]}


class CronJobPass:
    """Call `make` once."""

    def __init__(self, store: Store, owners: Owners, *, cron_job: Obj, clock: Clock) -> None:
        self._store = store
        self._owners = owners
        self._cron_job = cron_job
        self._clock = clock
        self._status = copy.deepcopy(cron_job.get("status") or {})
        self._active: list[Obj] = self._status.get("active") or []

    def make(self) -> float | None:
        """Returns the seconds until something is due; None: never. ApiError: a Job could not be created."""
        jobs = self._owners.jobs(self._cron_job["metadata"]["uid"])
        self._trim_history(jobs)
        for job in jobs:
            self._settle(job)
        self._drop_missing()
        try:
            return self._start_due()
        finally:
            self._write()

    # What became of Jobs

    def _trim_history(self, jobs: list[Obj]) -> None:
        for outcome, limit in _HISTORY.items():
            ended = sorted((job for job in jobs if holds(job, outcome)), key=_order)
            for job in ended[: max(len(ended) - self._cron_job["spec"][limit], 0)]:
                if "deletionTimestamp" not in job["metadata"]:
                    self._delete(_reference(job))

    def _settle(self, job: Obj) -> None:
        name, uid = job["metadata"]["name"], job["metadata"]["uid"]
        noted = any(reference["uid"] == uid for reference in self._active)
        if not job_is_finished(job):
            if not noted:
                message = f"Saw a job that the controller did not create or forgot: {name}"
                self._record("UnexpectedJob", message, type_="Warning")
            return
        if noted:
            self._forget(uid)
            outcome = "Complete" if holds(job, "Complete") else "Failed"
            self._record("SawCompletedJob", f"Saw completed job: {name}, condition: {outcome}")
        completed, last = (job.get("status") or {}).get("completionTime"), self._status.get("lastSuccessfulTime")
        if completed:
            self._status["lastSuccessfulTime"] = max(completed, last or completed, key=parse_time)

    def _drop_missing(self) -> None:
        for reference in list(self._active):
            if current(self._store, ("jobs", reference["namespace"], reference["name"])) is None:
                self._forget(reference["uid"])
                self._record("MissingJob", f"Active job went missing: {reference['name']}")

    # What is due

    def _start_due(self) -> float | None:
        spec = self._cron_job["spec"]
        if "deletionTimestamp" in self._cron_job["metadata"] or spec["suspend"]:
            return None
        now = self._clock.now()
        times = timetable(self._cron_job, self._clock)
        try:
            due, missed = times.latest(now, within=spec.get("startingDeadlineSeconds"))
            upcoming = times.upcoming(now)
        except NeverDue as error:
            self._record("InvalidSchedule", f"invalid schedule: {spec['schedule']} : {error}", type_="Warning")
            return None
        if due is not None:
            if missed > MANY:
                self._record("TooManyMissedTimes", TOO_MANY, type_="Warning")
            self._start(new_job(self._cron_job, due), due)
        return self._clock.wait(upcoming)

    def _start(self, job: Obj, due: datetime) -> None:
        policy = self._cron_job["spec"]["concurrencyPolicy"]
        if any(reference["name"] == job["metadata"]["name"] for reference in self._active):
            return
        if policy == "Forbid" and self._active:
            self._record("JobAlreadyActive", ALREADY_ACTIVE)
            return
        if policy == "Replace":
            for reference in list(self._active):
                self._delete(reference)
        made = self._create(job)
        if made is not None:
            self._active.append(_reference(made))
            self._status["lastScheduleTime"] = rfc3339(due.timestamp())

    def _create(self, job: Obj) -> Obj | None:
        """None: somebody else's Job has the name. ApiError: the Job could not be created."""
        name = job["metadata"]["name"]
        try:
            made = self._store.create("jobs", job)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                self._record("FailedCreate", f"Error creating job: {error.message}", type_="Warning")
                raise
            # Two times in the same minute have the same name: the Job of the first also counts as that of the second.
            found = self._store.get("jobs", job["metadata"]["namespace"], name)
            return found if (controller_of(found) or {}).get("uid") == self._cron_job["metadata"]["uid"] else None
        self._owners.apply("jobs", made)
        self._record("SuccessfulCreate", f"Created job {name}")
        return made

    def _delete(self, reference: Obj) -> None:
        """Background: its pods are deleted later."""
        name = reference["name"]
        self._store.delete("jobs", reference["namespace"], name, propagation="Background", uid=reference["uid"])
        self._forget(reference["uid"])
        self._record("SuccessfulDelete", f"Deleted job {name}")

    def _forget(self, uid: str) -> None:
        self._active = [reference for reference in self._active if reference["uid"] != uid]

    def _record(self, reason: str, message: str, *, type_: str = "Normal") -> None:
        record(
            self._store,
            "cronjobs",
            self._cron_job,
            reason=reason,
            message=message,
            component="cronjob-controller",
            type_=type_,
        )

    def _write(self) -> None:
        uid, status = self._cron_job["metadata"]["uid"], {**self._status, "active": self._active}
        if not self._active:
            del status["active"]

        def change(cron_job: Obj) -> None:
            if cron_job["metadata"]["uid"] == uid:
                cron_job["status"] = status

        metadata = self._cron_job["metadata"]
        self._store.mutate("cronjobs", metadata["namespace"], metadata["name"], change, subresource="status")


def _zone(cron_job: Obj) -> ZoneInfo:
    """If there is none, a real controller takes that of its machine, which is UTC in a cluster."""
    return zone(cron_job["spec"].get("timeZone") or "Etc/UTC")


def _order(job: Obj) -> tuple[bool, str, str]:
    """The oldest first; Jobs that never started last."""
    started = (job.get("status") or {}).get("startTime") or ""
    return not started, started, job["metadata"]["name"]


def _reference(job: Obj) -> Obj:
    metadata = job["metadata"]
    about = {name: metadata[name] for name in ("namespace", "name", "uid", "resourceVersion")}
    return {"kind": "Job", "apiVersion": "batch/v1"} | about
