"""A pod's files: volumes, the paths that lead to them, the termination message, logs."""

import os
from pathlib import Path
from typing import Any

from k8s.devcluster.kubelet.environment import LocalPaths, expand
from k8s.devcluster.kubelet.logs import follow_log, last_lines, read_log
from k8s.devcluster.resources import Obj
from tests.k8s.devcluster.in_process import Cluster, cluster, ended, make_claim, make_pod, shell, waiting


async def log_of(running: Cluster, pod: Obj) -> str:
    """What the pod printed, once it succeeded."""
    created = running.store.create("pods", pod)
    status = await running.ended_pod(pod["metadata"]["name"])
    log = read_log(running.directory, created["metadata"]["uid"], container="main").decode()
    assert status["phase"] == "Succeeded", log
    return log


def mounted(script: str, volume: Obj, *, name: str = "p") -> Obj:
    """A pod with `volume` mounted at /data."""
    mounts = [{"name": "v", "mountPath": "/data"}]
    return make_pod(name, container=shell(script, volumeMounts=mounts), volumes=[{"name": "v"} | volume])


async def test_event_reaches_the_container_as_a_file(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        path = "metadata.annotations['jobrelay.dev/event']"
        volume = {"downwardAPI": {"items": [{"path": "event.json", "fieldRef": {"fieldPath": path}}]}}
        pod = mounted('cat "$JOBRELAY_EVENT_PATH"', volume)
        pod["metadata"]["annotations"] = {"jobrelay.dev/event": '{"id": "1"}\n'}
        env = [{"name": "JOBRELAY_EVENT_PATH", "value": "/data/event.json"}]
        pod["spec"]["containers"][0]["env"] = env
        assert await log_of(running, pod) == '{"id": "1"}\n'


async def test_result_path_is_the_termination_message(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        env = [{"name": "JOBRELAY_RESULT_PATH", "value": "/dev/termination-log"}]
        script = 'printf \'{"answer": 42}\' >"$JOBRELAY_RESULT_PATH"'
        running.store.create("pods", make_pod("p", container=shell(script, env=env)))
        assert ended(await running.ended_pod("p"))["message"] == '{"answer": 42}'


async def test_termination_message_is_cut_at_four_kibibytes(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        script = "head -c 5000 /dev/zero | tr '\\0' x >/dev/termination-log"
        running.store.create("pods", make_pod("p", container=shell(script)))
        assert ended(await running.ended_pod("p"))["message"] == "x" * 4096


async def test_end_of_the_log_replaces_the_missing_message_of_a_failure(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        script = "for i in $(seq 200); do echo line $i; done; exit {}"
        for name, code in (("bad", 1), ("good", 0)):
            container = shell(script.format(code), terminationMessagePolicy="FallbackToLogsOnError")
            running.store.create("pods", make_pod(name, container=container))
        lines = ended(await running.ended_pod("bad"))["message"].splitlines()
        assert lines == [f"line {number}" for number in range(121, 201)]
        assert "message" not in ended(await running.ended_pod("good"))


async def test_long_lines_of_the_log_are_cut_at_two_kibibytes(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        script = "head -c 9000 /dev/zero | tr '\\0' x; exit 1"
        container = shell(script, terminationMessagePolicy="FallbackToLogsOnError")
        running.store.create("pods", make_pod("p", container=container))
        assert ended(await running.ended_pod("p"))["message"] == "x" * 2048


async def test_empty_directory_is_shared_by_the_containers(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        pod = mounted("cat /data/hello", {"emptyDir": {}})
        mounts = [{"name": "v", "mountPath": "/elsewhere"}]
        init = shell("echo hi >/elsewhere/hello", volumeMounts=mounts)
        pod["spec"]["initContainers"] = [{"name": "init", "image": "busybox", **init}]
        assert await log_of(running, pod) == "hi\n"


async def test_secrets_and_configmaps_become_files(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        running.store.create("secrets", {"metadata": {"name": "s"}, "stringData": {"k": "one\n"}})
        running.store.create("configmaps", {"metadata": {"name": "c"}, "data": {"k": "two\n", "o": ""}})
        secret = {"secret": {"secretName": "s", "defaultMode": 0o400}}
        assert await log_of(running, mounted("cat /data/k", secret, name="a")) == "one\n"
        items = {"configMap": {"name": "c", "items": [{"key": "k", "path": "sub/k"}]}}
        script = "cat /data/sub/k; ls /data"
        assert await log_of(running, mounted(script, items, name="b")) == "two\nsub\n"


async def test_projected_volume_joins_its_sources(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        running.store.create("secrets", {"metadata": {"name": "s"}, "stringData": {"k": "one\n"}})
        label = {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}
        sources: list[Obj] = [
            {"secret": {"name": "s"}},
            {"downwardAPI": {"items": [label]}},
            {"serviceAccountToken": {"path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt"}},
        ]
        pod = mounted("cat /data/k /data/labels", {"projected": {"sources": sources}})
        pod["metadata"]["labels"] = {"b": "2", "a": "1"}
        assert await log_of(running, pod) == 'one\na="1"\nb="2"'


async def test_claim_keeps_its_content_for_the_next_pod(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        claim = {"persistentVolumeClaim": {"claimName": "disk"}}
        running.store.create("persistentvolumeclaims", make_claim("disk"))
        await log_of(running, mounted("echo kept >/data/file", claim, name="a"))
        assert await log_of(running, mounted("cat /data/file", claim, name="b")) == "kept\n"


async def test_directory_of_a_sub_path_is_created(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        pod = mounted("echo x >/data/file && cat /data/file", {"emptyDir": {}})
        pod["spec"]["containers"][0]["volumeMounts"][0]["subPath"] = "a/b"
        assert await log_of(running, pod) == "x\n"


async def test_pod_waits_for_a_secret_that_does_not_exist_yet(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        pod = mounted("cat /data/k", {"secret": {"secretName": "later"}})
        created = running.store.create("pods", pod)
        reason = await running.until(lambda: waiting(running.get("pods", "p")))
        assert reason == {"reason": "ContainerCreating"}
        [event] = running.store.list("events")
        assert (event["reason"], event["message"]) == (
            "FailedMount",
            'MountVolume.SetUp failed for volume "v" : secret "later" not found',
        )
        running.store.create("secrets", {"metadata": {"name": "later"}, "stringData": {"k": "x"}})
        await running.ended_pod("p")
        assert read_log(tmp_path, created["metadata"]["uid"], container="main") == b"x"


async def test_path_that_leaves_its_volume_is_never_written(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        running.store.create("configmaps", {"metadata": {"name": "c"}, "data": {"k": "two"}})
        items = [{"key": "k", "path": "../../../escaped"}]
        pod = mounted("true", {"configMap": {"name": "c", "items": items}})
        running.store.create("pods", pod)
        await running.until(lambda: running.store.list("events"))
        assert "invalid path" in running.store.list("events")[0]["message"]
        assert not any("escaped" in files for _, _, files in os.walk(tmp_path))


def local_paths(*mounts: str) -> LocalPaths:
    container = {"volumeMounts": [{"name": f"v{n}", "mountPath": m} for n, m in enumerate(mounts)]}
    return LocalPaths(container, volumes=Path("/pod"), message=Path("/pod/message"))


def test_only_whole_paths_are_rewritten() -> None:
    paths = local_paths("/data", "/data/deep/")
    rewritten = {
        "/data": "/pod/v0",
        "/data/x": "/pod/v0/x",
        "/data/deep/x": "/pod/v1/x",
        "/dev/termination-log": "/pod/message",
        "/database": "/database",
        "/data-old": "/data-old",
        "http://host/data/x": "http://host/data/x",
    }
    for before, after in rewritten.items():
        assert paths.in_value(before) == paths.in_text(before) == after


def test_paths_inside_a_script_are_rewritten_but_not_inside_a_value() -> None:
    paths = local_paths("/data")
    assert paths.in_text("cat '/data/a' --to=/data/b") == "cat '/pod/v0/a' --to=/pod/v0/b"
    assert paths.in_value("see /data") == "see /data"


def test_references_are_expanded_as_kubernetes_does() -> None:
    known = {"A": "1", "B": "$(A)"}
    assert expand("$(A)-$(B)-$(C)-$$(A)-$A-$", known) == "1-$(A)-$(C)-$(A)-$A-$"


async def test_log_is_read_by_tail_and_limit(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        script = "for i in 1 2 3; do echo line $i; done"
        pod = running.store.create("pods", make_pod("p", container=shell(script)))
        await running.ended_pod("p")
        where: tuple[Any, ...] = (tmp_path, pod["metadata"]["uid"])
        assert read_log(*where, container="main") == b"line 1\nline 2\nline 3\n"
        assert read_log(*where, container="main", tail=2) == b"line 2\nline 3\n"
        assert read_log(*where, container="main", limit=4) == b"line"
        assert read_log(*where, container="main", tail=0) == b""
        assert read_log(*where, container="main", since=4_000_000_000.0) == b""
        assert read_log(tmp_path, "no-such-pod", container="main") == b""


async def test_log_of_the_previous_run_is_kept(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        script = "test -e again || { touch again; echo first; exit 1; }; echo second"
        pod = make_pod("p", container=shell(script), restartPolicy="OnFailure")
        uid = running.store.create("pods", pod)["metadata"]["uid"]
        await running.ended_pod("p")
        assert read_log(tmp_path, uid, container="main") == b"second\n"
        assert read_log(tmp_path, uid, container="main", previous=True) == b"first\n"


async def test_following_a_log_ends_with_the_container(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        script = "echo old; echo one; until test -e go; do sleep 0.02; done; echo two"
        pod = running.store.create("pods", make_pod("p", container=shell(script)))
        uid = pod["metadata"]["uid"]
        await running.until(lambda: b"one" in read_log(tmp_path, uid, container="main"))
        got = b""
        async for block in follow_log(tmp_path, uid, container="main", tail=1):
            got += block
            (running.files(pod) / "go").touch()
        assert got == b"one\ntwo\n"


def test_last_lines_reads_across_blocks(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"".join(b"%06d\r\n" % number for number in range(30_000)) + b"unfinished")
    assert last_lines(file, 2) == b"029999\r\nunfinished"
    assert len(last_lines(file, 20_000).split(b"\n")) == 20_000
    assert last_lines(file, 10, limit=6) == b"nished"
