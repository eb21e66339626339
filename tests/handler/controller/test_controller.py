"""The whole path in one process: events in, Jobs on a development cluster, lifecycle events out."""

import asyncio

from adapters.memory import MemoryBroker
from events.identity import Identity, job_name
from k8s.api.cluster import Cluster
from tests.handler.jobs import gone, is_finished, name_of, without_finalizer
from tests.handler.relay import Client, detail, running
from tests.handler.samples import SOURCE, make_command, make_request, until


async def test_a_success_is_reported_from_creation_to_result(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        script = 'echo "{\\"answer\\": 42}" > "$JOBRELAY_RESULT_PATH"'
        # A TTL too short to recognize a repeat is raised, and the requester learns of it.
        job = {"ttlSecondsAfterFinished": 1, "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "64Mi"}}}
        replay = {"replayof": "before", "actor": "ada@example.com"}
        await client.publish(
            make_request("ok", script=script, attributes=replay, tags=["t"], metadata={"k": 1}, job=job)
        )
        end = await client.ended("ok")
        assert await client.phases("ok") == ["created", "started", "succeeded"]
        assert detail(end)["result"] == {"answer": 42}
        assert detail(end)["exitCode"] == 0
        assert (detail(end)["tags"], detail(end)["metadata"]) == (["t"], {"k": 1})
        job_at_end = await without_finalizer(cluster, "ok")
        assert job_at_end["spec"]["ttlSecondsAfterFinished"] == 300
        first = await client.reached("ok", "created")
        assert (first.get_extension("actor"), end.get_extension("actor")) == ("ada@example.com", None)
        created = detail(first)
        assert created["ttlSecondsAfterFinished"] == 300
        assert created["request"] == {
            "type": "dev.jobrelay.job.requested",
            "replayOf": "before",
            "image": "busybox:1",
            "cpu": 0.1,
            "memory": 64 << 20,
            "parallelism": 1,
            "priority": 0,
        }
        assert end.get_id() == f"{job_at_end['metadata']['uid']}/succeeded"
        assert end.get_extension("causationid") == "event-ok"


async def test_a_failure_brings_its_exit_code_and_the_tail_of_its_log(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_request("bad", script="echo it broke >&2; exit 3"))
        end = await client.ended("bad")
        assert await client.phases("bad") == ["created", "started", "failed"]
        assert detail(end)["exitCode"] == 3
        assert detail(end)["error"]["errorCode"] == "JOB_EXECUTION_FAILED"
        assert "it broke" in detail(end)["logTail"]


async def test_a_retry_is_reported_and_then_the_success(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        script = "test -e ../../retried || { touch ../../retried; exit 1; }"
        await client.publish(make_request("retry", script=script, retries=2))
        await client.ended("retry")
        assert await client.phases("retry") == ["created", "started", "retrying", "succeeded"]


async def test_an_image_that_cannot_be_pulled_stalls_and_ends_by_the_start_timeout(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_request("pull", startTimeout=2, job={"image": "missing/image:1", "command": ["x"]}))
        end = await client.ended("pull")
        assert await client.phases("pull") == ["created", "stalled", "failed"]
        assert detail(await client.reached("pull", "stalled"))["error"]["errorCode"] == "IMAGE_PULL"
        assert detail(end)["error"]["errorCode"] == "START_TIMEOUT"
        await without_finalizer(cluster, "pull")


async def test_a_start_is_reported_even_if_a_deadline_removes_the_pod(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_request("late", script="sleep 600", job={"activeDeadlineSeconds": 1}))
        end = await client.ended("late")
        assert detail(end)["error"]["errorCode"] == "DEADLINE_EXCEEDED"
        assert await client.phases("late") == ["created", "started", "failed"]


async def test_a_timeout_ends_a_running_job(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_request("slow", script="sleep 600", timeout=2))
        end = await client.ended("slow")
        assert detail(end)["error"]["errorCode"] == "TIMEOUT"
        assert await cluster.pods_of("default", end.get_id().split("/")[0]) == []


async def test_cancel_ends_a_running_job_and_is_answered(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_request("stop", script="sleep 600"))
        await client.reached("stop", "started")
        await client.command(make_command("cancel", "stop"))
        end = await client.ended("stop")
        assert await client.phases("stop") == ["created", "started", "cancelled"]
        assert detail(end)["error"]["errorCode"] == "CANCELLED"
        (answer,) = await client.events("command-1")
        assert answer.get_type() == "dev.jobrelay.control.accepted"
        await without_finalizer(cluster, "stop")


async def test_a_command_that_comes_too_late_is_not_carried_out(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_request("stays", script="sleep 1"))
        await client.reached("stays", "started")
        await client.command(make_command("cancel", "stays", expirytime="2026-01-01T00:00:00Z"))
        assert detail(await client.reached("command-1", "rejected"))["error"]["errorCode"] == "EXPIRED"
        assert (await client.ended("stays")).get_type().endswith("succeeded")


async def test_suspend_and_resume_are_reported_with_who_did_it(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_request("hold", script="sleep 1"))
        await client.reached("hold", "started")
        await client.command(make_command("suspend", "hold", event_id="c1"))
        assert detail(await client.reached("hold", "suspended"))["by"] == "request"
        await client.command(make_command("resume", "hold", event_id="c2"))
        await client.ended("hold")
        phases = await client.phases("hold")
        assert [phase for phase in phases if phase != "started"] == ["created", "suspended", "resumed", "succeeded"]


async def test_a_command_waits_for_its_request(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.command(make_command("cancel", "late"))
        await asyncio.sleep(0.5)
        assert await client.events("command-1") == []
        await client.publish(make_request("late", script="sleep 600"))
        assert detail(await client.ended("late"))["error"]["errorCode"] == "CANCELLED"


async def test_a_command_waits_for_the_request_of_the_source_that_it_names(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_request("late", script="sleep 600", attributes={"source": "/other"}))
        await client.reached("late", "created")
        await client.command(make_command("cancel", "late", requestsource=SOURCE))
        await asyncio.sleep(0.5)
        assert await client.events("command-1") == []
        await client.publish(make_request("late", script="sleep 600"))
        answer = await client.reached("command-1", "accepted")
        assert detail(answer)["jobs"] == [job_name("tests", Identity(SOURCE, "late"))]


async def test_commands_that_cannot_be_carried_out_are_refused_with_a_reason(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with running(broker, cluster, control_wait=0.5) as client:
        await client.publish(make_request("done"))
        await client.ended("done")
        await without_finalizer(cluster, "done")
        await client.publish(make_request("twin", script="sleep 600"))
        await client.publish(make_request("twin", script="sleep 600", attributes={"source": "/other"}))
        await until(lambda: _two_created(client))
        for subject, code in {"never-was": "UNKNOWN", "done": "FINISHED", "twin": "AMBIGUOUS"}.items():
            event_id = f"command-{subject}"
            await client.command(make_command("cancel", subject, event_id=event_id))
            answer = await client.reached(event_id, "rejected")
            assert detail(answer)["error"]["errorCode"] == code
            assert answer.get_extension("requestsource") == (SOURCE if subject == "done" else None)
            assert "/other" not in str(answer.get_data()), "another publisher's source"
        await client.command(make_command("cancel", "twin", event_id="named", requestsource="/other"))
        answer = await client.reached("named", "accepted")
        assert detail(answer)["jobs"] == [job_name("tests", Identity("/other", "twin"))]
        assert answer.get_extension("requestsource") == "/other"
        end = await client.ended("twin")
        assert end.get_extension("requestsource") == "/other"


async def _two_created(client: Client) -> bool:
    return (await client.phases("twin")).count("created") == 2


async def test_a_job_deleted_from_outside_is_cancelled_once_and_its_pods_are_deleted(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_request("del", script="sleep 600"))
        uid = (await client.reached("del", "started")).get_id().split("/")[0]
        await cluster.delete_job("default", name_of("del"))
        end = await client.ended("del")
        assert detail(end)["error"]["errorCode"] == "DELETED"
        await gone(cluster, "del")
        assert await client.phases("del") == ["created", "started", "cancelled"]
        await until(lambda: _no_pods(cluster, uid))


async def _no_pods(cluster: Cluster, uid: str) -> bool:
    return not await cluster.pods_of("default", uid)


async def test_changes_while_there_was_no_leader_are_reported_later_and_once(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with running(broker, cluster) as client:
        await client.publish(
            make_request("end", script='sleep 1; echo 7 > "$JOBRELAY_RESULT_PATH"'),
            make_request("del", script="sleep 600"),
        )
        await client.reached("end", "started")
        await client.reached("del", "started")
    await until(lambda: is_finished(cluster, "end"))
    await cluster.delete_job("default", name_of("del"))
    async with running(broker, cluster) as client:
        assert detail(await client.ended("end"))["result"] == 7
        assert detail(await client.ended("del"))["error"]["errorCode"] == "DELETED"
        await without_finalizer(cluster, "end")
        await gone(cluster, "del")
        ids = [event.get_id() for event in await client.events("end")]
        assert list(dict.fromkeys(event_id.partition("/")[2] for event_id in ids)) == [
            "created",
            "started",
            "succeeded",
        ]


async def test_a_job_of_a_newer_version_is_left_alone_and_counted(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_request("old"))
        await client.ended("old")
        newer = await without_finalizer(cluster, "old")
        metadata = newer["metadata"]
        annotations = metadata["annotations"] | {"jobrelay.dev/version": "2"}
        clone = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": "newer",
                "namespace": "default",
                "labels": {name: value for name, value in metadata["labels"].items() if "controller-uid" not in name},
                "annotations": annotations,
                "finalizers": ["jobrelay.dev/lifecycle"],
            },
            "spec": {
                "template": {
                    "spec": {
                        "restartPolicy": "Never",
                        "containers": [{"name": "main", "image": "b", "command": ["true"]}],
                    }
                }
            },
        }
        await cluster.create_job(clone)
        await until(lambda: _is_cached_as_ended(client, "newer"))
        await client.state.measure()
        assert client.state.metrics.registry.get_sample_value("jobrelay_jobs_newer_format") == 1
        assert (await cluster.read_job("default", "newer"))["metadata"]["finalizers"] == ["jobrelay.dev/lifecycle"]


async def _is_cached_as_ended(client: Client, name: str) -> bool:
    job = client.state.cache.get(("default", name)) if client.state.cache else None
    return job is not None and job.finished
