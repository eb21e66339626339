"""Which request a Job is of, whatever somebody has done to its annotations and labels."""

import copy
from typing import Any

import pytest

from events.cloudevent.event import build
from events.functions.file import parse_functions
from events.functions.functions import Call
from events.jobs.observed import Job, Stray
from events.names import FINALIZER, NEW_RUN, Annotation, Label
from k8s.base import Manifest
from k8s.manifests.attempt import next_attempt
from k8s.manifests.function import render_call
from k8s.manifests.job import render
from k8s.manifests.schedule import adoption, render_schedule, run_now
from k8s.reading.cronjob import schedule_of
from k8s.reading.job import SCHEDULED_TIMESTAMP, job_of
from tests.k8s.requests import make_request, options

CREATED = "2026-11-21T22:17:11Z"
MINUTES = 29_660_537  # of CREATED
LATER = "2026-11-21T22:17:13Z"
COMMAND = "hu76nvzpaug6" + "a" * 40
ALL = (Annotation.ID, Annotation.SOURCE, Annotation.ATTEMPT, Annotation.RUN)


def of_request(request_id: str = "r-1", **data: Any) -> Manifest:
    return render(make_request(id=request_id, job={"image": "i"}, **data), options=options()).job


def of_function(**env: Any) -> Manifest:
    container = {"name": "main", "image": "i", "env": [{"name": name, "value": value} for name, value in env.items()]}
    spec = {"template": {"spec": {"containers": [container]}}}
    job = {"apiVersion": "batch/v1", "kind": "Job", "spec": spec}
    event = {"specversion": "1.0", "id": "e/1", "source": "/shop", "type": "t", "datacontenttype": "application/json"}
    (function,) = parse_functions({"functions": [{"name": "thumb", "filters": [], "job": job}]})
    return render_call(Call.of(function, build(event, {})), options=options()).job


def edited(job: Manifest, **annotations: str | None) -> Manifest:
    """The Job with other annotations; None removes one."""
    made = copy.deepcopy(job)
    notes = made["metadata"]["annotations"]
    for name, value in annotations.items():
        notes[getattr(Annotation, name)] = value
    made["metadata"]["annotations"] = {name: value for name, value in notes.items() if value is not None}
    return made


def of_old(job: Manifest) -> Manifest:
    """As an earlier version made it: the pod template does not say for which Job."""
    made = copy.deepcopy(job)
    notes = made["spec"]["template"]["metadata"]["annotations"]
    for name in (Annotation.JOB, Annotation.ATTEMPT, Annotation.SOURCE):
        notes.pop(name, None)
    if Annotation.RUN not in notes:
        notes.pop(Annotation.ID, None)
    return made


def named(job: Manifest, name: str, namespace: str = "default") -> Manifest:
    return {**job, "metadata": {**job["metadata"], "name": name, "namespace": namespace}}


def claimed(job: Job) -> tuple[str, str, int, str | None]:
    return job.request_id, job.source, job.attempt, job.run


EDITS: list[dict[str, str | None]] = [
    {},
    {"ID": None},
    {"SOURCE": None},
    {"ID": None, "SOURCE": None},
    {"ID": "other"},
    {"SOURCE": "/other"},
    {"ID": "other", "SOURCE": "/other"},
    {"ATTEMPT": "7"},
    {"RUN": "new"},
    {"RUN": "2026-11-21T22:17:11Z", "ID": None},
]
MADE = {
    "request": of_request(),
    "dollars": of_request("$r $(X) $$"),
    "slashes": of_request("thumb/e/1"),
    "function": of_function(),
    "function that names itself": of_function(JOBRELAY_JOB_ID="mine"),
}


@pytest.mark.parametrize("old", [False, True], ids=["", "old"])
@pytest.mark.parametrize("edit", EDITS, ids=str)
@pytest.mark.parametrize("kind", MADE)
def test_what_is_immutable_says_which_request_a_job_is_of(kind: str, edit: dict[str, str | None], old: bool) -> None:
    made = of_old(MADE[kind]) if old else MADE[kind]
    before, after = job_of(made), job_of(edited(made, **edit))
    assert claimed(after) == claimed(before)
    assert (before.request_id, before.source) == tuple(
        made["metadata"]["annotations"][name] for name in (Annotation.ID, Annotation.SOURCE)
    )
    assert (after.attempt, after.run, after.stray) == (1, None, None)


@pytest.mark.parametrize("edit", [*EDITS, {"ATTEMPT": None}, {"ATTEMPT": "1"}, {"ATTEMPT": "garbage"}], ids=str)
@pytest.mark.parametrize("old", [False, True], ids=["", "old"])
@pytest.mark.parametrize("kind", MADE)
def test_an_attempt_stays_the_attempt_that_it_is(kind: str, old: bool, edit: dict[str, str | None]) -> None:
    first = MADE[kind]
    second = next_attempt(first, job_of(first), at=0.0)
    made = of_old(second) if old else second
    assert claimed(job_of(edited(made, **edit))) == (*claimed(job_of(first))[:2], 2, None)
    # Nothing else in an old one says that it is not a copy of the first under this name.
    assert job_of(edited(made, **edit)).stray is (Stray.COPY if old and "ATTEMPT" in edit else None)


@pytest.mark.parametrize("name", ["other", "{}-2", "{}-copy", "copy-of-{}"])
@pytest.mark.parametrize("kind", MADE)
def test_a_job_under_another_name_or_in_another_namespace_is_a_copy(kind: str, name: str) -> None:
    made = MADE[kind]
    own = made["metadata"]["name"]
    assert job_of(named(made, name.format(own))).stray is Stray.COPY
    assert job_of(named(made, own, "elsewhere")).stray is Stray.COPY
    if name != "copy-of-{}":
        assert job_of(named(of_old(made), name.format(own))).stray is Stray.COPY


@pytest.mark.parametrize("name", ["{}-2", "{}-3", "{}-copy"])
def test_a_copy_of_an_attempt_is_no_attempt(name: str) -> None:
    first = MADE["request"]
    second = next_attempt(first, job_of(first), at=0.0)
    own = second["metadata"]["name"]
    for wanted in (name.format(own), name.format(first["metadata"]["name"])):
        if wanted != own:
            assert job_of(named(second, wanted)).stray is Stray.COPY


def test_a_job_without_anything_that_names_its_request_is_no_requests() -> None:
    made = edited(of_request(), ID=None)
    del made["spec"]["template"]["metadata"]["annotations"][Annotation.ID]
    made["spec"]["template"]["spec"]["containers"][0]["env"] = []
    assert job_of(made).stray is Stray.UNIDENTIFIED
    assert job_of(edited(of_old(made), SOURCE=None)).stray is Stray.UNIDENTIFIED


def test_a_job_of_another_installation_and_one_of_a_newer_version_are_not_judged_as_ours() -> None:
    made = of_request()
    made["metadata"]["labels"][Label.INSTANCE] = "another"
    assert (job_of(made).stray, job_of(made).instance) == (Stray.FOREIGN, "jobrelay")
    assert job_of(edited(named(of_request(), "other"), VERSION="99")).stray is None


def test_labels_that_it_is_found_by_are_missed_and_no_others() -> None:
    made = of_request(service="s")
    assert job_of(made).lost_labels == ()
    lost = (Label.MANAGED_BY, Label.INSTANCE, Label.REQUEST)
    values = tuple((name, made["metadata"]["labels"][name]) for name in lost)
    made["metadata"]["labels"] = {}
    assert job_of(made).lost_labels == values
    assert job_of(made).service == "s"
    made["metadata"]["labels"] = {Label.NAME: "other"}
    assert job_of(made).service == "s"


def test_a_pending_payload_and_an_impossible_ttl_are_believed_only_where_they_can_be() -> None:
    assert job_of(edited(of_request(), PAYLOAD="pending")).payload is None
    assert job_of(of_request(payload="secret")).payload == "pending"
    assert job_of(edited(of_request(), TTL=str(2**31))).ttl is None


def new_run(name: str, *, by_hand: bool = False) -> Manifest:
    cron_job = render_schedule(make_request(id="s", job={"image": "i"}, schedule="* * * * *"), options=options()).job
    if COMMAND[:12] in name:
        cron_job["metadata"] |= {"uid": "u"}
        own = name.format(cron_job["metadata"]["name"])
        made = run_now(cron_job, name=own, time=CREATED, command=COMMAND)
        # Created a little later than the time that was chosen for it.
        return {**made, "metadata": {**made["metadata"], "creationTimestamp": LATER}}
    template = cron_job["spec"]["jobTemplate"]
    notes = {**template["metadata"]["annotations"], **({} if by_hand else {SCHEDULED_TIMESTAMP: CREATED})}
    metadata = {**template["metadata"], "name": name.format(cron_job["metadata"]["name"]), "annotations": notes}
    return {"metadata": {**metadata, "namespace": "default", "creationTimestamp": CREATED}, "spec": template["spec"]}


def adopted(run: Manifest, *, in_template: bool = True) -> Manifest:
    """What adoption makes of a run; `in_template`: it had not started before."""
    made = copy.deepcopy(run)
    patch = adoption(job_of(run), request_id=f"s@{CREATED}", time=CREATED, released=CREATED)
    made["metadata"]["annotations"] |= patch["metadata"]["annotations"]
    made["metadata"]["labels"] |= patch["metadata"]["labels"]
    made["metadata"]["finalizers"] = [FINALIZER]
    if in_template:
        template = made["spec"]["template"]["metadata"]
        template["annotations"] = {**template["annotations"], **patch["spec"]["template"]["metadata"]["annotations"]}
    return made


RUNS = {
    "by its time": f"{{}}-{MINUTES}",
    "by hand": "by-hand",
    "by hand, like an attempt": "{}-2",
    "by a command": f"{{}}-{COMMAND[:12]}",
}


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_new_until_it_is_adopted(name: str) -> None:
    run = job_of(new_run(RUNS[name], by_hand="hand" in name))
    assert run.new_run
    assert (run.run, run.stray, run.request_id) == (NEW_RUN, None, "s")


@pytest.mark.parametrize("edit", [*EDITS, {"RUN": None}], ids=str)
@pytest.mark.parametrize("name", RUNS)
def test_an_adopted_run_stays_the_run_that_it_is(name: str, edit: dict[str, str | None]) -> None:
    made = adopted(new_run(RUNS[name], by_hand="hand" in name))
    assert claimed(job_of(edited(made, **edit))) == (f"s@{CREATED}", "/shop", 1, CREATED)
    assert job_of(edited(made, **edit)).stray is None
    second = next_attempt(made, job_of(made), at=0.0)
    assert claimed(job_of(edited(second, **edit))) == (f"s@{CREATED}", "/shop", 2, CREATED)
    for wanted in ("other", f"{made['metadata']['name']}-2", f"{made['metadata']['name']}-3"):
        assert job_of(named(made, wanted)).stray is Stray.COPY
        if wanted != second["metadata"]["name"]:
            assert job_of(named(second, wanted)).stray is Stray.COPY


@pytest.mark.parametrize("old", [False, True], ids=["", "old"])
@pytest.mark.parametrize("name", RUNS)
def test_a_run_that_had_started_before_is_known_by_its_name_or_its_time(name: str, old: bool) -> None:
    made = adopted(new_run(RUNS[name], by_hand="hand" in name), in_template=False)
    made = of_old(made) if old else made
    assert claimed(job_of(made)) == (f"s@{CREATED}", "/shop", 1, CREATED)
    assert job_of(made).stray is None
    other = named(made, "other")
    other["metadata"]["creationTimestamp"] = "2026-11-22T00:00:00Z"
    assert job_of(other).stray is Stray.COPY


def test_a_schedule_is_known_by_its_name_and_its_jobs() -> None:
    cron_job = render_schedule(make_request(id="s", job={"image": "i"}, schedule="* * * * *"), options=options()).job
    cron_job["metadata"]["creationTimestamp"] = CREATED
    for edit in ({}, {"ID": None}, {"SOURCE": None}, {"ID": "other", "SOURCE": "/other"}):
        seen = schedule_of(edited(cron_job, **edit))
        assert (seen.request_id, seen.source, seen.stray, seen.lost_labels) == ("s", "/shop", None, ())
    own = cron_job["metadata"]["name"]
    assert [schedule_of(named(cron_job, name)).stray for name in ("other", f"{own}-2")] == [Stray.COPY] * 2
    assert schedule_of(named(cron_job, own, "elsewhere")).stray is Stray.COPY
    lost = (Label.MANAGED_BY, Label.INSTANCE, Label.REQUEST)
    values = {name: cron_job["metadata"]["labels"][name] for name in lost}
    cron_job["metadata"]["labels"] = {}
    assert dict(schedule_of(cron_job).lost_labels) == values
    notes = cron_job["spec"]["jobTemplate"]["metadata"]["annotations"]
    del notes[Annotation.ID]
    assert schedule_of(edited(cron_job, ID=None)).stray is Stray.UNIDENTIFIED
