"""An operator's manifest becomes a Job: what we need is added, what the operator wrote stays, mistakes are found."""

import secrets
from typing import Any

import orjson
import pytest

from events.cloudevent.event import build, encode_structured
from events.functions.file import parse_functions
from events.functions.functions import Call
from events.identity import request_label
from events.jobs.observed import Job
from events.names import BY_FUNCTION, FINALIZER, Annotation, Label
from events.request.strings import MAX_STRING
from k8s.api.cluster import Cluster
from k8s.base import Manifest
from k8s.manifests.check import dropped, problems
from k8s.manifests.function import render_call
from k8s.manifests.job import Rendered
from k8s.manifests.pod import EVENT_PATH, RESULT_PATH, payload_name
from k8s.reading.job import job_of
from k8s.reading.pod import parse_pod
from tests.k8s.requests import options

EVENT = {"annotations": {Annotation.EVENT: "x"}}
CONTAINER = {"name": "main", "image": "busybox:1", "command": ["true"]}


def make_job(
    *, metadata: Any = None, template: Any = None, containers: Any = None, pod: Any = None, **spec: Any
) -> Any:
    pod_spec = {"containers": [CONTAINER] if containers is None else containers, **(pod or {})}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "spec": {"template": {"spec": pod_spec, **(template or {})}, **spec},
    }
    return job if metadata is None else {**job, "metadata": metadata}


def make_rendered(
    job: Any, *, env: Any = None, data: object = None, payload: str | None = None, **changes: Any
) -> Rendered:
    written = {"name": "thumb", "filters": [], "env": env or {}, "job": job, "payload": payload}
    document = {"functions": [written]}
    (function,) = parse_functions(document)
    event = {"specversion": "1.0", "id": "e1", "source": "/shop", "type": "t", "traceparent": "00-aa-bb-01"}
    before = orjson.dumps(function.job)
    rendered = render_call(Call.of(function, build(event, data)), options=options(**changes))
    assert orjson.dumps(function.job) == before, "the function is used again"
    return rendered


def pod(rendered: Rendered) -> Manifest:
    found: Manifest = rendered.job["spec"]["template"]
    return found


def env(container: Manifest) -> dict[str, str]:
    return {variable["name"]: variable.get("value", "") for variable in container["env"]}


def as_job(rendered: Rendered) -> Job:
    return job_of(rendered.job)


def test_everything_that_we_track_a_job_by_is_on_it() -> None:
    rendered = make_rendered(make_job(), instance="teama")
    assert rendered.inline
    metadata = rendered.job["metadata"]
    assert metadata["labels"] == {
        Label.MANAGED_BY: "jobrelay",
        Label.NAME: "thumb",
        Label.APP: "thumb",
        Label.INSTANCE: "teama",
        Label.REQUEST: request_label("thumb/e1"),
    }
    assert pod(rendered)["metadata"]["labels"] == metadata["labels"]
    assert metadata["finalizers"] == [FINALIZER]
    assert metadata["namespace"] == "default"
    job = as_job(rendered)
    assert (job.request_id, job.source, job.service, job.ttl) == ("thumb/e1", "/shop", "thumb", 3600)
    assert (job.broker, job.start_timeout, job.format) == ("nats", 600, 1)


def test_stored_names_do_not_change() -> None:
    metadata = make_rendered(make_job()).job["metadata"]
    assert metadata["name"] == "thumb-qd7weoztyxkd"
    assert metadata["labels"]["jobrelay.dev/request"] == "5ivpc2ycbu54h6hucza7kgfhahu2tmw4oxcg4isxoqjf2jlo3muq"
    assert metadata["annotations"]["jobrelay.dev/id"] == "thumb/e1"


def test_the_container_gets_the_paths_of_event_and_result_and_the_variables() -> None:
    rendered = make_rendered(make_job(), env={"URL": "{data.url}"}, data={"url": "s3://a$b"})
    (container,) = pod(rendered)["spec"]["containers"]
    assert env(container) == {
        "CE_ID": "e1",
        "CE_SOURCE": "/shop",
        "CE_TYPE": "t",
        "TRACEPARENT": "00-aa-bb-01",
        "JOBRELAY_JOB_ID": "thumb/e1",
        "JOBRELAY_EVENT_PATH": EVENT_PATH,
        "JOBRELAY_RESULT_PATH": RESULT_PATH,
        "URL": "s3://a$$b",
    }
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert orjson.loads(pod(rendered)["metadata"]["annotations"][Annotation.EVENT])["data"] == {"url": "s3://a$b"}


def test_what_the_operator_wrote_stays() -> None:
    container = {
        **CONTAINER,
        "env": [{"name": "CE_ID", "value": "mine"}, {"name": "URL", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}],
        "terminationMessagePath": "/tmp/result",
        "terminationMessagePolicy": "File",
        "volumeMounts": [{"name": "work", "mountPath": "/work"}],
    }
    given = make_job(
        metadata={"namespace": "other", "labels": {Label.NAME: "images", "team": "a"}, "annotations": {"note": "x"}},
        containers=[container],
        pod={
            "restartPolicy": "OnFailure",
            "automountServiceAccountToken": True,
            "volumes": [{"name": "work", "emptyDir": {}}],
            "securityContext": {"runAsUser": 1},
        },
        template={"metadata": {"labels": {"tier": "batch", Label.APP: "mine"}, "annotations": {"a": "b"}}},
        backoffLimit=2,
        activeDeadlineSeconds=60,
    )
    rendered = make_rendered(given, env={"URL": "{id}"})
    job, template = rendered.job, pod(rendered)
    assert job["metadata"]["namespace"] == "other"
    assert {Label.NAME: "images", "team": "a"}.items() <= job["metadata"]["labels"].items()
    assert job["metadata"]["annotations"]["note"] == "x"
    assert as_job(rendered).service == "images"
    assert (job["spec"]["backoffLimit"], job["spec"]["activeDeadlineSeconds"]) == (2, 60)
    assert {"tier": "batch", Label.APP: "mine"}.items() <= template["metadata"]["labels"].items()
    assert template["metadata"]["annotations"]["a"] == "b"
    spec = template["spec"]
    assert (spec["restartPolicy"], spec["automountServiceAccountToken"]) == ("OnFailure", True)
    assert spec["securityContext"] == {"runAsUser": 1}
    assert [volume["name"] for volume in spec["volumes"]] == ["work", "jobrelay-event"]
    (found,) = spec["containers"]
    assert (found["terminationMessagePath"], found["terminationMessagePolicy"]) == ("/tmp/result", "File")
    assert [mount["name"] for mount in found["volumeMounts"]] == ["work", "jobrelay-event"]
    assert found["env"][-2:] == container["env"], "the operator's come last, so that they can refer to ours"
    assert [variable["name"] for variable in found["env"]].count("CE_ID") == 1
    assert env(found)["JOBRELAY_RESULT_PATH"] == "/tmp/result"


def test_nothing_is_set_that_the_operator_left_to_kubernetes() -> None:
    spec = make_rendered(make_job()).job["spec"]
    assert set(spec) == {"template"}
    assert set(spec["template"]["spec"]) == {"containers", "volumes", "restartPolicy", "automountServiceAccountToken"}


def test_a_service_account_that_is_named_keeps_its_token() -> None:
    spec = pod(make_rendered(make_job(pod={"serviceAccountName": "robot"})))["spec"]
    assert "automountServiceAccountToken" not in spec


def test_the_ttl_is_kept_in_an_annotation_until_the_end_is_published() -> None:
    short, long = (make_rendered(make_job(ttlSecondsAfterFinished=seconds), min_ttl=300) for seconds in (0, 900))
    assert (as_job(short).ttl, short.ttl_raised) == (300, True)
    assert (as_job(long).ttl, long.ttl_raised) == (900, False)
    assert "ttlSecondsAfterFinished" not in short.job["spec"]


@pytest.mark.parametrize(
    ("spec", "payload", "inline_bytes"), [({"parallelism": 2}, None, 16384), ({}, None, 0), ({}, "secret", 16384)]
)
def test_a_large_event_several_pods_or_payload_secret_put_the_event_into_a_secret(
    spec: Any, payload: str | None, inline_bytes: int
) -> None:
    rendered = make_rendered(make_job(**spec), payload=payload, inline_bytes=inline_bytes)
    assert not rendered.inline
    assert rendered.job["spec"]["suspend"] is True
    assert rendered.job["metadata"]["annotations"][Annotation.PAYLOAD] == "pending"
    volume = pod(rendered)["spec"]["volumes"][0]
    assert volume["secret"]["secretName"] == payload_name(rendered.job["metadata"]["name"])
    assert Annotation.EVENT not in pod(rendered)["metadata"].get("annotations", {})


def test_a_suspended_manifest_says_who_suspended_it() -> None:
    assert as_job(make_rendered(make_job(suspend=True))).suspended_by == BY_FUNCTION
    assert as_job(make_rendered(make_job())).suspended_by is None


def test_every_container_gets_the_event_and_the_first_decides_the_outcome() -> None:
    containers = [{"name": "work", "image": "a"}, {"name": "agent", "image": "b"}]
    rendered = make_rendered(make_job(containers=containers, pod={"initContainers": [{"name": "fetch", "image": "c"}]}))
    spec = pod(rendered)["spec"]
    for container in (*spec["containers"], *spec["initContainers"]):
        assert env(container)["JOBRELAY_EVENT_PATH"] == EVENT_PATH
        assert container["volumeMounts"][0]["name"] == "jobrelay-event"
    statuses = [
        {"name": name, "state": {"terminated": {"exitCode": code}}} for name, code in (("agent", 1), ("work", 7))
    ]
    shown = {"metadata": {"name": "p", **pod(rendered)["metadata"]}, "status": {"containerStatuses": statuses}}
    found = parse_pod(orjson.dumps(shown))
    assert found.main is not None
    assert (found.main.name, found.main.exit_code) == ("work", 7)


def test_nulls_count_as_absent_fields() -> None:
    job = make_job(metadata={"labels": None, "annotations": None}, suspend=None, pod={"volumes": None})
    assert problems(job, ("job",)) == []
    assert as_job(make_rendered(job)).suspend is False


def test_the_event_is_passed_on_as_it_came() -> None:
    event = build({"specversion": "1.0", "id": "e1", "source": "/s", "type": "t", "ext": "x"}, [1])
    (function,) = parse_functions({"functions": [{"name": "f", "filters": [], "job": make_job()}]})
    rendered = render_call(Call.of(function, event), options=options(), trace={"traceparent": "00-new"})
    assert rendered.event == encode_structured(event)
    assert env(pod(rendered)["spec"]["containers"][0])["TRACEPARENT"] == "00-new"


def mistakes(job: Any) -> dict[str, str]:
    return {error.path: str(error) for error in problems(job, ("job",))}


@pytest.mark.parametrize(
    ("path", "message", "job"),
    [
        ("job.kind", "must be Job", make_job() | {"kind": "CronJob"}),
        ("job.apiVersion", "batch/v1", {**make_job(), "apiVersion": "v1"}),
        ("job.status", "Kubernetes'", {**make_job(), "status": {}}),
        ("job.spec", "is missing", {"apiVersion": "batch/v1", "kind": "Job"}),
        ("job.spec", "must be an object", {"apiVersion": "batch/v1", "kind": "Job", "spec": 7}),
        ("job.metadata.name", "must be text", make_job(metadata={"name": 7})),
        ("job.metadata.finalizers", "namespace, labels", make_job(metadata={"finalizers": ["x/y"]})),
        ("job.metadata.namespace", "no name", make_job(metadata={"namespace": "A"})),
        ("job.metadata.labels", "jobrelay's own", make_job(metadata={"labels": {Label.REQUEST: "x"}})),
        ("job.metadata.labels", "jobrelay's own", make_job(metadata={"labels": {Label.INSTANCE: "x"}})),
        ("job.spec.template.metadata.labels", "own", make_job(template={"metadata": {"labels": {Label.REQUEST: "x"}}})),
        ("job.spec.template.metadata.annotations", "own", make_job(template={"metadata": EVENT})),
        ("job.spec.backofLimit", "did you mean backoffLimit", make_job(backofLimit=1)),
        ("job.spec.backoff_limit", "did you mean backoffLimit", make_job(backoff_limit=1)),
        ("job.spec.retries", "did you mean backoffLimit", make_job(retries=1)),
        ("job.image", "it belongs into job.spec.template.spec.containers[0]", {**make_job(), "image": "a"}),
        ("job.labels", "it belongs into job.metadata", {**make_job(), "labels": {}}),
        ("job.spec.restartPolicy", "it belongs into job.spec.template.spec", make_job(restartPolicy="Never")),
        ("job.spec.template.spec.backoffLimit", "it belongs into job.spec", make_job(pod={"backoffLimit": 1})),
        (
            "job.spec.template.spec.containers[0].volumes",
            "it belongs into job.spec.template.spec",
            make_job(containers=[{**CONTAINER, "volumes": []}]),
        ),
        (
            "job.spec.template.spec.containers[0].envRef",
            "did you mean envFrom",
            make_job(containers=[{**CONTAINER, "envRef": []}]),
        ),
        (
            "job.spec.template.spec.containers[0].resources.memory",
            "amounts stand in limits and requests",
            make_job(containers=[{**CONTAINER, "resources": {"memory": "1Gi"}}]),
        ),
        ("job.spec.backoffLimit", "must be an integer", make_job(backoffLimit="1")),
        ("job.spec.suspend", "must be true or false", make_job(suspend="yes")),
        ("job.spec.selector", "Kubernetes", make_job(selector={"matchLabels": {}})),
        ("job.spec.template.spec.containers", "at least one", make_job(containers=[])),
        ("job.spec.template.spec.containers", "must be a list", make_job(containers={})),
        ("job.spec.template.spec.containers[0].image", "is missing", make_job(containers=[{"name": "a"}])),
        ("job.spec.template.spec.containers[0].comand", "command", make_job(containers=[{**CONTAINER, "comand": []}])),
        ("job.spec.template.spec.containers[1].name", "another", make_job(containers=[CONTAINER, CONTAINER])),
        ("job.spec.template.spec.restartPolicy", "Never or", make_job(pod={"restartPolicy": "Always"})),
        ("job.spec.template.spec.volumes[0].name", "own", make_job(pod={"volumes": [{"name": "jobrelay-event"}]})),
        (
            "job.spec.template.spec.containers[0].volumeMounts[0].mountPath",
            "event",
            make_job(containers=[{**CONTAINER, "volumeMounts": [{"name": "x", "mountPath": "/var/run/jobrelay/"}]}]),
        ),
        (
            "job.spec.template.spec.containers[0].resources.limits.cpu",
            "no quantity",
            make_job(containers=[{**CONTAINER, "resources": {"limits": {"cpu": "much"}}}]),
        ),
        ("job.spec.template.spec.nodeSelector.gpu", "must be text", make_job(pod={"nodeSelector": {"gpu": True}})),
        ("job.metadata.labels", "quotes", make_job(metadata={"labels": {1: "x"}})),
        ("job", "JSON", make_job(containers=[{**CONTAINER, "livenessProbe": {"tcpSocket": {"port": b"x"}}}])),
    ],
)  # fmt: skip
def test_a_manifest_that_cannot_become_a_job_is_refused_with_the_place(path: str, message: str, job: Any) -> None:
    found = [text for where, text in mistakes(job).items() if where.startswith(path)]
    assert found, mistakes(job)
    assert message in found[0]


def test_all_mistakes_of_a_manifest_are_reported_at_once() -> None:
    job = make_job(backofLimit=1, suspend=1, pod={"hostNetwork": "yes", "tolerations": {}})
    assert len(mistakes(job)) == 4


def test_a_mistake_in_the_shape_hides_no_rule() -> None:
    odd = {**CONTAINER, "command": "true", "volumeMounts": [7, {"name": "x", "mountPath": "/var/run/jobrelay"}]}
    pod = {
        "restartPolicy": "Always",
        "volumes": [{"name": "jobrelay-event"}, "x"],
        "initContainers": [{"name": "main", "image": ["a"]}],
        "hostNetwork": 1,
    }
    metadata = {"finalizers": [], "labels": {Label.REQUEST: "x", 5: "y"}, "annotations": 7, "namespace": ["a"]}
    found = mistakes(make_job(metadata=metadata, containers=[odd], pod=pod, selector={}, suspend=1))
    template = "job.spec.template.spec"
    assert set(found) == {
        "job.metadata.finalizers",
        "job.metadata.labels.'5'",
        f"job.metadata.labels.{Label.REQUEST!r}",
        "job.metadata.annotations",
        "job.metadata.namespace",
        "job.spec.selector",
        "job.spec.suspend",
        "job",  # its labels cannot be JSON
        *(f"{template}.{path}" for path in ("restartPolicy", "volumes[0].name", "volumes[1]", "hostNetwork")),
        *(f"{template}.initContainers[0].{path}" for path in ("name", "image")),
        *(f"{template}.containers[0].{path}" for path in ("command", "volumeMounts[0]", "volumeMounts[1].mountPath")),
    }


@pytest.mark.parametrize("broken", [None, 7, "x", [], {}, {"template": []}, {"template": {"spec": []}}])
def test_whatever_a_manifest_is_its_mistakes_are_told(broken: Any) -> None:
    assert mistakes({"apiVersion": "batch/v1", "kind": "Job", "spec": broken})
    assert mistakes({"apiVersion": "batch/v1", "kind": "Job", "metadata": broken, "spec": {"template": broken}})
    assert mistakes(make_job(containers=[broken], pod={"volumes": broken, "initContainers": broken}))


def test_a_cron_job_is_told_where_its_job_is_and_what_is_wrong_in_it() -> None:
    job = make_job(backofLimit=1, containers=[{"name": "a"}])
    cron = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "nightly"},
        "spec": {"schedule": "@daily", "jobTemplate": {"spec": job["spec"]}},
    }
    found = mistakes(cron)
    inner = "job.spec.jobTemplate.spec"
    assert set(found) == {"job.kind", f"{inner}.backofLimit", f"{inner}.template.spec.containers[0].image"}
    assert f"what is in {inner};" in found["job.kind"]


def test_what_charts_write_about_names_and_managers_is_dropped_and_said_to_be() -> None:
    helm = {Label.MANAGED_BY: "Helm", "helm.sh/chart": "thumbnail-1.0"}
    rendered_chart = make_job(
        metadata={"name": "release-thumbnail", "generateName": "x-", "creationTimestamp": None, "labels": helm},
        template={"metadata": {"labels": helm, "creationTimestamp": None}},
    )
    assert mistakes(rendered_chart) == {}
    told = [str(error) for error in dropped(rendered_chart, ("job",))]
    assert told == [
        "job.metadata.name is dropped: jobrelay names each Job",
        "job.metadata.generateName is dropped: jobrelay names each Job",
        f"job.metadata.labels.{Label.MANAGED_BY!r} is dropped: jobrelay finds its Jobs by jobrelay there",
        f"job.spec.template.metadata.labels.{Label.MANAGED_BY!r} is dropped: jobrelay finds its Jobs by jobrelay there",
    ]
    rendered = make_rendered(rendered_chart)
    metadata = rendered.job["metadata"]
    assert metadata["name"].startswith("thumb-")
    assert "generateName" not in metadata
    for labels in (metadata["labels"], pod(rendered)["metadata"]["labels"]):
        assert (labels[Label.MANAGED_BY], labels["helm.sh/chart"]) == ("jobrelay", "thumbnail-1.0")
    assert dropped(make_job(metadata={"name": None, "labels": {Label.MANAGED_BY: "jobrelay"}}), ("job",)) == []


def test_timeouts_tags_and_metadata_are_on_the_job_as_those_of_a_request() -> None:
    written = {"startTimeout": 7, "timeout": 90, "tags": ["{data.a}"], "metadata": {"b": ["{id}", 1]}}
    document = {"functions": [{"name": "thumb", "filters": [], "job": make_job(), **written}]}
    (function,) = parse_functions(document)
    event = build({"specversion": "1.0", "id": "e1", "source": "/shop", "type": "t"}, {"a": "x"})
    job = as_job(render_call(Call.of(function, event), options=options()))
    assert (job.start_timeout, job.timeout, job.tags, job.metadata) == (7, 90, '["x"]', '{"b":["e1",1]}')
    plain = as_job(make_rendered(make_job()))
    assert (plain.start_timeout, plain.timeout, plain.tags, plain.metadata) == (600, None, None, None)


@pytest.mark.parametrize("kind", ["containers", "initContainers"])
def test_a_string_that_linux_starts_no_program_with_is_refused_in_every_container(kind: str) -> None:
    long = {**CONTAINER, "name": "long", "args": ["x" * MAX_STRING], "env": [{"name": "A", "value": "x" * MAX_STRING}]}
    place = f"job.spec.template.spec.{kind}[0]"
    found = mistakes(make_job(pod={kind: [long]}))
    assert set(found) == {f"{place}.env[0].value", f"{place}.args[0]"}
    assert "131072 bytes" in found[f"{place}.args[0]"]


def test_privileges_are_allowed_to_the_operator() -> None:
    """Requests come from the network and may not do this; functions come from the operator."""
    privileged = {**CONTAINER, "securityContext": {"privileged": True}, "resources": {"limits": {"cpu": 2}}}
    volumes = [{"name": "host", "hostPath": {"path": "/"}}, {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}]
    assert mistakes(make_job(containers=[privileged], pod={"hostNetwork": True, "volumes": volumes})) == {}


async def test_a_server_that_checks_every_field_accepts_the_job(cluster: Cluster) -> None:
    job = make_job(
        metadata={"labels": {"team": "a"}},
        containers=[
            CONTAINER,
            {"name": "agent", "image": "b:1", "command": ["true"], "resources": {"limits": {"cpu": 2}}},
        ],
        pod={"tolerations": [{"operator": "Exists"}], "terminationGracePeriodSeconds": 5},
        completionMode="Indexed",
        completions=2,
        parallelism=2,
    )
    assert mistakes(job) == {}
    rendered = make_rendered(job, env={"X": "{id}"}, namespace="default")
    rendered.job["metadata"]["name"] = f"f-{secrets.token_hex(4)}"
    assert (await cluster.create_job(rendered.job)).uid


def test_without_app_labels_a_function_is_its_service_in_a_label_of_ours() -> None:
    rendered = make_rendered(make_job(), app_label=False)
    for labels in (rendered.job["metadata"]["labels"], pod(rendered)["metadata"]["labels"]):
        assert labels[Label.SERVICE] == "thumb"
        assert not {Label.APP, Label.NAME} & labels.keys()
    named = make_rendered(make_job(metadata={"labels": {Label.NAME: "images"}}), app_label=False)
    assert pod(named)["metadata"]["labels"][Label.SERVICE] == "images"
