"""The words in which the API refuses requests, beyond the recorded ones."""

from typing import Any

import pytest

from tests.k8s.devcluster.served import (
    CONFIGMAPS,
    JOBS,
    JSON_PATCH,
    MERGE,
    SECRETS,
    STRATEGIC,
    Client,
    make_config,
    make_job,
)

LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
IMMUTABLE = "Forbidden: field is immutable when `immutable` is set"


def told(answer: Any) -> list[tuple[str, str]]:
    return [(cause["field"], cause["message"]) for cause in answer.body["details"]["causes"]]


async def test_an_immutable_secret_or_config_changes_only_its_metadata(client: Client) -> None:
    await client.made(CONFIGMAPS, make_config("c") | {"immutable": True, "binaryData": {"b": "AA=="}})
    await client.made(SECRETS, {"metadata": {"name": "s"}, "data": {"k": "AA=="}, "immutable": True})
    for path, patch, fields in [
        (f"{CONFIGMAPS}/c", {"data": {"key": "other"}, "binaryData": None}, ["data", "binaryData"]),
        (f"{CONFIGMAPS}/c", {"immutable": False}, ["immutable"]),
        (f"{SECRETS}/s", {"immutable": None, "stringData": {"more": "x"}}, ["immutable", "data"]),
    ]:
        answer = await client("PATCH", path, patch, kind=MERGE)
        assert (answer.status, told(answer)) == (422, [(field, IMMUTABLE) for field in fields]), path
        assert (await client("PATCH", path, {"metadata": {"labels": {"a": "b"}}}, kind=MERGE)).status == 200
    assert (await client("DELETE", f"{CONFIGMAPS}/c")).status == 200


async def test_a_secret_keeps_its_type(client: Client) -> None:
    await client.made(SECRETS, {"metadata": {"name": "s"}})
    answer = await client("PATCH", f"{SECRETS}/s", {"type": "example.com/other"}, kind=MERGE)
    assert told(answer) == [("type", 'Invalid value: "example.com/other": field is immutable')]


async def test_a_lease_has_a_duration_and_no_negative_transitions(client: Client) -> None:
    await client.made(LEASES, {"metadata": {"name": "l"}, "spec": {"leaseDurationSeconds": 1}})
    wrong = {"spec": {"leaseDurationSeconds": 0, "leaseTransitions": -1}}
    answer = await client("PATCH", f"{LEASES}/l", wrong, kind=MERGE)
    assert (answer.status, told(answer)) == (
        422,
        [
            ("spec.leaseDurationSeconds", "Invalid value: 0: must be greater than 0"),
            ("spec.leaseTransitions", "Invalid value: -1: must be greater than or equal to 0"),
        ],
    )


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        (MERGE, {"spec": {"parallelism": "two"}}),
        (STRATEGIC, {"spec": {"parallelism": "two"}}),
        (JSON_PATCH, [{"op": "replace", "path": "/spec/parallelism", "value": "two"}]),
    ],
)
async def test_a_wrong_type_makes_a_patch_invalid(client: Client, kind: str, patch: Any) -> None:
    await client.made(JOBS, make_job("a"))
    answer = await client("PATCH", f"{JOBS}/a", patch, kind=kind)
    assert (answer.status, answer.body["reason"], told(answer)[0][0]) == (422, "Invalid", "patch")
    complaint = "json: cannot unmarshal string into Go struct field JobSpec.spec.parallelism of type int32"
    assert answer.body["message"].endswith(complaint)


async def test_a_deletion_of_another_version_says_both_versions(client: Client) -> None:
    made = await client.made(CONFIGMAPS, make_config("c"))
    answer = await client("DELETE", f"{CONFIGMAPS}/c", {"preconditions": {"resourceVersion": "1"}})
    assert answer.status == 409
    assert answer.body["message"] == (
        'Operation cannot be fulfilled on ConfigMap "c": the ResourceVersion in the precondition (1) does not match '
        f"the ResourceVersion in record ({made['metadata']['resourceVersion']}). The object might have been modified"
    )


async def test_a_deleted_collection_is_answered_as_it_was(client: Client) -> None:
    """Only the objects that a finalizer keeps are there afterwards."""
    await client.made(CONFIGMAPS, make_config("gone"))
    kept = await client.made(CONFIGMAPS, make_config("kept", finalizers=["example.com/held"]))
    deleted = {item["metadata"]["name"]: item for item in (await client("DELETE", CONFIGMAPS)).body["items"]}
    assert deleted.keys() == {"gone", "kept"}
    assert deleted["kept"]["metadata"] == kept["metadata"]
    (left,) = (await client("GET", CONFIGMAPS)).body["items"]
    assert "deletionTimestamp" in left["metadata"]
