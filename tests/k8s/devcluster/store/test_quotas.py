"""ResourceQuotas: what they refuse, in which words, and what their status counts."""

from pathlib import Path
from typing import Any

import pytest

from k8s.devcluster.errors import ApiError
from k8s.devcluster.store.store import Store
from tests.k8s.devcluster.served import make_job

Obj = dict[str, Any]
HALF = {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}}


def quota(store: Store, hard: Obj, name: str = "q", **spec: Any) -> None:
    store.create("resourcequotas", {"metadata": {"name": name}, "spec": {"hard": hard} | spec})


def status(store: Store, name: str = "q") -> Obj:
    found: Obj = store.get("resourcequotas", "default", name)["status"]
    return found


def used(store: Store, name: str = "q") -> Obj:
    return dict(status(store, name)["used"])


def pod(name: str, resources: Obj | None = None, **spec: Any) -> Obj:
    container = {"name": "main", "image": "x:1", "resources": resources or {}}
    return {"metadata": {"name": name}, "spec": {"containers": [container]} | spec}


def refusal(store: Store, plural: str, made: Obj) -> str:
    with pytest.raises(ApiError) as caught:
        store.create(plural, made)
    assert (caught.value.code, caught.value.reason) == (403, "Forbidden")
    return caught.value.message


def test_a_pod_that_exceeds_a_quota_is_refused_in_the_words_of_kubernetes(store: Store) -> None:
    quota(store, {"requests.cpu": "1", "limits.memory": "1Gi", "pods": "10"})
    large = pod("large", {"requests": {"cpu": "2"}, "limits": {"memory": "2048Mi", "cpu": "2"}})
    assert refusal(store, "pods", large) == (
        'pods "large" is forbidden: exceeded quota: q, requested: limits.memory=2Gi,requests.cpu=2, '
        "used: limits.memory=0,requests.cpu=0, limited: limits.memory=1Gi,requests.cpu=1"
    )
    store.create("pods", pod("first", HALF))
    two = refusal(store, "pods", pod("second", {"requests": {"cpu": "600m"}, "limits": {"memory": "1", "cpu": "1"}}))
    assert two.endswith(
        "requested: limits.memory=1,requests.cpu=600m, used: limits.memory=1Gi,requests.cpu=500m, "
        "limited: limits.memory=1Gi,requests.cpu=1"
    )


def test_a_container_has_to_say_how_much_it_needs_of_what_is_limited(store: Store) -> None:
    quota(store, {"requests.cpu": "1", "limits.memory": "1Gi", "requests.ephemeral-storage": "1Gi"})
    made = pod("p", {"requests": {"cpu": "1"}}, initContainers=[{"name": "init", "image": "x:1"}])
    assert refusal(store, "pods", made) == (
        'pods "p" is forbidden: failed quota: q: must specify limits.memory for: init,main; requests.cpu for: init'
    )


def test_the_status_follows_what_is_there(store: Store) -> None:
    store.create("pods", pod("before", HALF))
    quota(store, {"requests.cpu": "4", "cpu": "4", "requests.memory": "2Gi", "pods": "9", "count/pods": "9"})
    once = {"requests.cpu": "500m", "cpu": "500m", "requests.memory": "512Mi", "pods": "1", "count/pods": "1"}
    assert status(store)["used"] == once
    store.create("pods", pod("second", HALF))
    assert used(store) == {"requests.cpu": "1", "cpu": "1", "requests.memory": "1Gi", "pods": "2", "count/pods": "2"}
    store.mutate("pods", "default", "second", lambda made: made["status"].update(phase="Failed"), subresource="status")
    assert used(store) == once | {"count/pods": "2"}
    store.delete("pods", "default", "second")
    store.delete("pods", "default", "before", grace=0)
    assert used(store) == dict.fromkeys(once, "0")


def test_a_changed_quota_is_counted_anew_and_its_status_cannot_be_forged(store: Store) -> None:
    quota(store, {"pods": "1"})
    store.create("pods", pod("p", HALF))
    store.mutate("resourcequotas", "default", "q", lambda found: found["spec"].update(hard={"limits.cpu": "1000m"}))
    assert status(store) == {"hard": {"limits.cpu": "1"}, "used": {"limits.cpu": "1"}}
    store.mutate("resourcequotas", "default", "q", lambda found: found.update(status={}), subresource="status")
    assert used(store) == {"limits.cpu": "1"}


def test_a_dry_run_uses_nothing(store: Store) -> None:
    quota(store, {"pods": "1"})
    store.create("pods", pod("p"), dry_run=True)
    assert used(store) == {"pods": "0"}


def test_objects_of_many_kinds_are_counted(store: Store) -> None:
    quota(store, {"count/jobs.batch": "1", "secrets": "1", "count/serviceaccounts": "1", "requests.storage": "1Gi"})
    store.create("jobs", make_job("a"))
    assert "exceeded quota: q, requested: count/jobs.batch=1, used: count/jobs.batch=1" in refusal(
        store, "jobs", make_job("b")
    )
    store.create("secrets", {"metadata": {"name": "s"}})
    assert "requested: secrets=1, used: secrets=1, limited: secrets=1" in refusal(
        store, "secrets", {"metadata": {"name": "t"}}
    )
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}
    claim = {"metadata": {"name": "c"}, "spec": spec}
    assert "requested: requests.storage=2Gi" in refusal(store, "persistentvolumeclaims", claim)
    assert used(store) == {
        "count/jobs.batch": "1", "secrets": "1", "count/serviceaccounts": "1", "requests.storage": "0",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("scope", "inside", "outside"),
    [
        ({"scopes": ["Terminating"]}, pod("in", activeDeadlineSeconds=9), pod("out")),
        ({"scopes": ["NotTerminating"]}, pod("in"), pod("out", activeDeadlineSeconds=9)),
        ({"scopes": ["BestEffort"]}, pod("in"), pod("out", HALF)),
        ({"scopes": ["NotBestEffort"]}, pod("in", HALF), pod("out")),
        (
            {
                "scopeSelector": {
                    "matchExpressions": [
                        {"scopeName": "PriorityClass", "operator": "In", "values": ["system-node-critical"]}
                    ]
                }
            },
            pod("in", priorityClassName="system-node-critical"),
            pod("out"),
        ),
    ],
)
def test_scopes_select_the_pods_that_a_quota_is_about(store: Store, scope: Obj, inside: Obj, outside: Obj) -> None:
    quota(store, {"pods": "0"}, **scope)
    assert store.create("pods", outside)
    assert "exceeded quota: q" in refusal(store, "pods", inside)


def test_quotas_are_true_after_a_restart(tmp_path: Path) -> None:
    before = Store(tmp_path)
    quota(before, {"requests.cpu": "1"})
    before.create("pods", pod("p", HALF))
    before.close()
    after = Store(tmp_path)
    assert used(after) == {"requests.cpu": "500m"}
    after.close()


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"hard": {"gpu": "1"}}, "spec.hard[gpu]"),
        ({"hard": {"bad name/x": "1"}}, "spec.hard[bad name/x]"),
        ({"hard": {"cpu": "-1"}}, "spec.hard[cpu]"),
        ({"hard": {"pods": "500m"}}, "spec.hard[pods]"),
        ({"hard": {"pods": "1"}, "scopes": ["Unknown"]}, "spec.scopes"),
        ({"hard": {"cpu": "1"}, "scopes": ["BestEffort"]}, "spec.scopes"),
        ({"hard": {"pods": "1"}, "scopes": ["BestEffort", "NotBestEffort"]}, "spec.scopes"),
    ],
)
def test_quotas_that_are_not_valid_are_refused_by_field(store: Store, spec: Obj, field: str) -> None:
    with pytest.raises(ApiError) as caught:
        store.create("resourcequotas", {"metadata": {"name": "q"}, "spec": spec})
    assert caught.value.details is not None
    assert field in {cause["field"] for cause in caught.value.details["causes"]}
