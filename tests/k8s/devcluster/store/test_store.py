"""The store by itself: versions, deletion, subscriptions, durability."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from k8s.devcluster.errors import ApiError
from k8s.devcluster.store.store import Store
from tests.k8s.devcluster.served import make_config, make_job
from tests.patience import PATIENCE

CONFIG = make_config("a")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path)
    yield store
    store.close()


def grow(obj: dict[str, Any]) -> None:
    obj.setdefault("data", {})[f"k{len(obj.get('data', {}))}"] = "v"


async def test_versions_grow_over_all_kinds_and_restarts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.create("configmaps", CONFIG)
    second = store.create("jobs", make_job("j"))
    store.delete("configmaps", "default", "a")
    last = store.version
    store.close()
    again = Store(tmp_path)
    third = again.create("configmaps", CONFIG)
    again.close()
    versions = [int(obj["metadata"]["resourceVersion"]) for obj in (first, second, third)]
    assert versions[0] < versions[1] < last < versions[2]


async def test_objects_that_callers_passed_or_got_do_not_change(store: Store) -> None:
    given = make_config("mine")
    made = store.create("configmaps", given)
    changed = store.mutate("configmaps", "default", "mine", grow)
    assert given == make_config("mine")
    assert made["data"] == {"key": "value"}
    assert changed is not None
    assert len(changed["data"]) == 2


async def test_subscriptions_get_every_later_change_in_order(store: Store) -> None:
    store.create("configmaps", CONFIG)
    async with store.subscribe("configmaps", "jobs") as changes:
        assert [obj["metadata"]["name"] for obj in store.list("configmaps", "default")] == ["a"]
        store.mutate("configmaps", "default", "a", grow)
        store.create("secrets", make_config("not-asked-for") | {"data": {}})
        store.create("jobs", make_job("j"))
        store.delete("configmaps", "default", "a")
        async with asyncio.timeout(PATIENCE):
            seen = [await anext(changes) for _ in range(3)]
    assert [(resource, kind) for resource, kind, _ in seen] == [
        ("configmaps", "MODIFIED"),
        ("jobs", "ADDED"),
        ("configmaps", "DELETED"),
    ]
    assert len(seen[0][2]["data"]) == 2


async def test_a_subscription_that_ended_gets_nothing(store: Store) -> None:
    async with store.subscribe("configmaps") as changes:
        pass
    store.create("configmaps", CONFIG)
    await store.committed()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await anext(changes)


async def test_nothing_is_announced_before_it_is_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk the writer gets an error and no subscriber sees the change; once there is room, all do."""
    store = Store(tmp_path)
    write = store._database.write

    def full(*_arguments: Any, **_options: Any) -> None:
        raise sqlite3.OperationalError("disk is full")

    async with store.subscribe("configmaps") as changes:
        monkeypatch.setattr(store._database, "write", full)
        store.create("configmaps", CONFIG)
        with pytest.raises(sqlite3.OperationalError):
            await store.committed()
        announced = store.announced
        assert announced < store.version
        monkeypatch.setattr(store._database, "write", write)
        store.create("configmaps", make_config("b"))
        await store.committed()
        assert store.announced == store.version
        names = [(await anext(changes))[2]["metadata"]["name"] for _ in range(2)]
    assert names == ["a", "b"]
    store.close()


async def test_changes_at_the_same_time_share_a_commit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = []
    write = store._database.write

    def counted(*arguments: Any, **options: Any) -> None:
        commits.append(1)
        write(*arguments, **options)

    monkeypatch.setattr(store._database, "write", counted)

    async def create(number: int) -> None:
        store.create("configmaps", make_config(f"c{number}"))
        await store.committed()

    await asyncio.gather(*(create(number) for number in range(50)))
    assert len(commits) == 1


@pytest.mark.parametrize(
    ("propagation", "finalizers"),
    [(None, ["orphan"]), ("Orphan", ["orphan"]), ("Foreground", ["foregroundDeletion"]), ("Background", None)],
)
async def test_a_jobs_deletion_waits_as_its_propagation_says(
    store: Store, propagation: str | None, finalizers: list[str] | None
) -> None:
    store.create("jobs", make_job("j"))
    answer = store.delete("jobs", "default", "j", propagation=propagation)
    if finalizers is None:
        assert (answer["kind"], answer["status"]) == ("Status", "Success")
        assert store.list("jobs") == []
    else:
        assert answer["metadata"]["finalizers"] == finalizers
        assert answer["metadata"]["generation"] == 2
        assert store.delete("jobs", "default", "j") == answer
        store.mutate("jobs", "default", "j", lambda job: job["metadata"].pop("finalizers"))
        assert store.list("jobs") == []


async def test_a_later_deletion_can_change_the_propagation(store: Store) -> None:
    store.create("jobs", make_job("j", finalizers=["example.com/x"]))
    store.delete("jobs", "default", "j")
    answer = store.delete("jobs", "default", "j", propagation="Background")
    assert answer["metadata"]["finalizers"] == ["example.com/x"]


async def test_a_running_pod_lingers_until_its_grace_period_is_over(store: Store) -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "x"}]}}
    store.create("pods", pod)
    async with store.subscribe("pods") as changes:
        first = store.delete("pods", "default", "p")
        assert first["metadata"]["deletionGracePeriodSeconds"] == 30
        sooner = store.delete("pods", "default", "p", grace=5)
        assert sooner["metadata"]["deletionGracePeriodSeconds"] == 5
        assert store.delete("pods", "default", "p", grace=20) == sooner
        store.delete("pods", "default", "p", grace=0)
        async with asyncio.timeout(PATIENCE):
            seen = [await anext(changes) for _ in range(4)]
    assert [kind for _, kind, _ in seen] == ["MODIFIED"] * 3 + ["DELETED"]
    assert seen[-1][2]["metadata"]["deletionGracePeriodSeconds"] == 0
    assert store.list("pods") == []


async def test_a_finalizer_keeps_a_pod_whose_grace_period_is_over(store: Store) -> None:
    pod = {"metadata": {"name": "p", "finalizers": ["x.io/y"]}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
    store.create("pods", pod)
    assert store.delete("pods", "default", "p", grace=0)["metadata"]["finalizers"] == ["x.io/y"]
    store.mutate("pods", "default", "p", lambda found: found["metadata"].pop("finalizers"))
    assert store.list("pods") == []


async def test_a_namespace_stays_until_its_own_finalizers_are_gone(store: Store) -> None:
    store.create("namespaces", {"metadata": {"name": "n"}})
    gone = store.delete("namespaces", "", "n")
    assert gone["status"]["phase"] == "Terminating"
    with pytest.raises(ApiError, match="because it is being terminated"):
        store.create("configmaps", make_config("late", namespace="n"))
    store.mutate("namespaces", "", "n", lambda found: found["spec"].update(finalizers=[]), subresource="finalize")
    with pytest.raises(ApiError, match='namespaces "n" not found'):
        store.create("configmaps", make_config("later", namespace="n"))


async def test_changes_of_what_does_not_exist_fail_or_return_none(store: Store) -> None:
    with pytest.raises(ApiError) as caught:
        store.get("jobs", "default", "absent")
    assert caught.value.code == 404
    assert store.mutate("jobs", "default", "absent", grow) is None
    with pytest.raises(ApiError):
        store.update("configmaps", make_config("absent", namespace="default"))


async def test_without_a_loop_every_change_is_on_disk_at_once(tmp_path: Path) -> None:
    def write_and_read() -> list[str]:
        store = Store(tmp_path)
        store.create("configmaps", CONFIG)
        names = [name for _, _, name, _ in store._database.load()]
        store.close()
        return names

    assert "a" in await asyncio.to_thread(write_and_read)


async def test_lists_are_in_order_and_by_namespace(store: Store) -> None:
    store.create("namespaces", {"metadata": {"name": "zone"}})
    for name, namespace in (("b", "default"), ("a", "zone"), ("a", "default"), ("a", "kube-system")):
        store.create("configmaps", make_config(name, namespace=namespace))
    found = [(obj["metadata"]["namespace"], obj["metadata"]["name"]) for obj in store.list("configmaps")]
    assert found == [("default", "a"), ("default", "b"), ("kube-system", "a"), ("zone", "a")]
    assert [obj["metadata"]["name"] for obj in store.list("configmaps", "default")] == ["a", "b"]
