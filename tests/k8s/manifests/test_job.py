"""Rendered Jobs: every stored name in its place, safe defaults, and accepted by a server that checks every field."""

import base64
import copy
import json
import secrets
from typing import Any

import pytest
from hypothesis import given, strategies as st

from events.cloudevent.event import encode_structured
from events.identity import request_label, request_sha
from events.names import FINALIZER, Annotation, Label
from k8s.api.cluster import Cluster
from k8s.base import Conflict, Manifest, Refused
from k8s.manifests.job import Rendered, render, secret_for
from k8s.manifests.pod import EVENT_PATH
from k8s.manifests.schedule import render_schedule
from k8s.reading.cronjob import schedule_of
from k8s.reading.job import job_of
from tests.k8s.requests import created, make_request, options


def pod(rendered: Rendered) -> Manifest:
    spec: Manifest = rendered.job["spec"]["template"]["spec"]
    return spec


def container(rendered: Rendered) -> Manifest:
    (found,) = pod(rendered)["containers"]
    assert isinstance(found, dict)
    return found


def env(rendered: Rendered) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container(rendered)["env"]}


def notes(rendered: Rendered) -> dict[str, str]:
    found: dict[str, str] = rendered.job["metadata"]["annotations"]
    return found


def test_labels_are_on_the_job_and_on_its_pods() -> None:
    rendered = render(make_request(service="thumbs"), options=options(instance="teama"))
    assert rendered.job["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "jobrelay",
        "app.kubernetes.io/name": "thumbs",
        "app": "thumbs",
        "jobrelay.dev/instance": "teama",
        "jobrelay.dev/request": request_label("r1"),
    }
    assert rendered.job["spec"]["template"]["metadata"]["labels"] == rendered.job["metadata"]["labels"]


def test_without_a_service_there_is_no_name_label() -> None:
    labels = render(make_request(), options=options()).job["metadata"]["labels"]
    assert Label.NAME not in labels
    assert Label.APP not in labels


def test_everything_that_must_survive_a_crash_is_on_the_job() -> None:
    request = make_request(tags=["a"], metadata={"k": 1}, timeout=60, startTimeout=30, service="s")
    rendered = render(request, options=options(broker="memory"), reply_to="replies.x")
    assert notes(rendered) == {
        Annotation.VERSION: "1",
        Annotation.ID: "r1",
        Annotation.SOURCE: "/shop",
        Annotation.REQUEST_SHA: request_sha(request.event),
        Annotation.CONTEXT: notes(rendered)[Annotation.CONTEXT],
        Annotation.BROKER: "memory",
        Annotation.REPLY_TO: "replies.x",
        Annotation.TTL: "3600",
        Annotation.START_TIMEOUT: "30",
        Annotation.TIMEOUT: "60",
        Annotation.TAGS: '["a"]',
        Annotation.METADATA: '{"k":1}',
    }
    assert json.loads(notes(rendered)[Annotation.CONTEXT])["id"] == "e1"
    assert rendered.job["metadata"]["finalizers"] == [FINALIZER]
    assert "ttlSecondsAfterFinished" not in rendered.job["spec"]
    job = job_of(rendered.job)
    assert (job.request_id, job.source, job.service, job.ttl, job.start_timeout) == ("r1", "/shop", "s", 3600, 30)


def test_name_and_namespace() -> None:
    metadata = render(make_request(job={"image": "i", "prefixName": "pre"}), options=options()).job["metadata"]
    assert metadata["name"].startswith("pre-")
    assert metadata["namespace"] == "default"
    assert render(make_request(), options=options()).job["metadata"]["namespace"] == "ns"


@pytest.mark.parametrize(
    ("asked", "wanted", "raised"), [(None, 4000, False), (7200, 7200, False), (10, 3600, True), (3600, 3600, False)]
)
def test_ttl_is_never_below_the_floor(asked: int | None, wanted: int, *, raised: bool) -> None:
    job = {"image": "i"} | ({} if asked is None else {"ttlSecondsAfterFinished": asked})
    rendered = render(make_request(job=job), options=options(default_ttl=4000, min_ttl=3600))
    assert (rendered.ttl, rendered.ttl_raised) == (wanted, raised)
    assert notes(rendered)[Annotation.TTL] == str(wanted)


def test_small_event_goes_on_the_pod_template_and_into_a_file() -> None:
    request = make_request()
    rendered = render(request, options=options())
    template = rendered.job["spec"]["template"]
    assert rendered.inline
    meta = rendered.job["metadata"]
    assert template["metadata"]["annotations"] == {
        Annotation.EVENT: encode_structured(request.event).decode(),
        Annotation.JOB: f"ns/{meta['name']}",
        **{name: meta["annotations"][name] for name in (Annotation.ID, Annotation.SOURCE)},
    }
    (volume,) = template["spec"]["volumes"]
    (item,) = volume["downwardAPI"]["items"]
    assert item == {"path": "event.json", "fieldRef": {"fieldPath": "metadata.annotations['jobrelay.dev/event']"}}
    (mount,) = container(rendered)["volumeMounts"]
    assert f"{mount['mountPath']}/event.json" == EVENT_PATH == env(rendered)["JOBRELAY_EVENT_PATH"]
    assert "suspend" not in rendered.job["spec"]
    assert Annotation.PAYLOAD not in notes(rendered)


@pytest.mark.parametrize(("size", "parallelism", "payload"), [(3000, 1, None), (1, 2, None), (1, 1, "secret")])
def test_large_event_several_pods_or_payload_secret_make_a_suspended_job_and_a_secret(
    size: int, parallelism: int, payload: str | None
) -> None:
    job = {"image": "i", "parallelism": parallelism}
    request = make_request(job=job, metadata={"x": "y" * size}, payload=payload)
    rendered = render(request, options=options(inline_bytes=2000))
    assert not rendered.inline
    assert rendered.job["spec"]["suspend"] is True
    assert notes(rendered)[Annotation.PAYLOAD] == "pending"
    assert Annotation.EVENT not in rendered.job["spec"]["template"]["metadata"]["annotations"]
    (volume,) = pod(rendered)["volumes"]
    name = rendered.job["metadata"]["name"]
    assert volume["secret"] == {"secretName": f"jobrelay-payload-{name}"}
    secret = secret_for(rendered, created(rendered, "uid-1"))
    assert (secret["metadata"]["name"], secret["metadata"]["namespace"]) == (f"jobrelay-payload-{name}", "default")
    (owner,) = secret["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Job", name, "uid-1")
    assert base64.b64decode(secret["data"]["event.json"]) == encode_structured(request.event)


def test_the_secret_has_the_name_that_its_job_says_if_that_may_be_its_own() -> None:
    rendered = render(make_request(payload="secret"), options=options())
    name = rendered.job["metadata"]["name"]
    for said, secret in ((name, name), ("keys", f"jobrelay-payload-{name}")):
        job = copy.deepcopy(created(rendered, "uid-1"))
        job["spec"]["template"]["spec"]["volumes"][0]["secret"]["secretName"] = said
        assert secret_for(rendered, job)["metadata"]["name"] == secret


@pytest.mark.parametrize("make", [render, render_schedule])
def test_without_app_labels_the_service_is_in_a_label_of_ours(make: Any) -> None:
    request = make_request(service="pay", schedule="@daily" if make is render_schedule else None)
    made = make(request, options=options(app_label=False)).job
    texts = json.dumps(made)
    assert '"app"' not in texts
    assert "app.kubernetes.io/name" not in texts
    made = {**made, "metadata": {**made["metadata"], "uid": "u"}}
    seen = job_of(made) if make is render else schedule_of(made)
    assert seen.service == "pay"
    assert seen.lost_labels == ()


def test_nobody_changes_the_service_of_a_job_by_a_label() -> None:
    for app_label in (True, False):
        made = created(render(make_request(service="pay"), options=options(app_label=app_label)), "u")
        made["metadata"]["labels"] |= {Label.NAME: "shop", Label.SERVICE: "shop"}
        assert job_of(made).service == "pay"


def test_result_is_the_termination_message_and_else_the_log() -> None:
    rendered = render(make_request(), options=options())
    assert env(rendered)["JOBRELAY_RESULT_PATH"] == container(rendered)["terminationMessagePath"]
    assert container(rendered)["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_variables_have_the_events_attributes_literally() -> None:
    attributes = {"id": "$(HOME)", "subject": "s$", "traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01"}
    variables = env(render(make_request(attributes=attributes), options=options()))
    assert variables["CE_ID"] == "$$(HOME)", "Kubernetes turns it into $(HOME)"
    assert variables["CE_SUBJECT"] == "s$$"
    assert variables["CE_SOURCE"] == "/shop"
    assert variables["CE_TYPE"] == "dev.jobrelay.job.requested"
    assert variables["JOBRELAY_JOB_ID"] == "r1"
    assert variables["TRACEPARENT"].startswith("00-1")
    assert "CE_SUBJECT" not in env(render(make_request(), options=options()))


def test_a_trace_takes_the_place_of_the_events_own_everywhere_but_in_the_event() -> None:
    request = make_request(attributes={"traceparent": "00-old", "tracestate": "old=1"})
    rendered = render(request, options=options(), trace={"traceparent": "00-new"})
    assert env(rendered)["TRACEPARENT"] == "00-new"
    assert json.loads(notes(rendered)[Annotation.CONTEXT]).items() >= {"id": "e1", "traceparent": "00-new"}.items()
    assert "tracestate" not in notes(rendered)[Annotation.CONTEXT], "it belongs to the other trace"
    assert rendered.event == encode_structured(request.event)
    without = render(request, options=options())
    assert (env(without)["TRACEPARENT"], without.job["metadata"]["name"]) == (
        "00-old",
        rendered.job["metadata"]["name"],
    )
    assert notes(without)[Annotation.REQUEST_SHA] == notes(rendered)[Annotation.REQUEST_SHA]


def test_the_container_runs_what_the_request_says() -> None:
    job = {
        "image": "i:1",
        "command": ["sh", "-c"],
        "args": ["echo $(CE_ID)"],
        "workingDir": "/work",
        "serviceAccount": "worker",
        "activeDeadlineSeconds": 60,
        "env": [{"name": "A", "value": "$(CE_ID)"}],
        "envRef": [{"name": "cm", "type": "configmap"}, {"name": "s", "type": "secret"}],
        "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "500m", "memory": "1Gi"}},
    }
    rendered = render(make_request(job=job, retries=3), options=options())
    found = container(rendered)
    assert (found["image"], found["command"], found["args"]) == ("i:1", ["sh", "-c"], ["echo $(CE_ID)"])
    assert found["workingDir"] == "/work"
    assert found["env"][-1] == {"name": "A", "value": "$(CE_ID)"}, "the user's own text may refer to ours"
    assert found["envFrom"] == [{"configMapRef": {"name": "cm"}}, {"secretRef": {"name": "s"}}]
    assert found["resources"] == {"limits": {"cpu": "1"}, "requests": {"cpu": "500m", "memory": "1Gi"}}
    assert pod(rendered)["serviceAccountName"] == "worker"
    assert rendered.job["spec"]["activeDeadlineSeconds"] == 60
    assert rendered.job["spec"]["backoffLimit"] == 3


def test_what_is_not_asked_for_is_left_to_image_and_cluster() -> None:
    rendered = render(make_request(), options=options())
    assert {"command", "args", "workingDir", "envFrom", "resources"}.isdisjoint(container(rendered))
    assert "serviceAccountName" not in pod(rendered)
    assert "activeDeadlineSeconds" not in rendered.job["spec"]
    assert rendered.job["spec"]["backoffLimit"] == 0
    assert pod(rendered)["restartPolicy"] == "Never"


@pytest.mark.parametrize(
    ("asked", "parallelism", "completions"),
    [
        ({}, 1, 1),
        ({"completions": 5}, 1, 5),
        ({"parallelism": 3, "completions": 6}, 3, 6),
        ({"parallelism": 3}, 3, None),
    ],
)
def test_counts_are_those_of_batch_v1(asked: dict[str, int], parallelism: int, completions: int | None) -> None:
    spec = render(make_request(job={"image": "i", **asked}), options=options()).job["spec"]
    assert (spec["parallelism"], spec.get("completions")) == (parallelism, completions)


def test_pods_are_restricted_unless_the_operator_relaxes_it() -> None:
    rendered = render(make_request(), options=options())
    assert pod(rendered)["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container(rendered)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    relaxed = render(make_request(), options=options(run_as_user=None))
    assert "securityContext" not in pod(relaxed)
    assert "securityContext" not in container(relaxed)
    for spec in (pod(rendered), pod(relaxed)):
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False


def test_pods_of_a_request_spread_over_nodes() -> None:
    (spread,) = pod(render(make_request(), options=options()))["topologySpreadConstraints"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"
    assert spread["whenUnsatisfiable"] == "ScheduleAnyway"
    assert spread["labelSelector"] == {"matchLabels": {"jobrelay.dev/request": request_label("r1")}}


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40))
def test_same_request_makes_the_same_job(text: str) -> None:
    request = make_request(metadata={text: text})
    assert render(request, options=options()) == render(request, options=options())


FULL = {
    "image": "busybox:1",
    "command": ["sh", "-c", "exit 0"],
    "args": ["x"],
    "workingDir": "/",
    "serviceAccount": "default",
    "activeDeadlineSeconds": 60,
    "env": [{"name": "A", "value": "b"}],
    "envRef": [{"name": "cm", "type": "configmap"}, {"name": "s", "type": "secret"}],
    "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "500m", "memory": "1Gi"}},
    "parallelism": 2,
    "completions": 2,
}


@pytest.mark.parametrize("job", [{"image": "busybox:1", "command": ["true"]}, FULL], ids=["least", "full"])
async def test_server_accepts_the_job_with_every_field_checked(real: Cluster, job: Manifest) -> None:
    request = make_request(id=secrets.token_hex(8), job=job, tags=["t"], timeout=600, service="s")
    rendered = render(request, options=options())
    uid = (await real.create_job(rendered.job)).uid
    with pytest.raises(Conflict):
        await real.create_job(rendered.job)
    if not rendered.inline:
        await real.create_secret(secret_for(rendered, created(rendered, uid)))
    stored = await real.read_job("default", request.job_name)
    assert stored["metadata"]["uid"] == uid
    for part in ("labels", "annotations", "finalizers"):
        assert stored["metadata"][part] == rendered.job["metadata"][part]
    misspelt = {**rendered.job, "spec": {**rendered.job["spec"], "backofLimit": 1}}
    with pytest.raises(Refused, match="backofLimit"):
        await real.create_job({**misspelt, "metadata": {**misspelt["metadata"], "name": "misspelt"}})
    await real.patch_job(
        "default", request.job_name, {"metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}}
    )
    await real.delete_job("default", request.job_name)
