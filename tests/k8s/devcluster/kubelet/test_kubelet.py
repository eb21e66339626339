"""A pod's containers as local processes: how they start, what they see, how they end.

Files and logs are tested in test_files, containers that survive a crash in test_crash.
"""

import asyncio
import base64
import os
import signal
import time
from pathlib import Path

import pytest

from k8s.devcluster.loops import Options
from k8s.devcluster.resources import Obj
from tests.k8s.devcluster.in_process import (
    NAMESPACE,
    QUICK,
    Cluster,
    cluster,
    ended,
    is_running,
    make_job,
    make_pod,
    shell,
    waiting,
)
from tests.patience import PATIENCE, within


async def run_pod(running: Cluster, name: str, script: str, **container: object) -> Obj:
    """The pod's status after its only container ran `script`."""
    running.store.create("pods", make_pod(name, container=shell(script, **container)))
    return await running.ended_pod(name)


@pytest.mark.parametrize(
    ("script", "code", "reason", "phase"),
    [
        ("exit 0", 0, "Completed", "Succeeded"),
        ("exit 3", 3, "Error", "Failed"),
        ("kill -9 $$$$", 128 + 9, "Error", "Failed"),
        ("kill -15 $$$$", 128 + 15, "Error", "Failed"),
    ],
)
async def test_exit_is_reported(tmp_path: Path, script: str, code: int, reason: str, phase: str) -> None:
    async with cluster(tmp_path) as running:
        status = await run_pod(running, "p", script)
        assert status["phase"] == phase
        assert (ended(status)["exitCode"], ended(status)["reason"]) == (code, reason)
        assert ended(status)["finishedAt"] >= ended(status)["startedAt"]


async def test_pod_goes_through_the_states_of_kubernetes(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        await run_pod(running, "p", "true")

        def states() -> list[tuple[str, str | None, set[str]]]:
            return [pod_state(obj) for resource, _, obj in running.history if resource == "pods"]

        await running.until(lambda: states()[-1][0] == "Succeeded")
        ready = {"PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"}
        assert states() == [
            ("Pending", None, set()),
            ("Pending", "devcluster", set()),
            ("Running", "devcluster", ready),
            ("Succeeded", "devcluster", {"Initialized", "PodScheduled"}),
        ]


def pod_state(pod: Obj) -> tuple[str, str | None, set[str]]:
    """Phase, node and the conditions that hold."""
    found = pod["status"].get("conditions") or []
    holding = {item["type"] for item in found if item["status"] == "True"}
    return pod["status"]["phase"], pod["spec"].get("nodeName"), holding


async def test_container_sees_its_variables_and_not_the_developers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEVELOPERS_SECRET", "x")
    async with cluster(tmp_path) as running:
        secret = {"token": base64.b64encode(b"s3cret").decode()}
        running.store.create("secrets", {"metadata": {"name": "s"}, "data": secret})
        running.store.create("configmaps", {"metadata": {"name": "c"}, "data": {"color": "blue"}})
        env = [
            {"name": "PLAIN", "value": "it's $(color), $(UNKNOWN), $$(color)"},
            {"name": "odd.name", "value": "kept"},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "token"}}},
            {"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "color"}}},
            {
                "name": "NONE",
                "valueFrom": {"secretKeyRef": {"name": "no", "key": "k", "optional": True}},
            },
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
            {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        ]
        sources = [{"configMapRef": {"name": "c"}}, {"secretRef": {"name": "s"}, "prefix": "S_"}]
        pod = make_pod("p", container={"command": ["env"], "env": env, "envFrom": sources})
        pod["metadata"]["labels"] = {"app": "x"}
        pod = running.store.create("pods", pod)
        await running.ended_pod("p")
        lines = (running.files(pod) / "containers/main/1.log").read_text().splitlines()
        seen = dict(line.split("=", 1) for line in lines)
        assert seen["PLAIN"] == "it's blue, $(UNKNOWN), $(color)"
        assert (seen["odd.name"], seen["TOKEN"], seen["COLOR"]) == ("kept", "s3cret", "blue")
        assert (seen["color"], seen["S_token"]) == ("blue", "s3cret")
        assert (seen["POD"], seen["APP"], seen["NODE"]) == ("p", "x", "devcluster")
        assert seen["CPUS"] == str(os.cpu_count())
        assert seen["HOME"] == str(running.files(pod))
        assert not {"NONE", "DEVELOPERS_SECRET"} & seen.keys()


async def test_arguments_are_expanded_and_follow_the_command(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        container = {
            "command": ["printf", "%s|"],
            "args": ["$(WHO)", "$$(WHO)", "a b"],
            "env": [{"name": "WHO", "value": "me"}],
        }
        pod = running.store.create("pods", make_pod("p", container=container))
        await running.ended_pod("p")
        assert (running.files(pod) / "containers/main/1.log").read_text() == "me|$(WHO)|a b|"


async def test_working_directory_is_the_pods_own_unless_the_machine_has_it(tmp_path: Path) -> None:
    existing = tmp_path / "there"
    existing.mkdir()
    async with cluster(tmp_path / "cluster") as running:
        for name, directory in (("a", str(existing)), ("b", "/no/such/directory")):
            pod = make_pod(name, container=shell("pwd", workingDir=directory))
            pod = running.store.create("pods", pod)
            await running.ended_pod(name)
            log = (running.files(pod) / "containers/main/1.log").read_text().strip()
            assert log == str(existing if name == "a" else running.files(pod))


async def test_image_without_a_command_says_what_is_missing(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        pod = make_pod("p")
        del pod["spec"]["containers"][0]["command"]
        running.store.create("pods", pod)
        reason = await running.until(lambda: waiting(running.get("pods", "p")))
        assert reason["reason"] == "CreateContainerError"
        assert "needs `command`" in reason["message"]


def sidecar(script: str) -> Obj:
    return {"name": "proxy", "image": "busybox", "restartPolicy": "Always", **shell(script)}


async def test_sidecar_runs_before_and_beside_the_others_and_ends_after_them(tmp_path: Path) -> None:
    beside = "trap 'touch ../ended; exit 5' TERM; touch ../up; while :; do sleep 0.02; done"
    main = shell("until test -e ../up; do sleep 0.02; done; test ! -e ../ended")
    async with cluster(tmp_path) as running:
        check = {"name": "check", "image": "busybox", **shell("until test -e ../up; do sleep 0.02; done")}
        running.store.create("pods", make_pod("p", container=main, initContainers=[sidecar(beside), check]))
        status = await running.ended_pod("p")
        assert status["phase"] == "Succeeded"  # how the sidecar ended does not count
        proxy = status["initContainerStatuses"][0]
        assert proxy["state"]["terminated"]["exitCode"] == 5
        assert (tmp_path / "pods/ended").exists()


async def test_sidecar_that_ends_is_started_again_until_the_others_have_ended(tmp_path: Path) -> None:
    beside = "echo x >>../starts; exit 1"
    main = shell("until test $(wc -l <../starts) -ge 3; do sleep 0.02; done")
    async with cluster(tmp_path) as running:
        running.store.create("pods", make_pod("p", container=main, initContainers=[sidecar(beside)]))
        assert (await running.ended_pod("p"))["phase"] == "Succeeded"


async def test_sidecar_that_will_not_end_is_killed_after_the_grace_period(tmp_path: Path) -> None:
    beside = "trap '' TERM; touch ../up; while :; do sleep 0.02; done"
    main = shell("until test -e ../up; do sleep 0.02; done; exit 3")
    spec: Obj = {"initContainers": [sidecar(beside)], "terminationGracePeriodSeconds": 1}
    async with cluster(tmp_path) as running:
        running.store.create("pods", make_pod("p", container=main, **spec))
        status = await running.ended_pod("p")
        assert status["phase"] == "Failed"
        assert status["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 137


async def test_pod_with_a_sidecar_can_be_deleted(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        pod = make_pod("p", container=shell("sleep 60"), initContainers=[sidecar("sleep 60")])
        running.store.create("pods", pod)
        await running.until(lambda: running.store.get("pods", NAMESPACE, "p")["status"]["phase"] == "Running")
        running.store.delete("pods", NAMESPACE, "p", grace=1)
        await running.until(lambda: running.get("pods", "p") is None)


async def test_pod_waits_for_the_secret_of_a_variable(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        env = [{"name": "T", "valueFrom": {"secretKeyRef": {"name": "s", "key": "token"}}}]
        running.store.create("pods", make_pod("p", container=shell("test $T = x", env=env)))
        reason = await running.until(lambda: waiting(running.get("pods", "p")))
        assert reason["reason"] == "CreateContainerConfigError"
        assert reason["message"] == 'secret "s" not found'
        running.store.create("secrets", {"metadata": {"name": "s"}, "stringData": {"token": "x"}})
        assert (await running.ended_pod("p"))["phase"] == "Succeeded"


async def test_init_containers_run_first_and_in_order(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        inits = [
            {"name": name, "image": "busybox", **shell(f"sleep 0.05; echo {name} >>order")} for name in ("one", "two")
        ]
        pod = make_pod("p", container=shell("echo main >>order"), initContainers=inits)
        pod = running.store.create("pods", pod)
        status = await running.ended_pod("p")
        assert status["phase"] == "Succeeded"
        assert (running.files(pod) / "order").read_text().split() == ["one", "two", "main"]
        assert [item["name"] for item in status["initContainerStatuses"]] == ["one", "two"]


async def test_all_containers_run_at_once_and_one_failure_fails_the_pod(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        pod = make_pod("p", container=shell("until test -e other; do sleep 0.02; done; exit 5"))
        second = {"name": "side", "image": "busybox", **shell("touch other; sleep 0.3")}
        pod["spec"]["containers"].append(second)
        running.store.create("pods", pod)
        status = await running.ended_pod("p")
        assert status["phase"] == "Failed"
        assert [ended(status, number)["exitCode"] for number in (0, 1)] == [5, 0]


async def test_deleted_pod_gets_sigterm_first(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        script = "trap 'echo asked >../asked; exit 0' TERM; echo >ready; while :; do sleep 0.02; done"
        pod = running.store.create("pods", make_pod("p", container=shell(script)))
        await running.until((running.files(pod) / "ready").exists)
        running.store.delete("pods", NAMESPACE, "p")
        await running.until(lambda: running.get("pods", "p") is None)
        assert (tmp_path / "pods/asked").exists()
        assert (await last_state(running))["phase"] == "Succeeded"
        await running.until(lambda: not running.files(pod).exists())


@pytest.mark.stricter
async def test_pod_that_ignores_sigterm_is_killed_after_its_grace_period(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        script = "trap '' TERM; echo >ready; while :; do sleep 0.02; done"
        pod = running.store.create("pods", make_pod("p", container=shell(script)))
        await running.until((running.files(pod) / "ready").exists)
        started = time.monotonic()
        running.store.delete("pods", NAMESPACE, "p", grace=1)
        await running.until(lambda: running.get("pods", "p") is None)
        assert 0.9 < time.monotonic() - started < within(5)
        assert ended(await last_state(running))["exitCode"] == 137


async def last_state(running: Cluster) -> Obj:
    """The status that the only pod was deleted with."""
    [pod] = await running.until(
        lambda: [obj for resource, change, obj in running.history if resource == "pods" and change == "DELETED"]
    )
    return dict(pod["status"])


async def test_pod_deleted_by_force_leaves_no_process(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        script = "trap '' TERM; echo $$$$ >pid; while :; do sleep 0.02; done"
        pod = running.store.create("pods", make_pod("p", container=shell(script)))
        pid = await written_pid(running, pod)
        running.store.delete("pods", NAMESPACE, "p", grace=0)
        assert running.get("pods", "p") is None
        await running.until(lambda: not is_running(pid))


async def test_processes_that_a_container_left_in_the_background_end_with_it(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        pod = make_pod("p", container=shell("sleep 60 & echo $! >pid"))
        pod = running.store.create("pods", pod)
        assert (await running.ended_pod("p"))["phase"] == "Succeeded"
        pid = int((running.files(pod) / "pid").read_text())
        await running.until(lambda: not is_running(pid))


async def test_node_runs_no_more_pods_than_its_capacity(tmp_path: Path) -> None:
    async with cluster(tmp_path, Options(ready_lag=0.05, capacity=2)) as running:
        for number in range(6):
            running.store.create("pods", make_pod(f"p{number}", container=shell("sleep 0.1")))
        for number in range(6):
            await running.ended_pod(f"p{number}")
        assert most_running(running) == 2


def most_running(running: Cluster) -> int:
    now: set[str] = set()
    most = 0
    for resource, _, obj in running.history:
        if resource == "pods":
            name = obj["metadata"]["name"]
            (now.add if obj["status"]["phase"] == "Running" else now.discard)(name)
            most = max(most, len(now))
    return most


async def test_container_ends_when_its_supervisor_is_killed(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        pod = running.store.create("pods", make_pod("p", container=shell("echo $$$$ >pid; sleep 60")))
        claim = running.files(pod) / "containers/main/1.pid"
        pid = await written_pid(running, pod)
        os.kill(int(claim.read_text().split()[0]), signal.SIGKILL)
        status = await running.ended_pod("p")
        assert (ended(status)["exitCode"], ended(status)["reason"]) == (137, "ContainerStatusUnknown")
        await running.until(lambda: not is_running(pid))


async def test_graceful_stop_ends_every_container(tmp_path: Path) -> None:
    pids = []
    async with cluster(tmp_path, QUICK) as running:
        for number, trap in enumerate(("", "trap '' TERM;")):
            script = f"{trap} echo $$$$ >pid; while :; do sleep 0.05; done"
            pod = running.store.create("pods", make_pod(f"p{number}", container=shell(script)))
            pids.append(await written_pid(running, pod))
        assert all(map(is_running, pids))
    async with asyncio.timeout(PATIENCE):  # they are killed; the system may need a moment more
        while any(map(is_running, pids)):
            await asyncio.sleep(0.01)


async def written_pid(running: Cluster, pod: Obj) -> int:
    """The process id that the container wrote into the file `pid`."""
    file = running.files(pod) / "pid"
    return int(await running.until(lambda: file.exists() and file.read_text().strip()))


async def test_pods_of_a_stopped_cluster_have_failed_when_it_starts_again(tmp_path: Path) -> None:
    ran = tmp_path / "pods/ran"
    async with cluster(tmp_path) as running:
        running.store.create("jobs", make_job("j", "echo x >>../ran; sleep 60"))
        await running.running_pod("j")
        await running.until(lambda: ran.exists() and ran.read_text() == "x\n")
    async with cluster(tmp_path) as running:
        status = await running.finished("j")
        assert status["failed"] == 1
        assert ended(running.pods("j")[0]["status"])["exitCode"] == 128 + signal.SIGTERM
    assert ran.read_text() == "x\n"


async def test_many_pods_start_and_end_without_leaking_descriptors(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        await run_pod(running, "first", "true")
        before = len(os.listdir("/proc/self/fd"))
        for number in range(20):
            running.store.create("pods", make_pod(f"p{number}"))
        await asyncio.gather(*(running.ended_pod(f"p{number}") for number in range(20)))
        assert len(os.listdir("/proc/self/fd")) <= before
