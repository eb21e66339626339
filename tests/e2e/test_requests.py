"""What requests lead to, as seen from the broker and from the API server. Holds on any cluster and broker."""

import asyncio
import json
import shutil
from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any
from urllib.parse import unquote

import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.formats.json import JSONFormat
from jsonschema import Draft202012Validator

from events.contract.schema import schema_of
from events.identity import Identity, job_name as made_name, request_label
from events.names import FINALIZER, Label
from k8s.manifests.pod import payload_name
from tests.e2e.cases import KIB, MEASURE, TURNS
from tests.e2e.conftest import AUDIT, Stage, each_broker
from tests.e2e.observer import STRUCTURED, TERMINAL, data, detail, phase, request
from tests.e2e.scenes import gone, job_name
from tests.e2e.site import NATS, until
from tests.events.contract.declared import undeclared
from tests.k8s.deploy.audit import ROLES, differences

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

STARTED = ["created", "started"]
GREETING = 'Grüße "100%"'


async def ended(stage: Stage, request_id: str) -> BaseCloudEvent:
    return await stage.observer.ended(request_id, seconds=stage.seconds())


async def jobs_of(stage: Stage, request_id: str) -> list[dict[str, Any]]:
    selector = f"{Label.INSTANCE}={stage.observer.instance},{Label.REQUEST}={request_label(request_id)}"
    return await stage.site.cluster.list_jobs(stage.site.namespace, selector)


async def no_pods(stage: Stage, job_uid: str) -> bool:
    return not await stage.site.cluster.pods_of(stage.site.namespace, job_uid)


@each_broker
async def test_a_success_carries_the_result_its_container_computed_from_the_event(stage: Stage) -> None:
    end = await ended(stage, "double")
    assert stage.observer.phases("double") == [*STARTED, "succeeded"]
    assert detail(end)["result"] == {"double": 42}
    assert detail(end)["exitCode"] == 0
    assert (detail(end)["tags"], detail(end)["metadata"]) == (["t"], {"n": 21})


@each_broker
async def test_lifecycle_events_can_be_read_with_the_cloudevents_sdk(stage: Stage) -> None:
    await ended(stage, "double")
    (job,) = await jobs_of(stage, "double")
    name, uid = job["metadata"]["name"], job["metadata"]["uid"]
    for event, status in zip(stage.observer.of("double"), (0, 1, 2), strict=True):
        assert event.get_specversion() == "1.0"
        assert event.get_id() == f"{uid}/{phase(event)}"
        assert event.get_source() == f"/namespaces/{stage.site.namespace}/jobs/{name}"
        assert event.get_type() == f"dev.jobrelay.job.{phase(event)}"
        assert event.get_datacontenttype() == "application/json"
        assert event.get_time() is not None
        assert event.get_extension("causationid") == "event-double"
        assert event.get_extension("partitionkey") == "double"
        assert (data(event)["id"], data(event)["status"]) == ("double", status)


@each_broker
async def test_a_finished_job_loses_its_finalizer_and_gets_a_time_to_live(stage: Stage) -> None:
    await ended(stage, "double")

    async def without_finalizer() -> dict[str, Any] | None:
        (job,) = await jobs_of(stage, "double")
        return None if FINALIZER in job["metadata"].get("finalizers", ()) else job

    job = await until(without_finalizer, seconds=stage.seconds())
    assert job["spec"]["ttlSecondsAfterFinished"] == 3600


async def test_a_failure_is_reported_with_exit_code_and_log_tail(stage: Stage) -> None:
    end = await ended(stage, "break")
    assert stage.observer.phases("break") == [*STARTED, "failed"]
    assert detail(end)["exitCode"] == 3
    assert detail(end)["error"]["errorCode"] == "JOB_EXECUTION_FAILED"
    assert "it broke" in detail(end)["logTail"]


async def test_a_retry_is_reported_before_the_success(stage: Stage) -> None:
    await stage.observer.ended("retried", seconds=stage.seconds())
    phases = stage.observer.phases("retried")
    assert phases[:2] == STARTED
    assert set(phases[2:-1]) == {"retrying"}
    assert phases[-1] == "succeeded"


async def test_a_deadline_ends_the_job(stage: Stage) -> None:
    assert detail(await ended(stage, "late"))["error"]["errorCode"] == "DEADLINE_EXCEEDED"


async def test_an_image_that_cannot_be_pulled_stalls_until_the_start_timeout(stage: Stage) -> None:
    end = await stage.observer.ended("unpullable", seconds=stage.seconds())
    assert stage.observer.phases("unpullable") == ["created", "stalled", "failed"]
    stalled = await stage.observer.reached("unpullable", "stalled")
    assert detail(stalled)["error"]["errorCode"] == "IMAGE_PULL"
    assert detail(end)["error"]["errorCode"] == "START_TIMEOUT"


async def test_parallel_completions_are_reported_with_their_results(stage: Stage) -> None:
    end = await ended(stage, "three")
    assert [result["result"] for result in detail(end)["results"]] == [{"of": "three"}] * 3


@pytest.mark.parametrize("size", [200, 700])
async def test_a_large_event_reaches_its_container_complete(stage: Stage, size: int) -> None:
    end = await ended(stage, f"large-{size}")
    result = detail(end)["result"]
    assert result["marks"] == 1
    assert size * KIB < result["size"] < (size + 2) * KIB
    (job,) = await jobs_of(stage, f"large-{size}")
    secret = await stage.site.cluster.read_secret(stage.site.namespace, payload_name(job["metadata"]["name"]))
    assert [owner["uid"] for owner in secret["metadata"]["ownerReferences"]] == [job["metadata"]["uid"]]


async def test_a_secret_left_under_the_name_of_a_large_request_is_replaced(stage: Stage) -> None:
    name = payload_name(made_name("e2e", Identity(stage.observer.source, "again")))
    metadata = {"name": name, "namespace": stage.site.namespace}
    await stage.site.cluster.create_secret({"apiVersion": "v1", "kind": "Secret", "metadata": metadata})
    args = ["x" * (100 * KIB), "the-end"]
    await stage.observer.publish(request("again", MEASURE, image=stage.site.image, job={"args": args}))
    assert detail(await ended(stage, "again"))["result"]["marks"] == 1
    (job,) = await jobs_of(stage, "again")
    secret = await stage.site.cluster.read_secret(stage.site.namespace, name)
    assert [owner["uid"] for owner in secret["metadata"]["ownerReferences"]] == [job["metadata"]["uid"]]


async def test_attempts_get_the_event_despite_a_leftover_secret_and_then_the_request_fails_over(
    stage: Stage,
) -> None:
    name = payload_name(f"{made_name('e2e', Identity(stage.observer.source, 'tried'))}-2")
    metadata = {"name": name, "namespace": stage.site.namespace}
    await stage.site.cluster.create_secret({"apiVersion": "v1", "kind": "Secret", "metadata": metadata})
    script = 'grep -q the-end "$JOBRELAY_EVENT_PATH" || exit 9; echo whole >&2; exit 3'
    other = {"job": {"image": stage.site.image, "command": ["sh", "-c", 'cp "$JOBRELAY_EVENT_PATH" /dev/null']}}
    job = {"args": ["x" * (100 * KIB), "the-end"]}
    event = request("tried", script, image=stage.site.image, job=job, retries=1, retryDelay=1, failover=other)
    await stage.observer.publish(event)
    end = await stage.observer.ended("tried", seconds=stage.seconds())
    phases = [phase for phase in stage.observer.phases("tried") if phase != "queued"]
    assert phases == [*STARTED, "retrying", "started", "failed"]
    assert (detail(end)["attempt"], detail(end)["exitCode"]) == (2, 3)
    assert detail(end)["failover"] == {"id": "tried/failover"}
    other_end = await ended(stage, "tried/failover")
    assert (phase(other_end), other_end.get_extension("causationid")) == ("succeeded", end.get_id())
    assert len(await jobs_of(stage, "tried")) == 2


async def test_a_concurrency_limit_of_one_is_kept(stage: Stage) -> None:
    ran = [detail(await stage.observer.ended(name, seconds=stage.seconds())) for name in TURNS]
    times = sorted((run["startedAt"], run["finishedAt"]) for run in ran)
    assert all(before[1] <= after[0] for before, after in pairwise(times)), times
    queued = [event for name in TURNS for event in stage.observer.of(name) if phase(event) == "queued"]
    assert {detail(event)["reason"] for event in queued} <= {"limit", "exclusive"}
    assert len({event.get_subject() for event in queued}) >= len(TURNS) - 1


async def test_a_dependent_runs_after_its_dependency_even_if_it_came_first(stage: Stage) -> None:
    before, after = [detail(await stage.observer.ended(name, seconds=stage.seconds())) for name in ("before", "after")]
    assert before["finishedAt"] <= after["startedAt"]
    assert stage.observer.phases("after") == ["created", "queued", "started", "succeeded"]
    assert detail(await stage.observer.reached("after", "queued"))["reason"] == "dependencies"


async def test_a_request_runs_at_its_time_and_not_before(stage: Stage) -> None:
    end = detail(await stage.observer.ended("later", seconds=stage.seconds()))
    assert stage.observer.phases("later") == ["created", "queued", "started", "succeeded"]
    assert detail(await stage.observer.reached("later", "queued"))["reason"] == "runAt"
    at, started = (datetime.fromisoformat(text) for text in (end["metadata"]["at"], end["startedAt"]))
    assert at <= started


@each_broker
async def test_cancel_ends_a_running_job_and_is_answered(stage: Stage) -> None:
    await stage.observer.reached("cancelled", "started", seconds=stage.seconds())
    await stage.observer.command("cancel", "cancelled")
    end = await ended(stage, "cancelled")
    assert stage.observer.phases("cancelled") == [*STARTED, "cancelled"]
    assert detail(end)["error"]["errorCode"] == "CANCELLED"
    (answer,) = stage.observer.of("cancel-cancelled")
    assert answer.get_type() == "dev.jobrelay.control.accepted"
    await until(lambda: no_pods(stage, str(end.get_id()).partition("/")[0]), seconds=stage.seconds())


async def test_a_job_is_suspended_and_resumed(stage: Stage) -> None:
    await stage.observer.publish(request("held", f"sleep {3 * stage.site.patience}", image=stage.site.image))
    await stage.observer.reached("held", "started", seconds=stage.seconds())
    await stage.observer.command("suspend", "held")
    suspended = await stage.observer.reached("held", "suspended", seconds=stage.seconds())
    assert detail(suspended)["by"] == "request"
    await stage.observer.command("resume", "held")
    await ended(stage, "held")
    phases = [phase for phase in stage.observer.phases("held") if phase != "started"]
    assert phases == ["created", "suspended", "resumed", "succeeded"]


async def test_kubectl_delete_of_a_running_job_cancels_it_once_and_deletes_its_pods(stage: Stage) -> None:
    await stage.observer.reached("deleted", "started", seconds=stage.seconds())
    name = job_name(stage.observer, "deleted")
    await delete(stage, name)
    end = await ended(stage, "deleted")
    assert detail(end)["error"]["errorCode"] == "DELETED"
    await until(lambda: gone(stage.site, name), seconds=stage.seconds())
    await until(lambda: no_pods(stage, str(end.get_id()).partition("/")[0]), seconds=stage.seconds())
    assert stage.observer.phases("deleted") == [*STARTED, "cancelled"]


async def delete(stage: Stage, name: str) -> None:
    """Delete a Job with kubectl if it is installed, else with the request that kubectl makes."""
    if program := shutil.which("kubectl"):
        command = (program, "--kubeconfig", str(stage.site.kubeconfig), "--namespace", stage.site.namespace)
        child = await asyncio.create_subprocess_exec(*command, "delete", "job", name, "--wait=false")
        assert await child.wait() == 0
        return
    path = f"/apis/batch/v1/namespaces/{stage.site.namespace}/jobs/{name}"
    await stage.site.cluster.client.request("DELETE", path, body={"propagationPolicy": "Background"})


@each_broker
async def test_an_invalid_request_is_rejected_with_every_error_and_kept(stage: Stage) -> None:
    event = request("invalid", image=stage.site.image, job={"imagee": "x", "parallelism": "many"})
    await stage.observer.publish(event)
    rejected = await stage.observer.reached("invalid", "rejected", seconds=stage.seconds())
    error = detail(rejected)["error"]
    assert error["errorCode"] == "INVALID_REQUEST"
    assert {field["path"] for field in error["fields"]} == {"job.imagee", "job.parallelism"}
    letter = await dead_letter(stage, json.dumps({**event, "source": stage.observer.source}).encode())
    assert letter["jobrelay-code"] == "INVALID_REQUEST"
    assert "job.imagee" in unquote(letter["jobrelay-reason"])
    assert await jobs_of(stage, "invalid") == []


@each_broker
async def test_bytes_that_are_no_event_become_a_dead_letter_unchanged(stage: Stage) -> None:
    body = b"\x00\xff no event {"
    await stage.observer.publish_raw(body, {"Content-Type": STRUCTURED})
    letter = await dead_letter(stage, body)
    assert letter["jobrelay-code"] == "INVALID_EVENT"


async def dead_letter(stage: Stage, body: bytes) -> Mapping[str, str]:
    """The headers of the dead letter with exactly this body."""

    async def look() -> Mapping[str, str] | None:
        letters = await stage.observer.dead_letters()
        return next((letter.headers for letter in letters if letter.body == body), None)

    return await until(look, seconds=stage.seconds())


@each_broker
async def test_a_duplicate_creates_no_second_job(stage: Stage) -> None:
    event = request("twice", "sleep 1", image=stage.site.image)
    for message_id in ("one", "two"):
        await stage.observer.publish(event, message_id=message_id)
    await ended(stage, "twice")
    assert len(await jobs_of(stage, "twice")) == 1
    assert stage.observer.phases("twice") == [*STARTED, "succeeded"]
    duplicates = f'jobrelay_messages_duplicate_total{{broker="{stage.site.broker}"}}'
    assert await stage.counted(duplicates) >= 1


@each_broker
async def test_a_request_in_binary_mode_arrives_with_its_attributes_decoded(stage: Stage) -> None:
    wanted = request("binary", 'printf %s "$CE_SUBJECT|$CE_SOURCE" > "$JOBRELAY_RESULT_PATH"', image=stage.site.image)
    # The binding for NATS percent-encodes special characters; headers of AMQP may be any text.
    subject = "Gr%C3%BC%C3%9Fe%20%22100%25%22" if stage.site.broker == NATS else GREETING
    headers = {
        "ce-specversion": "1.0",
        "ce-type": wanted["type"],
        "ce-source": stage.observer.source,
        "ce-id": wanted["id"],
        "ce-subject": subject,
        "Content-Type": "application/json",
    }
    await stage.observer.publish_raw(json.dumps(wanted["data"]).encode(), headers)
    assert detail(await ended(stage, "binary"))["result"] == f"{GREETING}|{stage.observer.source}"


@each_broker
async def test_a_hundred_requests_in_a_burst_all_succeed_each_in_order(stage: Stage) -> None:
    names = [f"burst-{number}" for number in range(100)]
    requests = [request(name, image=stage.site.image) for name in names]
    await asyncio.gather(*(stage.observer.publish(event) for event in requests))
    for name in names:
        await stage.observer.ended(name, seconds=stage.seconds())
    assert [stage.observer.phases(name) for name in names] == [[*STARTED, "succeeded"]] * len(names)
    terminal = [event.get_id() for event in stage.observer.events if phase(event) in TERMINAL]
    assert len(set(terminal)) == len(terminal)
    assert await until(lambda: _nothing_waits(stage), seconds=stage.seconds())


async def _nothing_waits(stage: Stage) -> bool:
    return await stage.observer.waiting() == 0


@each_broker
async def test_every_event_conforms_to_the_published_schema(stage: Stage) -> None:
    seen = [scene.result() for scene in stage.scenes.values() if scene.done() and not scene.exception()]
    observers = [stage.observer, *(found.observer for found in seen if hasattr(found, "observer"))]
    validator = Draft202012Validator(schema_of("lifecycle"))
    events = [event for observer in observers for event in observer.events]
    assert len(events) > 30
    for event in events:
        validator.validate(json.loads(JSONFormat().write(event)))
        assert undeclared(str(event.get_type()), event.get_data()) == []
        if phase(event) in TERMINAL:
            assert event.get_extension("requestsource")


async def test_the_roles_use_exactly_the_verbs_that_they_are_granted(
    stage: Stage, request: pytest.FixtureRequest
) -> None:
    """Must be the last test here: it judges the audit log of all tests. `tests.k8s.deploy.audit` reads other logs."""
    if not stage.site.own_cluster:
        pytest.skip("the audit log of a given cluster cannot be read")
    for scene in stage.scenes:
        await stage.scene(scene)
    with (stage.site.directory / AUDIT).open("rb") as log:
        found = differences(log)
    assert found.keys() >= {*ROLES, "both"}
    assert {role: sorted(surplus) for role, (surplus, _) in found.items() if surplus} == {}
    if not all_of_this_file(request.session.items):
        pytest.skip("unused verbs are only known when all tests of the file ran")
    assert {role: sorted(found[role][1]) for role in ROLES} == {role: [] for role in ROLES}


def all_of_this_file(chosen: list[pytest.Item]) -> bool:
    ours = {name for name in globals() if name.startswith("test_")}
    return ours <= {item.name.partition("[")[0] for item in chosen}
