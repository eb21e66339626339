"""Which CronJobs the API server accepts, with which defaults, and how it refuses others."""

from typing import Any

import pytest

from k8s.devcluster.errors import ApiError
from k8s.devcluster.resources import Obj
from k8s.devcluster.store.store import Store
from tests.k8s.devcluster.in_process import NAMESPACE, make_cron_job


def causes(error: ApiError) -> list[tuple[str, str, str]]:
    assert (error.code, error.reason) == (422, "Invalid")
    assert error.details is not None
    return [(cause["field"], cause["reason"], cause["message"]) for cause in error.details["causes"]]


def with_jobs(**spec: Any) -> Obj:
    cron_job = make_cron_job("c", "* * * * *")
    cron_job["spec"]["jobTemplate"]["spec"] |= spec
    return cron_job


def test_defaults_are_those_of_kubernetes(store: Store) -> None:
    made = store.create("cronjobs", make_cron_job("c", "@hourly"))
    assert made["metadata"]["generation"] == 1
    assert made["status"] == {}
    spec = {name: value for name, value in made["spec"].items() if name != "jobTemplate"}
    assert spec == {
        "schedule": "@hourly",
        "concurrencyPolicy": "Allow",
        "suspend": False,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1,
    }
    template = made["spec"]["jobTemplate"]
    assert template["metadata"] == {}
    # The defaults of pods, not those of Jobs: the Jobs get theirs when they are created.
    assert template["spec"].keys() == {"backoffLimit", "template"}
    assert template["spec"]["template"]["spec"]["dnsPolicy"] == "ClusterFirst"


@pytest.mark.parametrize(
    ("change", "field", "reason", "message"),
    [
        ({"schedule": ""}, "spec.schedule", "Required", "Required value"),
        (
            {"schedule": "* * * * 7"}, "spec.schedule", "Invalid",
            'Invalid value: "* * * * 7": end of range (7) above maximum (6): 7',
        ),
        (
            {"schedule": "TZ=Etc/UTC 0 0 * * *"}, "spec.schedule", "Invalid",
            'Invalid value: "TZ=Etc/UTC 0 0 * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead',
        ),
        (
            {"timeZone": ""}, "spec.timeZone", "Invalid",
            'Invalid value: "": timeZone must be nil or non-empty string',
        ),
        (
            {"timeZone": "Local"}, "spec.timeZone", "Invalid",
            'Invalid value: "Local": timeZone must be an explicit time zone as defined in '
            "https://www.iana.org/time-zones",
        ),
        (
            {"concurrencyPolicy": "Queue"}, "spec.concurrencyPolicy", "NotSupported",
            'Unsupported value: "Queue": supported values: "Allow", "Forbid", "Replace"',
        ),
        (
            {"startingDeadlineSeconds": -1}, "spec.startingDeadlineSeconds", "Invalid",
            "Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            {"successfulJobsHistoryLimit": -1}, "spec.successfulJobsHistoryLimit", "Invalid",
            "Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            {"failedJobsHistoryLimit": -2}, "spec.failedJobsHistoryLimit", "Invalid",
            "Invalid value: -2: must be greater than or equal to 0",
        ),
    ],
)  # fmt: skip
def test_a_wrong_field_is_refused_in_the_words_of_kubernetes(
    store: Store, change: Obj, field: str, reason: str, message: str
) -> None:
    wrong = make_cron_job("c", "* * * * *")
    wrong["spec"] |= change
    with pytest.raises(ApiError) as created:
        store.create("cronjobs", wrong)
    store.create("cronjobs", make_cron_job("c", "* * * * *"))
    with pytest.raises(ApiError) as changed:
        store.mutate("cronjobs", NAMESPACE, "c", lambda cron_job: cron_job["spec"].update(change))
    assert causes(created.value) == causes(changed.value) == [(field, f"FieldValue{reason}", message)]


@pytest.mark.parametrize(
    ("cron_job", "field"),
    [
        (with_jobs(parallelism=-1), "spec.jobTemplate.spec.parallelism"),
        (with_jobs(completionMode="Indexed"), "spec.jobTemplate.spec.completions"),
        (with_jobs(template={"spec": {"restartPolicy": "Never"}}), "spec.jobTemplate.spec.template.spec.containers"),
        (with_jobs(selector={"matchLabels": {"a": "b"}}), "spec.jobTemplate.spec.selector"),
        (with_jobs(manualSelector=True), "spec.jobTemplate.spec.manualSelector"),
    ],
)
def test_the_template_is_validated_like_the_jobs_made_from_it(store: Store, cron_job: Obj, field: str) -> None:
    with pytest.raises(ApiError) as caught:
        store.create("cronjobs", cron_job)
    assert field in [cause[0] for cause in causes(caught.value)]


def test_an_indexed_template_without_parallelism_is_accepted(store: Store) -> None:
    store.create("cronjobs", with_jobs(completionMode="Indexed", completions=3))


def test_a_name_leaves_room_for_the_minute(store: Store) -> None:
    store.create("cronjobs", make_cron_job("x" * 52, "* * * * *"))
    with pytest.raises(ApiError) as caught:
        store.create("cronjobs", make_cron_job("x" * 53, "* * * * *"))
    message = f'Invalid value: "{"x" * 53}": must be no more than 52 characters'
    assert causes(caught.value) == [("metadata.name", "FieldValueInvalid", message)]


def test_every_field_of_a_spec_may_change_and_counts_as_a_generation(store: Store) -> None:
    store.create("cronjobs", make_cron_job("c", "* * * * *", timeZone="Etc/UTC"))

    def change(cron_job: Obj) -> None:
        cron_job["spec"] |= {"schedule": "@daily", "timeZone": "Europe/Berlin", "suspend": True}
        cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"] = "other:1"
        cron_job["status"] = {"lastScheduleTime": "2026-01-01T00:00:00Z"}

    changed = store.mutate("cronjobs", NAMESPACE, "c", change)
    assert changed is not None
    assert changed["metadata"]["generation"] == 2
    assert changed["spec"]["timeZone"] == "Europe/Berlin"
    assert changed["status"] == {}
    changed = store.mutate("cronjobs", NAMESPACE, "c", change, subresource="status")
    assert changed is not None
    assert changed["status"] == {"lastScheduleTime": "2026-01-01T00:00:00Z"}
