"""Server-side apply over HTTP: who owns which fields, conflicts between owners, and what a manager no longer wants."""

from typing import Any

import pytest
import yaml

from k8s.devcluster.api.fieldsets import as_json, fields, from_json, shown
from tests.k8s.devcluster.served import CONFIGMAPS, JOBS, MERGE, Answer, Client, make_config, make_job

APPLY = "application/apply-patch+yaml"


def config(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}


async def applied(
    client: Client, body: Any, *, manager: str = "one", path: str = f"{CONFIGMAPS}/c", **query: str
) -> Answer:
    asked = "".join(f"&{name}={value}" for name, value in query.items())
    raw = body if isinstance(body, bytes) else yaml.safe_dump(body).encode()
    return await client("PATCH", f"{path}?fieldManager={manager}{asked}", raw, kind=APPLY)


def job(name: str = "j", *, env: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    made = make_job(name) | {"apiVersion": "batch/v1", "kind": "Job"}
    container = made["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [{"name": key, "value": value} for key, value in (env or {}).items()]
    made["spec"] |= spec
    return made


def conflicts(answer: Answer) -> list[tuple[str, str]]:
    assert answer.status == 409, answer.body
    return [(cause["message"], cause["field"]) for cause in answer.body["details"]["causes"]]


async def test_apply_creates_then_changes_then_does_nothing(client: Client) -> None:
    created = await applied(client, config(a="1"))
    changed = await applied(client, config(a="2"))
    again = await applied(client, config(a="2"))
    assert [answer.status for answer in (created, changed, again)] == [201, 200, 200]
    assert changed.body["data"] == {"a": "2"}
    assert again.body == changed.body
    (entry,) = changed.body["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"], entry["apiVersion"]) == ("one", "Apply", "v1")
    assert entry["fieldsV1"] == {"f:data": {"f:a": {}}}


async def test_what_a_manager_no_longer_applies_is_removed_unless_another_owns_it(client: Client) -> None:
    await applied(client, config(mine="1", shared="2"))
    await applied(client, config(shared="2", theirs="3"), manager="two")
    assert (await applied(client, config(other="4"))).body["data"] == {"shared": "2", "theirs": "3", "other": "4"}
    gone = (await applied(client, {"apiVersion": "v1", "kind": "ConfigMap"}, manager="two")).body
    assert gone["data"] == {"other": "4"}
    assert [entry["manager"] for entry in gone["metadata"]["managedFields"]] == ["one"]


async def test_another_manager_conflicts_until_it_forces(client: Client) -> None:
    await applied(client, config(a="1", b="1", c="1"))
    one = await applied(client, config(a="2"), manager="two")
    assert one.body["message"] == 'Apply failed with 1 conflict: conflict with "one": .data.a'
    two = await applied(client, config(a="2", b="2", c="1"), manager="two")
    assert conflicts(two) == [('conflict with "one"', ".data.a"), ('conflict with "one"', ".data.b")]
    assert two.body["message"] == 'Apply failed with 2 conflicts: conflicts with "one":\n- .data.a\n- .data.b'
    forced = await applied(client, config(a="2"), manager="two", force="true")
    assert forced.body["data"] == {"a": "2", "b": "1", "c": "1"}
    assert conflicts(await applied(client, config(a="1"))) == [('conflict with "two"', ".data.a")]
    assert (await applied(client, config(b="1"))).body["data"] == {"a": "2", "b": "1"}


async def test_other_changes_take_fields_over(client: Client) -> None:
    await applied(client, config(a="1", b="1"))
    await client("PATCH", f"{CONFIGMAPS}/c?fieldManager=editor", {"data": {"a": "2"}}, kind=MERGE)
    assert conflicts(await applied(client, config(a="1"))) == [('conflict with "editor" using v1', ".data.a")]
    assert (await applied(client, config(a="2"))).body["data"] == {"a": "2"}
    await client("PATCH", f"{CONFIGMAPS}/c", {"data": {"a": None}}, kind=MERGE)
    assert (await applied(client, config(a="3"))).body["data"] == {"a": "3"}


async def test_the_maker_of_an_object_owns_what_it_made(client: Client) -> None:
    await client.made(f"{CONFIGMAPS}?fieldManager=maker", make_config("c"))
    maker = 'conflict with "maker" using v1'
    assert conflicts(await applied(client, config(key="other"))) == [(maker, ".data.key")]
    assert (await applied(client, config(key="value"))).status == 200
    assert (await applied(client, config(more="1"))).body["data"] == {"key": "value", "more": "1"}


async def test_whoever_changes_an_object_before_its_first_apply_owns_the_change(client: Client) -> None:
    made = make_config("c") | {"data": {"a": "1", "b": "1", "c": "1"}}
    maker = {"User-Agent": "maker/1.2 (linux)"}
    await client("POST", CONFIGMAPS, made, **maker)
    await client("PATCH", f"{CONFIGMAPS}/c", {"data": {"a": "2"}}, kind=MERGE, **maker)
    await client("PUT", f"{CONFIGMAPS}/c?fieldManager=editor", made | {"data": {"a": "2", "b": "2", "c": "1"}})
    assert conflicts(await applied(client, config(a="9", b="9", c="9"))) == [
        ('conflict with "editor" using v1', ".data.b"),
        ('conflict with "maker" using v1', ".data.a"),
        ('conflict with "maker" using v1', ".data.c"),
    ]


async def test_what_the_cluster_made_belongs_to_nobody_in_particular(client: Client) -> None:
    path = "/api/v1/namespaces/default/serviceaccounts/default"
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "automountServiceAccountToken": False}
    assert (await applied(client, account, path=path)).status == 200
    account["automountServiceAccountToken"] = True
    assert conflicts(await applied(client, account, manager="two", path=path)) == [
        ('conflict with "one"', ".automountServiceAccountToken")
    ]


async def test_a_client_may_hand_over_and_forget_owners(client: Client) -> None:
    """As kubectl does when an object that it applied by itself is applied by the server for the first time."""
    await client.made(f"{CONFIGMAPS}?fieldManager=before", make_config("c"))
    entries = (await applied(client, config(key="value"))).body["metadata"]["managedFields"]
    handed = [entry for entry in entries if entry["manager"] == "one"]
    for managed, left in ((handed, {}), ([{}], {"key": "value"})):
        patch: dict[str, Any] = {"metadata": {"managedFields": managed}}
        assert (await client("PATCH", f"{CONFIGMAPS}/c?fieldManager=any", patch, kind=MERGE)).status == 200
        answer = await applied(client, {"apiVersion": "v1", "kind": "ConfigMap"})
        assert answer.body.get("data", {}) == left
        await applied(client, config(key="value"))
    wrong = {"metadata": {"managedFields": [{"manager": "x"}]}}
    assert (await client("PATCH", f"{CONFIGMAPS}/c", wrong, kind=MERGE)).status == 400


async def test_items_of_lists_are_merged_by_their_keys(client: Client) -> None:
    path = f"{JOBS}/j"
    assert (await applied(client, job(env={"A": "1", "B": "2"}), path=path)).status == 201
    body = job(env={"C": "3"})
    container = body["spec"]["template"]["spec"]["containers"][0]
    only_env = {"name": container["name"], "env": container["env"]}
    body["spec"] = {"template": {"spec": {"containers": [only_env]}}}
    unchangeable = await applied(client, body, manager="two", path=path, force="true")
    assert (unchangeable.status, unchangeable.body["details"]["causes"][0]["field"]) == (422, "spec.template")
    other = job(env={"A": "2"})
    field = '.spec.template.spec.containers[name="main"].env[name="A"].value'
    assert conflicts(await applied(client, other, manager="two", path=path)) == [('conflict with "one"', field)]


async def test_a_field_that_is_dropped_gets_its_default(client: Client) -> None:
    path = f"{JOBS}/j"
    assert (await applied(client, job(suspend=True, backoffLimit=2), path=path)).body["spec"]["backoffLimit"] == 2
    body = job(suspend=True)
    del body["spec"]["backoffLimit"]
    answer = await applied(client, body, path=path)
    assert (answer.status, answer.body["spec"]["backoffLimit"]) == (200, 6)


async def test_a_dry_run_answers_and_stores_nothing(client: Client) -> None:
    assert (await applied(client, config(a="1"), dryRun="All")).status == 201
    assert (await client("GET", f"{CONFIGMAPS}/c")).status == 404
    stored = (await applied(client, config(a="1"))).body
    assert (await applied(client, config(a="2"), dryRun="All")).body["data"] == {"a": "2"}
    assert conflicts(await applied(client, config(a="2"), manager="two", dryRun="All"))
    assert (await client("GET", f"{CONFIGMAPS}/c")).body == stored


async def test_a_status_is_applied_apart_from_the_rest(client: Client) -> None:
    await client.made(JOBS, make_job("j", suspend=True))
    body = job(parallelism=7) | {"status": {"succeeded": 3}}
    body["metadata"]["labels"] = {"a": "b"}
    answer = await applied(client, body, path=f"{JOBS}/j/status", force="true")
    assert (answer.body["status"]["succeeded"], answer.body["spec"]["parallelism"]) == (3, 1)
    entries = [entry for entry in answer.body["metadata"]["managedFields"] if entry["manager"] == "one"]
    assert [(entry["subresource"], entry["fieldsV1"]) for entry in entries] == [
        ("status", {"f:status": {"f:succeeded": {}}})
    ]
    assert (await applied(client, job("none"), path=f"{JOBS}/none/status")).status == 404


async def test_an_apply_of_another_version_conflicts(client: Client) -> None:
    made = (await applied(client, config(a="1"))).body
    stale = config(a="2")
    stale["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"]
    assert (await applied(client, stale)).status == 200
    answer = await applied(client, stale)
    assert (answer.status, "the object has been modified" in answer.body["message"]) == (409, True)


@pytest.mark.parametrize(
    ("query", "body", "status", "complaint"),
    [
        ("", config(), 422, "fieldManager: Required value: is required for apply patch"),
        (f"fieldManager={'x' * 129}", config(), 422, "may not be longer than 128"),
        ("fieldManager=a", b"{", 400, "error decoding YAML"),
        ("fieldManager=a", b"- a", 400, "error decoding YAML"),
        ("fieldManager=a", config() | {"kind": "Secret"}, 400, "kind is 'Secret'"),
        ("fieldManager=a", config() | {"metadata": {"name": "other"}}, 400, "does not match the name on the URL"),
        ("fieldManager=a", config() | {"metadata": {"managedFields": [{}]}}, 400, "managedFields must be nil"),
        ("fieldManager=a", config() | {"dta": {}}, 500, ".dta: field not declared in schema"),
        ("fieldManager=a", config() | {"data": []}, 500, "failed to create typed patch object"),
        ("fieldManager=a", config() | {"data": {"no key!": "x"}}, 422, "a valid config key"),
    ],
)
async def test_what_cannot_be_applied_is_refused(
    client: Client, query: str, body: Any, status: int, complaint: str
) -> None:
    raw = body if isinstance(body, bytes) else yaml.safe_dump(body).encode()
    answer = await client("PATCH", f"{CONFIGMAPS}/c?{query}", raw, kind=APPLY)
    assert (answer.status, complaint in answer.body["message"]) == (status, True), answer.body


async def test_force_is_for_apply_only(client: Client) -> None:
    await client.made(CONFIGMAPS, make_config("c"))
    answer = await client("PATCH", f"{CONFIGMAPS}/c?force=true", {}, kind=MERGE)
    assert (answer.status, answer.body["details"]["causes"][0]["field"]) == (422, "force")


def test_field_sets_are_written_as_in_kubernetes() -> None:
    container = {
        "name": "main",
        "command": ["a", "b"],
        "ports": [{"containerPort": 80}],
        "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
    }
    obj = {"metadata": {"finalizers": ["x/y"]}, "spec": {"containers": [container], "nodeSelector": {"a": "b"}}}
    written = as_json(fields(obj))
    assert written == {
        "f:metadata": {"f:finalizers": {'v:"x/y"': {}}},
        "f:spec": {
            "f:containers": {
                'k:{"name":"main"}': {
                    ".": {},
                    "f:command": {},
                    "f:env": {'k:{"name":"A"}': {".": {}, "f:name": {}, "f:valueFrom": {"f:fieldRef": {}}}},
                    "f:name": {},
                    "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}},
                }
            },
            "f:nodeSelector": {},
        },
    }
    assert from_json(written) == fields(obj)
    assert {'.metadata.finalizers[="x/y"]', '.spec.containers[name="main"].command'} <= {
        shown(path) for path in fields(obj)
    }
