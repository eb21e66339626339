"""Answers to requests, beyond the recorded traces."""

import asyncio
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from k8s.devcluster.server import ServerOptions
from tests.k8s.devcluster.served import (
    CONFIGMAPS,
    JOBS,
    JSON_PATCH,
    MERGE,
    PODS,
    SECRETS,
    STRATEGIC,
    Client,
    make_config,
    make_job,
    served,
)

LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    options = ServerOptions(history=20, restricted={"known": "somebody"})
    async with served(tmp_path, options=options) as client:
        yield client


async def test_every_answer_carries_the_date(client: Client) -> None:
    for path in (JOBS, "/readyz", "/nope"):
        answer = await client("GET", path)
        assert parsedate_to_datetime(answer.headers["Date"]).year > 2000


async def test_unknown_fields_are_refused_warned_of_or_dropped_as_asked(client: Client) -> None:
    job = make_job("a") | {"spek": {}}
    job["spec"]["template"]["spec"]["containers"][0]["imagge"] = "typo"
    strict = await client("POST", f"{JOBS}?fieldValidation=Strict", job)
    assert strict.status == 400
    assert 'unknown field "spec.template.spec.containers[0].imagge", unknown field "spek"' in strict.body["message"]
    warned = await client("POST", f"{JOBS}?fieldValidation=Warn", job)
    assert warned.status == 201
    assert '299 - "unknown field \\"spek\\""' in warned.headers.getall("Warning")
    assert "spek" not in warned.body
    job["metadata"]["name"] = "b"
    ignored = await client("POST", f"{JOBS}?fieldValidation=Ignore", job)
    assert (ignored.status, "Warning" in ignored.headers) == (201, False)
    assert (await client("POST", f"{JOBS}?fieldValidation=Maybe", job)).status == 422


async def test_unknown_fields_of_a_patch_are_refused_when_strict(client: Client) -> None:
    await client.made(JOBS, make_job("a"))
    patch = {"spec": {"suspendd": True}}
    answer = await client("PATCH", f"{JOBS}/a?fieldValidation=Strict", patch, kind=MERGE)
    assert answer.status == 422
    assert 'unknown field "spec.suspendd"' in answer.body["message"]


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        (
            {"backoffLimit": "three"},
            "cannot unmarshal string into Go struct field JobSpec.spec.backoffLimit of type int32",
        ),
        ({"backoffLimit": True}, "cannot unmarshal bool"),
        (
            {"template": []},
            "cannot unmarshal array into Go struct field JobSpec.spec.template of type v1.PodTemplateSpec",
        ),
        (
            {"template": {"spec": {"containers": [{"image": 1}]}}},
            "cannot unmarshal number into Go struct field Container.spec.template.spec.containers.image of type string",
        ),
    ],
)
async def test_fields_of_a_wrong_type_are_refused(client: Client, spec: dict[str, Any], complaint: str) -> None:
    job = make_job("a")
    job["spec"] |= spec
    answer = await client("POST", JOBS, job)
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")
    assert complaint in answer.body["message"]


async def test_a_dry_run_changes_nothing(client: Client) -> None:
    await client.made(CONFIGMAPS, make_config("a"))
    before = (await client("GET", CONFIGMAPS)).body
    assert (await client("POST", f"{CONFIGMAPS}?dryRun=All", make_config("b"))).status == 201
    patched = await client("PATCH", f"{CONFIGMAPS}/a?dryRun=All", {"data": {"key": "other"}}, kind=MERGE)
    assert patched.body["data"] == {"key": "other"}
    assert (await client("DELETE", f"{CONFIGMAPS}/a?dryRun=All")).status == 200
    assert (await client("DELETE", f"{CONFIGMAPS}/a", {"dryRun": ["All"]})).status == 200
    assert (await client("GET", CONFIGMAPS)).body == before
    assert (await client("POST", f"{CONFIGMAPS}?dryRun=Some", make_config("b"))).status == 400


async def test_a_merge_by_key_keeps_the_other_containers_and_variables(client: Client) -> None:
    job = make_job("a")
    containers = job["spec"]["template"]["spec"]["containers"]
    containers[0]["env"] = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    containers.append({"name": "side", "image": "side:1"})
    patch = {"metadata": {"annotations": {"x": "y"}}, "spec": {"template": {"spec": {"nodeSelector": {"a": "b"}}}}}
    await client.made(JOBS, job)
    answer = await client("PATCH", f"{JOBS}/a", patch, kind=STRATEGIC)
    assert answer.status == 200
    assert answer.body["spec"]["template"]["spec"]["containers"][0]["env"] == containers[0]["env"]
    assert answer.body["metadata"]["generation"] == 2


async def test_finalizers_are_merged_and_removed_by_name(client: Client) -> None:
    await client.made(JOBS, make_job("a", finalizers=["example.com/one"]))
    added = await client("PATCH", f"{JOBS}/a", {"metadata": {"finalizers": ["example.com/two"]}}, kind=STRATEGIC)
    assert added.body["metadata"]["finalizers"] == ["example.com/one", "example.com/two"]
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/one"]}}
    left = await client("PATCH", f"{JOBS}/a", patch, kind=STRATEGIC)
    assert left.body["metadata"]["finalizers"] == ["example.com/two"]


async def test_a_patch_with_an_old_version_conflicts_and_with_the_current_one_does_not(client: Client) -> None:
    made = await client.made(JOBS, make_job("a"))
    version = made["metadata"]["resourceVersion"]
    current = (await client("PATCH", f"{JOBS}/a", {"metadata": {"labels": {"a": "b"}}}, kind=MERGE)).body
    patch = [{"op": "test", "path": "/metadata/resourceVersion", "value": version}]
    assert (await client("PATCH", f"{JOBS}/a", patch, kind=JSON_PATCH)).status == 422
    stale = {"metadata": {"resourceVersion": version, "labels": {"c": "d"}}}
    assert (await client("PATCH", f"{JOBS}/a", stale, kind=MERGE)).status == 409
    stale["metadata"]["resourceVersion"] = (await client("GET", f"{JOBS}/a")).body["metadata"]["resourceVersion"]
    assert (await client("PATCH", f"{JOBS}/a", stale, kind=MERGE)).status == 200
    other = {"metadata": {"uid": "another"}}
    assert (await client("PATCH", f"{JOBS}/a", other, kind=MERGE)).status == 409
    assert current["metadata"]["uid"] == made["metadata"]["uid"]


async def test_a_patch_without_effect_makes_no_new_version(client: Client) -> None:
    made = await client.made(CONFIGMAPS, make_config("a"))
    same = await client("PUT", f"{CONFIGMAPS}/a", made)
    again = await client("PATCH", f"{CONFIGMAPS}/a", {"data": {"key": "value"}}, kind=MERGE)
    versions = {answer.body["metadata"]["resourceVersion"] for answer in (same, again)}
    assert versions == {made["metadata"]["resourceVersion"]}


async def test_status_is_changed_by_its_subresource_only(client: Client) -> None:
    made = await client.made(JOBS, make_job("a", finalizers=["example.com/x"]))
    wanted = {"status": {"succeeded": 7}, "spec": {"backoffLimit": 5}}
    by_main = (await client("PATCH", f"{JOBS}/a", wanted, kind=MERGE)).body
    assert by_main["spec"]["backoffLimit"] == 5
    assert "succeeded" not in by_main["status"]
    wanted["spec"] = {"backoffLimit": 6}
    by_status = (await client("PATCH", f"{JOBS}/a/status", wanted, kind=MERGE)).body
    assert by_status["spec"]["backoffLimit"] == 5
    assert by_status["status"]["succeeded"] == 7
    assert (
        by_status["metadata"]["generation"] == by_main["metadata"]["generation"] == made["metadata"]["generation"] + 1
    )


async def test_a_lease_is_only_replaced_with_its_version(client: Client) -> None:
    made = await client.made(LEASES, {"metadata": {"name": "leader"}, "spec": {"holderIdentity": "a"}})
    blind = {"metadata": {"name": "leader"}, "spec": {"holderIdentity": "b"}}
    assert (await client("PUT", f"{LEASES}/leader", blind)).status == 422
    made["spec"]["holderIdentity"] = "b"
    assert (await client("PUT", f"{LEASES}/leader", made)).status == 200


@pytest.mark.parametrize("moment", ["yesterday", "2026-01-01T00:00:00", "2026-01-01T24:00:00Z"])
async def test_times_that_cannot_be_parsed_are_refused(client: Client, moment: str) -> None:
    answer = await client("POST", LEASES, {"metadata": {"name": "l"}, "spec": {"renewTime": moment}})
    assert (answer.status, "parsing time" in answer.body["message"]) == (400, True)


async def test_preconditions_bind_a_deletion_to_one_object(client: Client) -> None:
    made = await client.made(CONFIGMAPS, make_config("a"))
    for conditions in ({"uid": "another"}, {"resourceVersion": "1"}):
        assert (await client("DELETE", f"{CONFIGMAPS}/a", {"preconditions": conditions})).status == 409
    mine = {"uid": made["metadata"]["uid"], "resourceVersion": made["metadata"]["resourceVersion"]}
    assert (await client("DELETE", f"{CONFIGMAPS}/a", {"preconditions": mine})).status == 200
    assert (await client("DELETE", f"{CONFIGMAPS}/a")).status == 404


async def test_no_finalizer_can_be_added_to_what_is_being_deleted(client: Client) -> None:
    await client.made(CONFIGMAPS, make_config("a", finalizers=["example.com/x"]))
    await client("DELETE", f"{CONFIGMAPS}/a")
    patch = {"metadata": {"finalizers": ["example.com/x", "example.com/y"]}}
    answer = await client("PATCH", f"{CONFIGMAPS}/a", patch, kind=MERGE)
    assert (answer.status, answer.body["details"]["causes"][0]["field"]) == (422, "metadata.finalizers")
    assert (await client("PATCH", f"{CONFIGMAPS}/a", {"metadata": {"finalizers": None}}, kind=MERGE)).status == 200
    assert (await client("GET", f"{CONFIGMAPS}/a")).status == 404


async def test_all_pages_of_a_list_show_the_same_moment(client: Client) -> None:
    for number in range(6):
        await client.made(CONFIGMAPS, make_config(f"c{number}"))
    first = (await client("GET", f"{CONFIGMAPS}?limit=2")).body
    await client("DELETE", f"{CONFIGMAPS}/c3")
    await client("PATCH", f"{CONFIGMAPS}/c4", {"data": {"key": "newer"}}, kind=MERGE)
    await client.made(CONFIGMAPS, make_config("c2a"))
    rest = (await client("GET", f"{CONFIGMAPS}?limit=10&continue={first['metadata']['continue']}")).body
    assert [item["metadata"]["name"] for item in rest["items"]] == ["c2", "c3", "c4", "c5"]
    assert rest["items"][2]["data"] == {"key": "value"}
    assert rest["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_a_page_after_the_history_was_forgotten_is_expired(client: Client) -> None:
    for number in range(4):
        await client.made(CONFIGMAPS, make_config(f"c{number}"))
    first = (await client("GET", f"{CONFIGMAPS}?limit=2")).body
    for number in range(40):
        await client("PATCH", f"{CONFIGMAPS}/c0", {"data": {"key": str(number)}}, kind=MERGE)
    answer = await client("GET", f"{CONFIGMAPS}?limit=2&continue={first['metadata']['continue']}")
    assert (answer.status, answer.body["reason"]) == (410, "Expired")
    assert (await client("GET", f"{CONFIGMAPS}?continue=nonsense")).status == 400


async def test_version_zero_ignores_the_limit_and_a_future_version_is_not_listed(client: Client) -> None:
    for number in range(3):
        await client.made(CONFIGMAPS, make_config(f"c{number}"))
    assert len((await client("GET", f"{CONFIGMAPS}?limit=1&resourceVersion=0")).body["items"]) == 3
    future = await client("GET", f"{CONFIGMAPS}?resourceVersion=99999999")
    assert (future.status, future.headers["Retry-After"]) == (504, "1")


async def test_an_exact_version_is_listed_as_it_was(client: Client) -> None:
    made = await client.made(CONFIGMAPS, make_config("a"))
    await client("DELETE", f"{CONFIGMAPS}/a")
    version = made["metadata"]["resourceVersion"]
    then = (await client("GET", f"{CONFIGMAPS}?resourceVersion={version}&resourceVersionMatch=Exact")).body
    assert [item["metadata"]["name"] for item in then["items"]] == ["a"]


async def test_fields_select_pods_and_events(client: Client) -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "missing/x", "command": ["a"]}]}}
    await client.made(PODS, pod)
    event = {"metadata": {"name": "e"}, "involvedObject": {"kind": "Job", "name": "j"}, "reason": "Why"}
    await client.made("/api/v1/namespaces/default/events", event)
    for path, selector, names in [
        (PODS, "status.phase=Pending,metadata.namespace=default", ["p"]),
        (PODS, "status.phase!=Pending", []),
        (PODS, "spec.nodeName=elsewhere", []),
        ("/api/v1/events", "involvedObject.name=j,involvedObject.kind==Job,reason=Why", ["e"]),
        ("/api/v1/events", "involvedObject.name=k", []),
    ]:
        found = (await client("GET", f"{path}?fieldSelector={selector}")).body["items"]
        assert [item["metadata"]["name"] for item in found] == names, selector
    assert (await client("GET", f"{JOBS}?fieldSelector=spec.nodeName=x")).status == 400


async def test_string_data_of_a_secret_is_stored_encoded(client: Client) -> None:
    made = await client.made(SECRETS, {"metadata": {"name": "s"}, "stringData": {"k": "v"}})
    assert (made["data"], made["type"], "stringData" in made) == ({"k": "dg=="}, "Opaque", False)
    wrong = await client("POST", SECRETS, {"metadata": {"name": "w"}, "data": {"k": "no base64!"}})
    assert (wrong.status, "illegal base64" in wrong.body["message"]) == (400, True)
    large = {"metadata": {"name": "l"}, "data": {"k": "A" * 1_600_000}}
    assert (await client("POST", SECRETS, large)).body["details"]["causes"][0]["reason"] == "FieldValueTooLong"


async def test_bodies_that_are_too_large_are_refused(client: Client) -> None:
    job = make_job("a")
    job["spec"]["template"]["spec"]["containers"][0]["args"] = ["x" * 1_600_000]
    assert (await client("POST", JOBS, job)).body["message"] == "etcdserver: request is too large"
    job["spec"]["template"]["spec"]["containers"][0]["args"] = ["x" * 3_200_000]
    assert (await client("POST", JOBS, job)).status == 413
    assert (await client("GET", f"{JOBS}/a")).status == 404


@pytest.mark.parametrize(
    ("method", "path", "kind", "body", "status"),
    [
        ("PUT", JOBS, "application/json", {}, 405),
        ("POST", "/apis/batch/v1/jobs", "application/json", {}, 405),
        ("GET", "/apis/batch/v2/jobs", "application/json", None, 404),
        ("GET", "/api/v1/namespaces/default/jobs", "application/json", None, 404),
        ("GET", f"{JOBS}/a/log", "application/json", None, 404),
        ("POST", JOBS, "application/yaml", b"a: b", 415),
        ("POST", JOBS, "application/vnd.kubernetes.protobuf", b"nonsense", 400),
        ("POST", JOBS, "application/json", b"{", 400),
        ("POST", JOBS, "application/json", make_job("a") | {"kind": "Pod"}, 400),
        ("POST", JOBS, "application/json", make_job("a", namespace="other"), 400),
        ("POST", JOBS, "application/json", make_job("a", resourceVersion="7"), 400),
        ("POST", JOBS, "application/json", {"spec": make_job("a")["spec"]}, 422),
        ("GET", f"{JOBS}?limit=x", "application/json", None, 400),
        ("GET", f"{JOBS}?resourceVersion=x", "application/json", None, 400),
        ("GET", f"{JOBS}?watch=1&timeoutSeconds=x", "application/json", None, 400),
        ("DELETE", f"{JOBS}/absent", "application/json", [], 400),
        ("DELETE", f"{JOBS}/absent", "application/json", None, 404),
    ],
)
async def test_requests_that_make_no_sense_are_refused(
    client: Client, method: str, path: str, kind: str, body: Any, status: int
) -> None:
    assert (await client(method, path, body, kind=kind)).status == status


async def test_patches_of_an_unknown_kind_or_shape_are_refused(client: Client) -> None:
    await client.made(JOBS, make_job("a"))
    assert (await client("PATCH", f"{JOBS}/a", {}, kind="application/json")).status == 415
    assert (await client("PATCH", f"{JOBS}/a", [], kind=MERGE)).status == 400
    assert (await client("PATCH", f"{JOBS}/a", {}, kind=JSON_PATCH)).status == 400
    assert (await client("PUT", f"{JOBS}/a", make_job("b"))).status == 400
    wrong = await client("DELETE", f"{JOBS}/a?propagationPolicy=Sideways")
    assert (wrong.status, wrong.body["details"]["causes"][0]["field"]) == (422, "propagationPolicy")


async def test_users_without_rights_get_403_and_wrong_tokens_401(client: Client) -> None:
    for header, path, status in [
        ("Bearer known", JOBS, 403),
        ("Bearer known", f"{JOBS}/a", 403),
        ("Bearer known", "/apis", 403),
        ("Bearer unknown", JOBS, 401),
        ("Basic abc", JOBS, 401),
        ("Bearer known", "/readyz", 200),
    ]:
        assert (await client("GET", path, Authorization=header)).status == status, (header, path)


async def test_concurrent_creates_of_one_name_make_one_object(client: Client) -> None:
    answers = await asyncio.gather(*(client("POST", JOBS, make_job("same")) for _ in range(20)))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 19


async def test_generated_names_differ_and_begin_as_asked(client: Client) -> None:
    job = make_job("")
    job["metadata"] = {"generateName": "gen-"}
    names = {(await client.made(JOBS, job))["metadata"]["name"] for _ in range(5)}
    assert len(names) == 5
    assert all(name.startswith("gen-") and len(name) == 9 for name in names)


async def test_deleting_a_collection_deletes_what_is_selected(client: Client) -> None:
    for name, label in (("a", "x"), ("b", "y"), ("c", "x")):
        await client.made(CONFIGMAPS, make_config(name, labels={"l": label}))
    assert len((await client("DELETE", f"{CONFIGMAPS}?labelSelector=l=x")).body["items"]) == 2
    assert [item["metadata"]["name"] for item in (await client("GET", CONFIGMAPS)).body["items"]] == ["b"]


async def test_tables_have_a_row_per_object(client: Client) -> None:
    await client.made(JOBS, make_job("a"))
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    table = (await client("GET", JOBS, Accept=accept)).body
    assert table["kind"] == "Table"
    assert [column["name"] for column in table["columnDefinitions"]][:3] == ["Name", "Status", "Completions"]
    assert table["rows"][0]["cells"][0] == "a"
    assert table["rows"][0]["object"]["metadata"]["name"] == "a"
    single = (await client("GET", f"{JOBS}/a?includeObject=Object", Accept=accept)).body
    assert single["rows"][0]["object"]["kind"] == "Job"


async def test_who_asks_for_metadata_alone_gets_no_more_of_an_object(client: Client) -> None:
    accept = {"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1, application/json"}
    made = await client("POST", CONFIGMAPS, make_config("a", labels={"l": "x"}), **accept)
    whole = (await client("GET", f"{CONFIGMAPS}/a")).body
    partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": whole["metadata"]}
    assert (made.status, made.body) == (201, partial)
    assert (await client("GET", f"{CONFIGMAPS}/a", **accept)).body == partial


async def test_eviction_marks_the_pod_and_deletes_it(client: Client) -> None:
    container = {"name": "main", "image": "busybox:1", "command": ["sleep", "60"]}
    await client.made(
        PODS,
        {
            "metadata": {"name": "p", "finalizers": ["example.com/held"]},
            "spec": {"restartPolicy": "Never", "nodeSelector": {"disk": "none"}, "containers": [container]},
        },
    )
    answer = await client("POST", f"{PODS}/p/eviction", {"metadata": {"name": "p"}})
    assert (answer.status, answer.body["status"]) == (201, "Success")
    pod = (await client("GET", f"{PODS}/p")).body
    assert "deletionTimestamp" in pod["metadata"]
    found = next(item for item in pod["status"]["conditions"] if item["type"] == "DisruptionTarget")
    assert (found["status"], found["reason"]) == ("True", "EvictionByEvictionAPI")
    assert (await client("POST", f"{PODS}/absent/eviction", {})).status == 404
    assert (await client("GET", f"{PODS}/p/eviction")).status == 405
