"""How containers end, restart and never start, as a real kubelet tells it where no recorded trace does."""

from pathlib import Path

import pytest

from k8s.devcluster.loops import Options
from k8s.devcluster.resources import Obj
from tests.k8s.devcluster.in_process import NAMESPACE, Cluster, cluster, ended, make_pod, shell, waiting

RUNC = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
    "unable to start container process: "
)
PATIENT = Options(backoff=60.0, ready_lag=0.05)  # a container that is to restart waits for the whole test


def shown(running: Cluster, name: str = "p") -> list[Obj]:
    """Every status of the pod, in order."""
    return [
        obj["status"] for resource, _, obj in running.history if resource == "pods" and obj["metadata"]["name"] == name
    ]


@pytest.mark.parametrize(
    ("command", "cause"),
    [
        (["no-such-program"], 'exec: "no-such-program": executable file not found in $PATH: unknown'),
        (["/no/such"], 'exec: "/no/such": stat /no/such: no such file or directory: unknown'),
        (["/etc/passwd/x"], 'exec: "/etc/passwd/x": stat /etc/passwd/x: not a directory: unknown'),
        (["/etc/passwd"], 'exec: "/etc/passwd": permission denied: unknown'),
        (["./volumes"], 'exec: "./volumes": is a directory: unknown'),
        (["echo", "x" * 200_000], 'exec: "echo": argument list too long: unknown'),
    ],
)
async def test_what_cannot_be_executed_is_a_start_error(tmp_path: Path, command: list[str], cause: str) -> None:
    async with cluster(tmp_path) as running:
        pod = make_pod("p", container={"command": command}, volumes=[{"name": "v", "emptyDir": {}}])
        uid = running.store.create("pods", pod)["metadata"]["uid"]
        status = await running.ended_pod("p")
        assert status["phase"] == "Failed"
        assert ended(status) == {
            "exitCode": 128,
            "reason": "StartError",
            "message": RUNC + cause,
            "startedAt": "1970-01-01T00:00:00Z",
            "finishedAt": ended(status)["finishedAt"],
            "containerID": f"process://{uid}/main/1",
        }
        assert ended(status)["finishedAt"] >= status["startTime"]
        assert "Running" not in [status["phase"] for status in shown(running)]


async def test_missing_program_is_tried_again_where_the_pod_restarts_on_failure(tmp_path: Path) -> None:
    async with cluster(tmp_path, PATIENT) as running:
        running.store.create("pods", make_pod("p", container={"command": ["no-such"]}, restartPolicy="OnFailure"))
        await running.until(lambda: waiting(running.get("pods", "p")).get("reason") == "CrashLoopBackOff")
        [container] = shown(running)[-1]["containerStatuses"]
        assert container["restartCount"] == 1
        assert container["lastState"]["terminated"]["reason"] == "StartError"


async def test_on_failure_restarts_the_container_in_place(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        script = "echo run >>runs; test $(wc -l <runs) = 3"
        uid = running.store.create("pods", make_pod("p", container=shell(script), restartPolicy="OnFailure"))
        status = await running.ended_pod("p")
        container = status["containerStatuses"][0]
        assert (status["phase"], container["restartCount"]) == ("Succeeded", 2)
        assert container["lastState"]["terminated"]["exitCode"] == 1
        waits = [waiting({"status": status}) for status in shown(running)]
        pod = f"p_{NAMESPACE}({uid['metadata']['uid']})"
        message = f"back-off 0.05s restarting failed container=main pod={pod}"
        assert {"reason": "CrashLoopBackOff", "message": message} in waits


async def test_pod_deleted_while_its_container_waits_to_restart_ends_as_that_ended(tmp_path: Path) -> None:
    async with cluster(tmp_path, PATIENT) as running:
        script = "echo run >>runs; exit $(wc -l <runs)"
        running.store.create("pods", make_pod("p", container=shell(script), restartPolicy="OnFailure"))
        await running.until(lambda: waiting(running.get("pods", "p")).get("reason") == "CrashLoopBackOff")
        running.store.delete("pods", NAMESPACE, "p")
        await running.until(lambda: running.get("pods", "p") is None)
        status = shown(running)[-1]
        [container] = status["containerStatuses"]
        assert (status["phase"], ended(status)["exitCode"], container["restartCount"]) == ("Failed", 2, 1)
        assert container["lastState"]["terminated"]["exitCode"] == 1


async def test_pod_that_never_ran_ends_with_a_container_that_could_not_be_located(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        running.store.create("pods", make_pod("p", container={"image": "missing/image"}))
        await running.until(lambda: waiting(running.get("pods", "p")).get("reason") == "ImagePullBackOff")
        running.store.delete("pods", NAMESPACE, "p")
        await running.until(lambda: running.get("pods", "p") is None)
        status = shown(running)[-1]
        assert status["phase"] == "Failed"
        assert ended(status) == {
            "exitCode": 137,
            "reason": "ContainerStatusUnknown",
            "message": "The container could not be located when the pod was terminated",
            "startedAt": None,
            "finishedAt": None,
        }


async def test_pod_deleted_during_its_init_containers_leaves_the_others_waiting(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        inits = [{"name": name, "image": "busybox", **shell("sleep 60")} for name in ("one", "two")]
        running.store.create("pods", make_pod("p", initContainers=inits))
        await running.until(lambda: "running" in str(shown(running)[-1:]))
        running.store.delete("pods", NAMESPACE, "p")
        await running.until(lambda: running.get("pods", "p") is None)
        status = shown(running)[-1]
        one, two = status["initContainerStatuses"]
        assert (status["phase"], one["state"]["terminated"]["exitCode"]) == ("Failed", 143)
        assert two["state"] == status["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}


async def test_pod_is_pending_while_the_image_of_one_container_is_missing(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        pod = make_pod("p", container=shell("exit 5"))
        pod["spec"]["containers"].append({"name": "other", "image": "missing/x", "command": ["true"]})
        running.store.create("pods", pod)

        def both() -> bool:
            found = shown(running)[-1].get("containerStatuses") if shown(running) else []
            return "'exitCode': 5" in str(found) and "ImagePull" in str(found)

        await running.until(both)
        assert {status["phase"] for status in shown(running)} == {"Pending"}
        ready = [item for item in shown(running)[-1]["conditions"] if item["type"] == "Ready"]
        assert ready[0]["message"] == "containers with unready status: [main other]"


@pytest.mark.parametrize(
    ("container", "reason", "message"),
    [
        (
            {"image": "missing/image:1"},
            "ImagePullBackOff",
            'Back-off pulling image "missing/image:1": ErrImagePull: failed to pull and unpack image '
            '"docker.io/missing/image:1": no image of missing/ can be pulled in the development cluster',
        ),
        (
            {"image": "missing/image:1", "imagePullPolicy": "Never"},
            "ErrImageNeverPull",
            'Container image "missing/image:1" is not present with pull policy of Never',
        ),
        (
            {"image": "Busybox"},
            "InvalidImageName",
            'Failed to apply default image tag "Busybox": couldn\'t parse image name "Busybox": invalid reference '
            "format: repository name (library/Busybox) must be lowercase",
        ),
    ],
)
async def test_image_that_cannot_be_had_keeps_the_pod_waiting(
    tmp_path: Path, container: Obj, reason: str, message: str
) -> None:
    async with cluster(tmp_path) as running:
        running.store.create("pods", make_pod("p", container=container))
        await running.until(lambda: waiting(running.get("pods", "p")) == {"reason": reason, "message": message})
        assert shown(running)[-1]["phase"] == "Pending"
        running.store.delete("pods", NAMESPACE, "p")
        await running.until(lambda: running.get("pods", "p") is None)


async def test_variable_whose_key_is_missing_is_named_with_its_object(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        running.store.create("configmaps", {"metadata": {"name": "c"}, "data": {"a": "b"}})
        env = [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}]
        running.store.create("pods", make_pod("p", container={"env": env}))
        await running.until(lambda: waiting(running.get("pods", "p")).get("reason") == "CreateContainerConfigError")
        assert waiting(running.get("pods", "p"))["message"] == f"couldn't find key k in ConfigMap {NAMESPACE}/c"


@pytest.mark.parametrize(("others", "size"), [(0, 4096), (2, 4096), (3, 3072), (11, 1024)])
async def test_containers_share_the_room_for_messages(tmp_path: Path, others: int, size: int) -> None:
    async with cluster(tmp_path) as running:
        script = "printf 'lost%05000d' 7 >/dev/termination-log; exit 3"
        pod = make_pod("p", container=shell(script))
        pod["spec"]["containers"] += [
            {"name": f"other-{number}", "image": "busybox", "command": ["true"]} for number in range(others)
        ]
        running.store.create("pods", pod)
        message = ended(await running.ended_pod("p"))["message"]
        assert len(message) == size
        assert set(message) <= {"0", "7"}


@pytest.mark.parametrize("script", ["sleep 60", "trap 'exit 0' TERM; while :; do sleep 0.05; done"])
async def test_pod_ends_at_its_own_deadline_whatever_its_container_says(tmp_path: Path, script: str) -> None:
    async with cluster(tmp_path) as running:
        running.store.create("pods", make_pod("p", container=shell(script), activeDeadlineSeconds=1))
        status = await running.ended_pod("p")
        assert (status["phase"], status["reason"]) == ("Failed", "DeadlineExceeded")
        assert status["message"] == "Pod was active on the node longer than the specified deadline"
        assert ended(status)["exitCode"] == (143 if script == "sleep 60" else 0)
